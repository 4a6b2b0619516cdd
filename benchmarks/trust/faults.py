"""Faults: what is wrong with the scans of a visit, one kind at a time, drawn into real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.core.tissue.levels import TissueLevels, level_curve
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scans:
    """What a visit has, and what its faults are made with."""

    images: Mapping[str, Volume]
    """Modality -> scan; the first one is the one that breaks."""
    levels: Mapping[str, TissueLevels]
    """Modality -> how bright its tissues are, in its own unit."""
    other: Mapping[str, Volume]
    """The same modalities of somebody else."""
    contrast: Volume | None = None
    """A T1w after contrast agent, where there is one."""

    @property
    def first(self) -> str:
        """The scan that breaks."""
        return next(iter(self.images))

    def having(self, **changed: Volume) -> Mapping[str, Volume]:
        """The scans with some of them replaced."""
        return {**self.images, **changed}


Fault = Callable[[Scans, np.random.Generator], Mapping[str, Volume] | None]
"""The broken scans; None where this visit cannot have the fault."""


def swapped(scans: Scans, _: np.random.Generator) -> Mapping[str, Volume] | None:
    """Two scans under one another's names."""
    if len(scans.images) < 2:
        return None
    one, other = list(scans.images)[:2]
    return scans.having(**{one: scans.images[other], other: scans.images[one]})


def of_another(scans: Scans, _: np.random.Generator) -> Mapping[str, Volume] | None:
    """The second scan is of another person: no shift or turn aligns it."""
    if len(scans.images) < 2:
        return None
    second = list(scans.images)[1]
    return scans.having(**{second: scans.other[second]})


