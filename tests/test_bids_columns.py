"""participants.tsv: columns by any spelling, blood as fraction or percent, and the closed form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bids_fixtures import PREPARED, make_dataset, make_prepared, mask
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.bids.raw.columns import recipe_columns
from bids_synth.bids.raw.query import query
from bids_synth.bids.raw.traits import read_traits
from bids_synth.core.visit import Visit
from bids_synth.physics.blood import percentage
from bids_synth.physics.visit_maps import blood_figures, compute, held_voxels
from bids_synth.recipe.recipe import load_recipe
from bids_synth.spatial.volume import Volume, write_volume

CMRO2, PET = load_recipe("cmro2"), load_recipe("pet")
CASE = Path(__file__).resolve().parents[2] / "shared/cases/blood-figures-as-fractions/bids"


def table(folder: Path, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "participants.tsv").write_text("\n".join("\t".join(s.split()) for s in lines))
    return folder


def columns(folder: Path, recipe=CMRO2, **options):
    rows, notes = read_traits(folder)
    assert notes == []
    return recipe_columns(rows, folder, recipe, **options)


@given(hct=st.floats(20, 70), o2sat=st.floats(50, 100))
def test_percent_and_fraction_are_one_figure(hct: float, o2sat: float) -> None:
    for name, value in (("Hct", hct), ("O2sat", o2sat)):
        for text, unit in (
            (repr(value), ""), (repr(value), "%"), (f"{value!r} %", ""), (repr(value / 100), ""),
            (repr(value / 100), "fraction"), (repr(value / 100), "L/L"),
        ):  # fmt: skip
            assert percentage(name, text, unit) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "text", "unit"),
    [
        ("Hct", "0.02", ""), ("Hct", "7", ""), ("Hct", "80", ""), ("Hct", "nan", ""),
        ("Hct", "45,7", ""), ("Hct", "-45", ""), ("Hct", "0.457", "%"),
        ("Hct", "45.7", "fraction"),
        ("O2sat", "0.3", ""), ("O2sat", "9.71", ""), ("O2sat", "101", ""), ("O2sat", "inf", ""),
    ],
)  # fmt: skip
def test_what_is_neither_is_no_percentage(name: str, text: str, unit: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} {text} is no percentage"):
        percentage(name, text, unit)


@pytest.mark.parametrize("names", ["Hct O2sat", "HCT O2SAT", "hct o2_sat", "Hematocrit SaO2"])
@pytest.mark.parametrize("identity", ["participant_id", "Participant_ID"])
def test_columns_are_found_by_any_spelling(tmp_path: Path, names: str, identity: str) -> None:
    table(tmp_path, f"{identity} {names}", "sub-01 0.457 97.1", "sub-02 45.7 .971")
    rows, notes = columns(tmp_path)
    assert rows == {p: {"Hct": "45.7", "O2sat": "97.1"} for p in ("01", "02")}
    assert any("Hct of sub-01 is a fraction and is converted" in note for note in notes)
    assert any("O2sat of sub-02 is a fraction and is converted" in note for note in notes)
    assert any("is taken as Hct" in note for note in notes) == names.startswith("Hem")


def test_the_columns_of_a_recipe_are_found_by_any_spelling(tmp_path: Path) -> None:
    """Of those that the recipe does not ask for, the spelling stays."""
    table(tmp_path, "participant_id RS6971 Tracer SEX Site", "sub-01 HAB PBR28 F north")
    rows, notes = columns(tmp_path, PET)
    assert rows == {"01": {"rs6971": "HAB", "tracer": "PBR28", "SEX": "F", "Site": "north"}}
    assert notes == []


def test_of_two_columns_the_one_spelled_as_asked_is_read_and_the_other_named(
    tmp_path: Path,
) -> None:
    table(tmp_path, "participant_id hct Hct", "sub-01 30 40")
    rows, (note,) = columns(tmp_path)
    assert rows["01"]["Hct"] == "40"
    assert note.endswith("Hct is read from its column Hct, not from hct")


def test_the_unit_of_a_column_is_believed_before_its_range(tmp_path: Path) -> None:
    table(tmp_path, "participant_id HCT O2sat", "sub-01 0.457 0.971", "sub-02 0.3 98")
    about = {"HCT": {"Units": "fraction"}, "O2sat": {"Units": "%"}}
    (tmp_path / "participants.json").write_text(json.dumps(about))
    rows, notes = columns(tmp_path)
    assert rows == {"01": {"Hct": "45.7"}, "02": {"Hct": "30", "O2sat": "98"}}
    assert any("O2sat 0.971 is no percentage" in note and "usual 98" in note for note in notes)


def test_what_cannot_be_is_told_for_those_who_were_asked_for(tmp_path: Path) -> None:
    rows = [f"sub-{n:02} 0.0{n}" for n in range(1, 9)]
    table(tmp_path, "participant_id Hct", *rows)
    found, notes = columns(tmp_path)
    assert not any(found.values())
    assert "sub-01: Hct 0.01 is no percentage" in notes[0]
    assert "Hct of 3 more" in notes[-1]
    _, (note,) = columns(tmp_path, asked=("03",))
    assert "sub-03: Hct 0.03 is no percentage" in note


def test_a_recipe_without_blood_leaves_the_columns_alone(tmp_path: Path) -> None:
    table(tmp_path, "participant_id hct weight", "sub-01 0.02 heavy")
    assert columns(tmp_path, load_recipe("impute")) == (
        {"01": {"hct": "0.02", "weight": "heavy"}},
        [],
    )


@pytest.fixture
def prepared(tmp_path: Path):
    """A visit with the maps of the closed form at usual values, and one voxel of nonsense."""
    levels = {"cbf": 50.0, "cbv": 4.0, "T2map": 0.085, "T2starmap": 0.065}
    kinds = {"T1w": {}} | {name: {} for name in levels}
    dataset = make_dataset(tmp_path / "raw")
    one = make_prepared(tmp_path / "work", dataset, Visit("01", None, {}), kinds)
    for name, level in levels.items():
        values = np.full(PREPARED.shape, level, np.float32)
        values[0, 0, 0] = 0.001 if name == "T2starmap" else level
        write_volume(Volume(values, PREPARED), one.images[name])
    return one


def with_blood(prepared, **traits: str):
    return replace(prepared, visit=replace(prepared.visit, traits=traits))


@pytest.mark.parametrize("quantity", ["oef", "cmro2"])
def test_the_closed_form_is_the_same_for_fractions_and_percent(prepared, quantity: str) -> None:
    inside = mask(PREPARED).array
    one = compute(quantity, with_blood(prepared, Hct="45.7", O2sat="97.1"), inside)
    other = compute(quantity, with_blood(prepared, Hct="0.457", O2sat="0.971"), inside)
    np.testing.assert_allclose(other, one, rtol=1e-6)
    if quantity == "oef":
        assert one.max() == 1.0
        assert 0.2 < one[1, 1, 1] < 0.5


def test_the_figures_say_whose_they_are_and_what_was_held(prepared) -> None:
    figures = blood_figures(with_blood(prepared, Hct="0.457", O2sat="7"))
    assert figures == {
        "Hct": 45.7, "O2sat": 98.0, "HctFrom": "participants.tsv", "O2satFrom": "usual value",
    }  # fmt: skip
    assert held_voxels(prepared, mask(PREPARED).array) == 1


def test_the_field_case_is_read_as_percent() -> None:
    if not CASE.is_dir():
        pytest.skip(f"no {CASE}")
    found = query(CASE, CMRO2)
    (visit,) = found.visits
    assert visit.traits == {"Hct": "45.7", "O2sat": "97.1"}
    assert sum("is a fraction and is converted to percent" in note for note in found.notes) == 2
