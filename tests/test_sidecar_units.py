"""Units of sidecars from the dataset to the prepared image, its sidecar and the scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bids_fixtures import HEAD, make_dataset, make_prepared, volume
from prepare_phantom import make_scan, truth_mask
from prepare_phantom import make_visit as make_phantom

from bids_synth.bids.derivatives.dataset import open_output
from bids_synth.bids.derivatives.prepared import find_prepared, write_prepared
from bids_synth.bids.raw.query import Discovery, query
from bids_synth.bids.raw.sidecar_units import UnitReader
from bids_synth.core.units import UNTOLD, Conversion
from bids_synth.core.visit import Visit
from bids_synth.errors import VisitError
from bids_synth.evaluate.truth import real_on_native
from bids_synth.pipeline.prepare_visits import unit_notes
from bids_synth.prepare.checks import read_scan
from bids_synth.prepare.workflow.key import preparation_key
from bids_synth.prepare.workflow.steps import resample_scan
from bids_synth.prepare.workflow.workflow import prepare_visits
from bids_synth.recipe.recipe import load_recipe
from bids_synth.spatial.volume import Volume, read_volume, write_volume

CMRO2, PET, SUV, CT = (load_recipe(name) for name in ("cmro2", "pet", "mri2pet", "ct"))
MAPS = ("anat/{0}_T1w", "anat/{0}_T2map", "anat/{0}_T2starmap", "perf/{0}_cbf", "perf/{0}_cbv")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two participants with the maps of CMRO2, one with sessions, and a PET each."""
    paths = [f"sub-01/{m.format('sub-01')}.nii.gz" for m in (*MAPS, "pet/{0}_pet")]
    name = "sub-02_ses-A"
    paths += [f"sub-02/ses-A/{m.format(name)}.nii.gz" for m in (*MAPS, "pet/{0}_pet")]
    return make_dataset(tmp_path / "raw", *paths)


