"""Uptake: what a Bq/ml of a PET image is in SUV, by the dose, the weight and the decay."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

HALF_LIVES: Mapping[str, float] = MappingProxyType(
    {
        "O15": 122.24,
        "N13": 9.965 * 60,
        "C11": 20.364 * 60,
        "F18": 109.771 * 60,
        "Ga68": 67.71 * 60,
        "Rb82": 1.2575 * 60,
        "Cu64": 12.701 * 3600,
        "Br76": 16.2 * 3600,
        "Zr89": 78.41 * 3600,
        "I124": 4.176 * 86400,
    }
)
"""Radionuclide -> half life, s (Decay Data Evaluation Project, NUBASE)."""
DOSES: Mapping[str, float] = MappingProxyType(
    {
        "Bq": 1.0,
        "kBq": 1e3,
        "MBq": 1e6,
        "GBq": 1e9,
        "uCi": 3.7e4,
        "mCi": 3.7e7,
        "Ci": 3.7e10,
    }
)
"""Unit of the injected radioactivity -> Bq."""
WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys(("kg", "kilogram", "kilograms"), 1e3),
        **dict.fromkeys(("g", "gram", "grams"), 1.0),
        **dict.fromkeys(("lb", "lbs", "pound", "pounds"), 453.59237),
    }
)
"""Unit of a body's weight -> g."""
BODIES = (1e3, 4e5)
"""g that a human being may weigh."""


def suv_per_bq(sidecar: Mapping[str, Any], *, grams: float | None) -> tuple[float, str]:
    """SUV of one Bq/ml, and in words what it rests on.

    SUV = activity at injection x body weight / injected activity. `grams` is the weight by
    participants.tsv, used where the sidecar has none. Times are s after TimeZero, as in BIDS.
    ValueError names everything that is missing or cannot be.
    """
    lacking: list[str] = []
    dose = _taken(_dose, sidecar, lacking)
    weight = _taken(_weight, sidecar, lacking, grams)
    decay = _taken(_decay, sidecar, lacking)
    if lacking:
        raise ValueError(" and ".join(lacking))
    words = f"{dose / 1e6:.4g} MBq in {weight / 1e3:.4g} kg, decay x {decay:.4g}"
    return decay * weight / dose, words


def half_life(radionuclide: str) -> float | None:
    """Half life, s, of a radionuclide however it is spelled; None for an unknown one.

    >>> half_life("18F") == half_life("F-18") == half_life("[18F]") == half_life("F18")
    True
    """
    letters = "".join(re.findall(r"[A-Za-z]+", radionuclide)).capitalize()
    number = "".join(re.findall(r"\d+", radionuclide))
    elements = {"Carbon": "C", "Fluorine": "F", "Oxygen": "O", "Nitrogen": "N", "Gallium": "Ga"}
    return HALF_LIVES.get(elements.get(letters, letters) + number)


def _taken(step: Any, sidecar: Mapping[str, Any], lacking: list[str], *more: Any) -> float:
    try:
        value = float(step(sidecar, *more))
    except ValueError as error:
        lacking.append(str(error))
        return math.nan
    except (OverflowError, ZeroDivisionError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        lacking.append("times and amounts of a PET that can be")
    return value


def _dose(sidecar: Mapping[str, Any]) -> float:
    unit = str(sidecar.get("InjectedRadioactivityUnits", "")).strip().replace("\xb5", "u")
    known = {name.lower(): factor for name, factor in DOSES.items()}
    factor = DOSES.get(unit, known.get(unit.replace("\u03bc", "u").lower()))
    amount = _number(sidecar, "InjectedRadioactivity")
    if factor is None:
        message = f"InjectedRadioactivityUnits (one of {', '.join(DOSES)})"
        raise ValueError(message)
    if amount <= 0:
        message = f"a positive InjectedRadioactivity (not {amount:g})"
        raise ValueError(message)
    return amount * factor


def _weight(sidecar: Mapping[str, Any], grams: float | None) -> float:
    key = next((k for k in ("BodyWeight", "PatientWeight") if k in sidecar), None)
    if key is not None:
        unit = str(sidecar.get(f"{key}Units", "kg")).strip().lower()
        grams = _number(sidecar, key) * WEIGHTS.get(unit, math.nan)
    if grams is None:
        message = "BodyWeight (kg; or a column weight in participants.tsv)"
        raise ValueError(message)
    if not BODIES[0] <= grams <= BODIES[1]:
        message = f"a BodyWeight of a human being in kg (not {grams / 1e3:g} kg)"
        raise ValueError(message)
    return grams


def _decay(sidecar: Mapping[str, Any]) -> float:
    """By what a value must be multiplied to be that at the injection."""
    corrected = sidecar.get("ImageDecayCorrected")
    if corrected not in (True, False):
        message = "ImageDecayCorrected (true or false)"
        raise ValueError(message)
    injection = _number(sidecar, "InjectionStart")
    if not corrected:
        return _lost(sidecar, injection)
    moment = _number(sidecar, "ImageDecayCorrectionTime")
    if moment == injection:
        return 1.0
    return float(2.0 ** ((moment - injection) / _half_life(sidecar)))


def _lost(sidecar: Mapping[str, Any], injection: float) -> float:
    """From the mean activity over all frames to that at the injection."""
    starts, durations = (_numbers(sidecar, k) for k in ("FrameTimesStart", "FrameDuration"))
    if len(starts) != len(durations) or not starts:
        message = "FrameTimesStart and FrameDuration of equal length"
        raise ValueError(message)
    rate = math.log(2) / _half_life(sidecar)
    shares = [
        length * math.exp(-rate * (start - injection)) * _mean_decay(rate * length)
        for start, length in zip(starts, durations, strict=True)
    ]
    return sum(durations) / sum(shares)


def _mean_decay(exponent: float) -> float:
    """Mean of exp(-x) from 0 to `exponent`."""
    return -math.expm1(-exponent) / exponent if exponent > 0 else 1.0


def _half_life(sidecar: Mapping[str, Any]) -> float:
    name = str(sidecar.get("TracerRadionuclide", ""))
    result = half_life(name)
    if result is None:
        message = f"TracerRadionuclide (one of {', '.join(HALF_LIVES)}; not {name[:40]!r})"
        raise ValueError(message)
    return result


def _number(sidecar: Mapping[str, Any], key: str) -> float:
    value = sidecar.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        message = f"{key} (a number)"
        raise ValueError(message)
    return float(value)


def _numbers(sidecar: Mapping[str, Any], key: str) -> list[float]:
    value = sidecar.get(key)
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    return [_number({key: one}, key) for one in values]
