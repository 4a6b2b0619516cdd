"""Align the template with a whole head of any modality, by mutual information."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from bids_synth.prepare.brain.head_template import BRIGHTNESS_BINS, LAYERS, head_labels
from bids_synth.prepare.brain.region import head_mask, world_copy
from bids_synth.spatial.grid import Affine, Grid
from bids_synth.spatial.volume import Volume

SPACING = 4.0
"""Distance, mm, of the template's points, and to how much the head is blurred for them."""
FINE = 2.0
"""Voxel size, mm, of the copy in which they are looked up: well below the blur, so that an
answer hardly depends on where its voxels lie."""
CENTRE = np.array([0.0, -18.0, 10.0])
"""Middle of the template's brain, RAS+ mm: rotations and scales turn about it."""
BELOW_CROWN = 80.0
"""Typical distance, mm, of that point below the crown of the head."""
GREYS = 32
POINTS = 12000
STARTS = tuple(product((-12.0, 0.0, 12.0), (-25.0, -10.0, 5.0, 20.0), (-25.0, -10.0, 5.0, 20.0)))
"""Shifts back to front and up (mm) and nods (degrees) that are tried first."""
SIZE = (-10.0, 5.0)
"""Usual log size of a head against the template, percent: mean and standard deviation. Mutual
information alone would lay the brain over the scalp."""
SHEAR = 5.0
"""Standard deviation of the shears, percent."""
WEIGHT = 0.02
"""What one standard deviation costs, in units of information."""

Cost = Callable[[npt.NDArray[np.float64]], float]


def align_head(volume: Volume, *, seed: int) -> Affine:
    """4x4 affine, RAS+ mm of the template -> `volume`, for a head with its skull.

    Mutual information between the template's classes of tissue and the image (Wells 1996),
    from many starts, by Powell's method: rigid, then with scales, then with shears.
    """
    copy = world_copy(volume, FINE)
    origin = _expected_centre(copy)
    cost = _cost(volume.grid, copy, origin, seed)
    starts = [np.array([0, y, z, nod, 0, 0], dtype=np.float64) for y, z, nod in STARTS]
    best = sorted(starts, key=cost)[:3]
    rigid = min((_descend(cost, p, 3, 0.2) for p in best), key=cost)
    scaled = _descend(cost, np.concatenate([rigid, np.zeros(3)]), 4, 0.1)
    full = _descend(cost, np.concatenate([scaled, np.zeros(3)]), 3, 0.1)
    back = np.eye(4)
    back[:3, 3] = -CENTRE
    return matrix_of(full, origin) @ back


def _descend(
    cost: Cost, start: npt.NDArray[np.float64], rounds: int, tolerance: float
) -> npt.NDArray[np.float64]:
    options = {"maxiter": rounds, "xtol": tolerance, "ftol": 1e-4, "maxfev": 1500}
    return np.asarray(minimize(cost, start, method="Powell", options=options).x)


def _expected_centre(copy: Volume) -> npt.NDArray[np.float64]:
    """Where the middle of the brain should be, from the outline of the head."""
    points = copy.grid.to_mm(np.argwhere(head_mask(copy).array > 0))
    if len(points) == 0:
        return copy.grid.to_mm((np.asarray(copy.grid.shape) - 1) / 2)
    crown = np.percentile(points[:, 2], 99.8)
    upper = points[points[:, 2] > crown - 110]
    middle = (upper.min(0) + upper.max(0)) / 2
    return np.array([middle[0], middle[1], crown - BELOW_CROWN])


def _cost(view: Grid, copy: Volume, origin: npt.NDArray[np.float64], seed: int) -> Cost:
    """What a position costs; only points in the field of view of the scan (`view`) count."""
    known = head_labels(SPACING)
    # In order: neighbours in space are neighbours in memory.
    chosen = np.sort(np.random.default_rng(seed).permutation(len(known.points))[:POINTS])
    points, labels = known.points[chosen] - CENTRE, known.labels[chosen]
    classes = BRIGHTNESS_BINS + len(LAYERS) + 2
    greys = _greys(copy)
    inverse, to_view = np.linalg.inv(copy.grid.affine), np.linalg.inv(view.affine)
    last = np.asarray(view.shape) - 0.5

    def cost(parameters: npt.NDArray[np.float64]) -> float:
        matrix = matrix_of(parameters, origin)
        seen = _inside(points, to_view @ matrix, last)
        fraction = float(seen.mean())
        if fraction < 0.5:
            return 0.0
        index = inverse @ matrix
        there = points[seen] @ index[:3, :3].T + index[:3, 3]
        values = ndimage.map_coordinates(greys, there.T, order=1, mode="nearest")
        joint = _joint(labels[seen], values, classes)
        return _unlikely(parameters) - _information(joint) * min(1.0, fraction / 0.8)

    return cost


def _greys(copy: Volume) -> npt.NDArray[np.float32]:
    """The copy, blurred to the distance of the points, as greys from 0 to GREYS - 1.

    The brightest grey is that of the head, whatever there is of air around it.
    """
    blur = np.sqrt((SPACING**2 - FINE**2) / (8 * np.log(2))) / FINE
    smooth = ndimage.gaussian_filter(copy.array, blur, mode="nearest")
    inside = head_mask(copy).array > 0
    low = np.percentile(smooth, 0.5)
    high = np.percentile(smooth[inside] if inside.any() else smooth, 99)
    scaled = ((smooth - low) / max(high - low, 1e-6)).clip(0, 1) * (GREYS - 1)
    return np.asarray(scaled, dtype=np.float32)


def _inside(
    points: npt.NDArray[np.float64], index: Affine, last: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    there = points @ index[:3, :3].T + index[:3, 3]
    return np.asarray(((there >= -0.5) & (there <= last)).all(1))


def _joint(
    labels: npt.NDArray[np.int64], values: npt.NDArray[np.float32], classes: int
) -> npt.NDArray[np.float64]:
    """Joint histogram of classes and greys; a value between two greys counts for both.

    Whole counts would make a cost of steps, in which the smallest change of a grid decides
    where the descent ends.
    """
    lower = np.minimum(values.astype(np.int64), GREYS - 2)
    upper = values - lower
    place, size = labels * GREYS + lower, classes * GREYS
    joint = np.bincount(place, 1 - upper, size) + np.bincount(place + 1, upper, size)
    return np.asarray(joint.reshape(classes, GREYS) / joint.sum())


def _unlikely(parameters: npt.NDArray[np.float64]) -> float:
    sizes = (parameters[6:9] - SIZE[0]) / SIZE[1]
    return WEIGHT * float((sizes**2).sum() + ((parameters[9:12] / SHEAR) ** 2).sum())


def _information(joint: npt.NDArray[np.float64]) -> float:
    independent = joint.sum(1, keepdims=True) @ joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / independent[there])).sum())


def matrix_of(parameters: npt.NDArray[np.float64], origin: npt.NDArray[np.float64]) -> Affine:
    """Shift (mm), rotation (degrees), log sizes and shears (percent): points about 0 -> mm."""
    p = np.zeros(12)
    p[: len(parameters)] = parameters
    shear = np.eye(3)
    shear[0, 1], shear[0, 2], shear[1, 2] = p[9:12] / 100
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", p[3:6], degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag(np.exp(p[6:9] / 100)) @ shear
    matrix[:3, 3] = p[:3] + origin
    return matrix
