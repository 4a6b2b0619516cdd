"""Alternative texts: what is seen in a picture, for those who do not see it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bids_synth.core.catalogue import CATALOGUE
from bids_synth.report.figures.ablation import AblationShown
from bids_synth.report.figures.canvas import unit_words
from bids_synth.report.figures.synthetic import Shown


def example_words(visit: str, shown: Shown) -> str:
    """Sources, synthetic and real image side by side, and how far they differ."""
    synthetic = shown.synthetic
    name, real = synthetic.modality, synthetic.real
    columns = [*shown.sources, f"the synthetic {name}"]
    if real is None:
        return f"Slices of {visit}: {', '.join(columns)}."
    columns += [f"the real {name}", "their difference"]
    columns += ["the doubt"] if synthetic.uncertainty is not None else []
    inside = shown.mask.array > 0
    error = float(np.abs(synthetic.image.array - real.array)[inside].mean())
    low, high = np.percentile(real.array[inside], [1, 99])
    return (
        f"Slices of {visit}: {', '.join(columns)}. Mean absolute error {error:.3g} in the mask, "
        f"where the real {name} reaches from {low:.3g} to {high:.3g} {unit_words(real.unit)}."
    )


def score_words(rows: pd.DataFrame) -> str:
    """Mean and ends of PSNR and SSIM of every method."""
    told = []
    for metric in ("psnr", "ssim"):
        if metric not in rows or not rows[metric].notna().any():
            continue
        digits, methods = CATALOGUE[metric].digits, []
        for method, own in rows.groupby("method", sort=False)[metric]:
            mean, low, high = own.mean(), own.min(), own.max()
            methods.append(f"{method} {mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")
        told.append(f"{CATALOGUE[metric].short}: {', '.join(methods)}")
    return f"Scores of every visit, mean and ends. {'; '.join(told)}."


def curve_words(training: pd.DataFrame) -> str:
    """How the loss and the validation score went from the first to the last step."""
    ordered = training.sort_values("step")
    steps = int(ordered["step"].max())
    by = [c for c in ("fold", "member") if c in training]
    count = len(training[by].drop_duplicates()) if by else 1
    told = [f"Curves of {count} network{'s' * (count > 1)} over {steps:,} steps"]
    for column, words in (("loss", "loss"), ("score", "validation score")):
        known = ordered[column].dropna() if column in ordered else ordered["step"][:0]
        if len(known):
            told.append(f"{words} from {known.iloc[0]:.4g} to {known.iloc[-1]:.4g}")
    return f"{'; '.join(told)}."


def strangeness_words(rows: pd.DataFrame) -> str:
    """How many images there are, how strange, and of which verdict."""
    own = rows[(rows["method"] == "model") & rows["strangeness"].notna()]
    levels = ", ".join(f"{count} {name}" for name, count in own["verdict"].value_counts().items())
    low, high = own["strangeness"].min(), own["strangeness"].max()
    return (
        f"Error of {len(own)} images against their strangeness, from {low:.1f} to {high:.1f} "
        f"standard deviations: {levels}."
    )


def coverage_words(coverage: pd.DataFrame) -> str:
    """What the intervals hold on average in each region."""
    means = 100 * coverage.groupby("region", sort=False)["coverage"].mean()
    told = ", ".join(f"{region} {share:.0f} %" for region, share in means.items())
    return f"Share of the voxels that the intervals hold, mean over images: {told}."


def ablation_words(shown: AblationShown, target: str, protocol: str) -> str:
    """Median PSNR of every set of sources."""
    rows = shown.rows
    own = rows[(rows["target"] == target) & (rows["protocol"] == protocol)]
    metric = next((m for m in ("psnr", "nmae") if m in own and own[m].notna().any()), None)
    if metric is None:
        return f"Scores of {target} by set of sources."
    medians = own.groupby("withheld", sort=False)[metric].median()
    digits = CATALOGUE[metric].digits
    told = ", ".join(f"{name} {value:.{digits}f}" for name, value in medians.items())
    return f"Median {CATALOGUE[metric].short} of {target}: {told}."


def agreement_words(target: str, lines: Sequence[Sequence[str]]) -> str:
    """Bias and limits of agreement of every set of sources."""
    told = "; ".join(f"{line[0]}: bias {line[4]}, limits {line[6]}" for line in lines)
    return f"Agreement of synthetic and real {target}. {told}."
