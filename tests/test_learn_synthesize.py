"""Synthesis: units, spread, background, refusals, and a network that beats `linear`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learn_toys import SHAPE, make_visit, minus_error, toy_recipe, toy_split

from bids_synth.core.scale import Scale
from bids_synth.errors import UsageError, VisitError
from bids_synth.learn.device import resolve_device
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.synthesize import load_synthesizer
from bids_synth.spatial.volume import Volume, read_mask, read_volume, write_volume


def fitted(folder, **fit):
    people = [make_visit(folder / "prepared", p) for p in "abcdez"]
    model = fit_model(
        toy_recipe(**fit),
        people,
        toy_split(),
        minus_error,
        folder=folder / "m",
        work=folder / "w",
        seed=1,
        device="cpu",
        quiet=True,
    )
    return model, people[-1]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    model, visit = fitted(tmp_path_factory.mktemp("quick"), steps=4, members=2)
    return load_synthesizer(model, "cpu"), visit


def test_the_image_lies_on_the_prepared_grid_in_the_target_unit(quick):
    synthesizer, visit = quick
    made = synthesizer.synthesize(visit, "T2w")
    assert made.image.grid.matches(visit.grid)
    assert made.image.unit == "arbitrary"
    assert made.image.array.dtype == np.float32
    assert made.sources == ("T1w", "PDw")
    mask = read_mask(visit.mask).array > 0
    assert not made.image.array[~mask].any()
    assert not made.spread.array[~mask].any()
    real = read_volume(visit.images["T2w"]).array
    assert np.corrcoef(real[mask], made.image.array[mask])[0, 1] > 0.7
    assert abs(np.median(made.image.array[mask]) / np.median(real[mask]) - 1) < 0.5


def test_another_scale_changes_the_unit_and_nothing_else(quick):
    synthesizer, visit = quick
    default = synthesizer.synthesize(visit, "T2w")
    unit = synthesizer.synthesize(visit, "T2w", scale=Scale(0.0, 1.0))
    mask = read_mask(visit.mask).array > 0
    population = synthesizer.model.scales["T2w"]
    back = population.invert(unit.image.array)[mask]
    np.testing.assert_allclose(default.image.array[mask], back, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(
        default.spread.array, unit.spread.array * population.gain, rtol=1e-4, atol=1e-3
    )


def test_mean_and_spread_are_over_the_networks(quick):
    synthesizer, visit = quick
    from bids_synth.learn.synthesize import Synthesizer

    alone = [
        Synthesizer(synthesizer.model, (network,), synthesizer.device).synthesize(visit, "PDw")
        for network in synthesizer.networks
    ]
    assert all(one.spread is None for one in alone)
    stack = np.stack([one.image.array for one in alone])
    both = synthesizer.synthesize(visit, "PDw")
    np.testing.assert_allclose(both.image.array, stack.mean(axis=0), rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(both.spread.array, stack.std(axis=0, ddof=1), rtol=1e-2, atol=0.1)
    assert both.spread.array.max() > 0


def test_what_lies_outside_the_mask_or_is_not_a_source_changes_nothing(quick, tmp_path):
    synthesizer, visit = quick
    before = synthesizer.synthesize(visit, "T2w").image.array
    mask = read_mask(visit.mask).array > 0
    images = {}
    for modality, path in visit.images.items():
        volume = read_volume(path)
        noise = 1000 * np.random.default_rng(0).random(SHAPE).astype(np.float32)
        array = noise if modality == "T2w" else np.where(mask, volume.array, noise)
        images[modality] = write_volume(Volume(array, visit.grid), tmp_path / f"{modality}.nii.gz")
    from dataclasses import replace

    after = synthesizer.synthesize(replace(visit, images=images), "T2w").image.array
    np.testing.assert_array_equal(before, after)


def test_refusals_name_what_is_there_and_what_is_not(quick, tmp_path):
    synthesizer, visit = quick
    with pytest.raises(UsageError, match="cannot make ct; it makes T1w, T2w, PDw"):
        synthesizer.synthesize(visit, "ct")
    with pytest.raises(VisitError, match="T2w needs at least 1 of T1w, PDw; given: none"):
        synthesizer.synthesize(visit, "T2w", sources=["T2w"])
    lone = make_visit(tmp_path, "q", modalities=("T1w", "T2w"))
    with pytest.raises(VisitError, match="has no prepared PDw"):
        synthesizer.synthesize(lone, "T2w", sources=["T1w", "PDw"])
    made = synthesizer.synthesize(lone, "PDw")
    assert made.sources == ("T1w", "T2w")


def test_devices_are_explicit(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    for asked in ("cuda", "cuda:1"):
        with pytest.raises(UsageError, match="0 usable CUDA"):
            resolve_device(asked)
    with pytest.raises(UsageError, match="expected auto, cpu, cuda"):
        resolve_device("gpu")


@pytest.mark.slow
def test_the_network_beats_every_baseline_on_a_held_out_visit(tmp_path):
    model, visit = fitted(tmp_path, steps=300, steps_per_epoch=100)
    made = load_synthesizer(model, "cpu").synthesize(visit, "T2w", scale=visit.scales["T2w"])
    baselines, scale = model.baselines(), visit.scales["T2w"]
    mask = read_mask(visit.mask).array > 0
    real = scale.apply(read_volume(visit.images["T2w"]).array)

    def score(volume):
        return minus_error(real, scale.apply(volume.array), mask)

    trivial = {
        name: score(baselines.estimate(name, visit, "T2w", sources=["T1w", "PDw"], scale=scale))
        for name in ("copy", "linear", "mean")
    }
    assert max(trivial, key=trivial.get) == "linear"
    assert score(made.image) > trivial["linear"] + 2
