"""Anatomy: the template's head as fuzzy tissues, and one participant's version of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.demo.head.deformation import Deformation
from bids_synth.demo.head.head import OUTSIDE, inner_surface, outside, signed_distance
from bids_synth.demo.head.shapes import Array, Canvas, coverage, ellipsoid, mirrored, tube
from bids_synth.demo.head.tissue import TISSUES
from bids_synth.demo.scanner.resampling import interpolate
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.template import template_mask, template_t1w, template_tissue

REGIONS = ("striatum", "thalamus", "pallidum", "brainstem", "cerebellum")
MAPS = ("outline", "grey", "white", *REGIONS, *OUTSIDE)
"""What the template knows of a voxel: brain's outline, tissues inside and outside the skull."""
FIRST_OUTSIDE = 3 + len(REGIONS)
LOW, HIGH = (-96.0, -132.0, -116.0), (96.0, 118.0, 106.0)
"""RAS+ mm of the box that holds a head."""
WALL_REACH = 14.0
"""Distance in mm from the ventricles up to which it is known."""
SHARPEN = 1.7
"""Power of the average maps that makes them as crisp as one head's."""
SLAB = 8
"""Planes composed at a time, to keep memory modest."""


@dataclass(frozen=True, eq=False)
class Template:
    """The average head on a box grid with axes along x, y, z."""

    grid: Grid
    shares: npt.NDArray[np.uint8]
    """(I, J, K, `MAPS`): 255 is all of the voxel."""
    distances: Array
    """(I, J, K, 2): signed mm to the skull's inner surface and to the ventricles' wall."""
    head: npt.NDArray[np.bool_]
    """Voxels that are not only air."""

    def lesion_sites(self) -> npt.NDArray[np.float64]:
        """(N, 3) mm of white matter 2 to 10 mm from the ventricles, above the temporal lobes."""
        wall = self.distances[..., 1]
        deep = (self.shares[..., MAPS.index("white")] > 230) & (wall > 2) & (wall < 10)
        points = self.grid.to_mm(np.argwhere(deep))
        return np.asarray(points[points[:, 2] > 5])


@dataclass(frozen=True, eq=False)
class Form:
    """How one participant's head differs from the template."""

    deformation: Deformation
    """Participant mm -> template mm."""
    cortex: float
    """Log odds added to grey matter: thickness of the cortex."""
    sulci: float
    """Log odds added to cerebrospinal fluid: width of the sulci."""
    ventricles: float
    """mm by which the ventricles' wall moves outwards."""
    lesions: npt.NDArray[np.float64]
    """(N, 4): template mm of each lesion's centre, and its radius in mm."""


def box_grid(spacing: float) -> Grid:
    """The grid on which heads are composed."""
    shape = [round((b - a) / spacing) + 1 for a, b in zip(LOW, HIGH, strict=True)]
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = LOW
    return Grid((shape[0], shape[1], shape[2]), affine)


@lru_cache(maxsize=2)
def build_template(spacing: float) -> Template:
    """The template's head at a voxel size of 1 mm or more."""
    grid = box_grid(spacing)
    grey, white = (_on_box(template_tissue(name).array, grid) for name in ("gm", "wm"))
    hull = _hull(grid)
    fluid = np.clip(1 - grey - white, 0, 1)
    outline = _on_box(template_mask().array.astype(np.float32), grid)
    maps = [outline, grey, white, *_regions(grid), *outside(grid, hull)]
    shares = np.empty((*grid.shape, len(maps)), np.uint8)
    for row, share in enumerate(maps):
        shares[..., row] = share * np.float32(255) + np.float32(0.5)
    air = shares[..., FIRST_OUTSIDE + OUTSIDE.index("air")]
    head = ndimage.binary_dilation((air < 255) | (hull < spacing))
    distances = np.stack([hull, _ventricles(fluid, hull, grid)], axis=-1)
    return Template(grid, shares, distances, head)


def compose(template: Template, form: Form) -> Iterator[tuple[slice, npt.NDArray[Any], Array]]:
    """The participant's tissues, slab by slab, on the template's box grid.

    Yields the slab of planes, which of its voxels are not only air (bool, flat), and the
    fractions (len(TISSUES) + 1, N) of those, which sum to 1; the extra row is the share of the
    voxel inside the brain's outline (ventricles and sulci included).
    """
    points = form.deformation.on(template.grid)
    origin, spacing = template.grid.affine[:3, 3].astype(np.float32), template.grid.spacing[0]
    last = np.array(template.grid.shape, np.float32)[:, None] - 1
    for start in range(0, template.grid.shape[0], SLAB):
        slab = slice(start, min(start + SLAB, template.grid.shape[0]))
        index = (points[:, slab].reshape(3, -1) - origin[:, None]) / np.float32(spacing)
        i, j, k = np.rint(np.clip(index, 0, last)).astype(np.intp)
        head = template.head[i, j, k]
        inside = np.ascontiguousarray(index[:, head])
        shares = interpolate(template.shares, inside) / np.float32(255)
        hull, wall = interpolate(template.distances, inside)
        mm = inside * np.float32(spacing) + origin[:, None]
        yield slab, head, _mix(shares, hull, wall, _lesion_share(mm, form.lesions), form, spacing)


