"""Array cache: prepared visits as memory-mapped arrays, scaled and masked, made once."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bids_synth.core.coverage import shared_mask
from bids_synth.core.visit import Prepared
from bids_synth.errors import VisitError
from bids_synth.learn.data.patches import Start, start_around
from bids_synth.spatial.grid import Shape
from bids_synth.system.atomic import atomic_write

LIMIT = 1e4
"""Largest scaled value that is kept: what float16 holds, far beyond any tissue."""
FORMAT = "1"
"""Changes when the arrays do, so that older ones are made anew."""


@dataclass(frozen=True, eq=False)
class Stored:
    """The arrays of one prepared visit; reading a window touches only its pages."""

    label: str
    """Label of the visit."""
    participant: str
    """Label without `sub-`."""
    images: dict[str, npt.NDArray[np.float16]]
    """Modality -> scaled image (I, J, K), 0 outside the mask."""
    mask: npt.NDArray[np.uint8]
    """(I, J, K), 1 inside."""
    centres: npt.NDArray[np.uint32]
    """Flat indices of the voxels inside the mask."""
    extras: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """Name -> map that the network is shown beside the sources."""
    folders: tuple[Path, ...] = ()
    """Where the arrays lie: those of the images, and those of the maps where there are any."""

    @property
    def present(self) -> tuple[str, ...]:
        """Modalities that the visit has."""
        return tuple(self.images)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the same files."""
        return reopen, (self.label, self.participant, self.present, self.folders)

    def draw_window(self, rng: np.random.Generator, patch: Shape) -> Start:
        """The window around a voxel of the mask, each as likely as any other."""
        flat = int(self.centres[rng.integers(len(self.centres))])
        centre = [int(n) for n in np.unravel_index(flat, self.mask.shape)]
        return start_around(centre, self.mask.shape, patch)


class MapMaker(Protocol):
    """Makes the maps beside the images of a visit (`Extras`)."""

    def maps(self, prepared: Prepared, mask: npt.NDArray[Any]) -> Mapping[str, Any]:
        """The maps by name."""

    def digest(self, prepared: Prepared) -> str:
        """Changes where they do."""


def open_store(
    prepared: Sequence[Prepared],
    modalities: Sequence[str],
    work: Path,
    extras: MapMaker | None = None,
) -> list[Stored]:
    """The arrays of these visits under `work`, written where they are not there yet.

    Raises VisitError where a prepared image cannot be read or a mask is empty.
    """
    stored = []
    for visit in prepared:
        place = ensure_stored(visit.key, work / "store", partial(_write, visit))
        present = [m for m in modalities if m in visit.images]
        opened = reopen(visit.label, visit.visit.participant, present, [place])
        if extras is not None:
            key = hashlib.sha256((visit.key + extras.digest(visit)).encode()).hexdigest()
            write = partial(_write_maps, visit, extras)
            maps = ensure_stored(key, work / "store", write)
            opened = replace(opened, extras=_maps(maps), folders=(place, maps))
        stored.append(opened)
    return stored


def reopen(
    label: str, participant: str, modalities: Sequence[str], folders: Sequence[Path]
) -> Stored:
    """The arrays of one visit from the folders in which `open_store` has put them."""
    images = {m: _array(folders[0], f"image-{m}") for m in modalities}
    mask, centres = (_array(folders[0], name) for name in ("mask", "centres"))
    extras = _maps(folders[1]) if len(folders) > 1 else {}
    return Stored(label, participant, images, mask, centres, extras, tuple(folders))


def scaled_image(
    prepared: Prepared, modality: str, mask: npt.NDArray[Any]
) -> npt.NDArray[np.float32]:
    """One image in the network's numbers, float32, 0 outside the mask and where not acquired."""
    volume = prepared.image(modality)
    if volume.array.shape != mask.shape:
        message = (
            f"{prepared.images[modality]}: has shape {volume.array.shape}, its mask "
            f"{prepared.mask} has {mask.shape}; delete the work directory and prepare again"
        )
        raise VisitError(message)
    scaled = prepared.scales[modality].apply(volume.array) * mask
    if (there := prepared.covered(modality)) is not None:
        scaled = np.where(there, scaled, 0)
    return np.asarray(np.clip(scaled, -LIMIT, LIMIT), dtype=np.float32)


def ensure_stored(key: str, folder: Path, write: Callable[[Path], None]) -> Path:
    """The folder of arrays of this key, which `write` fills where it is not there yet."""
    place = folder / f"{key[:40]}-{FORMAT}"
    if place.is_dir():
        return place
    try:
        with atomic_write(place, folder=True) as part:
            write(part)
    except OSError:
        # Another fold of the same fit may have been quicker with the same arrays.
        if not place.is_dir():
            raise
    return place


def _write(prepared: Prepared, folder: Path) -> None:
    mask = shared_mask(prepared)
    centres = np.flatnonzero(mask).astype(np.uint32)
    if not len(centres):
        message = f"{prepared.mask}: the mask of {prepared.label} is empty; check its preparation"
        raise VisitError(message)
    save_array(folder / "mask.npy", mask)
    save_array(folder / "centres.npy", centres)
    for modality in prepared.images:
        image = scaled_image(prepared, modality, mask)
        save_array(folder / f"image-{modality}.npy", image.astype(np.float16))


def _write_maps(prepared: Prepared, extras: MapMaker, folder: Path) -> None:
    mask = shared_mask(prepared)
    for name, array in extras.maps(prepared, mask).items():
        kept = np.clip(array, -LIMIT, LIMIT).astype(np.float16)
        save_array(folder / f"{name}.npy", kept.max() if np.ptp(kept) == 0 else kept)
    save_array(folder / "shape.npy", np.asarray(mask.shape))


def save_array(path: Path, array: npt.ArrayLike) -> None:
    """Write an array as .npy; OSError with the file's name where that fails."""
    try:
        np.save(path, array)
    except OSError as error:
        # Of a full disk numpy says only how much was written.
        raise OSError(error.errno or errno.ENOSPC, str(error), str(path)) from error


def _maps(folder: Path) -> dict[str, npt.NDArray[Any]]:
    shape = tuple(np.load(folder / "shape.npy"))
    paths = sorted(p for p in folder.glob("*.npy") if p.stem != "shape")
    return {p.stem: np.broadcast_to(_mapped(p), shape) for p in paths}


def _mapped(path: Path) -> npt.NDArray[Any]:
    single = path.stat().st_size < 1000
    array: npt.NDArray[Any] = np.load(path, mmap_mode=None if single else "r")
    return array


def _array(folder: Path, name: str) -> npt.NDArray[Any]:
    result: npt.NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return result
