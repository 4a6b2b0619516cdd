"""The only door to ANTs: one thread and a given seed, so that results repeat bit by bit."""

from __future__ import annotations

import os

os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
os.environ.setdefault("ANTS_RANDOM_SEED", "1")

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ants
import numpy as np
from ants.internal import get_pointer_string

from bids_synth.spatial.grid import Affine, Grid
from bids_synth.spatial.itk import LPS, write_itk
from bids_synth.spatial.volume import Volume


@dataclass(frozen=True)
class Stage:
    """One stage of antsRegistration with every argument spelt out, so that none is ignored."""

    transform: str
    """Kind and gradient step, such as `Rigid[0.25]`."""
    iterations: tuple[int, ...]
    """Largest number of iterations, level by level from coarse to fine."""
    shrink: tuple[int, ...]
    """Factors by which each level is thinned out."""
    sigmas: tuple[float, ...]
    """Gaussian smoothing of each level, in voxels."""
    sampling: str = "Regular,0.25"
    """Which voxels the metric reads; `None` is all of them."""


@dataclass(frozen=True)
class Registered:
    """Where the points of the fixed image lie in the moving one."""

    linear: Affine
    """4x4, RAS+ mm of the fixed image -> RAS+ mm of the moving one."""


def to_image(volume: Volume) -> Any:
    """Volume (RAS+) -> ANTs image (LPS+), float32. Inverse: `from_image`."""
    affine = LPS @ volume.grid.affine
    spacing = volume.grid.spacing
    return ants.from_numpy(
        np.ascontiguousarray(volume.array, dtype=np.float32),
        origin=[float(x) for x in affine[:3, 3]],
        spacing=list(spacing),
        direction=affine[:3, :3] / np.asarray(spacing),
    )


def from_image(image: Any) -> Volume:
    """ANTs image (LPS+) -> Volume (RAS+), float32."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(image.direction) * np.asarray(image.spacing)
    affine[:3, 3] = image.origin
    array = image.numpy().astype(np.float32, copy=False)
    return Volume(array, Grid(array.shape, LPS @ affine))


def register(
    fixed: Volume,
    moving: Volume,
    stages: Sequence[Stage],
    *,
    start: Affine,
    seed: int,
) -> Registered:
    """Run antsRegistration (Avants 2011) by Mattes mutual information with 32 bins.

    `start` maps RAS+ mm of `fixed` to `moving`. Raises RuntimeError where ANTs gives up.
    """
    images = [to_image(v) for v in (fixed, moving)]
    with tempfile.TemporaryDirectory(prefix="ants-") as folder:
        first = write_itk(start, Path(folder) / "start.txt")
        arguments = ["-d", "3", "-r", f"{first}", "-o", f"{folder}/out", "-u", "0", "-z", "1"]
        arguments += ["--float", "1", "--random-seed", str(seed)]
        pair = ",".join(get_pointer_string(i) for i in images)
        for stage in stages:
            arguments += _stage(stage, pair)
        ants.registration(arguments, None)
        return _read(Path(folder))


def _stage(stage: Stage, pair: str) -> list[str]:
    def crossed(values: Sequence[float]) -> str:
        return "x".join(f"{v:g}" for v in values)

    return [
        *("--transform", stage.transform),
        *("--metric", f"MI[{pair},1,32,{stage.sampling}]"),
        *("--convergence", f"[{crossed(stage.iterations)},1e-6,10]"),
        *("--shrink-factors", crossed(stage.shrink)),
        *("--smoothing-sigmas", crossed(stage.sigmas) + "vox"),
    ]


def _read(folder: Path) -> Registered:
    linear = ants.read_transform(str(folder / "out0GenericAffine.mat"))
    origin = np.array([linear.apply_to_point((0.0, 0.0, 0.0))])
    axes = [linear.apply_to_point(tuple(row)) for row in np.eye(3)]
    matrix = np.eye(4)
    matrix[:3, :3] = (np.array(axes) - origin).T
    matrix[:3, 3] = origin[0]
    return Registered(LPS @ matrix @ LPS)


def bias_field(volume: Volume, mask: Volume) -> Volume:
    """Field by which an image is to be divided (N4, Tustison 2010), on its own grid."""
    positive = volume.with_array(np.maximum(volume.array, 1e-3))
    field = ants.n4_bias_field_correction(
        to_image(positive),
        mask=to_image(mask),
        shrink_factor=1,
        convergence={"iters": [50, 50, 30], "tol": 1e-6},
        return_bias_field=True,
    )
    return from_image(field)
