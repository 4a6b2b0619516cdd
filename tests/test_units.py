"""Units: what is told or seen of an image against the same image in its own unit."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bids_synth.core.modality import MODALITIES
from bids_synth.core.units import UNTOLD, Conversion, canonical, conversion_of, told_conversion
from bids_synth.errors import VisitError
from bids_synth.physics.uptake import half_life, suv_per_bq
from bids_synth.prepare.checks import read_scan
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume, write_volume

HEAD = Grid((8, 8, 8), np.diag([10.0, 10.0, 10.0, 1.0]))
LEVEL = {
    "T1map": 1.2, "T2map": 0.08, "T2starmap": 0.05, "cbf": 45.0, "cbv": 4.0, "pet": 2.5,
    "cmro2": 150.0,
}  # fmt: skip
SPELLINGS = {
    "T1map": {"s": 1, "sec": 1, "Seconds": 1, "ms": 1000, "msec": 1000, "milliseconds": 1000},
    "T2map": {"s": 1, "ms": 1000, "MS": 1000, "µs": 1e6},
    "T2starmap": {"second": 1, "ms": 1000},
    "cbf": {
        "ml/100g/min": 1, "mL/100 g/min": 1, "mL/(100 g)/min": 1, "ml/min/100g": 1,
        "ml·100g⁻¹·min⁻¹": 1, "ml 100g^-1 min^-1": 1, "mL per 100 g per min": 1, "ml/g/min": 0.01,
        "mL/100mL/min": 1.05,
    },
    "cbv": {
        "%": 1, "percent": 1, "ml/100 ml": 1, "fraction": 0.01, "mL/mL": 0.01,
        "ml/100g": 1 / 1.05,
    },
    "pet": {"SUV": 1, "g/mL": 1, "SUVbw": 1},
    "cmro2": {
        "umol/100g/min": 1, "µmol/100g/min": 1, "micromol/100 g/min": 1, "umol/g/min": 0.01,
        "mmol/100g/min": 1e-3, "mL/100g/min": 22.4e-3, "nmol/g/min": 10,
    },
}  # fmt: skip
"""Modality -> unit -> numbers in it for one of the modality's own (1 ml O2 is 1/22.4 mmol)."""
CASES = [(m, unit, each) for m, units in SPELLINGS.items() for unit, each in units.items()]


def image(modality: str, seed: int = 0) -> np.ndarray:
    """Tissue about its level in a head, and air around."""
    rng = np.random.default_rng(seed)
    values = LEVEL[modality] * rng.uniform(0.5, 1.5, HEAD.shape)
    values[:2] = 0
    return values


@pytest.mark.parametrize(("modality", "unit", "each"), CASES)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 99))
def test_an_image_in_any_accepted_unit_is_read_as_in_its_own(
    tmp_path: Path, modality: str, unit: str, each: float, seed: int
) -> None:
    own = image(modality, seed)
    path = tmp_path / f"{modality}.nii"
    write_volume(Volume((own * each).astype(np.float32), HEAD), path)
    conversion = told_conversion(unit, MODALITIES[modality], by="x.json")
    read = read_scan(path, modality, conversion_of(conversion.to_json()))
    np.testing.assert_allclose(read.array, own, rtol=1e-5)
    assert read.unit == MODALITIES[modality].unit
    assert read.array.dtype == np.float32


@pytest.mark.parametrize(
    ("modality", "each"),
    [("T1map", 1000), ("T2map", 1000), ("T2starmap", 1000), ("cbf", 0.01), ("cbv", 0.01)],
)
@given(gain=st.floats(0.5, 2.0))
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_where_no_unit_is_told_orders_of_magnitude_decide(
    tmp_path: Path, modality: str, each: float, gain: float
) -> None:
    own = image(modality) * gain
    for factor in (1.0, each):
        path = tmp_path / f"{factor}.nii"
        write_volume(Volume((own * factor).astype(np.float32), HEAD), path)
        np.testing.assert_allclose(read_scan(path, modality).array, own, rtol=1e-5)


