"""A network of another package: through both levels, and never unasked."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from learn_toys import make_visit, minus_error, toy_split
from ready_dataset import MODALITIES, SHAPE, make_ready

from bids_synth import api
from bids_synth.bids.derivatives.prepared import write_prepared
from bids_synth.bids.raw.query import query
from bids_synth.cli.main import run_command
from bids_synth.errors import ModelError, RecipeError, UsageError
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.model.model import load_model
from bids_synth.learn.model.size_limits import size_problems
from bids_synth.learn.networks import own
from bids_synth.prepare.workflow.key import preparation_key
from bids_synth.recipe.recipe import Recipe, load_recipe, validate_recipe

CODE = """
from pathlib import Path
import torch
from torch import nn

Path(__file__).with_name("ran").touch()


class MyNet(nn.Module):
    def __init__(self, *, sources: int, targets: int, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv3d(2 * sources, width, 3, padding=1)
        self.last = nn.Conv3d(width, targets, 1)

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        maps = available[:, :, None, None, None].expand_as(images)
        return self.last(self.first(torch.cat([images, maps], dim=1)).relu())


class Narrow(MyNet):
    def forward(self, images, available):
        return super().forward(images, available)[..., 1:]


class Fails(MyNet):
    def forward(self, images, available):
        return images[:, 99]


class Halves(MyNet):
    def __init__(self, **keys):
        super().__init__(**keys)
        self.half()


def plain():
    return None
"""
PATH = "labnet:MyNet"


@pytest.fixture(autouse=True)
def nothing_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_ADMITTED", {})  # Other tests admit theirs for all.


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of an installed module `labnet`, which notes that it was imported."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "labnet.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "labnet", raising=False)
    return folder


def recipe_with(path: str = PATH, **parameters: object) -> Recipe:
    data = load_recipe("impute").limited_to(MODALITIES).model_dump(mode="json", exclude={"tune"})
    data["name"] = "mine"
    data["preparation"]["reference"] = ["T1w"]
    data["network"] = {"import": path, "parameters": parameters}
    data["objective"] = {"name": "regression", "l1": 0.5, "l2": 1.0, "ssim": 0.0}
    data["fit"] |= {"patch": [16, 16, 16], "members": 1, "batch": 1, "steps": 4}
    data["fit"] |= {"steps_per_epoch": 2, "test": 0.25, "validation": 0.25}
    data["evaluation"]["bootstrap"] = 100
    return validate_recipe(data, origin="mine")


def test_it_goes_through_both_levels_and_only_where_it_is_named(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, output = make_ready(tmp_path)
    (tmp_path / "mine.toml").write_text(recipe_with(width=3).to_toml())
    line = [str(dataset), str(output), "group", "-w", str(tmp_path / "work"), "--device", "cpu"]
    line += ["--recipe", str(tmp_path / "mine.toml")]
    assert run_command(line) == 2
    assert f"give --own-network {PATH}" in capsys.readouterr().err
    assert not (package / "ran").exists(), "nothing was imported"
    allowed = ["--own-network", PATH]
    assert run_command([*line, *allowed]) == 0
    model = load_model(output / "models/mine")
    assert model.card.network == {"sources": 2, "targets": 2, "import": PATH, "width": 3}
    assert type(model.networks()[0]).__name__ == "MyNet"
    lose_t2w(dataset, output, tmp_path)
    line[2] = "participant"
    line += ["--participant-label", "a", "--synth-only"]
    own._ADMITTED.clear()
    assert run_command(line) == 2
    assert f"give --own-network {PATH}" in capsys.readouterr().err
    assert run_command([*line, *allowed]) == 0
    assert list(output.glob("sub-a/anat/*desc-synth_T2w.nii.gz"))


def lose_t2w(dataset: Path, output: Path, folder: Path) -> None:
    """Participant a without a T2w, prepared so."""
    (dataset / "sub-a/anat/sub-a_T2w.nii.gz").unlink()
    recipe = recipe_with()
    (visit,) = (v for v in query(dataset, recipe).visits if v.participant == "a")
    key = preparation_key(visit, recipe, seed=1, skull_strip="auto")
    made = make_visit(folder / "less", "a", modalities=("T1w",), shape=SHAPE)
    write_prepared(replace(made, visit=visit, key=key), output, dataset=dataset)


def test_a_model_of_somebody_else_runs_no_code(package: Path, tmp_path: Path) -> None:
    """In a fresh process, by Python and by the command line."""
    own.admit(PATH)
    made = fitted(tmp_path)
    (package / "ran").unlink()
    ask = f"import bids_synth; bids_synth.load({str(made)!r})"
    for words in (
        ["-c", ask],
        ["-m", "bids_synth", "export", made, tmp_path / "x", "--to", "onnx"],
    ):
        where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), *sys.path])}
        end = subprocess.run(
            [sys.executable, *map(str, words)], env=where, capture_output=True, text=True
        )
        assert end.returncode != 0
        assert f"give --own-network {PATH}" in end.stderr
        assert not (package / "ran").exists()
    assert api.load(made, own_network=PATH).targets == MODALITIES


def fitted(folder: Path) -> Path:
    people = [
        make_visit(folder / "made", p, modalities=MODALITIES, shape=(20, 20, 20)) for p in "abce"
    ]
    return fit_model(
        recipe_with(), people, toy_split("abc"), minus_error, folder=folder / "m",
        work=folder / "w", seed=1, device="cpu", quiet=True,
    ).folder  # fmt: skip


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("labnet", "expected package.module:Class"),
        ("labnet:plain", "no torch.nn.Module of that name"),
        ("labnet:Nobody", "no torch.nn.Module of that name"),
        ("nowhere_at_all:MyNet", "ModuleNotFoundError.*PYTHONPATH"),
    ],
)
def test_what_is_no_network_is_told(package: Path, path: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        own.admit(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Narrow", r"gives \(1, 2, 16, 16, 15\), expected \(1, 2, 16, 16, 16\)"),
        ("Fails", "fails for images"),
        ("Halves", "expected tensors of float32"),
    ],
)
def test_what_breaks_the_contract_is_told_before_a_fit(
    package: Path, name: str, reason: str
) -> None:
    path = f"labnet:{name}"
    own.admit(path)
    with pytest.raises(AssertionError, match=reason):
        assert not size_problems(recipe_with(path)), size_problems(recipe_with(path))[0]


def test_keys_are_checked_as_all_others() -> None:
    with pytest.raises(ModelError, match="is not run unasked"):
        own.own_network(PATH)
    with pytest.raises(RecipeError, match=r"network\.import"):
        recipe_with("os.system")
    data = recipe_with().model_dump(mode="json")
    data["network"]["width"] = 3
    with pytest.raises(RecipeError, match=r"network\.width: unknown key; allowed: name, import"):
        validate_recipe(data, origin="x")
    again = recipe_with(width=3).with_values({"fit.batch": 2})
    assert again.network == recipe_with(width=3).network
    assert np.isfinite(len(again.to_toml()))
