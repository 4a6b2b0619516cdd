"""Calibrated: a synthetic image with the tissue levels of the dataset's own scans."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np

from bids_synth.core.synthetic import Synthetic
from bids_synth.core.tissue.levels import Curve, TissueLevels, level_curve
from bids_synth.core.tissue.site import Site
from bids_synth.core.visit import Prepared
from bids_synth.prepare.brain.levels import tissue_levels
from bids_synth.spatial.itk import read_itk


def calibrated(synthetic: Synthetic, prepared: Prepared, site: Site) -> Synthetic:
    """The image through the curve that brings its tissues to the levels of the site's scans.

    Straight between white matter, grey matter and fluid where both have them in the same order,
    else by white matter alone; no anatomy is moved. `synthetic` lies on the prepared grid. The
    spread is stretched as the image is where it lies. Unchanged, and without donors, where the
    image shows no tissue.
    """
    inside = (synthetic.made_in or prepared.mask_image).array > 0
    own = tissue_levels(synthetic.image, inside, read_itk(prepared.template))
    curve = _curve(own, site.levels)
    if curve is None:
        return synthetic
    values = synthetic.image.array
    least = 0.0 if min(v for v in astuple(site.levels) if np.isfinite(v)) >= 0 else -np.inf
    become = np.maximum(np.interp(values, *curve), least)
    image = np.where(inside, become, values).astype(np.float32)
    spread = synthetic.spread
    if spread is not None:
        slopes = np.abs(np.diff(curve[1]) / np.diff(curve[0]))
        at = np.clip(np.digitize(values, curve[0]) - 1, 0, len(slopes) - 1)
        spread = spread.with_array((spread.array * slopes[at]).astype(np.float32))
    return replace(
        synthetic, image=synthetic.image.with_array(image), spread=spread, donors=site.donors
    )


def _curve(own: TissueLevels, wanted: TissueLevels) -> Curve | None:
    """A rising curve between all levels, or that of white matter where there is none."""
    full = level_curve(own, wanted)
    if full is not None and (np.diff(full[1]) > 0).all():
        return full
    unknown = float("nan")
    white = [TissueLevels(levels.white, unknown, unknown) for levels in (own, wanted)]
    return level_curve(*white)