@pytest.mark.parametrize(
    ("modality", "unit", "level"),
    [
        ("T2map", "s", 80.0), ("T2map", "ms", 0.08), ("T1map", "s", 1200.0), ("cbv", "%", 0.04),
        ("cbv", "fraction", 4.0), ("cbf", "ml/100g/min", 0.4), ("cbf", "ml/g/min", 45.0),
        ("cmro2", "umol/100g/min", 1.5), ("pet", "SUV", 4000.0),
    ],
)  # fmt: skip
def test_values_that_contradict_the_unit_are_refused_naming_both(
    tmp_path: Path, modality: str, unit: str, level: float
) -> None:
    path = tmp_path / f"sub-01_{modality}.nii"
    values = image(modality) * level / LEVEL[modality]
    write_volume(Volume(values.astype(np.float32), HEAD), path)
    conversion = told_conversion(unit, MODALITIES[modality], by="sub-01.json")
    with pytest.raises(VisitError, match=r"sub-01_.*\.nii: .*told as .*sub-01\.json") as caught:
        read_scan(path, modality, conversion)
    assert unit in str(caught.value)
    assert "usual are" in str(caught.value)


@pytest.mark.parametrize(
    ("modality", "level"), [("pet", 4000.0), ("T2map", 5.0), ("cmro2", 5.0), ("cbf", 1e5)]
)
def test_values_that_may_be_nothing_known_or_two_things_are_refused(
    tmp_path: Path, modality: str, level: float
) -> None:
    path = tmp_path / f"sub-01_{modality}.nii"
    values = image(modality) * level / LEVEL[modality]
    write_volume(Volume(values.astype(np.float32), HEAD), path)
    with pytest.raises(VisitError, match=r"told nowhere.*write Units into its sidecar"):
        read_scan(path, modality)


@pytest.mark.parametrize(
    ("modality", "unit"),
    [
        ("T2map", "banana"), ("cbf", "Hz"), ("T2map", "1/s"), ("ct", "ms"), ("pet", "SUVR"),
        ("pet", "HU"), ("cbf", "arbitrary"), ("cbv", "ml/100g/min"), ("cmro2", "%"),
        ("T1map", "unitless"), ("cbf", "100"), ("cbf", "/"), ("cbf", "\x1b[31m"),
    ],
)  # fmt: skip
def test_unknown_and_foreign_units_are_refused_with_what_is_accepted(
    modality: str, unit: str
) -> None:
    with pytest.raises(ValueError, match="expected a unit of") as caught:
        told_conversion(unit, MODALITIES[modality], by="x.json")
    assert MODALITIES[modality].unit in str(caught.value)
    assert str(caught.value).isprintable()


@given(text=st.text(max_size=30))
def test_any_text_has_one_spelling_and_raises_nothing_else(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)
    for modality in MODALITIES.values():
        for ratio in (False, True):
            try:
                found = told_conversion(text, modality, by="x", ratio=ratio)
            except ValueError:
                continue
            assert conversion_of(found.to_json()) == found


def test_images_in_arbitrary_units_are_left_alone(tmp_path: Path) -> None:
    assert told_conversion("banana", MODALITIES["T1w"], by="x.json") is UNTOLD
    path = write_volume(Volume(image("pet").astype(np.float32) * 1e6, HEAD), tmp_path / "a.nii")
    assert read_scan(path, "T1w").array.max() > 1e6


@pytest.mark.parametrize("unit", ["Bq/mL", "kBq/mL", "SUV", "SUVR", "arbitrary", "", "counts"])
def test_a_ratio_needs_no_dose_and_any_unit_of_uptake_will_do(tmp_path: Path, unit: str) -> None:
    values = (4000 * image("pet")).astype(np.float32)
    path = write_volume(Volume(values, HEAD), tmp_path / "a.nii")
    conversion = told_conversion(unit, MODALITIES["pet"], by="x.json", ratio=True)
    np.testing.assert_array_equal(read_scan(path, "pet", conversion).array, values)


