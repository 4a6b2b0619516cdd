"""Verdict: may this synthetic image be trusted? Contrast, registration, mask and spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bids_synth.core.synthetic import Level, Verdict
from bids_synth.prepare.coverage import COMPLETE

REVIEW_Z, FAIL_Z = 4.0, 8.0
"""Standard deviations from the training visits at which a figure is looked at, or refused."""

TrainingRanges = Mapping[str, tuple[float, float]]
"""Name of a figure -> mean and standard deviation over the training visits."""


@dataclass(frozen=True)
class _Check:
    words: str
    """What is measured, in the words of the report; {} is the modality, {1} the value in percent,
    {2} the region of the mask."""
    floor: float
    """Smallest standard deviation believed: a few training visits vary too little."""
    side: int = 0
    """-1 where only low values are bad, 1 where only high ones are, 0 where both are."""
    review: tuple[float, float] = (-np.inf, np.inf)
    """Values outside are looked at, whatever the training visits were."""
    fail: tuple[float, float] = (-np.inf, np.inf)
    """Values outside are refused."""
    digits: int = 2
    unit: str = ""
    bare: bool = False
    """True where the words say the value, and no limit need be told."""


_CHECKS = {
    "registration": _Check(
        "the {} may not be aligned with the reference scan: normalised mutual information",
        floor=0.02, side=-1, review=(1.02, 2.0), fail=(1.005, 2.0), digits=3,
    ),
    "coverage": _Check(
        "the {0} covers {1:.0f} % of the {2}", floor=1.0, side=-1, review=(COMPLETE, np.inf),
        bare=True,
    ),
    "synthesised": _Check(
        "it was made in {1:.0f} % of the {2}; elsewhere too few of its sources are there",
        floor=1.0, side=-1, review=(COMPLETE, np.inf), bare=True,
    ),
    "template_correlation": _Check(
        "the head may not have been found in the reference scan: correlation with the template",
        floor=0.05, side=-1, review=(0.2, 1.0),
    ),
    "mask_volume": _Check(
        "the mask may not be the whole brain, or more than it: its volume is",
        floor=150.0, review=(700.0, 2200.0), fail=(300.0, 6000.0), digits=0, unit=" ml",
    ),
    "outliers": _Check(
        "the {} has voxels that no tissue explains, held back before all else; their number is",
        floor=10.0, side=1, review=(0.0, 100.0), digits=0,
    ),
    "intensity_mean": _Check(
        "the {} looks unlike those that the model learned from: mean scaled brightness",
        floor=0.03,
    ),
    "intensity_sd": _Check(
        "the {} looks unlike those that the model learned from: scaled contrast (SD)",
        floor=0.02,
    ),
    "intensity_skewness": _Check(
        "the {} looks unlike those that the model learned from: skewness of its brightness",
        floor=0.25,
    ),
    "level_grey": _Check(
        "the {} has another contrast than those that the model learned from: grey against white "
        "matter", floor=0.07,
    ),
    "level_fluid": _Check(
        "the {} has another contrast than those that the model learned from: fluid against white "
        "matter", floor=0.20,
    ),
    "voxel": _Check(
        "the {} is coarser than those that the model learned from: its voxels are as long as",
        floor=0.5, side=1, digits=1, unit=" mm",
    ),
    "spread": _Check(
        "the networks disagree about this image: mean spread as a fraction of its range",
        floor=0.01, side=1, review=(0.0, 0.10), fail=(0.0, 0.25), digits=3,
    ),
}  # fmt: skip
_ORDER: tuple[Level, ...] = ("pass", "review", "fail")


def judge(
    quality: Mapping[str, float],
    training: TrainingRanges,
    spread: float | None,
    *,
    region: str = "brain",
) -> Verdict:
    """The verdict on one synthetic image, with one sentence for every check not passed.

    `quality` and `training` share names: `registration_<modality>` (normalised mutual
    information, 1 to 2), `coverage_<modality>` and `synthesised` (shares of the mask, which is
    that of a `region`), `template_correlation`, `mask_volume` (ml, brain masks only) and
    `intensity_mean_<modality>`, `intensity_sd_<modality>`, `intensity_skewness_<modality>`
    of scaled values inside the mask, `level_grey_<modality>` and `level_fluid_<modality>` against
    white matter, `voxel_<modality>` (mm). `spread` is the mean standard deviation over the
    networks inside the mask, divided by the gain of the target's scale; None with one network.
    A figure without a training range is held to the absolute limits alone.
    ValueError for a figure that no check knows: a check must not be skipped in silence.
    """
    figures = dict(quality)
    if spread is not None:
        figures["spread"] = spread
    level: Level = "pass"
    reasons = []
    for name, value in figures.items():
        kind = next((k for k in _CHECKS if name == k or name.startswith(f"{k}_")), None)
        if kind is None:
            message = f"no check knows the figure {name!r}; known: {', '.join(_CHECKS)}"
            raise ValueError(message)
        check, modality = _CHECKS[kind], name[len(kind) + 1 :]
        words = check.words.format(modality, 100 * value, region)
        grade, reason = _look(check, words, value, training.get(name))
        if reason:
            reasons.append(reason)
        level = max(level, grade, key=_ORDER.index)
    return Verdict(level, tuple(reasons))


def _look(
    check: _Check, words: str, value: float, training_range: tuple[float, float] | None
) -> tuple[Level, str]:
    if not np.isfinite(value):
        return "review", _sentence(f"{words} could not be measured")
    if not check.fail[0] <= value <= check.fail[1]:
        return "fail", _finding(check, words, value, check.fail)
    z = _z(check, value, training_range)
    if abs(z) > REVIEW_Z and training_range is not None:
        level: Level = "fail" if abs(z) > FAIL_Z else "review"
        width = REVIEW_Z * max(training_range[1], check.floor)
        return level, _finding(
            check, words, value, (training_range[0] - width, training_range[0] + width)
        )
    if not check.review[0] <= value <= check.review[1]:
        return "review", _finding(check, words, value, check.review)
    return "pass", ""


def _z(check: _Check, value: float, training_range: tuple[float, float] | None) -> float:
    if training_range is None:
        return 0.0
    z = (value - training_range[0]) / max(training_range[1], check.floor)
    return z if check.side == 0 or np.sign(z) == check.side else 0.0


def _finding(check: _Check, words: str, value: float, expected: tuple[float, float]) -> str:
    def show(x: float) -> str:
        return f"{x:.{check.digits}f}"

    if check.bare:
        return _sentence(words)
    if check.side < 0:
        wanted = f"at least {show(expected[0])}"
    elif check.side > 0:
        wanted = f"at most {show(expected[1])}"
    else:
        wanted = f"{show(expected[0])} to {show(expected[1])}"
    return _sentence(f"{words} {show(value)}{check.unit} (expected {wanted}{check.unit})")


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]
