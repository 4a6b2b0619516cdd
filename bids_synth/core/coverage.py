"""Coverage: outside its field of view a source is missing, at fitting and at synthesis."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.core.visit import Prepared

LOG = logging.getLogger(__name__)
BLEND = 6.0
"""Depth, mm, over which the answer with a source takes over from the answer without it. It lies
inside the source's field of view, whose edge is to a network like the edge of the brain."""
TAUGHT = 0.9
"""Share of the mask that a scan must cover to teach. Of one that covers more, but not all, the
visit teaches only where all its scans were acquired."""


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the mask with the sources that are there."""

    sources: tuple[str, ...]
    """In the order given."""
    weight: npt.NDArray[np.float32]
    """(I, J, K), 0 to 1: how much the answer from these sources counts; all parts sum to 1."""


def parts_of(
    prepared: Prepared, sources: Sequence[str], mask: npt.NDArray[Any], *, least: int
) -> list[Part]:
    """The mask by the sets of sources that are there, of `least` sources or more each.

    At the edge of a partial source's field of view the set with it takes over within BLEND mm
    from the set without it, or at once where that would be of too few sources. Voxels with too
    few sources are in no part.
    """
    inside = mask > 0
    soft = {m: _taken_over(c & inside, inside, prepared) for m in sources
            if (c := prepared.covered(m)) is not None}  # fmt: skip
    parts = []
    for there in product((True, False), repeat=len(soft)):
        absent = {m for m, kept in zip(soft, there, strict=True) if not kept}
        left = tuple(m for m in sources if m not in absent)
        weight = inside.astype(np.float32)
        for modality, share in soft.items():
            weight = weight * (1 - share if modality in absent else share)
        if len(left) >= max(1, least) and weight.any():
            parts.append(Part(left, weight))
    total = sum((part.weight for part in parts), np.zeros(mask.shape, np.float32))
    known = np.where(total > 0, total, 1)
    return [replace(part, weight=(part.weight / known).astype(np.float32)) for part in parts]


def shared_mask(prepared: Prepared) -> npt.NDArray[np.uint8]:
    """uint8 (I, J, K): 1 where the mask is and every image of the visit was acquired."""
    return within(prepared, tuple(prepared.images), prepared.mask_image.array)


def within(
    prepared: Prepared, modalities: Iterable[str], mask: npt.NDArray[Any]
) -> npt.NDArray[np.uint8]:
    """uint8 (I, J, K): 1 where a mask is and all scans of these modalities were acquired."""
    kept = np.asarray(mask > 0)
    for modality in modalities:
        there = prepared.covered(modality)
        kept = kept if there is None else kept & there
    return kept.astype(np.uint8)


def teaching(prepared: Prepared) -> Prepared:
    """The visit without the scans that show too little of the mask to teach.

    Such a scan counts as absent for the fit, and a warning names it.
    """
    shares = {m: prepared.quality.get(f"coverage_{m}", 1.0) for m in prepared.coverage}
    if few := {m: share for m, share in shares.items() if share < TAUGHT}:
        text = ", ".join(f"{m} ({100 * share:.0f} %)" for m, share in few.items())
        message = "%s: does not teach with scans that cover less than %.0f %% of the mask: %s"
        LOG.warning(message, prepared.label, 100 * TAUGHT, text)
    kept = {m: path for m, path in prepared.images.items() if m not in few}
    masks = {m: path for m, path in prepared.coverage.items() if m in kept}
    return replace(prepared, images=kept, coverage=masks)


def _taken_over(
    there: npt.NDArray[np.bool_], inside: npt.NDArray[np.bool_], prepared: Prepared
) -> npt.NDArray[np.float32]:
    """0 where a source is not, rising to 1 at BLEND mm from there."""
    spacing = prepared.grid.spacing
    known = there | ~inside
    if known.all():
        return inside.astype(np.float32)
    depth = ndimage.distance_transform_edt(known, sampling=spacing)
    rise = (depth - min(spacing) / 2) / BLEND
    return np.where(there, np.clip(rise, 1e-3, 1), 0).astype(np.float32)
