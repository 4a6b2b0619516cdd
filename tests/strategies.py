"""hypothesis strategies: grids as scanners make them, and volumes with a landmark on them."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from bids_synth.spatial.grid import Affine, Grid
from bids_synth.spatial.volume import Volume

ORIENTATIONS = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]
"""The 48 ways in which three axes may point."""


@st.composite
def directions(draw: st.DrawFn, *, tilt: float = 40.0) -> np.ndarray:
    """3x3 unit columns: one of the 48 orientations, turned by up to `tilt` degrees."""
    order, signs = draw(st.sampled_from(ORIENTATIONS))
    axis = draw(st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0.8, 0), (0.5, 0.5, 0.7)]))
    degrees = draw(st.one_of(st.just(0.0), st.floats(-tilt, tilt)))
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array(axis) / np.linalg.norm(axis))
    return turn.as_matrix() @ (np.eye(3)[:, list(order)] * signs)


@st.composite
def grids(
    draw: st.DrawFn, *, spacing: tuple[float, float] = (0.5, 5.0), side: float | None = None
) -> Grid:
    """Any orientation, oblique, anisotropic; `side` mm along each axis, or 3 to 12 voxels."""
    sizes = np.array([draw(st.floats(*spacing)) for _ in range(3)])
    lengths = (
        [draw(st.integers(3, 12)) for _ in range(3)]
        if side is None
        else [int(n) for n in np.ceil(side / sizes)]
    )
    affine = np.eye(4)
    affine[:3, :3] = draw(directions()) * sizes
    affine[:3, 3] = [draw(st.floats(-150, 150)) for _ in range(3)]
    return Grid((lengths[0], lengths[1], lengths[2]), affine)


@st.composite
def rigid_maps(draw: st.DrawFn, *, shift: float = 20.0, turn: float = 30.0) -> Affine:
    """4x4 rigid maps of RAS+ mm."""
    degrees = [draw(st.floats(-turn, turn)) for _ in range(3)]
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = [draw(st.floats(-shift, shift)) for _ in range(3)]
    return matrix


def blob(grid: Grid, centre: np.ndarray, width: float) -> Volume:
    """A Gaussian of standard deviation `width` mm around a point in RAS+ mm."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    distance = ((grid.to_mm(index) - centre) ** 2).sum(-1)
    return Volume(np.exp(-0.5 * distance / width**2).astype(np.float32), grid)


def centre_of(volume: Volume) -> np.ndarray:
    """Centre of mass in RAS+ mm."""
    index = np.argwhere(np.ones(volume.grid.shape, bool))
    weight = volume.array.astype(np.float64).ravel()
    return (volume.grid.to_mm(index) * weight[:, None]).sum(0) / weight.sum()