def ghosts(scans: Scans, rng: np.random.Generator) -> Mapping[str, Volume]:
    """Motion in the phase direction: shifted copies and lines that are out of place."""
    volume = scans.images[scans.first]
    lines = np.fft.fft(volume.array, axis=1)
    count = lines.shape[1]
    moved: npt.NDArray[np.bool_] = np.asarray(rng.random(count) < 0.35)
    moved[: count // 20] = moved[-count // 20 :] = False
    shift = rng.normal(0, 6, count) / volume.grid.spacing[1]
    phase = np.exp(-2j * np.pi * np.fft.fftfreq(count) * np.where(moved, shift, 0))
    array = np.abs(np.fft.ifft(lines * phase[None, :, None], axis=1))
    return scans.having(**{scans.first: _like(volume, array)})


def cropped(scans: Scans, _: np.random.Generator) -> Mapping[str, Volume]:
    """The field of view ends in the middle of the head: a third of it is not there."""
    volume = scans.images[scans.first].canonical()
    inside = np.flatnonzero(_head(volume).any(axis=(0, 1)))
    top = int(inside[0] + 0.62 * len(inside))
    grid = volume.grid.crop((0, 0, 0), (*volume.grid.shape[:2], top))
    return scans.having(**{scans.first: Volume(volume.array[:, :, :top].copy(), grid)})


def upside_down(scans: Scans, _: np.random.Generator) -> Mapping[str, Volume]:
    """Every scan says that feet are where the head is."""
    return {m: _flipped(v, axis=2) for m, v in scans.images.items()}


def thick(scans: Scans, _: np.random.Generator) -> Mapping[str, Volume]:
    """Slices of 6 mm."""
    volume = scans.images[scans.first].canonical()
    spacing = [*volume.grid.spacing[:2], 6.0]
    return scans.having(**{scans.first: resample(volume, volume.grid.with_spacing(spacing))})


def contrast_agent(scans: Scans, rng: np.random.Generator) -> Mapping[str, Volume] | None:
    """The T1w is one after contrast agent; drawn as bright vessels where nobody has a real one."""
    if scans.first != "T1w":
        return None
    if scans.contrast is not None:
        return scans.having(T1w=scans.contrast)
    volume = scans.images["T1w"]
    head, white = _head(volume), scans.levels["T1w"].white
    array = volume.array.copy()
    middle = np.argwhere(head).mean(0)
    places = np.stack(np.meshgrid(*[np.arange(n) for n in array.shape], indexing="ij"), -1)
    distance = np.abs((places - middle) * volume.grid.spacing)
    vessels = (distance[..., 0] < 3) & ~ndimage.binary_erosion(head, iterations=7) & head
    for _ in range(30):
        seed = places[head][rng.integers(int(head.sum()))]
        vessels |= (np.abs((places - seed) * volume.grid.spacing) < (2, 2, 12)).all(-1) & head
    array[vessels] = 1.9 * white
    return scans.having(T1w=_like(volume, array))


def mass(scans: Scans, rng: np.random.Generator) -> Mapping[str, Volume]:
    """A cyst of 5 cm with a rim, of which nobody who taught had the like; in every scan."""
    place = rng.uniform(-1, 1, 3)
    result = {}
    for name, volume in scans.images.items():
        levels, distance = scans.levels.get(name), _from(volume, _centre(volume, place))
        fluid = np.nan if levels is None else levels.fluid
        value = fluid if np.isfinite(fluid) else 0.2 * _bright(volume)
        array = np.where(distance < 25, value, volume.array)
        rim = (distance >= 25) & (distance < 29)
        result[name] = _like(volume, np.where(rim, 1.3 * _bright(volume), array))
    return result


def infant(scans: Scans, _: np.random.Generator) -> Mapping[str, Volume] | None:
    """Grey matter as bright as white matter is, and the other way round: a brain of six months."""
    changed = {}
    for name, volume in scans.images.items():
        own = scans.levels.get(name)
        if own is None:
            continue
        curve = level_curve(own, replace(own, white=own.grey, grey=own.white))
        if curve is not None:
            array = np.where(_head(volume), np.interp(volume.array, *curve), volume.array)
            changed[name] = _like(volume, np.maximum(array, 0))
    return scans.having(**changed) if changed else None


def metal(scans: Scans, _: np.random.Generator) -> Mapping[str, Volume]:
    """No signal around a metal implant, and a bright rim around that."""
    volume = scans.images[scans.first]
    distance = _from(volume, _centre(volume, np.array([0.3, 0.6, 0.3])))
    array = np.where(distance < 22, 0, volume.array)
    rim = (distance >= 22) & (distance < 26)
    return scans.having(**{scans.first: _like(volume, np.where(rim, 2 * _bright(volume), array))})


def water(scans: Scans, rng: np.random.Generator) -> Mapping[str, Volume]:
    """A bottle of water in place of a head."""
    result = {}
    for name, volume in scans.images.items():
        bottle = _from(volume, _centre(volume, np.zeros(3))) < 75
        level = _bright(volume)
        array = np.where(bottle, level * (1 + 0.03 * rng.normal(size=bottle.shape)), 0)
        result[name] = _like(volume, array)
    return result


def scaled_wrongly(scans: Scans, _: np.random.Generator) -> Mapping[str, Volume] | None:
    """A map in a unit that is ten times another; an arbitrary unit cannot be wrong."""
    if scans.first != "cbf":
        return None
    volume = scans.images["cbf"]
    return scans.having(cbf=_like(volume, 10 * volume.array))


FAULTS: Mapping[str, Fault] = {
    "contrasts swapped": swapped,
    "scan of another person": of_another,
    "motion ghosts": ghosts,
    "wrong unit (map times 10)": scaled_wrongly,
    "cropped head": cropped,
    "upside down": upside_down,
    "slices of 6 mm": thick,
    "contrast agent": contrast_agent,
    "cyst of 5 cm": mass,
    "infant contrast": infant,
    "metal": metal,
    "bottle of water": water,
}


def _like(volume: Volume, array: npt.NDArray[np.floating]) -> Volume:
    return volume.with_array(array.astype(np.float32))


def _bright(volume: Volume) -> float:
    return float(np.percentile(volume.array[_head(volume)], 90))


def _head(volume: Volume) -> npt.NDArray[np.bool_]:
    high = np.percentile(volume.array, 99)
    filled = ndimage.binary_fill_holes(volume.array > 0.1 * high)
    return np.asarray(filled)


def _centre(volume: Volume, toward: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A point, mm, up to 25 mm from the middle of what is bright."""
    middle = np.argwhere(_head(volume)).mean(0)
    return np.asarray(volume.grid.to_mm(middle)) + 25 * toward


def _from(volume: Volume, centre: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    places = np.stack(np.meshgrid(*[np.arange(n) for n in volume.grid.shape], indexing="ij"), -1)
    return np.asarray(np.linalg.norm(volume.grid.to_mm(places.reshape(-1, 3)) - centre, axis=1)
                      .reshape(volume.grid.shape))  # fmt: skip


def _flipped(volume: Volume, axis: int) -> Volume:
    affine = volume.grid.affine.copy()
    affine[axis] *= -1
    return Volume(volume.array, Grid(volume.grid.shape, affine))
