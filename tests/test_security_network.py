"""No network call, ever: imports, --version, --dry-run and a whole participant run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from learn_toys import make_visit, minus_error, toy_recipe, toy_split

from bids_synth.demo.dataset import make_demo
from bids_synth.learn.fit.fit import fit_model

ROOT = Path(__file__).resolve().parent.parent
HOOK = """
import os, sys

KEPT = os.environ["KEPT"]
LOCAL = ("127.", "::1", "localhost", "0.0.0.0")

def note(text):
    with open(KEPT, "a") as file:
        file.write(text + "\\n")

def hook(event, given):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"):
        address = given[1] if len(given) > 1 else None
        if not isinstance(address, tuple) or str(address[0]).startswith(LOCAL):
            return
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        if not given[0] or str(given[0]).startswith(LOCAL):
            return
    elif event not in ("urllib.Request", "http.client.connect", "ftplib.connect"):
        return
    note(f"{event} {given!r} {sys.argv}")
    raise ConnectionRefusedError("the network is out of bounds here")

sys.addaudithook(hook)
note("watching")
"""
COARSE = {"grid.spacing": 4.0, "preparation.registration_spacing": 4.0}
IMPORTS = """
import importlib, pkgutil, bids_synth
for found in pkgutil.walk_packages(bids_synth.__path__, "bids_synth."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
"""


@pytest.fixture
def watched(tmp_path):
    """Run Python with every attempt at the network noted and refused, children included."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    kept = tmp_path / "kept.txt"
    paths = os.pathsep.join([str(tmp_path / "hook"), str(ROOT)])
    without = ("NO_ET", "TEMPLATEFLOW_AUTOUPDATE")
    environment = {k: v for k, v in os.environ.items() if k not in without}
    environment |= {"PYTHONPATH": paths, "KEPT": str(kept), "HOME": str(tmp_path / "home")}
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def run(*words: object) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        return done, [line for line in kept.read_text().splitlines() if line != "watching"]

    return run


def test_the_watch_can_see(watched):
    call = "import socket; socket.create_connection(('192.0.2.1', 9), timeout=1)"
    done, noted = watched("-c", call)
    assert done.returncode != 0
    assert any("192.0.2.1" in line for line in noted)
    inner = "import sys, subprocess; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    _, noted = watched("-c", inner, "import urllib.request as u; u.urlopen('http://192.0.2.7')")
    assert any("192.0.2.7" in line for line in noted)


def test_importing_every_module_asks_nobody(watched):
    done, noted = watched("-c", IMPORTS)
    assert done.returncode == 0, done.stderr
    assert noted == []


def test_version_and_plan_ask_nobody(watched, tmp_path):
    make_demo(tmp_path / "bids", participants=3, resolution=4.0, seed=1)
    assert watched("-m", "bids_synth", "--version")[0].returncode == 0
    done, noted = watched("-m", "bids_synth", "bids", "out", "group", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert noted == []


@pytest.mark.slow
def test_a_participant_run_asks_nobody(watched, tmp_path):
    people = [make_visit(tmp_path / "toys", p, shape=(20, 20, 20)) for p in "abce"]
    model = fit_model(
        toy_recipe(steps=1).with_values(COARSE),
        people,
        toy_split("abc"),
        minus_error,
        folder=tmp_path / "m",
        work=tmp_path / "w",
        seed=1,
        device="cpu",
        quiet=True,
    ).folder
    make_demo(tmp_path / "bids", participants=1, resolution=4.0, seed=1)
    next(tmp_path.glob("bids/sub-01/anat/*_T2w.nii.gz")).unlink()
    words = ("bids", "out", "participant", "--model", model, "--nprocs", "2", "--device", "cpu")
    done, noted = watched("-m", "bids_synth", *words)
    assert done.returncode == 0, done.stderr
    assert [*tmp_path.glob("out/sub-01/anat/*_desc-synth_T2w.nii.gz")]
    assert (tmp_path / "out" / "sub-01.html").is_file()
    assert noted == []
