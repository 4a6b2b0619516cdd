"""Units: from the unit that is told of an image, or from its values, to its modality's own."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.core.modality import Modality

DENSITY = 1.05
"""g/ml of brain, from maps per volume of tissue to those per mass (ICRP 23)."""
OXYGEN = 1000 / 22.4
"""umol in a ml of oxygen at 0 degrees C and 1 atm."""

_SAME: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "s": ("s", "sec", "secs", "second", "seconds"),
        "ms": ("ms", "msec", "msecs", "millisecond", "milliseconds"),
        "us": ("us", "usec", "usecs", "microsecond", "microseconds"),
        "min": ("min", "mins", "minute", "minutes"),
        "hu": ("hu", "hounsfield", "hounsfieldunit", "hounsfieldunits"),
        "ml": (
            "ml",
            "milliliter",
            "milliliters",
            "millilitre",
            "millilitres",
            "cc",
            "cm3",
            "cm^3",
        ),
        "100ml": ("100ml", "100cc", "100cm3", "100cm^3", "dl"),
        "g": ("g", "gram", "grams", "gr"),
        "100g": ("100g", "100gram", "100grams", "100gr"),
        "umol": ("umol", "umols", "umole", "umoles", "micromol", "micromole", "micromoles"),
        "mmol": ("mmol", "mmols", "mmole", "mmoles", "millimol", "millimole", "millimoles"),
        "nmol": ("nmol", "nmols", "nanomol", "nanomole", "nanomoles"),
        "bq": ("bq", "becquerel", "becquerels"),
        "kbq": ("kbq", "kilobecquerel", "kilobecquerels"),
        "megabq": ("megabq", "megabecquerel", "megabecquerels"),
        "gbq": ("gbq", "gigabecquerel", "gigabecquerels"),
        "%": ("%", "percent", "pct"),
    }
)
_CANONICAL = {word: name for name, words in _SAME.items() for word in words}
_WHOLE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("", "n/a", "na", "none", "unknown"), ""),
        **dict.fromkeys(("1", "unitless", "dimensionless", "nounits"), "unitless"),
        **dict.fromkeys(("arbitrary", "arbitraryunits", "arbunits", "arb", "au"), "arbitrary"),
        **dict.fromkeys(("suv", "suvbw", "suv(bw)", "gml", "suvbw(g/ml)", "suv(g/ml)"), "suv"),
        **dict.fromkeys(("suvr", "ratio", "uptakeratio"), "suvr"),
        **dict.fromkeys(("fraction", "fractions", "l/l"), "fraction"),
        **dict.fromkeys(("counts", "count", "cnts", "propcnts"), "counts"),
        **dict.fromkeys(("cps", "propcps", "counts/s", "counts/sec"), "counts/s"),
        **dict.fromkeys(("ml/100ml", "vol%", "%vol", "volume%"), "100ml-1*ml"),
        "bqml": "bq/ml",
        "megabqml": "megabq/ml",
    }
)
_DROPPED = frozenset({"tissue", "brain", "blood", "unit", "units", "o2", "oxygen", "wet"})
_TOKEN = re.compile(
    r"(?P<slash>/)|(?P<unit>(?:100 ?)?[a-z%]+(?:\^?[23](?![0-9]))?)(?P<inverse>\^?-1)?"
    r"|(?P<skip>[\s*·⋅.()^_-])|(?P<other>.)"
)


@dataclass(frozen=True)
class Conversion:
    """How the numbers of a scan become those of its modality's own unit: by one factor."""

    unit: str = ""
    """As the sidecar tells it, or as the values show it; empty where nothing is known yet."""
    factor: float = 1.0
    """Own unit = factor x number."""
    becomes: str = ""
    """Unit of the converted numbers; empty while the values have not been looked at."""
    by: str = ""
    """What decides: the name of a sidecar, or `its values`."""
    remark: str = ""
    """What the factor rests on besides: density, dose and weight."""
    ratio: bool = False
    """True where only ratios within the image are used, so that any unit will do."""

    def apply(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The numbers in the unit that they become, float32; untouched where that is theirs."""
        if self.factor == 1.0:
            return values
        return np.asarray(values.astype(np.float64) * self.factor, dtype=np.float32)

    def to_json(self) -> str:
        """One line of JSON, which `conversion_of` reads back."""
        return json.dumps(asdict(self))

    @property
    def key(self) -> str:
        """What of it decides the values of a prepared image."""
        return json.dumps([canonical(self.unit), self.factor, self.ratio])

    @property
    def words(self) -> str:
        """What is done, for a sidecar or a note.

        >>> Conversion("ms", 1e-3, "s").words
        'ms is converted to s (x 0.001)'
        """
        rest = f"; {self.remark}" if self.remark else ""
        return f"{self.unit} is converted to {self.becomes} (x {self.factor:.4g}{rest})"


BY_VALUES = "its values"
"""What decides where no sidecar does."""
UNTOLD = Conversion()
"""Of a scan whose unit nothing tells: its values decide."""


def conversion_of(text: str) -> Conversion:
    """The conversion of `to_json`; that of an untold unit where the text is empty."""
    return Conversion(**json.loads(text)) if text else UNTOLD


def canonical(text: str) -> str:
    """One spelling for all of a unit's; an unknown unit as it is, in lower case.

    >>> [canonical(t) for t in ("msec", "mL/100 g/min", "ml min^-1 (100g)^-1", "MBq/cc")]
    ['ms', 'ml/100g/min', 'ml/100g/min', 'megabq/ml']
    """
    text = unicodedata.normalize("NFKC", text).replace("\N{MINUS SIGN}", "-").strip()
    text = re.sub(r"M(?=(?i:bq))", "mega", text).lower()
    text = text.replace("\N{GREEK SMALL LETTER MU}", "u").replace("**", "^")
    bare = re.sub(r"[\s.]+", "", text)
    if bare in _WHOLE:
        text = _WHOLE[bare]
    if text in ("", "unitless", "arbitrary", "suv", "suvr", "fraction", "counts", "counts/s"):
        return text
    return _product(text) or bare


def _product(text: str) -> str:
    """Numerators and denominators in order, so that equal units are equal; empty if unknown."""
    text = re.sub(r"\bper\b", "/", text)
    text = re.sub(r"\(\s*(100\s*[a-z]+|[a-z]+)\s*\)", r"\1", text)
    above: list[str] = []
    below: list[str] = []
    slash = False
    for token in _TOKEN.finditer(re.sub(r"100\s+", "100 ", text)):
        slash = slash or bool(token["slash"])
        word = (token["unit"] or "").replace(" ", "")
        if token["other"] or (word and word not in _DROPPED and word not in _CANONICAL):
            return ""
        if word and word not in _DROPPED:
            (below if slash or token["inverse"] else above).append(_CANONICAL[word])
    return "/".join(["*".join(sorted(above)), *sorted(below)]) if above else ""


_PER_MASS = f"with {DENSITY:g} g/ml of brain"
_FACTORS: Mapping[str, Mapping[str, tuple[float, str]]] = MappingProxyType(
    {
        "s": {"s": (1.0, ""), "ms": (1e-3, ""), "us": (1e-6, "")},
        "HU": {"hu": (1.0, "")},
        "SUV": {"suv": (1.0, ""), "g/ml": (1.0, "")},
        "ml/100g/min": {
            "ml/100g/min": (1.0, ""),
            "ml/g/min": (100.0, ""),
            "ml/100ml/min": (1 / DENSITY, _PER_MASS),
            "ml/min/ml": (100 / DENSITY, _PER_MASS),
            "ml/100g/s": (60.0, ""),
        },
        "%": {
            "%": (1.0, ""),
            "ml/100ml": (1.0, ""),
            "fraction": (100.0, ""),
            "ml/ml": (100.0, ""),
            "ml/100g": (DENSITY, _PER_MASS),
            "ml/g": (100 * DENSITY, _PER_MASS),
        },
        "umol/100g/min": {
            "umol/100g/min": (1.0, ""),
            "umol/g/min": (100.0, ""),
            "mmol/100g/min": (1e3, ""),
            "mmol/g/min": (1e5, ""),
            "nmol/g/min": (0.1, ""),
            "umol/100ml/min": (1 / DENSITY, _PER_MASS),
            "ml/100g/min": (OXYGEN, f"with {OXYGEN:.4g} umol of oxygen a ml"),
            "ml/g/min": (100 * OXYGEN, f"with {OXYGEN:.4g} umol of oxygen a ml"),
        },
    }
)
"""Own unit -> other units in their one spelling, each with its factor and what that rests on."""
ACTIVITY: Mapping[str, float] = MappingProxyType({"bq/ml": 1.0, "kbq/ml": 1e3, "megabq/ml": 1e6})
"""Unit of activity in a volume -> Bq/ml."""
_ANY_RATIO = frozenset(
    {"suvr", "unitless", "arbitrary", "counts", "counts/s", "fraction", "%", ""}
)

USUAL: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "T1map": (0.5, 4.0),
        "T2map": (0.03, 0.3),
        "T2starmap": (0.02, 0.2),
        "cbf": (10.0, 100.0),
        "cbv": (1.0, 8.0),
        "cmro2": (50.0, 300.0),
        "pet": (0.2, 20.0),
    }
)
"""Modality -> its usual values in a head, in its own unit; see `typical`."""
NEAR, FAR = 3.0, 10.0
"""Beyond the usual values by less than NEAR: still their unit, where none is told. By more than
FAR: not the unit that is told."""
_GUESSED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "s": ("ms", "us"),
        "ml/100g/min": ("ml/g/min",),
        "%": ("fraction",),
        "umol/100g/min": ("umol/g/min", "mmol/100g/min", "ml/100g/min"),
    }
)
"""Own unit -> units that are looked for in the values where none is told."""


def told_conversion(text: str, modality: Modality, *, by: str, ratio: bool = False) -> Conversion:
    """The conversion from a unit as told; that of an untold one where the text says nothing.

    With `ratio` only ratios within the image are used. ValueError says what is accepted. For a
    unit of `ACTIVITY` the conversion stays without `becomes`: it needs the dose.
    """
    if modality.arbitrary:
        return UNTOLD
    unit = canonical(text)
    if ratio:
        return _ratio(text, unit, by)
    if not unit or (unit == "unitless" and modality.unit == "%"):
        return UNTOLD
    if modality.unit == "SUV" and unit in ACTIVITY:
        return Conversion(text.strip(), ACTIVITY[unit], by=by)
    known = _FACTORS[modality.unit]
    if unit not in known:
        raise ValueError(_unknown(text, modality))
    factor, remark = known[unit]
    return Conversion(text.strip(), factor, modality.unit, by, remark)


def _ratio(text: str, unit: str, by: str) -> Conversion:
    foreign = set().union(*(set(f) for own, f in _FACTORS.items() if own != "SUV"))
    if unit in foreign - _ANY_RATIO:
        message = (
            f"expected a unit of uptake, as Bq/mL, SUV, SUVR or arbitrary, not {_one_line(text)!r}"
        )
        raise ValueError(message)
    known = unit in _ANY_RATIO or unit in ACTIVITY or unit in _FACTORS["SUV"]
    words = _one_line(text)
    becomes = words if known and words else "arbitrary"
    remark = "" if known else f"the unit {words!r} is not known, but only ratios are used"
    return Conversion(words, 1.0, becomes, by, remark, ratio=True)


def _unknown(text: str, modality: Modality) -> str:
    accepted = [*_FACTORS[modality.unit]]
    if modality.unit == "SUV":
        accepted += ["Bq/mL, kBq/mL or MBq/mL with dose and weight"]
    shown = ", ".join(dict.fromkeys((modality.unit, *(a for a in accepted if a != "suv"))))
    return f"expected a unit of {modality.name}: {shown}; got {_one_line(text)!r}"


def _one_line(text: str) -> str:
    words = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in words)[:60]


def typical(values: npt.NDArray[Any]) -> float:
    """The typical value inside a head: the median of what is not air, noise or padding.

    That is, of values above a tenth of the 99th percentile of the positive ones; 0 for none.
    """
    positive = values[values > 0]
    if not positive.size:
        return 0.0
    return float(np.median(positive[positive >= np.percentile(positive, 99) / 10]))


def settled(conversion: Conversion, modality: Modality, values: npt.NDArray[Any]) -> Conversion:
    """The conversion of an image once its values, as stored, are looked at.

    ValueError where they contradict the unit that is told, or decide for none.
    """
    if modality.arbitrary or conversion.ratio:
        return conversion if conversion.becomes else replace(conversion, becomes=modality.unit)
    if modality.unit == "HU":
        return _settled_ct(conversion, values)
    value = typical(values)
    if conversion.becomes:
        _check_told(conversion, modality, value)
        return conversion
    return _guessed(modality, value)


def _check_told(conversion: Conversion, modality: Modality, value: float) -> None:
    low, high = USUAL[modality.name]
    if low / FAR <= value * conversion.factor <= high * FAR:
        return
    message = (
        f"its unit is told as {conversion.unit} ({conversion.by}), but its typical value is "
        f"{value:.3g}; usual are {_span(low, high, conversion.factor)} {conversion.unit}; "
        "correct Units, or the image"
    )
    raise ValueError(message)


def _guessed(modality: Modality, value: float) -> Conversion:
    low, high = USUAL[modality.name]
    known = _FACTORS[modality.unit]
    names = {modality.unit: (1.0, ""), **{u: known[u] for u in _GUESSED.get(modality.unit, ())}}
    fitting = [
        Conversion(unit, factor, modality.unit, BY_VALUES, remark)
        for unit, (factor, remark) in names.items()
        if low / NEAR <= value * factor <= high * NEAR
    ]
    if len(fitting) == 1:
        return fitting[0]
    either = " or ".join(c.unit for c in fitting) or f"none of {', '.join(names)}"
    message = (
        f"its unit is told nowhere, and its typical value {value:.3g} may be {either} (usual are "
        f"{low:g} to {high:g} {modality.unit}); write Units into its sidecar"
    )
    raise ValueError(message)


AIR, LEAST_SPAN = -200.0, 100.0
"""HU below which only air and lungs lie, and the least difference between bone and air."""
SOFT, SHIFTED = 200.0, (980.0, 1150.0)
"""HU above which only bone lies, and soft tissue where 1000 or 1024 were added."""


def _settled_ct(conversion: Conversion, values: npt.NDArray[Any]) -> Conversion:
    low, high = float(values.min()), float(values.max())
    answer = replace(conversion, becomes="HU", unit=conversion.unit or "HU")
    answer = replace(answer, by=answer.by or BY_VALUES)
    if high - low < LEAST_SPAN:
        message = (
            f"its values lie between {low:.3g} and {high:.3g}, which cannot be HU (air is -1000, "
            "bone above 300); undo its scaling"
        )
        raise ValueError(message)
    dense = values[values > SOFT]
    soft = (dense > SHIFTED[0]) & (dense < SHIFTED[1])
    # Of bone a tenth lies there, of a whole head in shifted numbers most.
    if low > AIR and soft.size and soft.mean() > 0.4:
        value = float(np.median(dense))
        message = (
            f"its lowest value is {low:.4g} and its soft tissue lies at {value:.4g}, so that 1000 "
            "or 1024 were added to HU; expected air at -1000 and water at 0; subtract it"
        )
        raise ValueError(message)
    if low > AIR:
        return replace(answer, remark=f"no value is below {low:.4g}, though air is -1000 HU")
    return answer


def _span(low: float, high: float, factor: float) -> str:
    return f"{low / factor:.3g} to {high / factor:.3g}"