def test_a_ratio_of_something_else_is_refused() -> None:
    for unit in ("HU", "ms", "ml/100g/min"):
        with pytest.raises(ValueError, match="expected a unit of uptake"):
            told_conversion(unit, MODALITIES["pet"], by="x.json", ratio=True)


def ct(offset: float, *, air: bool = True) -> Volume:
    """Soft tissue, bone and, if wanted, air, in HU plus an offset."""
    rng = np.random.default_rng(0)
    values = rng.normal(35, 10, HEAD.shape)
    values[3, 3] = 900
    values[:3] = -1000 if air else 0
    return Volume((values + offset).astype(np.float32), HEAD)


@pytest.mark.parametrize("told", ["HU", ""])
def test_a_ct_in_hu_is_read_as_it_is(tmp_path: Path, told: str) -> None:
    conversion = told_conversion(told, MODALITIES["ct"], by="x.json")
    for air in (True, False):
        path = write_volume(ct(0, air=air), tmp_path / f"{air}.nii")
        np.testing.assert_array_equal(
            read_scan(path, "ct", conversion).array, ct(0, air=air).array
        )


@pytest.mark.parametrize("told", ["HU", "Hounsfield units", ""])
@pytest.mark.parametrize("offset", [1000, 1024])
def test_a_ct_whose_air_is_at_zero_is_refused(tmp_path: Path, told: str, offset: float) -> None:
    path = write_volume(ct(offset), tmp_path / "ct.nii")
    conversion = told_conversion(told, MODALITIES["ct"], by="x.json")
    with pytest.raises(VisitError, match=r"1000 or 1024 were added.*subtract"):
        read_scan(path, "ct", conversion)


def test_a_ct_that_was_scaled_to_one_is_refused(tmp_path: Path) -> None:
    scaled = ct(0).with_array((ct(0).array + 1000) / 4000)
    path = write_volume(scaled, tmp_path / "ct.nii")
    with pytest.raises(VisitError, match="cannot be HU"):
        read_scan(path, "ct")


PET = {
    "Units": "Bq/mL", "TracerRadionuclide": "C11", "InjectedRadioactivity": 400,
    "InjectedRadioactivityUnits": "MBq", "BodyWeight": 80, "InjectionStart": 0, "ScanStart": 3600,
    "FrameTimesStart": [3600], "FrameDuration": [1800], "ImageDecayCorrected": True,
    "ImageDecayCorrectionTime": 0,
}  # fmt: skip


@given(
    suv=st.floats(0.1, 20),
    mbq=st.floats(20, 800),
    kg=st.floats(3, 150),
    minutes=st.floats(-30, 90),
)
def test_suv_gives_back_the_uptake_that_made_the_activity(
    suv: float, mbq: float, kg: float, minutes: float
) -> None:
    """By hand: SUV = activity at injection [Bq/ml] x weight [g] / dose [Bq]."""
    at_injection = suv * mbq * 1e6 / (kg * 1000)
    written = at_injection * 0.5 ** (minutes / 20.364)
    sidecar = PET | {
        "InjectedRadioactivity": mbq,
        "BodyWeight": kg,
        "InjectionStart": 60.0,
        "ImageDecayCorrectionTime": 60 * minutes + 60.0,
    }
    factor, _ = suv_per_bq(sidecar, grams=None)
    assert written * factor == pytest.approx(suv, rel=1e-9)


