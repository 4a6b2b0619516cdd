"""Baselines against least squares, a direct choice and ITK's own reading of transforms."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from learn_toys import make_visit, toy_recipe

from bids_synth.core.scale import Scale
from bids_synth.core.tissue.levels import TissueLevels
from bids_synth.errors import ModelError, UsageError, VisitError
from bids_synth.learn.baselines.baselines import fit_baselines, load_baselines
from bids_synth.learn.data.array_cache import scaled_image
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.volume import read_mask

MODALITIES = ("T1w", "T2w", "PDw")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("baselines")
    people = [make_visit(folder, p) for p in "abc"]
    people.append(make_visit(folder, "d", modalities=("T1w", "T2w")))
    return people, fit_baselines(toy_recipe(), people)


def voxels(prepared, modality):
    mask = read_mask(prepared.mask).array
    return scaled_image(prepared, modality, mask)[mask > 0].astype(np.float64)


@pytest.mark.parametrize("target", MODALITIES)
@pytest.mark.parametrize("count", [1, 2])
def test_linear_is_least_squares_over_the_visits_that_have_all(fitted, target, count):
    people, baselines = fitted
    for sources in combinations([m for m in MODALITIES if m != target], count):
        having = [p for p in people if {*sources, target} <= set(p.images)]
        columns = [np.concatenate([voxels(p, s) for p in having]) for s in sources]
        design = np.column_stack([*columns, np.ones(len(columns[0]))])
        right = np.concatenate([voxels(p, target) for p in having])
        expected = np.linalg.lstsq(design, right, rcond=None)[0]
        found = baselines.gramian.solve(sources, target)
        rows = [*(MODALITIES.index(s) for s in sources), -1]
        np.testing.assert_allclose(found[rows], expected, rtol=1e-6)
        assert np.count_nonzero(found) == count + 1


def test_linear_image_is_the_formula_on_the_grid(fitted):
    people, baselines = fitted
    visit, scale = people[0], people[0].scales["T2w"]
    made = baselines.estimate("linear", visit, "T2w", sources=["T1w", "PDw"], scale=scale)
    weights = baselines.gramian.solve(["T1w", "PDw"], "T2w")
    expected = weights[0] * voxels(visit, "T1w") + weights[2] * voxels(visit, "PDw") + weights[-1]
    mask = read_mask(visit.mask).array > 0
    np.testing.assert_allclose(made.array[mask], scale.invert(expected), rtol=1e-4, atol=0.01)
    assert not made.array[~mask].any()
    assert made.grid.matches(visit.grid)


def test_a_subset_nobody_has_falls_back_to_a_smaller_one(fitted, tmp_path):
    people, _ = fitted
    baselines = fit_baselines(toy_recipe(), [people[3]])
    with_both = baselines.gramian.solve(["T1w", "PDw"], "T2w")
    np.testing.assert_array_equal(with_both, baselines.gramian.solve(["T1w"], "T2w"))
    assert not baselines.gramian.solve(["T1w"], "PDw").any()


def test_copy_takes_the_nearest_source(fitted):
    people, baselines = fitted
    for target in MODALITIES:
        others = [m for m in MODALITIES if m != target]
        errors = {
            s: np.mean(
                [
                    np.abs(voxels(p, s) - voxels(p, target)).mean()
                    for p in people
                    if {s, target} <= set(p.images)
                ]
            )
            for s in others
        }
        best = min(errors, key=errors.get)
        assert baselines.best_source(target, others) == best
        made = baselines.estimate(
            "copy", people[0], target, sources=others, scale=people[0].scales[best]
        )
        mask = read_mask(people[0].mask).array > 0
        np.testing.assert_allclose(
            people[0].scales[best].apply(made.array[mask]), voxels(people[0], best), atol=1e-4
        )


def test_the_mean_of_one_smooth_visit_is_that_visit(tmp_path):
    axes = np.meshgrid(*[np.linspace(-1, 1, 28)] * 3, indexing="ij")
    smooth = {m: 100 + 50 * np.sin(a) for m, a in zip(MODALITIES, axes, strict=True)}
    visit = make_visit(tmp_path, "a", shape=(28, 28, 28), images=smooth)
    baselines = fit_baselines(toy_recipe(), [visit])
    scale = visit.scales["PDw"]
    made = baselines.estimate("mean", visit, "PDw", sources=[], scale=scale)
    mask = read_mask(visit.mask).array > 0
    assert np.abs(made.array[mask] - smooth["PDw"][mask]).max() < 3
    assert np.abs(made.array[mask] - smooth["PDw"][mask]).mean() < 0.5


def test_the_mean_follows_the_transform_to_the_template(tmp_path):
    """A visit lying 20 mm to the left and its unshifted twin have the same mean image."""
    twin, moved = make_visit(tmp_path, "a"), make_visit(tmp_path / "m", "a")
    affine = moved.grid.affine.copy()
    affine[0, 3] -= 20
    moved.template.write_text(
        twin.template.read_text().replace("1 0 0 0 1 0 0 0 1 0 0 0", "1 0 0 0 1 0 0 0 1 20 0 0")
    )
    shifted = SimpleNamespace(
        template=moved.template, grid=type(moved.grid)(moved.grid.shape, affine)
    )
    baselines = fit_baselines(toy_recipe(), [make_visit(tmp_path / "b", "b")])
    np.testing.assert_allclose(
        baselines.population.on(shifted, "T1w"), baselines.population.on(twin, "T1w"), atol=1e-4
    )


def test_saved_and_loaded_baselines_answer_the_same(fitted, tmp_path):
    people, baselines = fitted
    baselines.save(tmp_path)
    again = load_baselines(tmp_path)
    for name in ("copy", "linear", "mean"):
        for target in MODALITIES:
            sources = [m for m in MODALITIES if m != target]
            one, other = (
                b.estimate(
                    name, people[0], target, sources=sources, scale=people[0].scales[target]
                )
                for b in (baselines, again)
            )
            np.testing.assert_array_equal(one.array, other.array)


def test_faults_are_told(fitted, tmp_path):
    people, baselines = fitted
    scale = people[0].scales["T1w"]
    with pytest.raises(UsageError, match="unknown baseline 'median'"):
        baselines.estimate("median", people[0], "T1w", sources=["T2w"], scale=scale)
    with pytest.raises(VisitError, match="no source for the linear baseline"):
        baselines.estimate("linear", people[0], "T1w", sources=[], scale=scale)
    with pytest.raises(ModelError, match=r"baselines\.json"):
        load_baselines(tmp_path / "nowhere")
    people[0].template.with_name("bad.txt").write_text("Parameters: 1 2 3\n")
    with pytest.raises(VisitError, match="transform with 12 parameters"):
        read_itk(people[0].template.with_name("bad.txt"))


def test_an_affine_is_read_as_ants_reads_it(tmp_path):
    ants = pytest.importorskip("ants")
    rng = np.random.default_rng(0)
    matrix = np.eye(3) + 0.2 * rng.standard_normal((3, 3))
    shift, centre = rng.normal(0, 20, 3), rng.normal(0, 20, 3)
    path = tmp_path / "affine.txt"
    numbers = " ".join(repr(float(x)) for x in [*matrix.ravel(), *shift])
    path.write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {numbers}\nFixedParameters: {' '.join(repr(float(x)) for x in centre)}\n"
    )
    theirs = ants.read_transform(str(path))
    ours = read_itk(path)
    for point in rng.normal(0, 50, (5, 3)):
        lps = point * [-1, -1, 1]
        expected = np.array(theirs.apply_to_point(lps.tolist())) * [-1, -1, 1]
        np.testing.assert_allclose(ours[:3, :3] @ point + ours[:3, 3], expected, atol=1e-3)


def test_the_tissue_curve_is_exact_where_the_target_is_a_curve_of_the_tissues(tmp_path):
    """T2w is made of T1w by straight lines between three levels, each visit with gains of its
    own; the curve finds it from levels alone."""
    own, wanted = np.array([0.3, 0.7, 1.0]), np.array([2.4, 1.3, 1.0])
    people = []
    for number, name in enumerate("abc"):
        t1w = np.random.default_rng(number).uniform(0.3, 1.0, (20, 20, 20))
        gains = {"T1w": 100.0 + 50 * number, "T2w": 400.0 - 90 * number}
        images = {"T1w": t1w * gains["T1w"], "T2w": np.interp(t1w, own, wanted) * gains["T2w"]}
        visit = make_visit(
            tmp_path, name, modalities=("T1w", "T2w"), shape=(20, 20, 20), images=images
        )
        levels = {
            m: TissueLevels(*(float(v * gains[m]) for v in reversed(values)))
            for m, values in (("T1w", own), ("T2w", wanted))
        }
        scales = {m: Scale(0.0, gain) for m, gain in gains.items()}
        people.append(replace(visit, levels=levels, scales=scales))
    recipe = toy_recipe().limited_to(("T1w", "T2w"))
    baselines = fit_baselines(recipe, people[:2])
    baselines.save(tmp_path / "kept")
    for known in (baselines, load_baselines(tmp_path / "kept")):
        assert "tissue-curve" in known.names("T2w", ["T1w"])
        made = known.estimate(
            "tissue-curve", people[2], "T2w", sources=["T1w"], scale=people[2].scales["T2w"]
        )
        mask = read_mask(people[2].mask).array > 0
        real = people[2].image("T2w").array
        np.testing.assert_allclose(made.array[mask], real[mask], rtol=1e-4)


def test_without_levels_there_is_no_tissue_curve(fitted):
    assert "tissue-curve" not in fitted[1].names("T2w", ["T1w"])
