"""Judged: the figures of a synthetic image and its sources, and the verdict that they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from bids_synth.core.synthetic import Check, Level, Synthetic, Verdict
from bids_synth.core.visit import Prepared
from bids_synth.evaluate.trust.image_figures import REAL, image_figures
from bids_synth.evaluate.trust.verdict import LIMITS, TrainingRanges, judge, worse
from bids_synth.learn.data.training_statistics import figures
from bids_synth.learn.model.card import Card
from bids_synth.learn.model.evidence import HeldOut, held_out_of
from bids_synth.learn.model.model import Model

FEWEST = 3
"""Held-out participants below which an interval over them says nothing."""
ENOUGH = 3
"""Held-out images from which the range of a figure of theirs is taken."""
PLAIN = {
    "linear": "a straight line",
    "copy": "the nearest source itself",
    "mean": "the mean image",
    "tissue-curve": "the source bent to typical levels of tissue",
    "closed-form": "the closed form",
    "curve": "a curve through quantiles",
    "start": "the answer that its fit began from",
}
"""Baselines in words."""
Predicted = Mapping[str, tuple[float, tuple[float, float]]]
"""Figure -> its value on this visit, and mean and standard deviation on held-out ones."""


def judged(
    synthetic: Synthetic,
    prepared: Prepared,
    model: Model,
    predicted: Predicted = MappingProxyType({}),
) -> Synthetic:
    """An image on the prepared grid with its verdict, by what the model learned from.

    `predicted` says how well the model makes the visit's sources from one another. What scores of
    held-out people say is not in it (`with_scores_of`).
    """
    card = model.card
    quality = figures(prepared, synthetic.sources)
    if synthetic.made_in is not None:
        inside = prepared.mask_image.array > 0
        quality["synthesised"] = float(synthetic.made_in.array[inside].mean())
    region = model.recipe.preparation.mask
    if region == "head":
        quality.pop("mask_volume", None)  # The limits of the verdict are those of a brain.
    quality |= image_figures(synthetic, prepared)
    quality |= {name: value for name, (value, _) in predicted.items()}
    ranges = {**_ranges(card), **{name: typical for name, (_, typical) in predicted.items()}}
    limits = (card.alarm.review, card.alarm.fail) if card.alarm else LIMITS
    verdict = judge(quality, ranges, limits=limits, region=region)
    for check, reason in (_calibrated(synthetic), _networks(card)):
        verdict = _with(verdict, check, reason)
    return replace(synthetic, verdict=verdict)


def with_scores_of(synthetic: Synthetic, card: Card) -> Synthetic:
    """The image with what held-out people say of such images in its verdict."""
    if synthetic.verdict is None:
        message = f"the synthetic {synthetic.modality} has no verdict; judge it first"
        raise ValueError(message)
    score = held_out_of(card.held_out, synthetic.modality, synthetic.sources)
    verdict = _with(
        synthetic.verdict, *held_out_check(score, synthetic.modality, synthetic.sources)
    )
    if score is not None and score.lesions:
        told = Check("lesions", "lesions of held-out people", score.lesions, "", "pass")
        verdict = replace(verdict, checks=(*verdict.checks, told))
    return replace(synthetic, verdict=verdict)


def _ranges(card: Card) -> TrainingRanges:
    """Of every figure; those of synthetic images by held-out ones, else by real ones."""
    ranges = {name: (r.mean, r.sd) for name, r in card.ranges.items()}
    for made, real in REAL.items():
        for target in card.scales:
            name = f"{made}_{target}"
            own = card.ranges.get(name)
            if (own is None or own.count < ENOUGH) and f"{real}_{target}" in ranges:
                ranges[name] = ranges[f"{real}_{target}"]
    return ranges


def _with(verdict: Verdict, check: Check, reason: str) -> Verdict:
    reasons = (*verdict.reasons, reason) if reason else verdict.reasons
    level = worse(verdict.level, check.level)
    return replace(verdict, level=level, reasons=reasons, checks=(*verdict.checks, check))


def held_out_check(
    score: HeldOut | None, target: str, sources: Sequence[str]
) -> tuple[Check, str]:
    """No `pass` where held-out people do not show that the model is better than every baseline."""
    task = f"{target} from {' + '.join(sources)}"
    title = f"held-out {task} against the best plain answer, dB"
    expected = f"above 0, {FEWEST} participants or more"
    if score is None:
        reason = f"Nobody has measured how good this model's {task} is on held-out participants"
        return Check("held_out", title, "n/a", expected, "review"), reason
    ends = "" if score.low is None else f" [{score.low:+.1f}, {score.high:+.1f}]"
    value = f"{score.difference:+.1f}{ends}, n = {score.participants}"
    plain = PLAIN.get(score.versus, score.versus)
    level: Level = "review"
    if score.difference <= 0 or (score.low is not None and score.low <= 0):
        reason = f"Held-out {task} was not better than {plain} ({value.replace(', n', ' dB, n')})"
    elif score.participants < FEWEST:
        one = score.participants == 1
        few = "one held-out person says" if one else "two held-out people say"
        reason = f"Only {few} how good {task} is ({value.replace(', n', ' dB, n')})"
    else:
        level, reason = "pass", ""
    return Check("held_out", title, value, expected, level), reason


def _calibrated(synthetic: Synthetic) -> tuple[Check, str]:
    interval = synthetic.interval
    title = "validation participants that say how wide the interval is"
    if interval is not None:
        value = f"{interval.participants}"
        return Check("interval", title, value, "at least 1", "pass"), ""
    reason = "No validation participant says how far from the truth its voxels are"
    return Check("interval", title, "0", "at least 1", "review"), reason


def _networks(card: Card) -> tuple[Check, str]:
    """Told, not held against an image: one network cannot disagree with itself."""
    count = len(card.weights)
    expected = "" if count > 1 else "more, if their spread is to say anything"
    return Check("networks", "networks", str(count), expected, "pass"), ""
