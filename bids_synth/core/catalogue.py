"""Catalogue: every metric of the tables, its words, and which way is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Metric:
    """A column of the tables of scores."""

    title: str
    """What it is, in the words of a reader, with its unit."""
    short: str
    """The same for the head of a column."""
    digits: int
    """Decimals that are worth showing."""
    higher: bool
    """True where a higher value is better."""
    has_unit: bool = False
    """True where it is in the image's unit, so that targets must not be pooled."""


CATALOGUE: Mapping[str, Metric] = MappingProxyType(
    {
        "psnr": Metric("PSNR, dB", "PSNR, dB", 1, higher=True),
        "ssim": Metric("SSIM", "SSIM", 3, higher=True),
        "ms_ssim": Metric("MS-SSIM", "MS-SSIM", 3, higher=True),
        "mae": Metric(
            "Mean absolute error, in the image's unit",
            "MAE, image unit",
            3,
            higher=False,
            has_unit=True,
        ),
        "nmae": Metric(
            "Mean absolute error, fraction of the real image's range",
            "MAE, of range",
            3,
            higher=False,
        ),
        "rmse": Metric(
            "Root mean square error, in the image's unit",
            "RMSE, image unit",
            3,
            higher=False,
            has_unit=True,
        ),
        "pearson": Metric("Pearson correlation", "correlation", 3, higher=True),
        "perceptual": Metric("Perceptual distance", "perceptual distance", 3, higher=False),
        "fid": Metric("Frechet distance (FID)", "FID", 3, higher=False),
        "nmi": Metric("Normalised mutual information", "NMI", 3, higher=True),
    }
)
METRICS = tuple(CATALOGUE)
"""Columns of the tables, in their order."""
HIGHER_IS_BETTER = {name: metric.higher for name, metric in CATALOGUE.items()}


FEW = 5
"""Participants below which a line of a table is marked: an interval over them is hardly one."""


def leaves_zero(low: float, high: float) -> bool:
    """Whether an interval of a difference says which of two is better; NaN ends say nothing.

    >>> leaves_zero(0.1, 0.3), leaves_zero(-0.1, 0.3), leaves_zero(float("nan"), float("nan"))
    (True, False, False)
    """
    return bool(low > 0 or high < 0)


def scores(**known: float) -> dict[str, float]:
    """A whole row of metrics: NaN for those that a protocol does not define.

    ValueError for a metric that the catalogue lacks.

    >>> found = scores(mae=2.0)
    >>> found["mae"], found["psnr"]
    (2.0, nan)
    """
    if strange := sorted(set(known) - set(METRICS)):
        message = f"no such metric: {', '.join(strange)}; the catalogue has {', '.join(METRICS)}"
        raise ValueError(message)
    return {name: float(known.get(name, float("nan"))) for name in METRICS}
