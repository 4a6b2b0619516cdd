"""The nipype interface in a workflow of two nodes, run twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nipype import Function, Node, Workflow, config, logging
from prepare_phantom import make_scan, truth_mask

import bids_synth
from bids_synth.errors import UsageError
from bids_synth.interfaces import Synthesize
from bids_synth.prepare.workflow.guest import LOGGERS, settings_given_back
from bids_synth.prepare.workflow.workflow import _quiet
from bids_synth.recipe.embedded import DEFAULT, embedded_models
from bids_synth.spatial.volume import write_volume


def turned(in_file: str) -> str:
    """The same head with its voxels in another order, as another pipeline may hand it on."""
    from pathlib import Path

    import nibabel as nib

    image = nib.load(in_file)
    order = nib.orientations.axcodes2ornt("PSL")
    start = nib.orientations.io_orientation(image.affine)
    path = Path("turned.nii.gz").absolute()
    nib.save(image.as_reoriented(nib.orientations.ornt_transform(start, order)), path)
    return str(path)


def workflow_of(folder: Path, **inputs: Any) -> Workflow:
    scan = folder / "sub-01_T1w.nii.gz"
    if not scan.is_file():
        write_volume(make_scan("T1w", spacing=4.0), scan)
    turn = Node(Function(["in_file"], ["out_file"], turned), name="turn")
    turn.inputs.in_file = str(scan)
    make = Node(Synthesize(target="T2w", device="cpu", **inputs), name="make")
    workflow = Workflow("mine", base_dir=str(folder / "work"))
    workflow.connect(turn, "out_file", make, "T1w")
    return workflow


@pytest.mark.slow
def test_a_workflow_makes_what_python_makes_and_makes_it_once(tmp_path: Path) -> None:
    model = shutil.copytree(embedded_models()[DEFAULT], tmp_path / "model")
    workflow = workflow_of(tmp_path, card=str(model / "model.json"))
    workflow.run()
    place = tmp_path / "work/mine/make"
    image = nib.load(place / "T2w_image.nii.gz")
    assert nib.aff2axcodes(image.affine) == tuple("PSL")
    given = {"T1w": tmp_path / "work/mine/turn/turned.nii.gz"}
    made = bids_synth.load(DEFAULT, device="cpu").synthesize(given, "T2w")
    np.testing.assert_array_equal(image.get_fdata(), made.image.get_fdata())
    assert made.doubt is not None
    doubt = nib.load(place / "T2w_doubt.nii.gz").get_fdata()
    np.testing.assert_array_equal(doubt, made.doubt.get_fdata())
    told = json.loads((place / "T2w_verdict.json").read_text())
    assert (told["level"], tuple(told["reasons"])) == (made.verdict.level, made.verdict.reasons)
    before = (place / "T2w_image.nii.gz").stat().st_mtime_ns
    workflow_of(tmp_path, card=str(model / "model.json")).run()
    assert (place / "T2w_image.nii.gz").stat().st_mtime_ns == before, "taken from the cache"


def test_a_model_that_was_fitted_anew_is_seen(tmp_path: Path) -> None:
    card = shutil.copy(embedded_models()[DEFAULT] / "model.json", tmp_path)
    inputs = Synthesize(target="T2w", card=str(card)).inputs
    before = inputs.get_hashval(hash_method="content")[1]
    assert inputs.get_hashval(hash_method="content")[1] == before
    Path(card).write_text(Path(card).read_text() + " ")
    assert inputs.get_hashval(hash_method="content")[1] != before


def test_inputs_are_named_by_modality_and_faults_are_told(tmp_path: Path) -> None:
    scan = write_volume(truth_mask(8.0), tmp_path / "scan.nii.gz")
    names = Synthesize().inputs.copyable_trait_names()
    assert {"T1w", "FLAIR", "ct", "pet", "model", "target", "mask"} <= {*names}
    with pytest.raises(UsageError, match="it makes T1w, T2w, PDw, FLAIR, not ct"):
        Synthesize(target="ct", T1w=str(scan)).run(cwd=str(tmp_path))
    with pytest.raises(Exception, match="exist"):
        Synthesize(target="T2w", T1w="nowhere.nii.gz")


def test_nipype_is_left_as_it_was() -> None:
    def seen() -> Any:
        sections = {name: dict(config._config[name]) for name in config._config.sections()}
        return sections, [logging.getLogger(name).level for name in LOGGERS]

    before = seen()
    with settings_given_back():
        _quiet(stop=True)
        assert seen() != before
    told, after = before, seen()
    assert after[1] == told[1]
    for section, values in told[0].items():
        assert values.items() <= after[0][section].items()
