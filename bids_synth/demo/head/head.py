"""Head: skull, scalp, face and neck around the template's brain, which comes without them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.demo.head.shapes import (
    Array,
    Canvas,
    coverage,
    ellipsoid,
    mirrored,
    smooth_union,
    tube,
)
from bids_synth.spatial.grid import Grid

OUTSIDE = ("air", "white", "csf", "bone", "marrow", "fat", "skin", "muscle", "eye", "blood")
"""Tissues outside the skull's inner surface, in the order of `outside`."""
GAP = 1.5
"""Subarachnoid space around the brain in mm."""
SCALP = 5.5
"""Skin, fat and galea over the skull in mm."""
CORD = ((0.0, -41.0, -60.0), (0.0, -46.0, -76.0), (0.0, -44.0, -140.0))
"""Course of the spinal cord in template mm."""


def outside(grid: Grid, hull: Array) -> list[Array]:
    """Fractions (I, J, K) by `OUTSIDE` of everything that is not inside the skull.

    `hull` is the signed distance in mm to the skull's inner surface, negative inside; a voxel
    inside holds what would be there without a brain.
    """
    canvas = Canvas(grid)
    skull = _skull_thickness(canvas)
    skin = _skin(canvas, hull, skull)
    canvas.paint("air", coverage(-skin, grid.spacing[0]))
    _airways(canvas, hull)
    _eyes(canvas)
    _spine(canvas)
    _vessels(canvas)
    canvas.paint("skin", coverage(-skin - 2.0, grid.spacing[0]))
    _calvaria(canvas, hull, skull)
    _face_bones(canvas)
    _soft_tissue(canvas, hull, skin, skull)
    canvas.paint("muscle", np.ones((), np.float32))
    return [canvas.fractions[tissue] for tissue in OUTSIDE]


def _skull_thickness(canvas: Canvas) -> Array:
    x, y, z = canvas.axes()
    occiput = 2.5 * np.exp(-(((y + 105) / 25) ** 2) - ((z + 5) / 25) ** 2)
    temple = -3.0 * np.exp(-(((np.abs(x) - 70) / 18) ** 2) - (y / 35) ** 2 - ((z + 12) / 22) ** 2)
    base = -2.0 * np.clip((-20 - z) / 20, 0, 1)
    return np.asarray(7.0 + occiput + temple + base, np.float32)


def _skin(canvas: Canvas, hull: Array, skull: Array) -> Array:
    x, y, z = canvas.axes()
    temple = 7.0 * np.exp(-(((np.abs(x) - 66) / 22) ** 2) - ((y - 22) / 30) ** 2)
    temple = temple * np.clip((28 - z) / 30, 0, 1)
    head = np.asarray(hull - skull - SCALP - temple, np.float32)
    face = ellipsoid((0, 24, -84), (66, 68, 82)).distance(x, y, z)
    nose = ellipsoid((0, 92, -66), (12, 17, 19)).distance(x, y, z)
    neck = np.asarray(np.maximum(np.hypot(x / 58, (y + 28) / 60) * 58 - 58, z + 48))
    ear = np.maximum(
        ellipsoid((80, -24, -40), (9, 15, 27)).distance(np.abs(x), y, z),
        -ellipsoid((86, -20, -40), (6, 10, 20)).distance(np.abs(x), y, z),
    )
    result = smooth_union(smooth_union(head, face, 16), neck, 14)
    return smooth_union(smooth_union(result, nose, 10), ear, 3)


