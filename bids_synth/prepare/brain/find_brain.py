"""Find the brain: by another pipeline's mask, an image without skull, the network, a tool or the
template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bids_synth.core.settings import SkullStrip
from bids_synth.errors import VisitError
from bids_synth.prepare.brain.external import strip_with_tool
from bids_synth.prepare.brain.given_mask import fitting_mask
from bids_synth.prepare.brain.network_mask import mask_by_network
from bids_synth.prepare.brain.placement import cut_area, uprightness
from bids_synth.prepare.brain.region import brain_of_stripped, head_mask, is_stripped
from bids_synth.prepare.brain.template_mask import align_brain, mask_by_template
from bids_synth.spatial.boxes import bounding_box
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
    quality: Mapping[str, float]
    """`template_correlation`, absolute, of the scan inside the brain; where it is one and no
    head, `cut`, its `cut_area`, cm2, and `upright`, its `uprightness`."""
    notes: tuple[str, ...] = ()
    """What was given and not used, and why."""


def find_brain(
    reference: Volume,
    path: Path,
    *,
    option: SkullStrip,
    region: Literal["brain", "head"],
    mask_file: Path | None,
    seed: int,
) -> Brain:
    """The mask of a reference scan and its affine to the template.

    `auto` takes `mask_file` (a mask in the scan's space) where it fits the scan, else recognises
    an image without skull, else uses the template. `network` uses the tissue network of the
    package instead, `skip` takes the head. Raises VisitError where nothing is found.
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
    elif option == "network":
        brain, template = _by_network(reference, path, seed)
    else:
        brain, template = mask_by_template(reference, seed=seed)
    mask = head_mask(reference) if region == "head" else brain
    if not mask.array.any() or not brain.array.any():
        message = f"{path}: no {region} was found in it; look at the scan, or give a mask (-d)"
        raise VisitError(message)
    if template is None:
        template = align_brain(reference, brain, seed=seed)
    box = bounding_box(brain.array)
    part = reference.grid.crop([s.start for s in box], [s.stop for s in box])
    alike = resample(template_t1w(), part, transform=inverse(template))
    agreement = correlation(reference.array[box], alike.array, brain.array[box])
    quality = {"template_correlation": agreement}
    if option != "skip" or stripped:  # Else it is the head, whose neck is always cut.
        quality |= {"cut": cut_area(brain), "upright": uprightness(brain)}
    return Brain(mask, template, stripped, quality, notes)


def _by_network(reference: Volume, path: Path, seed: int) -> tuple[Volume, Affine]:
    """The brain that the network sees in a whole head; VisitError where it sees none."""
    found = mask_by_network(reference, seed=seed)
    if found is None:
        message = f"{path}: the tissue network sees no brain in it; try --skull-strip template"
        raise VisitError(message)
    return found


def _of_file(path: Path | None, reference: Volume) -> tuple[Volume | None, tuple[str, ...]]:
    """Another pipeline's mask where it is that of the scan, and why it is not used else."""
    if path is None:
        return None, ()
    mask, fault = fitting_mask(path, reference)
    return mask, (f"{path} {NOT_USED}: {fault}",) if fault else ()