def _mix(
    shares: Array, hull: Array, wall: Array, lesion: Array, form: Form, spacing: float
) -> Array:
    brain = coverage(hull, spacing)
    result = np.zeros((len(TISSUES) + 1, hull.size), np.float32)
    for row, tissue in enumerate(OUTSIDE, start=FIRST_OUTSIDE):
        result[TISSUES.index(tissue)] = shares[row] * (1 - brain)
    within = np.flatnonzero(brain > 0)
    parts = _parenchyma(shares[1:FIRST_OUTSIDE, within], wall[within], form, spacing)
    parts["lesion"] = parts["white"] * lesion[within]
    parts["white"] = parts["white"] - parts["lesion"]
    for tissue, share in parts.items():
        result[TISSUES.index(tissue), within] += share * brain[within]
    np.maximum(result, 0, out=result)
    result[:-1] /= result[:-1].sum(axis=0)
    result[-1] = shares[0]
    return result


def _parenchyma(shares: Array, wall: Array, form: Form, spacing: float) -> dict[str, Array]:
    grey, white, striatum, thalamus, pallidum, brainstem, cerebellum = shares
    fluid = np.clip(1 - grey - white, 0, 1) ** SHARPEN * np.exp(np.float32(form.sulci))
    grey = grey**SHARPEN * np.exp(np.float32(form.cortex))
    white = white**SHARPEN + np.float32(1e-4)
    total = grey + white + fluid
    grey, white, fluid = grey / total, white / total, fluid / total
    # The average of many heads has a grey rim along the ventricles that no single head has.
    near = np.clip((5 - wall) / 2, 0, 1)
    rim = grey * near * np.clip(1 - striatum - thalamus - brainstem - cerebellum, 0, 1)
    grey, white = grey - rim, white + rim
    wet = fluid * (1 - near) + coverage(wall - form.ventricles, spacing) * near
    dry = (1 - wet) / (grey + white)
    grey, white = grey * dry, white * dry
    parts = {"csf": wet}
    for tissue, region in (
        ("thalamus", thalamus),
        ("pallidum", pallidum),
        ("brainstem", brainstem),
    ):
        parts[tissue] = region * (grey + white)
        grey, white = grey * (1 - region), white * (1 - region)
    for tissue, region in (("striatum", striatum), ("cerebellum", cerebellum)):
        parts[tissue] = region * grey
        grey = grey * (1 - region)
    return {**parts, "grey": grey, "white": white}


def _lesion_share(points: Array, lesions: npt.NDArray[np.float64]) -> Array:
    share = np.zeros(points.shape[1], np.float32)
    for x, y, z, radius in lesions.astype(np.float32):
        near = np.flatnonzero((np.abs(points[0] - x) < 2 * radius) & (np.abs(points[2] - z) < 8))
        offset = points[:, near] - np.array([[x], [y], [z]])
        # Lesions stand on the ventricles' wall: longer across than along it, as Dawson described.
        distance = np.sqrt((offset[0] / 1.4) ** 2 + offset[1] ** 2 + offset[2] ** 2)
        share[near] = np.maximum(share[near], np.clip((radius - distance) / 1.5 + 0.5, 0, 1))
    return share


def _hull(grid: Grid) -> Array:
    coarse = box_grid(max(2.0, grid.spacing[0]))
    mask = _on_box(template_mask().array.astype(np.float32), coarse)
    distance = inner_surface(mask, coarse.spacing[0])
    zoom = np.array(grid.spacing) / coarse.spacing
    return np.asarray(
        ndimage.affine_transform(distance, np.diag(zoom), 0, grid.shape, order=1, mode="nearest")
    )


def _on_box(volume: npt.NDArray[Any], grid: Grid) -> Array:
    source = template_t1w().grid
    blur = np.sqrt(max((0.42 * grid.spacing[0]) ** 2 - 0.42**2, 0))
    smooth = ndimage.gaussian_filter(volume, blur) if blur else volume
    offset = source.to_index(grid.to_mm([0, 0, 0]))
    return np.asarray(
        ndimage.affine_transform(
            smooth, np.diag(grid.spacing), offset, grid.shape, order=1, output=np.float32
        )
    )


def _regions(grid: Grid) -> list[Array]:
    solids = {
        "striatum": [
            mirrored(tube, [(10, 20, -4), (13, 12, 8), (17, -6, 20), (20, -22, 22)], [8, 7, 5, 3]),
            mirrored(ellipsoid, (26, 3, 1), (7, 17, 11)),
        ],
        "thalamus": [mirrored(ellipsoid, (10, -18, 7), (10, 15, 9.5))],
        "pallidum": [mirrored(ellipsoid, (19, -4, -1), (4.5, 9, 6.5))],
        "brainstem": [tube([(0, -20, -8), (0, -28, -34), (0, -44, -80)], [15, 17, 12])],
        "cerebellum": [ellipsoid((0, -64, -38), (58, 36, 27))],
    }
    result = []
    for name in REGIONS:
        canvas = Canvas(grid)
        for solid in solids[name]:
            canvas.draw(name, solid)
        result.append(ndimage.gaussian_filter(canvas.fractions[name], 1.0 / grid.spacing[0]))
    return result


def _ventricles(fluid: Array, hull: Array, grid: Grid) -> Array:
    x, y, z = Canvas(grid).axes()
    middle = (np.abs(x) < np.where(y > -28, 21, 36)) & (y < 38) & (y > -78) & (z < 34)
    deep, _ = ndimage.label((fluid > 0.5) & (hull < -14) & middle)
    sizes = np.bincount(deep.ravel()) * grid.spacing[0] ** 3
    sizes[0] = 0
    wet = np.isin(deep, np.flatnonzero(sizes > 400))
    rim = int(WALL_REACH / grid.spacing[0])
    around = tuple(
        slice(max(s.start - rim, 0), s.stop + rim)
        for s in ndimage.find_objects(wet.astype(np.uint8))[0]
    )
    result = np.full(grid.shape, WALL_REACH, np.float32)
    result[around] = signed_distance(wet[around], grid.spacing[0], blur=0.6)
    return result
