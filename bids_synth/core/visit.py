"""Visit: one participant at one session, what was acquired and what is prepared of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import Scale
from bids_synth.core.tissue.levels import TissueLevels
from bids_synth.core.units import UNTOLD, Conversion
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume, read_mask, read_volume


def visit_label(participant: str, session: str | None) -> str:
    """The name of a visit in every table, message and file.

    >>> visit_label("01", "A"), visit_label("01", None)
    ('sub-01_ses-A', 'sub-01')
    """
    return f"sub-{participant}" + (f"_ses-{session}" if session else "")


@dataclass(frozen=True)
class Scan:
    """One acquired image file of a visit."""

    modality: str
    """Name of its modality, a key of `MODALITIES`."""
    path: Path
    """Absolute path of the NIfTI file."""
    entities: Mapping[str, str] = field(default_factory=dict)
    """BIDS entities of its name by short key: sub, ses, acq, ce, trc, run ..."""
    conversion: Conversion = UNTOLD
    """From the unit that its sidecar tells to its modality's own."""
    slab: bool = False
    """True where its field of view is much thinner than a brain along one axis."""


@dataclass(frozen=True)
class Visit:
    """What a participant has at one session (or at all, where there are no sessions)."""

    participant: str
    """Label without `sub-`."""
    session: str | None
    """Label without `ses-`; None where the dataset has no sessions."""
    scans: Mapping[str, Scan]
    """The acquired scans by modality name, at most one each."""
    brain_mask: Path | None = None
    """A brain mask of another pipeline (`--derivatives`), on any grid in a scan's space."""
    mask_of: str | None = None
    """Modality of the scan in whose space `brain_mask` lies."""
    traits: Mapping[str, str] = field(default_factory=dict)
    """The participant's row of participants.tsv; empty where there is none."""
    withheld: tuple[str, ...] = ()
    """Scans that the visit has and that are treated as if it lacked them."""
    doubtful: Mapping[str, str] = field(default_factory=dict)
    """Modality -> which files may be its scan and are not read as such: it is neither there nor
    missing, and nothing is made in its place."""

    @property
    def label(self) -> str:
        """`sub-01` or `sub-01_ses-A`."""
        return visit_label(self.participant, self.session)

    def missing(self, modalities: Sequence[str]) -> tuple[str, ...]:
        """Those of `modalities` that this visit certainly lacks, in the order given."""
        return tuple(m for m in modalities if m not in self.scans and m not in self.doubtful)

    def reference(self, preference: Sequence[str]) -> str | None:
        """The modality that the others are registered to: the first preferred one present.

        A slab only where there is nothing else: its mask would be that of a part of the brain.
        """
        present = [m for m in preference if m in self.scans]
        wide = [m for m in present if not self.scans[m].slab]
        return next(iter(wide or present), None)

    def without(self, modalities: Collection[str]) -> Visit:
        """The visit as if it lacked these scans, and the mask that lies in the space of one.

        >>> scans = {m: Scan(m, Path(m)) for m in ("T1w", "T2w")}
        >>> left = Visit("01", None, scans, Path("mask"), "T1w").without(["T1w"])
        >>> tuple(left.scans), left.brain_mask, left.withheld
        (('T2w',), None, ('T1w',))
        """
        gone = tuple(m for m in self.scans if m in modalities)
        kept = {m: scan for m, scan in self.scans.items() if m not in gone}
        mask = None if self.mask_of in gone else self.brain_mask
        of = None if mask is None else self.mask_of
        held = (*self.withheld, *gone)
        return replace(self, scans=kept, brain_mask=mask, mask_of=of, withheld=held)


