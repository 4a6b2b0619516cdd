"""Outside its field of view a source is missing: at synthesis, in baselines and in a fit."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_toys import SHAPE, make_visit, minus_error, toy_recipe, toy_split
from scipy import ndimage

from bids_synth.core.coverage import BLEND, parts_of, shared_mask, teaching
from bids_synth.errors import VisitError
from bids_synth.evaluate.scenarios import scenarios, scored_mask
from bids_synth.evaluate.score import on_native, score_withheld
from bids_synth.learn.data.array_cache import open_store
from bids_synth.learn.data.training_statistics import figures
from bids_synth.learn.fit.fit import fit_model, fitting_visits
from bids_synth.learn.synthesize import load_synthesizer
from bids_synth.spatial.volume import Volume, read_mask, read_volume, write_volume


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick")
    people = [make_visit(folder / "prepared", p) for p in "abcdez"]
    model = fit_model(
        toy_recipe(steps=4), people, toy_split(), minus_error, folder=folder / "m",
        work=folder / "w", seed=1, device="cpu", quiet=True,
    )  # fmt: skip
    return load_synthesizer(model, "cpu"), people[-1], folder


def slab_of(axis: int, share: float) -> np.ndarray:
    there = np.zeros(SHAPE, bool)
    slices = [slice(None)] * 3
    slices[axis] = slice(0, max(1, round(share * SHAPE[axis])))
    there[tuple(slices)] = True
    return there


def partial(visit, folder, slabs, *, garbage: float = 0.0):
    """The visit whose scans end where their slabs do; beyond them stands `garbage`."""
    images, masks, quality = dict(visit.images), {}, dict(visit.quality)
    inside = read_mask(visit.mask).array > 0
    name = f"{np.random.default_rng().integers(1 << 60)}"
    for modality, there in slabs.items():
        array = np.where(there, read_volume(visit.images[modality]).array, garbage)
        place = folder / name
        images[modality] = write_volume(
            Volume(array.astype(np.float32), visit.grid), place / f"{modality}.nii.gz"
        )
        masks[modality] = write_volume(
            Volume(there.astype(np.uint8), visit.grid), place / f"{modality}_covered.nii.gz"
        )
        quality[f"coverage_{modality}"] = float(there[inside].mean())
    return replace(visit, images=images, coverage=masks, quality=quality, key=name.zfill(64))


@settings(max_examples=8)
@given(st.integers(0, 2), st.floats(0.3, 0.8), st.sampled_from([0.0, -500.0, 1e6]))
def test_outside_the_slab_the_answer_is_that_without_it(quick, axis, share, garbage):
    synthesizer, visit, folder = quick
    there = slab_of(axis, share)
    inside = read_mask(visit.mask).array > 0
    cut = partial(visit, folder, {"T2w": there}, garbage=garbage)
    made = synthesizer.synthesize(cut, "PDw")
    without = synthesizer.synthesize(visit, "PDw", sources=["T1w"])
    np.testing.assert_array_equal(
        made.image.array[inside & ~there], without.image.array[inside & ~there]
    )
    # With the same zeros beyond the slab as at the edge of a brain, but taken for a whole scan.
    zeros = partial(visit, folder, {"T2w": there})
    array = read_volume(visit.images["T2w"]).array
    array = np.where(there, array, visit.scales["T2w"].invert(np.float32(0)))
    zeros.images["T2w"] = write_volume(
        Volume(array.astype(np.float32), visit.grid), folder / f"{zeros.key}.nii.gz"
    )
    whole = synthesizer.synthesize(replace(zeros, coverage={}), "PDw")
    depth = ndimage.distance_transform_edt(there | ~inside, sampling=visit.grid.spacing)
    deep = inside & there & (depth > BLEND + max(visit.grid.spacing))
    np.testing.assert_allclose(
        made.image.array[deep], whole.image.array[deep], rtol=1e-4, atol=1e-2
    )
    assert made.made_in is None
    assert made.sources == ("T1w", "T2w")


def test_no_edge_shows_at_the_seam(quick):
    """The step over the seam is no larger than where nothing was blended at all."""
    synthesizer, visit, folder = quick
    there = slab_of(2, 0.5)
    inside = read_mask(visit.mask).array > 0
    made = synthesizer.synthesize(partial(visit, folder, {"T2w": there}), "PDw").image.array
    within = synthesizer.synthesize(visit, "PDw").image.array
    without = synthesizer.synthesize(visit, "PDw", sources=["T1w"]).image.array
    cut = int(there[0, 0].sum())
    both = inside[:, :, cut - 1] & inside[:, :, cut]
    step = np.abs(made[:, :, cut] - made[:, :, cut - 1])[both].mean()
    raw = np.abs(without[:, :, cut] - within[:, :, cut - 1])[both].mean()
    usual = np.abs(without[:, :, cut] - without[:, :, cut - 1])[both].mean()
    assert step < max(raw, 1.5 * usual)


def test_a_part_with_too_few_sources_is_not_made(quick, tmp_path):
    synthesizer, visit, _ = quick
    there = slab_of(1, 0.46)
    inside = read_mask(visit.mask).array > 0
    cut = partial(visit, tmp_path, {"T1w": there})
    made = synthesizer.synthesize(cut, "PDw", sources=["T1w"])
    np.testing.assert_array_equal(made.made_in.array > 0, inside & there)
    assert not made.image.array[~(inside & there)].any()
    native = on_native(made, cut)
    np.testing.assert_array_equal(native.made_in.array, made.made_in.array)
    np.testing.assert_allclose(native.image.array, made.image.array, rtol=1e-5)
    none = partial(visit, tmp_path, {"T1w": np.zeros(SHAPE, bool)})
    with pytest.raises(VisitError, match="nowhere in the mask are 1 sources"):
        synthesizer.synthesize(none, "PDw", sources=["T1w"])


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.2, 0.9)), min_size=1, max_size=3))
@settings(max_examples=10)
def test_the_parts_share_the_mask(quick, cuts):
    _, visit, folder = quick
    slabs = dict(zip(("T1w", "T2w", "PDw"), (slab_of(*cut) for cut in cuts), strict=False))
    cut = partial(visit, folder, slabs)
    mask = read_mask(visit.mask).array
    for least in (1, 2, 3):
        parts = parts_of(cut, ("T1w", "T2w", "PDw"), mask, least=least)
        count = sum(slabs.get(m, np.ones(SHAPE, bool)).astype(int) for m in ("T1w", "T2w", "PDw"))
        total = sum((p.weight for p in parts), np.zeros(SHAPE, np.float32))
        np.testing.assert_allclose(total, (mask > 0) & (count >= least), atol=1e-5)
        for part in parts:
            assert len(part.sources) >= least
            for modality in part.sources:
                assert not part.weight[~slabs.get(modality, np.ones(SHAPE, bool))].any()


def test_nothing_is_learned_from_what_was_not_acquired(quick, tmp_path, caplog):
    _, visit, _ = quick
    few, most = slab_of(0, 0.46), slab_of(0, 0.86)
    cut = partial(visit, tmp_path, {"T2w": few, "PDw": most}, garbage=1e5)
    with caplog.at_level(logging.WARNING):
        (taught,) = fitting_visits([cut], toy_split("abcdz", "e", ""))
    assert "does not teach with scans that cover less" in caplog.text
    assert "T2w" in caplog.text
    assert set(taught.images) == {"T1w", "PDw"}
    (stored,) = open_store([taught], ("T1w", "T2w", "PDw"), tmp_path / "w")
    assert stored.present == ("T1w", "PDw")
    inside = read_mask(visit.mask).array > 0
    np.testing.assert_array_equal(stored.mask > 0, inside & most)
    assert not stored.images["PDw"][~most].any()
    assert set(stored.centres) <= set(np.flatnonzero(inside & most))
    np.testing.assert_array_equal(shared_mask(visit) > 0, inside)
    assert teaching(visit) == visit


def test_figures_and_baselines_see_only_what_was_acquired(quick, tmp_path):
    synthesizer, visit, _ = quick
    there = slab_of(2, 0.5)
    cuts = [partial(visit, tmp_path, {"T2w": there}, garbage=g) for g in (0.0, 1e6)]
    one, other = (figures(cut, ("T1w", "T2w")) for cut in cuts)
    assert one == other
    assert "coverage_T2w" in one
    assert "coverage_T2w" not in figures(cuts[0], ("T1w",))
    baselines, scale = synthesizer.model.baselines(), visit.scales["PDw"]
    outside = (read_mask(visit.mask).array > 0) & ~there
    for name in ("copy", "linear", "mean"):
        made = [
            baselines.estimate(name, cut, "PDw", sources=("T1w", "T2w"), scale=scale).array
            for cut in cuts
        ]
        np.testing.assert_array_equal(*made)
        without = baselines.estimate(name, visit, "PDw", sources=("T1w",), scale=scale).array
        np.testing.assert_allclose(made[0][outside], without[outside], rtol=1e-5)


def test_a_real_scan_is_scored_where_it_was_acquired(quick, tmp_path, caplog):
    synthesizer, visit, _ = quick
    there = slab_of(1, 0.7)
    inside = read_mask(visit.mask).array > 0
    cuts = [partial(visit, tmp_path, {"PDw": there}, garbage=g) for g in (0.0, 3000.0)]
    rows = []
    for cut in cuts:
        made = synthesizer.synthesize(cut, "PDw")
        with caplog.at_level(logging.WARNING):
            scored = score_withheld(made, synthesizer.model, None, cut)
        np.testing.assert_array_equal(scored.mask.array > 0, inside & there)
        rows.append(scored.rows)
    assert "PDw is scored in" in caplog.text
    assert rows[0].equals(rows[1])
    whole = synthesizer.synthesize(visit, "PDw")
    np.testing.assert_array_equal(scored_mask(whole, visit).array > 0, inside)
    little = partial(visit, tmp_path, {"PDw": slab_of(1, 0.3)})
    targets = {task.target for task in scenarios(little, synthesizer.model.recipe)}
    assert targets == {"T1w", "T2w"}
    assert "covers" in caplog.text
