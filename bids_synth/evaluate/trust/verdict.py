"""Verdict: may this synthetic image be trusted? Every figure against what taught the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bids_synth.core.synthetic import LEVELS, Check, Level, Verdict
from bids_synth.prepare.coverage import COMPLETE

LIMITS = (4.0, 8.0)
"""Standard deviations from what taught at which a figure is looked at, or refused, where no
held-out participant says more."""

TrainingRanges = Mapping[str, tuple[float, float]]
"""Name of a figure -> mean and standard deviation over the training visits."""


@dataclass(frozen=True)
class _Kind:
    words: str
    """What is measured, in the words of the report; {} is the modality, {1} the value in percent,
    {2} the region of the mask."""
    title: str
    """The same in a few words, for a table; {} is the modality."""
    floor: float
    """Smallest standard deviation believed: a few training visits vary too little."""
    share: float = 0.0
    """The same as a share of the mean, for figures that scanners differ in by a factor."""
    side: int = 0
    """-1 where only low values are bad, 1 where only high ones are, 0 where both are."""
    review: tuple[float, float] = (-np.inf, np.inf)
    """Values outside are looked at, whatever the training visits were."""
    fail: tuple[float, float] = (-np.inf, np.inf)
    """Values outside are refused."""
    lowest: float = -np.inf
    """What the figure can never be below: a limit there is none, and is not told."""
    digits: int = 2
    unit: str = ""
    bare: bool = False
    """True where the words say the value, and no limit need be told."""

    def believed(self, typical: tuple[float, float]) -> float:
        """The standard deviation of the training visits, never less than scanners differ."""
        return max(typical[1], self.floor, self.share * abs(typical[0]))


_UNLIKE = "the {} looks unlike those that the model learned from: "
_OTHER = "the {} has another contrast than those that the model learned from: "
_MADE = "the synthetic {} looks unlike a real one: "
_KINDS = {
    "registration": _Kind(
        "the {} may not be aligned with the reference scan: normalised mutual information",
        "alignment of the {} with the reference, NMI",
        floor=0.02, side=-1, review=(1.02, 2.0), fail=(1.005, 2.0), digits=3,
    ),
    "coverage": _Kind(
        "the {0} covers {1:.0f} % of the {2}", "share of the mask that the {} covers",
        floor=1.0, side=-1, review=(COMPLETE, np.inf), digits=3, bare=True,
    ),
    "synthesised": _Kind(
        "it was made in {1:.0f} % of the {2}; elsewhere too few of its sources are there",
        "share of the mask in which it was made",
        floor=1.0, side=-1, review=(COMPLETE, np.inf), digits=3, bare=True,
    ),
    "template_correlation": _Kind(
        "the head may not have been found in the reference scan: correlation with the template",
        "correlation of the head with the template",
        floor=0.05, side=-1, review=(0.2, 1.0),
    ),
    "cut": _Kind(
        "the brain reaches the end of the field of view, so that a part of it may not be there: "
        "over an area of",
        "area of the brain at the end of the field of view",
        floor=5.0, side=1, review=(0.0, 40.0), digits=0, unit=" cm2",
    ),
    "upright": _Kind(
        "the head may lie otherwise than its header says (upside down, back to front): its brain "
        "fits the template better as it is than turned over by",
        "how much better the brain fits the template as it is than turned over, Dice",
        floor=0.02, side=-1, review=(0.0, 1.0),
    ),
    "mask_volume": _Kind(
        "the mask may not be the whole brain, or more than it: its volume is",
        "volume of the mask",
        floor=150.0, review=(700.0, 2200.0), fail=(300.0, 6000.0), digits=0, unit=" ml",
    ),
    "outliers": _Kind(
        "the {} has voxels that no tissue explains, held back before all else; their number is",
        "voxels of the {} that no tissue explains",
        floor=10.0, side=1, review=(0.0, 100.0), digits=0,
    ),
    "intensity_mean": _Kind(
        f"{_UNLIKE}mean scaled brightness", "mean scaled brightness of the {}", floor=0.03,
    ),
    "intensity_sd": _Kind(
        f"{_UNLIKE}scaled contrast (SD)", "scaled contrast (SD) of the {}",
        floor=0.02, lowest=0.0,
    ),
    "intensity_skewness": _Kind(
        f"{_UNLIKE}skewness of its brightness", "skewness of the brightness of the {}",
        floor=0.25, share=0.15,
    ),
    "level_grey": _Kind(
        f"{_OTHER}grey against white matter", "grey against white matter in the {}",
        floor=0.07, lowest=0.0,
    ),
    "level_fluid": _Kind(
        f"{_OTHER}fluid against white matter", "fluid against white matter in the {}",
        floor=0.20, lowest=0.0,
    ),
    "noise": _Kind(
        "the {} is noisier, or smoother, than those that the model learned from: fine detail in "
        "percent of the brightness at 1",
        "noise of the {}, in percent of the brightness at 1",
        floor=1.0, share=0.4, lowest=0.0, digits=1,
    ),
    "bright": _Kind(
        "the {} has brighter spots than those that the model learned from (vessels after contrast "
        "agent, metal, wrong contrast): its brightest thousandth begins at",
        "brightest thousandth of the {} begins at", floor=0.15, share=0.12, side=1,
    ),
    "void": _Kind(
        "the {} has a hole inside the brain (metal, a cavity, a cut): a dark blob of",
        "largest hole in the {}", floor=3.0, side=1, digits=1, unit=" ml",
    ),
    "lines": _Kind(
        "the {} is rougher along one axis than those that the model learned from (a head that "
        "moved): detail along it against that along the next",
        "detail of the {} along its roughest axis, against the next", floor=0.04, side=1,
    ),
    "ball_dark": _Kind(
        "the {} has a larger dark region (a cyst, a cavity, wide ventricles, metal) than those "
        "that the model learned from: it holds a ball of radius",
        "largest ball of dark voxels in the {}", floor=1.5, side=1, digits=1, unit=" mm",
    ),
    "ball_bright": _Kind(
        "the {} has a larger bright region (a cyst, a tumour, wide ventricles) than those that "
        "the model learned from: it holds a ball of radius",
        "largest ball of bright voxels in the {}", floor=1.5, side=1, digits=1, unit=" mm",
    ),
    "voxel": _Kind(
        "the {} is coarser than those that the model learned from: its voxels are as long as",
        "longest edge of a voxel of the {}", floor=0.5, side=1, digits=1, unit=" mm",
    ),
    "predicted": _Kind(
        "the scans of this visit do not fit one another: asked for its {} from the others, the "
        "model's 90 % interval holds a share of only",
        "share of the {} that the model's interval from the other scans holds",
        floor=0.05, side=-1,
    ),
    "made_mean": _Kind(f"{_MADE}mean scaled brightness", "mean of the synthetic {}", floor=0.06),
    "made_sd": _Kind(
        f"{_MADE}scaled contrast (SD)", "SD of the synthetic {}", floor=0.05, lowest=0.0,
    ),
    "made_skewness": _Kind(
        f"{_MADE}skewness", "skewness of the synthetic {}", floor=0.5, share=0.15,
    ),
    "made_grey": _Kind(
        f"{_MADE}grey against white matter", "grey against white matter in the synthetic {}",
        floor=0.08, lowest=0.0,
    ),
    "made_fluid": _Kind(
        f"{_MADE}fluid against white matter", "fluid against white matter in the synthetic {}",
        floor=0.25, lowest=0.0,
    ),
    "made_spread": _Kind(
        "the networks disagree about this {}: mean spread as a fraction of its range",
        "mean spread of the networks over the {}, of its range",
        floor=0.01, side=1, review=(0.0, 0.10), fail=(0.0, 0.25), digits=3,
    ),
}  # fmt: skip


def judge(
    quality: Mapping[str, float],
    training: TrainingRanges,
    *,
    limits: tuple[float, float] = LIMITS,
    region: str = "brain",
) -> Verdict:
    """The verdict on one synthetic image, with one sentence for every check not passed.

    `quality` and `training` share names: those of `learn.data.training_statistics.figures`, of
    `image_figures`, `predicted_<modality>` and `synthesised`, the share of the mask (that of a
    `region`) that was made. A figure is held to `limits`, in standard deviations of the training
    visits, and to absolute limits where physics or anatomy give them; without a training range
    to these alone. ValueError for a figure that no check knows: none is skipped in silence.
    """
    level: Level = "pass"
    reasons, checks, farthest = [], [], float("nan")
    for name, value in quality.items():
        kind, modality = _kind_of(name)
        words = kind.words.format(modality, 100 * value, region)
        typical = training.get(name)
        grade, reason = _look(kind, words, value, typical, limits)
        if reason:
            reasons.append(reason)
        shown = f"{value:.{kind.digits}f}{kind.unit}" if np.isfinite(value) else "n/a"
        expected = _between(kind, _expected(kind, typical, limits))
        checks.append(Check(name, kind.title.format(modality), shown, expected, grade))
        level = worse(level, grade)
        if typical is not None and np.isfinite(value):
            farthest = float(np.fmax(farthest, abs(deviation(name, value, typical))))
    return Verdict(level, tuple(reasons), tuple(checks), farthest)


def worse(one: Level, other: Level) -> Level:
    """The worse of two levels.

    >>> worse("pass", "review"), worse("fail", "review")
    ('review', 'fail')
    """
    return max(one, other, key=LEVELS.index)


def deviation(name: str, value: float, typical: tuple[float, float]) -> float:
    """Standard deviations from what taught, towards what is bad; 0 on the good side."""
    kind, _ = _kind_of(name)
    z = (value - typical[0]) / kind.believed(typical)
    return z if kind.side == 0 or np.sign(z) == kind.side else 0.0


def _kind_of(name: str) -> tuple[_Kind, str]:
    kind = next((k for k in _KINDS if name == k or name.startswith(f"{k}_")), None)
    if kind is None:
        message = f"no check knows the figure {name!r}; known: {', '.join(_KINDS)}"
        raise ValueError(message)
    return _KINDS[kind], name[len(kind) + 1 :]


def _look(
    kind: _Kind,
    words: str,
    value: float,
    typical: tuple[float, float] | None,
    limits: tuple[float, float],
) -> tuple[Level, str]:
    if not np.isfinite(value):
        return "review", sentence(f"{words} could not be measured")
    if not kind.fail[0] <= value <= kind.fail[1]:
        return "fail", _finding(kind, words, value, kind.fail)
    if typical is not None:
        width = kind.believed(typical)
        z = (value - typical[0]) / width
        far = abs(z) if kind.side == 0 or np.sign(z) == kind.side else 0.0
        if far > limits[0]:
            level: Level = "fail" if far > limits[1] else "review"
            return level, _finding(kind, words, value, _around(kind, typical, limits))
    if not kind.review[0] <= value <= kind.review[1]:
        return "review", _finding(kind, words, value, kind.review)
    return "pass", ""


def _around(
    kind: _Kind, typical: tuple[float, float], limits: tuple[float, float]
) -> tuple[float, float]:
    reach = limits[0] * kind.believed(typical)
    low = typical[0] - reach
    return low if low > kind.lowest else -np.inf, typical[0] + reach


def _expected(
    kind: _Kind, typical: tuple[float, float] | None, limits: tuple[float, float]
) -> tuple[float, float]:
    """What passes: between the limits of what taught and those that hold for all."""
    low, high = kind.review
    if typical is not None:
        near, far = _around(kind, typical, limits)
        low = max(low, near) if kind.side <= 0 else low
        high = min(high, far) if kind.side >= 0 else high
    return low, high


def _finding(kind: _Kind, words: str, value: float, expected: tuple[float, float]) -> str:
    if kind.bare:
        return sentence(words)
    wanted = _between(kind, expected)
    return sentence(f"{words} {value:.{kind.digits}f}{kind.unit} (expected {wanted})")


def _between(kind: _Kind, expected: tuple[float, float]) -> str:
    """A range in words; nothing where everything passes."""

    def show(x: float) -> str:
        return f"{x:.{kind.digits}f}"

    low, high = np.isfinite(expected)
    if low and (kind.side < 0 or not high):
        return f"at least {show(expected[0])}{kind.unit}"
    if high and (kind.side > 0 or not low):
        return f"at most {show(expected[1])}{kind.unit}"
    return f"{show(expected[0])} to {show(expected[1])}{kind.unit}" if low and high else ""


def sentence(words: str) -> str:
    """Words with a capital at their beginning."""
    return words[0].upper() + words[1:]