def _airways(canvas: Canvas, hull: Array) -> None:
    x, y, z = canvas.axes()
    clear = 2.5 - hull
    septa = np.sin(x / 1.6) * np.sin(y / 1.9 + 0.5) * np.sin(z / 1.8) * 3 - 0.6
    canvas.draw("air", mirrored(ellipsoid, (27, 48, -66), (14, 15, 16)))
    canvas.draw("air", mirrored(ellipsoid, (9, 80, -14), (8, 6, 9)), clear - 1)
    canvas.draw("air", mirrored(ellipsoid, (7, 12, -38), (7, 12, 9)), clear)
    canvas.draw("air", mirrored(ellipsoid, (6, 50, -40), (6, 20, 13)), np.maximum(clear, septa))
    canvas.draw("air", mirrored(ellipsoid, (48, -34, -50), (9, 12, 15)), septa)
    meatus = np.abs(np.sin((z + 72) / 3.4)) * 5 - 3.4 + 0.0 * x
    nasal = np.maximum(meatus + 0.0 * y, 1.2 - np.abs(x) + 0.0 * y + 0.0 * z)
    canvas.draw("air", ellipsoid((0, 62, -66), (13, 30, 17)), np.asarray(nasal))
    canvas.draw("air", tube([(0, 22, -66), (0, 6, -84), (0, 2, -140)], [8, 7, 8]))
    canvas.draw("air", tube([(0, 40, -91), (0, 84, -95)], [2.0, 2.0]))
    canvas.draw("air", mirrored(tube, [(52, -22, -44), (84, -24, -42)], [2.5, 3.5]))


def _eyes(canvas: Canvas) -> None:
    canvas.draw("muscle", mirrored(ellipsoid, (33, 70.5, -39), (4.5, 2.0, 4.5)))
    canvas.draw("eye", mirrored(ellipsoid, (33, 62, -39), (11.5, 11.5, 11.5)))
    canvas.draw("skin", mirrored(ellipsoid, (33, 62, -39), (12.7, 12.7, 12.7)))
    nerve = [(33, 51, -39), (19, 28, -33), (4, 6, -19)]
    canvas.draw("white", mirrored(tube, nerve, [2.0, 2.0, 2.5]))
    for dx, dz in ((11, 0), (-9, 0), (0, 10), (0, -10)):
        belly = [(33 + dx, 58, -39 + dz), (28 + 0.7 * dx, 44, -37 + 0.7 * dz), (17, 24, -33)]
        canvas.draw("muscle", mirrored(tube, belly, [1.0, 2.4, 1.2]))


def _spine(canvas: Canvas) -> None:
    canvas.draw("white", tube(CORD, [6.5, 5.5, 5.0]))
    canvas.draw("csf", tube(CORD, [13.0, 10.0, 9.0]))
    front = [(0, -24, -76), (0, -22, -140)]
    for level in range(4):
        z = -88 - 18 * level
        canvas.draw("muscle", ellipsoid((0, -22, z - 9), (10, 10, 2.5)))
    canvas.draw("marrow", tube(front, [4.0, 8.0]))
    canvas.draw("bone", tube(front, [6.0, 10.0]))
    for level in range(3):
        z = -86 - 18 * level
        arch = [(15.0, -38.0, z), (13.0, -54.0, z - 2.0), (2.0, -64.0, z - 4.0)]
        canvas.draw("marrow", mirrored(tube, arch, [3.5, 2.5, 2.5]))
        canvas.draw("bone", mirrored(tube, arch, [5.5, 4.5, 4.5]))


def _vessels(canvas: Canvas) -> None:
    carotid = [(24, 0, -140), (24, -4, -70), (20, 0, -56), (11, 4, -44), (11, 10, -30)]
    canvas.draw("blood", mirrored(tube, carotid, [3.2, 2.8, 2.6, 2.4, 2.2]))
    jugular = [(31, -6, -140), (29, -16, -62)]
    canvas.draw("blood", mirrored(tube, jugular, [4.5, 4.0]))


def _calvaria(canvas: Canvas, hull: Array, skull: Array) -> None:
    x, y, z = canvas.axes()
    spacing = canvas.grid.spacing[0]
    dome = np.clip((z + 22) / 14, 0, 1)
    table = 1.7 + 2.0 * (1 - dome)
    diploe = np.maximum(table - hull, hull - (skull - table))
    canvas.paint("marrow", coverage(diploe, spacing) * np.clip((skull - 4.5) / 2, 0, 1))
    magnum = 13.5 - np.hypot(x, y + 43) + 0.0 * z
    hole = np.where(z < -56, magnum, np.float32(-9))
    canvas.paint("bone", coverage(np.maximum(np.maximum(-hull, hull - skull), hole), spacing))


