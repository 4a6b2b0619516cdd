"""Drawing: all that is random in one training image, as data.

After SynthSeg (Billot 2023, doi:10.1016/j.media.2023.102789) and SynthStrip (Hoopes 2022,
doi:10.1016/j.neuroimage.2022.119474): greys of all structures, shape, resolution, bias, noise and
field of view are drawn anew for every image. Half of the greys follow the order that T1w, T2w,
FLAIR and PDw images have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from bids_synth.segmentation.network import CLASSES
from training.anatomy import SURFACE, Anatomy

Floats = npt.NDArray[np.float32]
TYPICAL = {
    "T1w": {"csf": 0.30, "grey": 0.68, "white": 1.0, "deep": 0.82},
    "T2w": {"csf": 2.40, "grey": 1.35, "white": 1.0, "deep": 1.10},
    "FLAIR": {"csf": 0.25, "grey": 1.30, "white": 1.0, "deep": 1.15},
    "PDw": {"csf": 1.20, "grey": 1.20, "white": 1.0, "deep": 1.12},
}
"""Greys against white matter at 1.5 T."""
DEEP = ("thalamus", "caudate", "putamen", "pallidum", "accumbens")
BENDS = ((3, 4.0), (6, 2.0), (12, 0.8))
"""Knots along an edge and SD, mm, of the displacements of every scale."""


@dataclass(frozen=True)
class Lesion:
    """A ball with a rough surface whose grey differs."""

    centre: tuple[float, float, float]
    """From the middle of the window, in half edges: -1 to 1."""
    radius: float
    """Voxels of the window."""
    change: float
    """Of the grey, times that which is there."""


@dataclass(frozen=True, eq=False)
class Contrast:
    """The greys of one image, and what its scanner did to it."""

    means: Floats
    """Grey of every structure."""
    spreads: Floats
    """SD of the greys within every structure, of voxels."""
    patchy: float
    """Share of that spread that is smooth over several voxels."""
    lesions: tuple[Lesion, ...]
    bias: Floats
    """(n, n, n) logarithms of the gain."""
    blur: float
    """SD, voxels."""
    slices: tuple[int, float] | None
    """Axis and thickness, voxels, of thick slices."""
    gamma: float
    noise: float
    """SD, against the range of the image."""
    silent: bool
    """True where the air is exactly 0, as after masking."""
    stripped: bool
    """True where nothing is shown of the head around the brain."""
    dry: bool
    """True where a stripped brain lacks the fluid on its surface too."""
    crop: tuple[int, float] | None
    """Axis and share of the window that was seen; negative from its end."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """One shape, and the images of it."""

    affine: Floats
    """(3, 4) of mm from the middle of the window to voxels of the label map."""
    bends: tuple[Floats, ...]
    """(3, n, n, n) displacements, mm, at several scales."""
    contrasts: tuple[Contrast, ...]
    seed: int
    """Of the greys of single voxels."""


def draw(rng: np.random.Generator, anatomy: Anatomy, *, contrasts: int = 1) -> Drawing:
    """Everything about `contrasts` images of one shape of a head."""
    return Drawing(
        affine=_draw_affine(rng, anatomy),
        bends=tuple(rng.normal(0, amount, (3, n, n, n)).astype(np.float32) for n, amount in BENDS),
        contrasts=tuple(_draw_contrast(rng, anatomy) for _ in range(contrasts)),
        seed=int(rng.integers(2**31)),
    )


def _draw_affine(rng: np.random.Generator, anatomy: Anatomy) -> Floats:
    centre = anatomy.centre + rng.normal(0, 10, 3) - [0, 0, rng.uniform(0, 12)]
    turn = Rotation.from_euler("xyz", rng.normal(0, 12, 3), degrees=True).as_matrix()
    zoom = np.exp(rng.normal(0, 0.08) + rng.normal(0, 0.05, 3))
    zoom[0] *= rng.choice([-1, 1])
    shear = np.eye(3)
    shear[np.triu_indices(3, 1)] = rng.normal(0, 0.04, 3)
    return np.column_stack([turn @ np.diag(zoom) @ shear, centre]).astype(np.float32)


def _draw_contrast(rng: np.random.Generator, anatomy: Anatomy) -> Contrast:
    means, spreads = _draw_greys(rng, anatomy)
    stripped = not anatomy.whole or bool(rng.random() < 0.2)
    dry = stripped and bool(rng.random() < 0.5)
    bare = _bare(anatomy, stripped=stripped, dry=dry)
    means[bare] = spreads[bare] = 0
    slices = (int(rng.integers(3)), float(rng.uniform(1.2, 3.0))) if rng.random() < 0.3 else None
    share = float(rng.choice([-1, 1]) * rng.uniform(0.6, 0.95))
    return Contrast(
        means=means,
        spreads=spreads,
        patchy=float(rng.uniform(0, 0.8)),
        lesions=_draw_lesions(rng),
        bias=rng.normal(0, rng.uniform(0, 0.35), (4, 4, 4)).astype(np.float32),
        blur=float(rng.uniform(0.2, 0.6)),
        slices=slices,
        gamma=float(np.exp(rng.normal(0, 0.2))),
        noise=float(0.08 * rng.uniform() ** 2),
        silent=bool(stripped or rng.random() < 0.15),
        stripped=stripped,
        dry=dry,
        crop=(int(rng.integers(3)), share) if rng.random() < 0.15 else None,
    )


def _draw_greys(rng: np.random.Generator, anatomy: Anatomy) -> tuple[Floats, Floats]:
    """A grey for each structure: one of its tissue in a known contrast, in none, or any."""
    count, chance = len(anatomy.names), rng.random()
    head = anatomy.tissue == CLASSES.index("head")
    if chance < 0.5:
        means = _draw_typical(rng, anatomy)
    elif chance < 0.8:
        means = rng.uniform(0, 1, len(CLASSES))[anatomy.tissue] + rng.normal(0, 0.05, count)
    else:
        means = rng.uniform(0, 1, count)
    means = means / max(means.max(), 1e-3)
    means[head] = rng.uniform(0, 1.2, head.sum())
    spreads = rng.uniform(0.01, 0.07, count)
    spreads[head] = rng.uniform(0.02, 0.30, head.sum())
    dark = anatomy.tissue == 0
    means[dark] = 0 if rng.random() < 0.85 else rng.uniform(0, 0.2)
    spreads[dark] = 0
    return np.clip(means, 0, None).astype(np.float32), spreads.astype(np.float32)


def _draw_typical(rng: np.random.Generator, anatomy: Anatomy) -> npt.NDArray[np.float64]:
    levels = TYPICAL[str(rng.choice(list(TYPICAL)))]
    levels = {tissue: grey * np.exp(rng.normal(0, 0.12)) for tissue, grey in levels.items()}
    kinds = [
        "deep" if name in DEEP else CLASSES[place]
        for name, place in zip(anatomy.names, anatomy.tissue, strict=True)
    ]
    means = np.array([levels.get(kind, 0.0) for kind in kinds])
    means *= np.exp(rng.normal(0, 0.04, len(means)))
    bright = [name in ("choroid plexus", "vessels", "lesion") for name in anatomy.names]
    means[bright] = rng.uniform(0.2, 1.6, sum(bright))
    return means


def _bare(anatomy: Anatomy, *, stripped: bool, dry: bool) -> npt.NDArray[np.bool_]:
    """The structures that the image lacks."""
    fluid = np.array([name == SURFACE for name in anatomy.names])
    return (anatomy.tissue < 2) & stripped | fluid & dry


def _draw_lesions(rng: np.random.Generator) -> tuple[Lesion, ...]:
    count = int(rng.integers(1, 5)) if rng.random() < 0.3 else 0
    return tuple(
        Lesion(
            centre=(
                float(rng.uniform(-0.5, 0.5)),
                float(rng.uniform(-0.5, 0.5)),
                float(rng.uniform(-0.4, 0.5)),
            ),
            radius=float(np.exp(rng.uniform(np.log(1.0), np.log(12.0)))),
            change=float(rng.choice([rng.uniform(0.2, 0.9), rng.uniform(1.1, 2.2)])),
        )
        for _ in range(count)
    )
