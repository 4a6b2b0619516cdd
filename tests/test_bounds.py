"""Bounds of physical units hold in all that is written, and what was held is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_toys import SHAPE, images_of, make_visit

from bids_synth.bids.derivatives.closed_forms import write_closed_form
from bids_synth.bids.derivatives.copies import write_copies
from bids_synth.bids.derivatives.synthetic import write_synthetic
from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import fit_scale
from bids_synth.core.settings import OutputSpace
from bids_synth.core.synthetic import Verdict
from bids_synth.errors import VisitError
from bids_synth.evaluate.score import on_native
from bids_synth.learn.baselines.baselines import Baselines
from bids_synth.learn.baselines.linear import Gramian
from bids_synth.learn.synthesize import Synthesizer
from bids_synth.prepare.to_template import to_template
from bids_synth.recipe.recipe import load_recipe
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import LEAST, Volume, hold_to_bounds, read_mask, read_volume

TRUE = {"HU": -1024, "SUV": 0, "ml/100g/min": 0, "%": 0, "s": 0, "umol/100g/min": 0}
"""By hand: nothing is less dense than air, or flows or lasts less than not at all."""
WINDOWED = [name for name, known in MODALITIES.items() if known.window]
MODEL = {"WeightsSHA256": "0" * 64, "SourceModalities": ["T1w"], "Name": "toy"}


def test_every_physical_unit_has_its_bound_and_no_other_has():
    for modality in MODALITIES.values():
        assert LEAST.get(modality.unit) == TRUE.get(modality.unit)
        assert LEAST.get(modality.unit, -np.inf) <= modality.background


@given(
    unit=st.sampled_from([*TRUE, "SUVR", "arbitrary"]),
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30),
)
def test_holding_moves_only_what_is_below_and_counts_it(unit, values):
    array = np.array(values, np.float32).reshape(-1, 1, 1)
    image = Volume(array, Grid(array.shape, np.eye(4)), unit)
    made, held = hold_to_bounds(image)
    least = LEAST.get(unit, -np.inf)
    assert held == int((array < least).sum())
    assert (made.array >= least).all()
    assert np.array_equal(made.array[array >= least], array[array >= least])


def prepared_with(folder: Path, target: str):
    """A visit with a T1w and a target, whose native grid is another than the prepared one."""
    (folder / "raw").mkdir()
    images = images_of(np.random.default_rng(1), SHAPE)
    low, high = MODALITIES[target].window
    images[target] = (low + (high - low) * images["T2w"] / 600).astype(np.float32)
    visit = make_visit(folder / "raw" / "prepared", "a", modalities=("T1w", target), images=images)
    affine = visit.grid.affine.copy()
    affine[:3, :3] *= 0.83
    native = Grid(tuple(int(n / 0.83) for n in SHAPE), affine)
    mask = np.zeros(native.shape, np.uint8)
    mask[8:-8, 8:-8, 8:-8] = 1
    path = folder / "out" / "native_mask.nii.gz"
    path.parent.mkdir()
    nib.nifti1.Nifti1Image(mask, native.affine).to_filename(path)
    return replace(visit, native=native, native_mask=path)


def made_below(prepared, target: str, monkeypatch: pytest.MonkeyPatch, *, spoil: float = 0.0):
    """What a model of two networks makes whose scaled answers lie from -0.5 to 0.5."""
    answers = np.random.default_rng(2).uniform(-0.5, 0.5, (2, *SHAPE)).astype(np.float32)
    answers[:, 14, 15, 13] += spoil
    recipe = load_recipe("impute").model_copy(
        update={"modalities": {"T1w": "source", target: "target"}}
    )
    scales = {m: fit_scale(MODALITIES[m], np.empty(0)) for m in [target]}
    model = SimpleNamespace(recipe=recipe, scales=scales, name="toy")
    monkeypatch.setattr(Synthesizer, "_slide", lambda *_: answers)
    maker = Synthesizer(model, (), torch.device("cpu"))
    return maker.synthesize(prepared, target), scales[target].invert(answers).mean(axis=0)


@pytest.mark.parametrize("target", WINDOWED)
def test_what_is_written_is_within_bounds_and_says_how_many_were_held(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    prepared = prepared_with(tmp_path, target)
    least = TRUE[MODALITIES[target].unit]
    made, plain = made_below(prepared, target, monkeypatch)
    inside = read_mask(prepared.mask).array > 0
    expected = int((plain[inside] < least).sum())
    assert expected > 100
    assert made.held == expected
    output = tmp_path / "out"
    paths = write_synthetic(
        replace(on_native(made, prepared), verdict=Verdict("pass")),
        prepared,
        output,
        dataset=tmp_path / "raw",
        model=MODEL,
    )
    space = OutputSpace("MNI152NLin2009aSym", "4")
    background = MODALITIES[target].background
    copy = to_template(made.image, prepared, space, seed=1, background=background)
    paths += write_copies({paths[0]: copy}, prepared, space, output)
    for path in (p for p in paths if p.name.endswith(".nii.gz")):
        lowest = read_volume(path).array.min()
        assert lowest >= (0 if "uncertainty" in path.name else least), path.name
    told = json.loads(paths[1].read_text())["HeldToBounds"]
    assert told == {"Minimum": least, "Voxels": expected, "Grid": "prepared"}
    copied = json.loads(next(p for p in paths[4:] if p.suffix == ".json").read_text())
    assert copied["HeldToBounds"] == told


def test_an_answer_that_is_no_number_is_an_error_that_counts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    prepared = prepared_with(tmp_path, "ct")
    with pytest.raises(VisitError, match=r"sub-a: model toy gives NaN or infinity at 1 of"):
        made_below(prepared, "ct", monkeypatch, spoil=np.nan)


@settings(max_examples=3, deadline=None)
@given(weight=st.floats(-3, -0.5))
def test_baselines_are_held_as_the_model_is(tmp_path_factory, weight: float):
    prepared = prepared_with(tmp_path_factory.mktemp("held"), "cbf")
    steep = SimpleNamespace(
        modalities=("T1w", "cbf"), sums={}, answer=lambda *_: np.array([weight, 0.0, 0.1])
    )
    gramian: Gramian = steep
    baselines = Baselines({}, gramian, SimpleNamespace(images={}))
    scale = fit_scale(MODALITIES["cbf"], np.empty(0))
    made = baselines.estimate("linear", prepared, "cbf", sources=["T1w"], scale=scale)
    assert made.array.min() == 0
    assert made.array.max() > 0


def test_a_closed_form_is_written_within_bounds(tmp_path: Path):
    prepared = prepared_with(tmp_path, "cbf")
    array = np.random.default_rng(3).normal(0, 50, prepared.native.shape).astype(np.float32)
    image, held = hold_to_bounds(Volume(array, prepared.native, "umol/100g/min"))
    for volume in (image, Volume(array, prepared.native, "umol/100g/min")):
        path, sidecar = write_closed_form(
            "cmro2", volume, prepared, tmp_path / "out", dataset=tmp_path / "raw", maps=["cbf"],
            constants={"Hct": 42.0}, held=held,
        )  # fmt: skip
        assert read_volume(path).array.min() == 0
        assert json.loads(sidecar.read_text())["HeldToBounds"]["Voxels"] == int((array < 0).sum())
