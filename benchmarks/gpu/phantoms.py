"""Phantoms: prepared visits made on the spot, in which every target follows from its sources."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from benchmarks.gpu.figure import Settings
from benchmarks.toys import prepared_of
from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import Scale, fit_scale
from bids_synth.core.visit import Prepared
from bids_synth.learn.data.array_cache import Stored, open_store
from bids_synth.learn.data.auxiliary_inputs import auxiliary_inputs_of
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.grid import Grid, Shape
from bids_synth.spatial.volume import Volume, write_text, write_volume

Image = npt.NDArray[np.floating]
NOISE = 0.01
"""Of the images, in shares of their range."""
BRAIN = (136, 172, 132)
"""mm along each axis of an ellipsoid as large as a brain."""
SCALES = "scales.json"
"""There when all else of a visit is."""


def brain(shape: Shape, spacing: float) -> npt.NDArray[np.uint8]:
    """An ellipsoid of a brain's size in the middle of a grid, or one that just fills it."""
    reach = [min(mm / spacing, n) / 2 for mm, n in zip(BRAIN, shape, strict=True)]
    axes = [(np.arange(n) - (n - 1) / 2) / r for n, r in zip(shape, reach, strict=True)]
    i, j, k = np.ix_(*axes)
    return np.asarray(i**2 + j**2 + k**2 < 1, np.uint8)


def images_of(seed: Sequence[int], shape: Shape) -> dict[str, Image]:
    """Every modality in its unit, from two smooth fields: one of tissue and one of its own."""
    rng = np.random.default_rng(seed)
    tissue, water = (_field(rng, shape, width) for width in (2.0, 3.5))
    scaled = {
        "T1w": (50, 800, tissue),
        "PDw": (90, 1000, water),
        "T2w": (20, 400, np.exp(-3 * tissue) * (0.3 + 0.7 * water)),
        "FLAIR": (30, 500, (1 - tissue) * water),
        "ct": (-900, 1800, tissue**2),
        "pet": (0.2, 4, 0.3 + 0.7 * tissue * water),
        "cbf": (10, 70, 0.2 + 0.8 * tissue),
        "cbv": (1, 5, 0.2 + 0.8 * water),
        "T2map": (0.06, 0.08, water),
        "T2starmap": (0.03, 0.03, tissue * water),
        "cmro2": (40, 160, 0.2 + 0.8 * tissue * (1 - 0.5 * water)),
    }
    return {m: low + span * _noisy(values, rng) for m, (low, span, values) in scaled.items()}


def phantom(
    folder: Path,
    number: int,
    shape: Shape,
    spacing: float,
    modalities: Sequence[str] | None = None,
) -> Prepared:
    """One prepared visit, written where it is not there yet.

    Its images depend on its number and its shape alone.
    """
    person, affine = f"{number:02d}", np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = -spacing * (np.array(shape) - 1) / 2
    grid, place = Grid(shape, affine), folder / f"sub-{person}"
    if not (place / SCALES).is_file():
        _write(place, number, grid, modalities)
    scales = json.loads((place / SCALES).read_text("utf-8"))
    paths = {m: place / f"{m}.nii" for m in scales}
    return replace(
        prepared_of(grid, paths, place / "mask.nii", participant=person),
        scales={m: Scale(**scale) for m, scale in scales.items()},
        quality={"template_correlation": 0.9, "mask_volume": 1300.0},
        key=hashlib.sha256(f"{number}/{shape}/{list(scales)}".encode()).hexdigest(),
    )


def _write(place: Path, number: int, grid: Grid, modalities: Sequence[str] | None) -> None:
    """Images, mask and, last, the scales of a visit."""
    images, mask = images_of([number, *grid.shape], grid.shape), brain(grid.shape, grid.spacing[0])
    scales = {}
    for modality in modalities or images:
        image = images[modality]
        write_volume(Volume(image.astype(np.float32), grid), place / f"{modality}.nii")
        scales[modality] = asdict(fit_scale(MODALITIES[modality], image[mask > 0]))
    write_volume(Volume(mask, grid), place / "mask.nii")
    write_text(json.dumps(scales), place / SCALES)


def brains(settings: Settings) -> list[Prepared]:
    """Two visits with all modalities at 1 mm."""
    return _kept(settings, "brains", (144, 180, 140), 1.0)


def small_brains(settings: Settings) -> list[Prepared]:
    """The same at 3.5 mm, for what the processor has to make too."""
    return _kept(settings, "small-brains", (40, 50, 40), 3.5)


def _kept(settings: Settings, name: str, shape: Shape, spacing: float) -> list[Prepared]:
    """Visits that are made once for all parts; in a rehearsal they are tiny."""
    if settings.tiny:
        name, shape, spacing = "tiny-brains", (18, 22, 18), 8.0
    return [phantom(Path(settings.work) / name, n, shape, spacing) for n in (1, 2)]


def store(recipe: Recipe, visits: Sequence[Prepared], work: Path) -> list[Stored]:
    """The arrays from which a fit of the recipe learns."""
    extras = auxiliary_inputs_of(recipe, visits)
    return open_store(visits, tuple(recipe.modalities), work, extras)


def _field(rng: np.random.Generator, shape: Shape, width: float) -> Image:
    """A smooth random field between 0 and 1."""
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), width)
    return np.asarray(1 / (1 + np.exp(-1.5 * smooth / smooth.std())), np.float32)


def _noisy(values: Image, rng: np.random.Generator) -> Image:
    noise = np.float32(NOISE) * rng.standard_normal(values.shape, np.float32)
    return np.asarray(np.clip(values + noise, 0.01, 1.2))