def _face_bones(canvas: Canvas) -> None:
    draw = canvas.draw
    draw("bone", mirrored(ellipsoid, (27, 48, -66), (15.5, 16.5, 17.5)))
    draw("bone", mirrored(ellipsoid, (7, 12, -38), (9, 14, 11)))
    draw("bone", mirrored(ellipsoid, (48, -32, -50), (11, 15, 19)))
    draw("bone", mirrored(tube, [(52, -30, -42), (20, -14, -40)], [9.0, 6.0]))
    draw("marrow", tube([(0, -8, -38), (0, -26, -60)], [6.0, 3.5]))
    draw("bone", tube([(0, -8, -38), (0, -28, -64)], [9.0, 6.0]))
    zygoma = [(27, 66, -58), (48, 52, -58), (62, 24, -52), (62, -8, -46)]
    draw("marrow", mirrored(tube, zygoma, [3.5, 3.0, 1.0, 1.0]))
    draw("bone", mirrored(tube, zygoma, [5.5, 5.0, 3.0, 3.0]))
    draw("bone", mirrored(tube, [(47, 60, -52), (50, 56, -26)], [3.0, 4.0]))
    draw("bone", tube([(0, 84, -44), (0, 88, -30)], [2.5, 3.5]))
    draw("bone", tube([(0, 20, -84), (0, 70, -84)], [1.0, 1.0]))
    draw("bone", mirrored(tube, [(16, 26, -82), (22, 50, -84), (8, 78, -84)], [3.0, 3.5, 3.0]))
    teeth = [(24.0, 34.0, -92.0), (21.0, 58.0, -93.0), (7.0, 80.0, -93.0)]
    draw("bone", mirrored(tube, teeth, [3.5, 3.5, 3.0]))
    jaw = [(52, 0, -56), (48, 8, -100), (40, 36, -114), (12, 74, -118), (0, 78, -118)]
    draw("marrow", mirrored(tube, jaw, [2.5, 2.5, 3.0, 3.5, 4.0]))
    draw("bone", mirrored(tube, jaw, [4.5, 5.0, 5.5, 6.0, 6.5]))


def _soft_tissue(canvas: Canvas, hull: Array, skin: Array, skull: Array) -> None:
    x, y, z = canvas.axes()
    spacing = canvas.grid.spacing[0]
    orbit = mirrored(tube, [(33, 60, -39), (15, 22, -33)], [19.0, 6.0])
    canvas.draw("fat", orbit)
    galea = 1.0 + hull - skull - 2.0
    under = np.where(z > -30, np.minimum(5.0, 2.0 + galea.clip(0)), np.float32(6.0))
    canvas.paint("fat", coverage(np.maximum(-skin - under, -galea), spacing))
    canvas.draw("fat", mirrored(ellipsoid, (42, 50, -84), (13, 18, 18)))
    wave = x / 7 + 1.3 * np.sin(z / 21 + y / 13)
    bundles = np.sin(wave) * np.sin(y / 8 + 1.2 * np.cos(x / 15 + z / 26)) + 0.3 * np.sin(z / 11)
    planes = np.clip(1 - np.abs(bundles - 0.15) / 0.16, 0, 1)
    away = np.clip((hull - skull - 4) / 3, 0, 1)
    canvas.paint("fat", np.asarray(0.55 * planes * away, np.float32))


def inner_surface(mask: Array, spacing: float) -> Array:
    """Signed distance in mm to the skull's inner surface from a mask of the brain, 0 or 1.

    The brain is closed over its fissures by 10 mm and left `GAP` mm of subarachnoid space.
    """
    reach = 10.0
    far = ndimage.distance_transform_edt(mask < 0.5, sampling=spacing)
    deep = ndimage.distance_transform_edt(far <= reach, sampling=spacing)
    return signed_distance(deep > reach - GAP, spacing, blur=2.0)


def signed_distance(solid: npt.NDArray[np.bool_], spacing: float, *, blur: float) -> Array:
    """mm to the surface of a solid, negative inside, smoothed by a Gaussian of SD `blur` mm."""
    inside = ndimage.distance_transform_edt(solid, sampling=spacing)
    beyond = ndimage.distance_transform_edt(~solid, sampling=spacing)
    distance = np.where(solid, 0.5 * spacing - inside, beyond - 0.5 * spacing)
    return np.asarray(ndimage.gaussian_filter(distance.astype(np.float32), blur / spacing))
