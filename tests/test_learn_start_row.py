"""The start as a row of its own, and baselines that have all that the start has."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from learn_toys import SHAPE, field, make_visit, minus_error, toy_recipe, toy_split
from safetensors.numpy import save_file

from bids_synth.errors import ModelError
from bids_synth.evaluate.score import score_withheld
from bids_synth.learn.baselines.baselines import fit_baselines, load_baselines
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.model.model import load_model
from bids_synth.learn.synthesize import load_start, load_synthesizer
from bids_synth.measure.table import summarise
from bids_synth.measure.terminal import format_table
from bids_synth.physics.visit_maps import compute
from bids_synth.recipe.recipe import load_recipe, validate_recipe
from bids_synth.report.pages.score_tables import overview, score_tables
from bids_synth.spatial.volume import read_mask, sha256_of


def fit(folder, people, recipe, **more):
    return fit_model(
        recipe, people, toy_split("abc"), minus_error,
        folder=folder / "m", work=folder / "w", seed=1, device="cpu", quiet=True, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    people = [make_visit(folder, p) for p in "abcez"]
    recipe = toy_recipe(steps=60, steps_per_epoch=20, learning_rate=3e-3, ema=0.0, members=2)
    return fit(folder, people, recipe), people


def begun_by(model, prepared, target, sources):
    start = load_start(load_synthesizer(model, "cpu"))
    return start and start.synthesize(prepared, target, sources=sources).image.array


def test_the_start_is_the_line_and_the_model_is_not(fitted):
    model, people = fitted
    visit, sources = people[4], ("T1w", "PDw")
    begun = begun_by(model, visit, "T2w", sources)
    line = model.baselines().estimate(
        "linear", visit, "T2w", sources=sources, scale=model.scales["T2w"]
    )
    span = np.ptp(line.array)
    # The network learned from float16.
    assert np.abs(begun - line.array).max() < 2e-3 * span
    made = load_synthesizer(model, "cpu").synthesize(visit, "T2w", sources=sources).image.array
    assert np.abs(made - begun).max() > 5e-3 * span


def test_the_start_has_a_row_in_every_table(fitted):
    model, people = fitted
    synthesizer = load_synthesizer(model, "cpu")
    start = load_start(synthesizer)
    rows = []
    for visit in people[3:]:
        made, begun = (one.synthesize(visit, "T2w") for one in (synthesizer, start))
        rows.append(score_withheld(made, model, model.baselines(), visit, start=begun).rows)
    assert set(rows[0]["method"]) == {"model", "start", "copy", "linear", "mean"}
    summary = summarise(pd.concat(rows, ignore_index=True), resamples=50, seed=1)
    methods = list(dict.fromkeys(summary["method"]))
    assert methods[:2] == ["model", "start"]
    text = format_table(summary)
    assert "start: the answer that the model's own fit began from" in text
    assert score_tables(summary)[0]["methods"][1] == "start"


def test_the_start_is_a_baseline_to_beat_and_called_by_its_name():
    rows = pd.DataFrame(
        [
            {"visit": f"sub-{p}", "participant": p, "target": "T2w", "sources": "T1w",
             "method": method, "protocol": "masked3d", "psnr": value + n}
            for n, p in enumerate("ab")
            for method, value in (("model", 30.0), ("start", 29.5), ("copy", 10.0))
        ]
    )  # fmt: skip
    summary = summarise(rows, resamples=50, seed=1)
    won = summary[(summary["method"] == "model") & (summary["metric"] == "psnr")].iloc[0]
    assert won["versus"] == "start"
    assert won["difference"] == pytest.approx(0.5)
    cells = [cell for line in overview(summary).lines for cell in line["cells"]]
    assert any(cell["versus"] == "its own start" for cell in cells)


def test_a_fit_from_another_model_starts_at_its_answer(fitted, tmp_path):
    first, people = fitted
    recipe = first.recipe.model_copy(update={"fit": first.recipe.fit.model_copy(
        update={"steps": 1, "steps_per_epoch": 1})})  # fmt: skip
    second = fit(tmp_path, people, recipe, init_from=first.folder)
    wanted = load_synthesizer(first, "cpu").synthesize(people[4], "T2w").image.array
    found = begun_by(second, people[4], "T2w", None)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-3)


def test_fresh_weights_have_no_start(tmp_path):
    people = [make_visit(tmp_path, p, shape=(24, 24, 24)) for p in "abcez"]
    data = toy_recipe(steps=1).model_dump(mode="json")
    data["network"] = {"name": "excitation-unet", "filters": 4, "levels": 2}
    model = fit(tmp_path, people, validate_recipe(data, origin="toy"))
    assert model.card.start == []
    assert load_start(load_synthesizer(model, "cpu")) is None


def test_an_altered_start_is_refused_and_a_card_without_one_loads(fitted, tmp_path):
    model, _ = fitted
    folder = shutil.copytree(model.folder, tmp_path / "old")
    card = json.loads((folder / "model.json").read_text())
    file = folder / card["start"][0]["file"]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=rf"{file.name} has been altered"):
        load_model(folder)
    del card["start"]
    (folder / "model.json").write_text(json.dumps(card))
    old = load_model(folder)
    assert load_start(load_synthesizer(old, "cpu")) is None


def test_a_start_of_other_tensors_is_refused(fitted, tmp_path):
    model, _ = fitted
    folder = shutil.copytree(model.folder, tmp_path / "odd")
    card = json.loads((folder / "model.json").read_text())
    file = folder / card["start"][0]["file"]
    save_file({"linear": np.zeros((3, 3), np.float32)}, file)
    card["start"][0]["sha256"] = sha256_of(file)
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=rf"{file.name} has other tensors"):
        load_model(folder)


def qbold_visit(folder, person):
    rng = np.random.default_rng([ord(person), 7])
    levels = {"cbf": 50, "cbv": 4, "T2map": 0.085, "T2starmap": 0.05, "cmro2": 140}
    images = {m: level * (0.7 + 0.6 * field(rng, SHAPE, 1.5)) for m, level in levels.items()}
    images["T1w"] = 500 * field(rng, SHAPE, 2.0)
    return make_visit(folder, person, modalities=("T1w", *levels), images=images)


def test_physics_and_the_line_are_as_strong_as_the_start(tmp_path):
    """Fails where the baseline lacks the smoothing, or the line the maps, of the recipe."""
    data = load_recipe("cmro2").model_dump(mode="json")
    data["network"] |= {"filters": 4, "blocks": [1, 1]}
    data["fit"] |= {"patch": [16, 16, 16], "steps": 1, "steps_per_epoch": 1, "members": 1}
    recipe = validate_recipe(data, origin="toy")
    people = [qbold_visit(tmp_path, p) for p in "abcez"]
    model = fit(tmp_path, people, recipe)
    visit, sources = people[4], ("cbf", "cbv", "T2map", "T2starmap")
    own = {"sources": sources, "scale": model.scales["cmro2"]}
    mask = read_mask(visit.mask).array
    baselines = model.baselines()
    physics = baselines.estimate("closed-form", visit, "cmro2", **own).array
    wanted = compute("cmro2", visit, mask, smoothing=recipe.extras.oef_smoothing)
    np.testing.assert_array_equal(physics, wanted)
    assert np.abs(wanted - compute("cmro2", visit, mask))[mask > 0].mean() > 1
    line = baselines.estimate("linear", visit, "cmro2", **own).array[mask > 0]
    begun = begun_by(model, visit, "cmro2", sources)[mask > 0]
    np.testing.assert_allclose(line, begun, rtol=0.02)


def test_the_curve_is_a_baseline_where_it_is_the_start(tmp_path):
    data = load_recipe("cyclegan-structure").model_dump(mode="json")
    data["network"] |= {"filters": 4, "blocks": [1, 1]}
    data["objective"]["discriminator"] |= {"filters": 8, "layers": 1}
    data["fit"] |= {"patch": [16, 16, 16], "steps": 1, "steps_per_epoch": 1, "members": 1}
    people = [make_visit(tmp_path, p, modalities=("T1w", "T2w")) for p in "abcez"]
    model = fit(tmp_path, people, validate_recipe(data, origin="toy"))
    baselines = model.baselines()
    assert baselines.names("T2w", ("T1w",)) == ("copy", "linear", "mean", "curve")
    visit = people[4]
    inside = read_mask(visit.mask).array > 0
    for target, source in (("T2w", "T1w"), ("T1w", "T2w")):
        scale = model.scales[target]
        bent = baselines.estimate("curve", visit, target, sources=(source,), scale=scale)
        begun = begun_by(model, visit, target, (source,))
        gaps = np.abs(bent.array - begun)[inside]
        assert np.percentile(gaps, 99) < 0.02 * np.ptp(begun[inside])
    line = SimpleNamespace(recipe=toy_recipe())
    plain = fit_baselines(line.recipe, [make_visit(tmp_path / "p", "a")])
    assert plain.names("T2w", ("T1w",)) == ("copy", "linear", "mean")
    assert load_baselines(model.folder, model.recipe).quantiles.keys() == {"T1w", "T2w"}