@settings(max_examples=20)
@given(
    suv=st.floats(0.1, 20),
    starts=st.lists(st.floats(1, 3000), min_size=1, max_size=5),
    length=st.floats(10, 900),
)
def test_without_decay_correction_the_mean_over_the_frames_is_undone(
    suv: float, starts: list[float], length: float
) -> None:
    """The mean of the decaying activity by a sum over short steps, not by its integral."""
    rate = math.log(2) / 109.771 / 60
    times = np.array(starts)[:, None] + length * (np.arange(2000) + 0.5) / 2000
    mean = suv * 400e6 / 80000 * np.exp(-rate * (times - 30.0)).mean()
    sidecar = PET | {
        "TracerRadionuclide": "F18", "ImageDecayCorrected": False, "FrameTimesStart": starts,
        "FrameDuration": [length] * len(starts), "InjectionStart": 30.0,
    }  # fmt: skip
    assert mean * suv_per_bq(sidecar, grams=None)[0] == pytest.approx(suv, rel=1e-6)


def test_dose_and_weight_in_other_units_and_from_the_table() -> None:
    wanted = 80000 / 400e6
    for more in (
        {"InjectedRadioactivity": 4e8, "InjectedRadioactivityUnits": "Bq"},
        {"InjectedRadioactivity": 4e5, "InjectedRadioactivityUnits": "kBq"},
        {"InjectedRadioactivity": 400 / 37, "InjectedRadioactivityUnits": "mCi"},
        {"BodyWeight": 80000, "BodyWeightUnits": "g"},
        {"BodyWeight": 80 / 0.45359237, "BodyWeightUnits": "lb"},
    ):
        assert suv_per_bq(PET | more, grams=None)[0] == pytest.approx(wanted)
    bare = {k: v for k, v in PET.items() if k != "BodyWeight"}
    assert suv_per_bq(bare, grams=80000)[0] == pytest.approx(wanted)
    assert suv_per_bq(PET, grams=60000)[0] == pytest.approx(wanted), "the sidecar is closer"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("InjectedRadioactivity", None), ("InjectedRadioactivity", "400"),
        ("InjectedRadioactivity", -1), ("InjectedRadioactivityUnits", "banana"),
        ("BodyWeight", None), ("BodyWeight", 80000), ("BodyWeight", True),
        ("ImageDecayCorrected", None), ("ImageDecayCorrectionTime", None),
        ("InjectionStart", None), ("TracerRadionuclide", "Xx99"), ("BodyWeight", math.nan),
        ("InjectedRadioactivity", 10**400),
    ],
)  # fmt: skip
def test_what_is_missing_for_suv_is_named(key: str, value: object) -> None:
    sidecar: dict[str, object] = PET | {"ImageDecayCorrectionTime": 1200, key: value}
    if value is None:
        sidecar.pop(key)
    with pytest.raises(ValueError, match=key if value != 10**400 else "can be"):
        suv_per_bq(sidecar, grams=None)


@given(
    sidecar=st.dictionaries(
        st.sampled_from([*PET, "BodyWeightUnits"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
        | st.lists(st.floats(), max_size=3),
    )
)  # fmt: skip
def test_any_sidecar_gives_a_factor_or_a_reason(sidecar: dict[str, object]) -> None:
    try:
        factor, words = suv_per_bq(PET | sidecar, grams=None)
    except ValueError:
        return
    assert 0 < factor < math.inf
    assert words


def test_half_lives_by_any_spelling() -> None:
    """Half lives in minutes as printed in tables of nuclides."""
    for name, minutes in (("C11", 20.36), ("18F", 109.8), ("O-15", 2.037), ("[68Ga]", 67.7)):
        assert half_life(name) == pytest.approx(60 * minutes, rel=1e-3)
    assert half_life("Zr89") == pytest.approx(3.27 * 86400, rel=1e-3)
    assert half_life("") is None


def test_a_conversion_survives_json_and_its_key_has_no_names() -> None:
    one = Conversion("ms", 1e-3, "s", "T2map.json")
    assert conversion_of(one.to_json()) == one
    assert one.key == Conversion("msec", 1e-3, "s", "sub-01_T2map.json").key
    assert one.key != UNTOLD.key
