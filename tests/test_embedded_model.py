"""The model that comes with the package: whole, small, without anybody's image, and of use."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from bids_synth.cli.main import run_command
from bids_synth.cli.parser import build_parser
from bids_synth.cli.resolve import resolve
from bids_synth.core.settings import Settings
from bids_synth.demo.dataset import make_demo
from bids_synth.errors import UsageError
from bids_synth.evaluate.trust.evidence import RULES
from bids_synth.evaluate.trust.judged import held_out_check
from bids_synth.learn.model.model import load_model
from bids_synth.pipeline.choose_model import model_folder, recipe_of
from bids_synth.pipeline.start import start_of
from bids_synth.recipe.embedded import DEFAULT, EMBEDDED, embedded_models
from bids_synth.recipe.recipe import load_recipe
from bids_synth.spatial.volume import read_volume

LARGEST = 8 * 2**20
"""Bytes of all models that come with the package."""


def settings_of(tmp_path: Path, *words: str) -> Settings:
    (tmp_path / "bids").mkdir(exist_ok=True)
    line = [str(tmp_path / "bids"), str(tmp_path / "out"), "participant", *words]
    return resolve(build_parser().parse_args([*line, "-w", str(tmp_path / "work")]))


def test_it_is_whole_and_says_whom_it_learned_from() -> None:
    model = load_model(embedded_models()[DEFAULT])
    assert "MIT" in model.card.licence
    assert "CC BY" in model.card.licence
    assert len(model.card.training) == 5
    assert model.card.scans, "without fingerprints nobody would know its participants again"
    assert len(model.networks()) == model.recipe.fit.members


def test_all_models_are_small_and_hold_no_image() -> None:
    files = [path for path in EMBEDDED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LARGEST
    for path in files:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np") as file:
                shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
            # Lines of every subset of sources, kernels of convolutions: nothing as wide as a head.
            assert all(
                len(shape) < 3 or shape[0] == 2 ** len(MODALITIES) or max(shape[-3:]) <= 3
                for shape in shapes
            )
    assert not list(EMBEDDED.rglob("*.npz")), "previews are slices of people"


MODALITIES = ("T1w", "T2w", "PDw", "FLAIR")


def test_it_prepares_as_impute_does() -> None:
    """What one has prepared the other takes over."""
    own, other = load_recipe(EMBEDDED / DEFAULT / "recipe.toml"), load_recipe("impute")
    assert own.preparation_parameters() == other.preparation_parameters()
    assert own.modalities == other.modalities


def test_it_is_used_where_there_is_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert model_folder(settings_of(tmp_path)) == EMBEDDED / DEFAULT
    assert DEFAULT in caplog.text
    assert "group" in caplog.text
    assert model_folder(settings_of(tmp_path, "--recipe", "impute")) == EMBEDDED / DEFAULT
    assert model_folder(settings_of(tmp_path, "--model", DEFAULT)) == EMBEDDED / DEFAULT
    assert recipe_of(settings_of(tmp_path, "--recipe", "impute"), EMBEDDED / DEFAULT).name


@pytest.mark.parametrize("words", [("--recipe", "ct"), ("--set", "grid.spacing=2"), ("--sloppy",)])
def test_it_is_not_used_where_another_is_asked_for(tmp_path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="no model of recipe"):
        settings_of(tmp_path, *words)


def test_none_is_used_where_nothing_is_synthesised(tmp_path: Path) -> None:
    assert model_folder(settings_of(tmp_path, "--preproc-only")) is None


def test_a_model_of_ones_own_comes_first(tmp_path: Path) -> None:
    own = tmp_path / "out" / "models" / "impute"
    shutil.copytree(EMBEDDED / DEFAULT, own)
    assert model_folder(settings_of(tmp_path)) == own
    shutil.copytree(own, tmp_path / "out" / "models" / DEFAULT)
    named = settings_of(tmp_path, "--model", DEFAULT)
    assert model_folder(named) == tmp_path / "out" / "models" / DEFAULT


def test_impute_begins_from_its_weights_with_any_of_its_modalities(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings, recipe = settings_of(tmp_path), load_recipe("impute")
    assert start_of(recipe, settings) == EMBEDDED / DEFAULT
    assert start_of(recipe.limited_to(("T1w", "FLAIR")), settings) == EMBEDDED / DEFAULT
    assert start_of(recipe.with_values({"fit.start": "linear"}), settings) is None
    with caplog.at_level(logging.INFO):
        assert start_of(recipe.with_values({"grid.spacing": 2.0}), settings) is None
    assert "another grid or preparation" in caplog.text


def by_direction(line: str) -> dict[str, float]:
    """Affine-free PSNR of a line by direction, from the page of real participants."""
    page = (Path(__file__).parents[1] / "docs/out-of-the-box.md").read_text("utf-8")
    part = page.split("SSIM by direction:")[1].split("Participants")[0]
    rows = [row.strip("| ").split(" | ") for row in part.strip().splitlines()]
    own = next(row for row in rows if row[0] == line)
    return {d: float(c.split(" / ")[0]) for d, c in zip(rows[0][1:], own[1:], strict=True)}


def test_every_task_in_which_it_is_below_the_tissue_curve_is_for_review() -> None:
    own, curve = by_direction("any-contrast"), by_direction("tissue curve")
    below = {d for d in own if own[d] <= curve[d]}
    held_out = load_model(EMBEDDED / DEFAULT).card.held_out
    levels = {
        f"{'+'.join(one.sources)}>{one.target}": held_out_check(one, one.target, one.sources)[
            0
        ].level
        for one in held_out
    }
    assert below
    assert {levels[d] for d in below} == {"review"}
    assert "pass" in levels.values()


def test_it_knows_how_far_from_the_truth_it_is_on_people_it_has_not_seen() -> None:
    card = load_model(EMBEDDED / DEFAULT).card
    directions = set(by_direction("any-contrast"))
    assert {f"{'+'.join(e.sources)}>{e.target}" for e in card.intervals} == directions
    assert {f"{'+'.join(e.sources)}>{e.target}" for e in card.held_out} == directions
    assert all(e.participants == len(e.coverage) == 5 for e in card.intervals)
    assert all(e.participants == 5 and e.low is not None for e in card.held_out)
    assert card.evidence == RULES
    assert card.alarm is not None
    flair = [e for e in card.held_out if e.target == "FLAIR"]
    assert all("erased" in e.lesions for e in flair), "its known limit is told"


def test_list_models_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--list-models"]) == 0
    shown = capsys.readouterr().out
    assert f"{DEFAULT}: any missing" in shown
    assert "licence: Apache-2.0" in shown


@pytest.mark.slow
def test_a_dataset_that_nobody_fitted_gets_its_images(tmp_path: Path) -> None:
    """A phantom without T2w: fluid is bright in what is made, and grey brighter than white."""
    bids, out = tmp_path / "bids", tmp_path / "out"
    make_demo(bids, participants=4, resolution=3.0, modalities=("T1w", "T2w"), seed=3)
    for name in ("sub-01_T2w.nii.gz", "sub-01_T2w.json"):
        (bids / "sub-01" / "anat" / name).unlink(missing_ok=True)
    words = [str(bids), str(out), "participant", "--participant-label", "01", "-m", "T1w", "T2w"]
    assert run_command([*words, "-w", str(tmp_path / "work"), "--device", "cpu"]) == 0
    image = out / "sub-01/anat/sub-01_space-T1w_desc-synth_T2w.nii.gz"
    sidecar = json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text())
    assert sidecar["SynthesisModel"]["Name"] == DEFAULT
    assert sidecar["Calibration"]["Participants"] == ["sub-03", "sub-04"]
    made, source = read_volume(image).array, read_volume(bids / "sub-01/anat/sub-01_T1w.nii.gz")
    inside = made > 0
    assert np.corrcoef(made[inside], source.array[inside])[0, 1] < -0.3