@dataclass(frozen=True)
class Prepared:
    """A visit on the recipe's grid: registered, masked by `mask`, scaled by `scales`.

    Images are kept in their own unit and unmasked; mask and scale are data beside them,
    so that everything has an exact way back.
    """

    visit: Visit
    """The visit that was prepared."""
    reference: str
    """Modality of the reference scan; its space is the space of all images here."""
    native: Grid
    """The reference scan's own grid, on which synthetic images are returned."""
    grid: Grid
    """The prepared grid: RAS order, the recipe's spacing, cropped around the mask."""
    images: Mapping[str, Path]
    """Modality -> float32 NIfTI on `grid`, in the image's own unit."""
    mask: Path
    """uint8 NIfTI on `grid`: 1 inside the brain (or head, as the recipe says)."""
    native_mask: Path
    """uint8 NIfTI on `native`: the same mask on the scanner's grid."""
    transforms: Mapping[str, Path]
    """Modality (other than the reference) -> ITK text rigid that maps points of the
    reference's space to the scan's space (what resampling needs; LPS inside the file)."""
    template: Path
    """ITK text affine that maps points of the MNI152 template to the reference's space."""
    scales: Mapping[str, Scale]
    """Modality -> its scale, fitted inside the mask."""
    quality: Mapping[str, float]
    """Figures for the quality verdict: `registration_<modality>` (normalised mutual
    information with the reference, 1 to 2), `coverage_<modality>` (share of the mask that the
    scan shows), `template_correlation`, `mask_volume` (ml), `cut` (cm2 of the brain at the end
    of the field of view), `upright` (Dice with the template as it is, less that turned over), and
    `outliers_<modality>` (voxels held back, where there are any)."""
    stripped: bool
    """True where the reference scan came without skull."""
    key: str
    """sha256 of the inputs' content and the preparation's parameters."""
    conversions: Mapping[str, Conversion] = field(default_factory=dict)
    """Modality -> how the numbers of its scan became those of `images`."""
    coverage: Mapping[str, Path] = field(default_factory=dict)
    """Modality -> uint8 NIfTI on `grid`: 1 where the scan was acquired; only for those that do
    not cover the whole mask."""
    notes: tuple[str, ...] = ()
    """What was odd about the voxels of its scans and how it was taken, and what was seen and
    not used: one line each."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """Modality -> fingerprint of the scan's voxels; empty where an older version prepared it."""
    levels: Mapping[str, TissueLevels] = field(default_factory=dict)
    """Modality -> how bright the tissues are, of images of arbitrary unit that are scaled by
    them."""
    truths: frozenset[str] = frozenset()
    """Modalities that gave nothing to this preparation: their scans were brought to its space
    afterwards, as truth to score against, and are no sources."""

    @property
    def label(self) -> str:
        """Label of the visit."""
        return self.visit.label

    @property
    def mask_image(self) -> Volume:
        """The mask on `grid`."""
        return self._on(self.grid, self.mask)

    @property
    def native_mask_image(self) -> Volume:
        """The mask on `native`."""
        return self._on(self.native, self.native_mask)

    def image(self, modality: str) -> Volume:
        """A prepared image in its modality's unit."""
        return _read_image(self.images[modality], MODALITIES[modality].unit)

    def covered(self, modality: str) -> npt.NDArray[np.bool_] | None:
        """(I, J, K), True where a scan was acquired; None where it covers the whole mask."""
        path = self.coverage.get(modality)
        return None if path is None else _read_mask(path).array > 0

    def _on(self, grid: Grid, path: Path) -> Volume:
        """A mask on its grid to the last digit, which a file keeps only in float32."""
        mask = _read_mask(path)
        mask.require_grid(grid)
        return Volume(mask.array, grid)


def _read_mask(path: Path) -> Volume:
    return _cached_mask(path, _changed(path))


def _read_image(path: Path, unit: str) -> Volume:
    return _cached_image(path, unit, _changed(path))


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


# Of the visit at hand, whose steps follow one another; a run holds far more visits than memory.
@lru_cache(maxsize=4)
def _cached_mask(path: Path, changed: int) -> Volume:  # noqa: ARG001
    return _for_reading(read_mask(path))


@lru_cache(maxsize=4)
def _cached_image(path: Path, unit: str, changed: int) -> Volume:  # noqa: ARG001
    return _for_reading(read_volume(path, unit=unit))


def _for_reading(volume: Volume) -> Volume:
    """Nobody writes into an array that all share."""
    volume.array.flags.writeable = False
    return volume
