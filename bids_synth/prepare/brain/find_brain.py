"""Find the brain: by another pipeline's mask, an image without skull, the network, a tool or the
template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bids_synth.core.modality import MODALITIES
from bids_synth.core.settings import SkullStrip
from bids_synth.errors import VisitError
from bids_synth.prepare.brain.external import strip_with_tool
from bids_synth.prepare.brain.given_mask import fitting_mask
from bids_synth.prepare.brain.network_mask import mask_by_network
from bids_synth.prepare.brain.region import BRAIN_ML, brain_of_stripped, head_mask, is_stripped
from bids_synth.prepare.brain.template_mask import align_brain, mask_by_template
from bids_synth.spatial.grid import Affine, inverse
from bids_synth.spatial.resample import resample
from bids_synth.spatial.similarity import correlation
from bids_synth.spatial.template import template_t1w
from bids_synth.spatial.volume import Volume

NOT_USED = "is not used as the brain mask"


@dataclass(frozen=True, eq=False)
class Brain:
    """Where the brain (or head) is in a reference scan."""

    mask: Volume
    """uint8 on the scan's grid."""
    template: Affine
    """RAS+ mm of the template -> the scan."""
    stripped: bool
    """True where the scan came without skull."""
    correlation: float
    """Absolute correlation of the scan with the template inside the mask."""
    notes: tuple[str, ...] = ()
    """What was given and not used, and why."""


def find_brain(
    reference: Volume,
    path: Path,
    *,
    modality: str,
    option: SkullStrip,
    region: Literal["brain", "head"],
    mask_file: Path | None,
    seed: int,
) -> Brain:
    """The mask of a reference scan and its affine to the template.

    `auto` takes `mask_file` (a mask in the scan's space) where it fits the scan, else recognises
    an image without skull, else uses the network where the scan is of magnetic resonance and it
    sees a brain, else the template. `skip` takes the head. Raises VisitError where nothing is
    found.
    """
    stripped = is_stripped(reference)
    template: Affine | None = None
    fitting, notes = _of_file(mask_file, reference) if option == "auto" else (None, ())
    if option in ("synthstrip", "hd-bet"):
        brain = resample(strip_with_tool(path, option), reference.grid, order=0)
    elif fitting is not None:
        brain = fitting
    elif stripped and option != "template":
        brain = brain_of_stripped(reference)
    elif option == "skip":
        brain = head_mask(reference)
    else:
        brain, template, more = _of_head(reference, path, option, modality, seed)
        notes = (*notes, *more)
    mask = head_mask(reference) if region == "head" else brain
    if not mask.array.any() or not brain.array.any():
        message = f"{path}: no {region} was found in it; look at the scan, or give a mask (-d)"
        raise VisitError(message)
    if template is None:
        template = align_brain(reference, brain, seed=seed)
    alike = resample(template_t1w(), reference.grid, transform=inverse(template))
    agreement = correlation(reference.array, alike.array, brain.array)
    return Brain(mask, template, stripped, agreement, notes)


def _of_head(
    reference: Volume, path: Path, option: SkullStrip, modality: str, seed: int
) -> tuple[Volume, Affine, tuple[str, ...]]:
    """The brain in a whole head, the affine to the template, and why not by the network."""
    if option == "template" or MODALITIES[modality].datatype != "anat":
        return *mask_by_template(reference, seed=seed), ()
    found = mask_by_network(reference, seed=seed)
    ml = 0.0 if found is None else _volume(found[0])
    if found is not None and (option == "network" or BRAIN_ML[0] <= ml <= BRAIN_ML[1]):
        return *found, ()
    if option == "network":
        message = f"{path}: the tissue network sees no brain in it; try --skull-strip template"
        raise VisitError(message)
    seen = f"{path}: the tissue network sees a brain of {ml:.0f} ml; the template finds it instead"
    return *mask_by_template(reference, seed=seed), (seen,)


def _volume(mask: Volume) -> float:
    """ml."""
    return float(mask.array.sum() * abs(np.linalg.det(mask.grid.affine[:3, :3])) / 1000)


def _of_file(path: Path | None, reference: Volume) -> tuple[Volume | None, tuple[str, ...]]:
    """Another pipeline's mask where it is that of the scan, and why it is not used else."""
    if path is None:
        return None, ()
    mask, fault = fitting_mask(path, reference)
    return mask, (f"{path} {NOT_USED}: {fault}",) if fault else ()