def tell(path: Path, **content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def factors(found: Discovery, modality: str) -> dict[str, float]:
    return {v.label: v.scans[modality].conversion.factor for v in found.visits}


LEVELS = [
    "{0}/T2map.json", "{0}/sub-02_T2map.json", "{0}/sub-02/T2map.json",
    "{0}/sub-02/sub-02_T2map.json", "{0}/sub-02/ses-A/sub-02_ses-A_T2map.json",
    "{0}/sub-02/ses-A/anat/T2map.json", "{0}/sub-02/ses-A/anat/sub-02_ses-A_T2map.json",
]  # fmt: skip
"""From the farthest to the closest."""


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_a_sidecar_at_any_level_tells_the_unit_and_the_closest_wins(
    dataset: Path, level: int
) -> None:
    for farther in LEVELS[:level]:
        tell(Path(farther.format(dataset)), Units="s")
    tell(Path(LEVELS[level].format(dataset)), Units="ms")
    found = query(dataset, CMRO2)
    assert factors(found, "T2map")["sub-02_ses-A"] == 1e-3
    assert factors(found, "T2map")["sub-01"] == (1e-3 if level == 0 else 1)
    assert all(v.scans["T2starmap"].conversion == UNTOLD for v in found.visits)
    (note,) = found.notes
    assert "its unit ms is converted to s (x 0.001)" in note
    assert ("and of 1 scans like it" in note) == (level == 0)


@pytest.mark.parametrize(
    "name", ["acq-x_T2map.json", "sub-01_T2map.json", "T2starmap.json", "run-1_T2map.json"]
)
def test_a_sidecar_of_another_image_tells_nothing(dataset: Path, name: str) -> None:
    tell(dataset / name, Units="banana")
    found = query(dataset, CMRO2, participants=["02"])
    if name == "T2starmap.json":
        (problem,) = found.problems
        assert "T2starmap.nii" in problem.message
    else:
        assert factors(found, "T2map") == {"sub-02_ses-A": 1}
        assert found.problems == ()


def test_keys_are_inherited_one_by_one(dataset: Path) -> None:
    tell(dataset / "pet.json", Units="kBq/mL", InjectedRadioactivityUnits="MBq", InjectionStart=0)
    tell(
        dataset / "sub-01/pet/sub-01_pet.json", InjectedRadioactivity=200, BodyWeight=50,
        ImageDecayCorrected=True, ImageDecayCorrectionTime=0,
    )  # fmt: skip
    found = query(dataset, SUV)
    assert factors(found, "pet") == {"sub-01": pytest.approx(1000 * 50000 / 200e6)}
    (problem,) = found.problems
    assert problem.visit == "sub-02_ses-A"
    for word in ("pet.json", "kBq/mL", "InjectedRadioactivity", "BodyWeight", "sub-02_ses-A_pet"):
        assert word in problem.message


def test_the_weight_may_stand_in_the_table(dataset: Path) -> None:
    told = {
        "Units": "Bq/mL", "InjectedRadioactivity": 200, "InjectedRadioactivityUnits": "MBq",
        "InjectionStart": 0, "ImageDecayCorrected": True, "ImageDecayCorrectionTime": 0,
    }  # fmt: skip
    tell(dataset / "pet.json", **told)
    table = dataset / "participants.tsv"
    for column, units, value, kg in (
        ("Body Weight", "kg", "50", 50), ("WEIGHT", None, "70.5", 70.5),
        ("weight", "lb", "110", 49.8951607), ("body_weight", "g", "50000", 50),
    ):  # fmt: skip
        table.write_text(f"participant_id\t{column}\nsub-01\t{value}\nsub-02\t{value}\n")
        about = {column: {"Units": units}} if units else {}
        tell(dataset / "participants.json", **about)
        found = query(dataset, SUV)
        assert found.problems == ()
        assert factors(found, "pet")["sub-01"] == pytest.approx(kg * 1000 / 200e6)
    table.write_text("participant_id\tweight\nsub-01\t-3\nsub-02\tn/a\n")
    found = query(dataset, SUV)
    assert len(found.problems) == 2
    assert any("weight of sub-01 is no positive number" in note for note in found.notes)


def test_uptake_ratios_need_neither_dose_nor_weight(dataset: Path) -> None:
    tell(dataset / "pet.json", Units="Bq/mL")
    found = query(dataset, PET)
    assert found.problems == found.notes == ()
    assert {v.scans["pet"].conversion.becomes for v in found.visits} == {"Bq/mL"}


@pytest.mark.parametrize(
    ("sidecar", "unit"), [("cbf.json", "Hz"), ("T2map.json", "banana"), ("cbv.json", ["%"])]
)
def test_what_cannot_be_is_a_problem_with_sidecar_unit_and_what_is_accepted(
    dataset: Path, sidecar: str, unit: object
) -> None:
    path = tell(dataset / "sub-01" / sidecar, Units=unit)
    found = query(dataset, CMRO2)
    assert [v.label for v in found.visits] == ["sub-02_ses-A"]
    assert [v.label for v in found.unusable] == ["sub-01"]
    (problem,) = found.problems
    assert problem.message.startswith(f"{path}: ")
    assert "expected a unit of" in problem.message
    assert ("Hz" if unit == "Hz" else "%" if unit == ["%"] else "banana") in problem.message


@pytest.mark.parametrize("content", ["{", "[1]", '{"Units": ""}', '{"Units": "n/a"}', "{}"])
def test_a_sidecar_that_tells_nothing_leaves_it_to_the_values(dataset: Path, content: str) -> None:
    (dataset / "sub-01/anat/sub-01_T2map.json").write_text(content)
    found = query(dataset, CMRO2)
    assert {v.scans["T2map"].conversion for v in found.visits} == {UNTOLD}


def test_images_in_arbitrary_units_cost_no_look_at_any_sidecar(dataset: Path) -> None:
    reader = UnitReader(dataset, load_recipe("impute"))
    visits = query(dataset, load_recipe("impute")).visits
    for visit in visits:
        assert reader.add_to(visit) == (visit, [])
    assert reader._names == {}


def phantom_t2(seed: int) -> Volume:
    """A T2map in s, as large as a head and not at all like one but for its level."""
    scan = make_scan("T2w", spacing=4.0, seed=seed)
    return Volume(np.asarray(scan.array / scan.array.max() * 0.15, np.float32), scan.grid)


def test_a_step_of_the_preparation_writes_the_own_unit_and_tells_how(tmp_path: Path) -> None:
    mask = truth_mask(4.0)
    write_volume(mask, tmp_path / "mask.nii.gz")
    t2, made = phantom_t2(1), {}
    for factor in (1, 1000):
        path = write_volume(t2.with_array(t2.array * factor), tmp_path / f"{factor}_T2map.nii.gz")
        folder = tmp_path / str(factor)
        folder.mkdir()
        image, known, _ = resample_scan(
            path, "T2map", tmp_path / "mask.nii.gz", None, CMRO2.preparation, folder
        )
        made[factor] = read_volume(image).array
        told = json.loads(known.read_text())["conversion"]
        assert told["factor"] == pytest.approx(1 / factor)
        assert told["becomes"] == "s"
    np.testing.assert_allclose(made[1000], made[1], rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_the_preparation_converts_and_says_so(tmp_path: Path) -> None:
    """The same head with its T2map in s, in ms as told, and in ms untold."""
    recipe = load_recipe(
        "cmro2", {"grid.spacing": "4.0", "preparation.registration_spacing": "4.0"}
    )
    told = {"a": UNTOLD, "b": Conversion("ms", 1e-3, "s", "T2map.json"), "c": UNTOLD}
    visits = []
    for label, conversion in told.items():
        # In whole ms, which are the same numbers again once they are converted: of others, rounded
        # otherwise, registration may come to another end.
        t2 = phantom_t2(2)
        ms = np.round(1000 * t2.array.astype(np.float64))
        shown = (ms / 1000 if label == "a" else ms).astype(np.float32)
        scans = {"T1w": make_scan("T1w", spacing=4.0), "T2map": t2.with_array(shown)}
        visit = make_phantom(tmp_path / "raw", scans, label)
        own = dict(visit.scans)
        own["T2map"] = replace(own["T2map"], conversion=conversion)
        visits.append(replace(visit, scans=own))
    prepared, problems = prepare_visits(
        visits, recipe, work=tmp_path / "work", seed=1, skull_strip="auto", nprocs=1,
        memory_gb=4.0,
    )  # fmt: skip
    assert problems == ()
    wanted = read_volume(prepared["sub-a"].images["T2map"]).array
    assert 0.1 < wanted.max() < 0.2
    for label in ("sub-b", "sub-c"):
        image = read_volume(prepared[label].images["T2map"]).array
        assert np.isclose(image, wanted, atol=1e-3).mean() > 0.999
        assert prepared[label].conversions["T2map"].factor == 1e-3
    assert prepared["sub-b"].conversions["T2map"].by == "T2map.json"
    notes = unit_notes(prepared.values())
    assert notes == [
        "sub-a: by its values the unit of T2map is s",
        "sub-c: by its values the unit of T2map is ms, converted to s",
    ]


def test_what_was_converted_is_in_the_sidecar_and_comes_back(tmp_path: Path) -> None:
    dataset, output = make_dataset(tmp_path / "raw"), tmp_path / "out"
    open_output(output, dataset=dataset, version="0", derivatives={})
    kinds = {"T1w": {}, "T2map": {}, "cbf": {}, "pet": {}}
    prepared = make_prepared(tmp_path / "work", dataset, Visit("01", None, {}), kinds)
    conversions = {
        "T2map": Conversion("ms", 1e-3, "s", "T2map.json"),
        "cbf": Conversion("ml/100g/min", 1.0, "ml/100g/min", "cbf.json"),
        "pet": Conversion("kBq/mL", 1.0, "kBq/mL", "pet.json", ratio=True),
    }
    write_prepared(replace(prepared, conversions=conversions), output, dataset=dataset)
    told = {}
    for path in output.rglob("*desc-preproc_*.json"):
        told[path.stem.rsplit("_", 1)[1]] = json.loads(path.read_text())
    assert told["T2map"]["Units"] == "s"
    assert told["T2map"]["UnitConversion"] == {"From": "ms", "Factor": 1e-3, "By": "T2map.json"}
    assert told["cbf"]["Units"] == "ml/100g/min"
    assert told["pet"]["Units"] == "kBq/mL"
    assert not {"UnitConversion"} & (told["cbf"].keys() | told["pet"].keys() | told["T1w"].keys())
    found = find_prepared(prepared.visit, output, key=prepared.key)
    assert found is not None
    assert found.conversions == conversions


def test_the_real_scan_of_a_score_is_converted_too(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "raw")
    prepared = make_prepared(tmp_path / "work", dataset, Visit("01", None, {}), {"T2map": {}})
    raw = read_volume(prepared.visit.scans["T2map"].path).array
    prepared = replace(prepared, conversions={"T2map": Conversion("ms", 1e-3, "s")})
    np.testing.assert_allclose(real_on_native(prepared, "T2map").array, raw / 1000, rtol=1e-6)


def test_another_unit_is_another_preparation(tmp_path: Path) -> None:
    visit = make_prepared(
        tmp_path / "work", make_dataset(tmp_path / "raw"), Visit("01", None, {}),
        {"T1w": {}, "T2map": {}},
    ).visit  # fmt: skip
    keys = set()
    for conversion in (UNTOLD, Conversion("ms", 1e-3, "s"), Conversion("s", 1.0, "s")):
        scans = visit.scans | {"T2map": replace(visit.scans["T2map"], conversion=conversion)}
        one = replace(visit, scans=scans)
        keys.add(preparation_key(one, CMRO2, seed=1, skull_strip="auto"))
    assert len(keys) == 3


def test_a_map_of_nothing_is_refused_by_name(tmp_path: Path) -> None:
    noise = volume(HEAD)
    path = write_volume(noise.with_array(noise.array - 2), tmp_path / "sub-01_T2map.nii.gz")
    with pytest.raises(VisitError, match=r"sub-01_T2map\.nii\.gz"):
        read_scan(path, "T2map")
