"""A dataset with a model, steps of preparation without ANTs, and ways to be killed or refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from learn_toys import make_visit, minus_error, small_unet, toy_split

from bids_synth.cli.main import run_command
from bids_synth.learn.fit.fit import fit_model
from bids_synth.prepare.workflow import steps
from bids_synth.recipe.recipe import Recipe, validate_recipe
from bids_synth.spatial.itk import write_itk
from bids_synth.spatial.volume import read_volume, write_text, write_volume

LACKING = ("y", "z")
"""Participants who have a T1w and no T2w."""
MODEL_OF = ("a", "b", "c", "e")
PER_RUN = ("logs/20", "logs/bids_synth-20")
"""What belongs to one run: its name has the second and a random number."""


def small_recipe() -> Recipe:
    """`impute` of T1w and T2w on a coarse grid, with a network of a few thousand weights."""
    data = small_unet(["T1w", "T2w"])
    data["fit"] |= {"steps": 2, "steps_per_epoch": 2, "members": 2}
    data["grid"] |= {"spacing": 4.0, "margin": 4.0}
    return validate_recipe(data, origin="house")


def make_house(folder: Path) -> Path:
    """`bids` with y and z, who lack a T2w, and `out` with a model; nothing is prepared."""
    shape = (20, 20, 20)
    fitted = [
        make_visit(folder / "made", p, modalities=("T1w", "T2w"), shape=shape) for p in MODEL_OF
    ]
    fit_model(
        small_recipe(), fitted, toy_split(training="abc"), minus_error,
        folder=folder / "out/models/impute", work=folder / "fit", seed=1, device="cpu", quiet=True,
    )  # fmt: skip
    for person in LACKING:
        anat = folder / "bids" / f"sub-{person}" / "anat"
        anat.mkdir(parents=True)
        made = make_visit(folder / "made", person, modalities=("T1w",), shape=shape)
        shutil.copyfile(made.images["T1w"], anat / f"sub-{person}_T1w.nii.gz")
    described = {"Name": "house", "BIDSVersion": "1.10.0"}
    (folder / "bids/dataset_description.json").write_text(json.dumps(described))
    shutil.rmtree(folder / "made")
    shutil.rmtree(folder / "fit")
    return folder


def light_region(reference, modality, part, *, folder, **_):
    """What `find_region` leaves, by a threshold and without a template."""
    volume = read_volume(reference)
    mask = volume.with_array((volume.array > np.median(volume.array)).astype(np.uint8))
    known = {"stripped": True, "quality": {"template_correlation": 0.9, "mask_volume": 1300.0}}
    return (
        write_volume(mask, folder / "native_mask.nii.gz"),
        write_itk(np.eye(4), folder / "template.txt"),
        write_text(json.dumps(known), folder / "region.json"),
    )


@contextmanager
def light_steps(region: Callable = light_region) -> Iterator[None]:
    """Inside, preparation needs no ANTs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "find_region", region)
        yield


def participant(place: Path, *options: object, people: Collection[str] = ("z",)) -> int:
    """`bids_synth participant` in this process, on one thread."""
    words = [place / "bids", place / "out", "participant", "--participant-label", *people]
    work = [] if "--work-dir" in options else ["--work-dir", place / "work"]
    threads = [] if "--nprocs" in options else ["--nprocs", "1"]
    return run_command([str(w) for w in (*words, *work, *threads, "--device", "cpu", *options)])


def start(action: Callable[[], object]) -> int:
    """A forked process that does this and ends with what it returns; its id."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        code = int(action() or 0)  # type: ignore[call-overload]
    finally:
        os._exit(code)


def end_of(child: int) -> int:
    """How a process ended: its exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(action: Callable[[], object]) -> int:
    """What `end_of` says of a process that does this."""
    return end_of(start(action))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def tree(output: Path) -> dict[str, str]:
    """Every file of an output but those of single runs, with the hash of its content.

    Where the output lies is not part of it.
    """
    here = str(output.parent).encode()
    paths = (p for p in sorted(output.rglob("*")) if p.is_file())
    named = ((p.relative_to(output).as_posix(), p) for p in paths)
    return {
        name: hashlib.sha256(path.read_bytes().replace(here, b"HERE")).hexdigest()
        for name, path in named
        if not name.startswith(PER_RUN)
    }


def assert_whole(output: Path) -> None:
    """Every image and every sidecar of an output can be read to its end."""
    for path in output.rglob("*.nii.gz"):
        if not path.name.startswith("."):
            assert np.isfinite(nib.load(path).get_fdata()).all(), path
    for path in output.rglob("*.json"):
        json.loads(path.read_text())


def no_parts(*folders: Path) -> bool:
    """Whether nothing unfinished is left but in the log folders of runs that were killed."""
    parts = (p for folder in folders for p in folder.rglob(".part*"))
    return not [p for p in parts if p.parent.parent.name != "logs"]
