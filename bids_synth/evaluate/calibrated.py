"""Calibrated: a synthetic image as bright as the dataset's own scans."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bids_synth.core.synthetic import Synthetic
from bids_synth.core.tissue.site import Site
from bids_synth.core.visit import Prepared
from bids_synth.prepare.brain.levels import tissue_levels
from bids_synth.spatial.itk import read_itk


def calibrated(synthetic: Synthetic, prepared: Prepared, site: Site) -> Synthetic:
    """The image times what brings its white matter to the level of the site's scans.

    By white matter alone: bent so that grey matter and fluid lay at the site's levels too, images
    were 1.5 dB worse (docs/decisions/0012). `synthetic` lies on the prepared grid; its
    spread and interval are multiplied alike. Unchanged, and without donors, where the image shows
    no white matter.
    """
    inside = (synthetic.made_in or prepared.mask_image).array > 0
    white = tissue_levels(synthetic.image, inside, read_itk(prepared.template)).white
    if not (np.isfinite(white) and white > 0):
        return synthetic
    gain = np.float32(site.white / white)
    image = np.where(inside, synthetic.image.array * gain, synthetic.image.array)
    brought = synthetic.in_unit(synthetic.image.with_array(image), float(gain))
    return replace(brought, donors=site.donors)
