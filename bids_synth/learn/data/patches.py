"""Patches: cutting a volume into windows and blending windows into a volume.

Not MONAI's SlidingWindowInferer: it visits every window of the volume, here only those that hold
the mask are, which is several times fewer around a head, and of the part that is asked for; and it
cannot show fewer windows at a time where memory does not suffice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bids_synth.learn.out_of_memory import is_shortage, let_go
from bids_synth.spatial.boxes import bounding_box
from bids_synth.spatial.grid import Shape

LOG = logging.getLogger(__name__)
Start = tuple[int, int, int]
Slices = tuple[slice, slice, slice]
Blocks = Callable[[torch.Tensor], torch.Tensor]

TOGETHER = 2**17
"""Voxels that are shown to a network at a time: single slices would leave it idle."""
SIGMA = 0.125
"""Width of the blending Gaussian as a fraction of the patch (Isensee 2021, nnU-Net)."""


def cut(array: npt.NDArray[Any], start: Sequence[int], patch: Shape) -> npt.NDArray[Any]:
    """The window of length `patch` at `start` on the last three axes; zeros beyond the edge.

    >>> cut(np.ones((1, 1, 3)), (0, 0, 1), (1, 1, 4)).tolist()
    [[[1.0, 1.0, 0.0, 0.0]]]
    """
    result = np.zeros((*array.shape[:-3], *patch), dtype=array.dtype)
    (i, j, k), (a, b, c) = _overlap(array.shape[-3:], start, patch)
    result[..., a, b, c] = array[..., i, j, k]
    return result


def paste(window: torch.Tensor, whole: torch.Tensor, start: Sequence[int], *, flip: bool) -> None:
    """Write what `cut` would cut into a window of zeros (I, J, K), left for right where `flip`.

    >>> window = torch.zeros(4, 1, 1)
    >>> paste(window, torch.arange(3).view(3, 1, 1), (1, 0, 0), flip=True)
    >>> window.flatten().tolist()
    [0.0, 0.0, 2.0, 1.0]
    """
    (i, j, k), (a, b, c) = _overlap(whole.shape, start, window.shape)
    part = whole[i, j, k]
    if flip:
        a, part = slice(len(window) - a.stop, len(window) - a.start), part.flip(0)
    window[a, b, c] = part


def start_around(centre: Sequence[int], shape: Sequence[int], patch: Shape) -> Start:
    """The window that has `centre` in its middle, moved inside the volume where it fits.

    >>> start_around((1, 9, 5), (10, 10, 4), (4, 4, 8))
    (0, 6, -2)
    """
    i, j, k = (_inside(c - p // 2, n, p) for c, n, p in zip(centre, shape, patch, strict=True))
    return i, j, k


def window_starts(mask: npt.NDArray[Any], patch: Shape, overlap: float) -> list[Start]:
    """Windows that cover every voxel of the mask, tightly: about a head, fewer than in its box.

    They are spread along one axis over what the mask spans, in each layer of these along the
    next, and in each row along the last, in the order of axes that needs the fewest. Neighbours
    in a row, and neighbouring rows and layers, share at least `overlap` of their length. Where
    all of the mask fits into a window along an axis, windows do not move along it: slices of a
    volume are shown in one place. Windows that hold no voxel of the mask are left out.
    """
    inside = np.asarray(mask) > 0
    if not inside.any():
        return []
    box = bounding_box(inside)
    axes = [
        _Axis(part.start, part.stop, length, size)
        for part, length, size in zip(box, inside.shape, patch, strict=True)
    ]
    orders = (_placed(inside[box], axes, order, overlap) for order in permutations(range(3)))
    return min(orders, key=len)


@dataclass(frozen=True)
class _Axis:
    """What the mask spans along an axis of a volume of this length, and windows' length."""

    low: int
    high: int
    length: int
    patch: int

    def starts(self, hits: npt.NDArray[np.bool_], overlap: float) -> list[int]:
        """Where windows start along the axis to cover what is true of (high - low,)."""
        if self.high - self.low <= self.patch:
            return _spread(self.low, self.high, self.length, self.patch, overlap)
        places = np.flatnonzero(hits) + self.low
        return _spread(int(places[0]), int(places[-1]) + 1, self.length, self.patch, overlap)


def _placed(
    inside: npt.NDArray[np.bool_], axes: Sequence[_Axis], order: Sequence[int], overlap: float
) -> list[Start]:
    """Starts of windows around what is inside the box; along axes not in `order` they are 0."""
    if not order:
        return [(0, 0, 0)]
    (first, *rest), result = order, list[Start]()
    hits = np.asarray(inside.any(axis=tuple(n for n in range(3) if n != first)))
    for start in axes[first].starts(hits, overlap):
        low = start - axes[first].low
        held = [slice(None)] * 3
        held[first] = slice(max(0, low), max(0, low + axes[first].patch))
        layer = inside[tuple(held)]
        if layer.any():
            places = _placed(layer, axes, rest, overlap)
            result.extend(_with(place, first, start) for place in places)
    return result


def _with(place: Start, axis: int, start: int) -> Start:
    i, j, k = (start if n == axis else a for n, a in enumerate(place))
    return i, j, k


def blend_weights(patch: Shape) -> npt.NDArray[np.float32]:
    """Gaussian weights of a window, about 1 in its middle, never below 0.001 (as MONAI)."""
    axes = [np.arange(n) - (n - 1) / 2 for n in patch]
    curves = [np.exp(-0.5 * (x / (SIGMA * n)) ** 2) for x, n in zip(axes, patch, strict=True)]
    weights = np.einsum("i,j,k->ijk", *curves)
    return np.asarray(np.maximum(weights, 1e-3), dtype=np.float32)


def slide(
    blocks: Blocks,
    images: npt.NDArray[np.float32],
    mask: npt.NDArray[Any],
    *,
    patch: Shape,
    overlap: float,
    device: torch.device,
    part: npt.NDArray[Any] | None = None,
) -> npt.NDArray[np.float32]:
    """Apply `blocks`, (N, S, *patch) -> (N, T, *patch), to every window and blend: (T, I, J, K).

    Voxels that no window covers are 0; no voxel of the mask is among them. With `part`, only the
    windows that hold a voxel of it are shown, and its voxels are as without. Where memory does
    not suffice for the windows that are shown together, half of them are, and so on; raises
    what torch raises where it does not suffice for one.
    """
    starts = window_starts(mask, patch, overlap)
    if part is not None:
        starts = [start for start in starts if cut(part, start, patch).any()]
    weights = torch.from_numpy(blend_weights(patch))
    total = torch.zeros(images.shape[-3:])
    blended: torch.Tensor | None = None
    for start, result in _windows(blocks, images, starts, patch, device):
        if blended is None:
            blended = torch.zeros(result.shape[0], *images.shape[-3:])
        (i, j, k), window = _overlap(images.shape[-3:], start, patch)
        if len(starts) == 1:  # There is nothing to blend.
            blended[:, i, j, k] = result[:, *window]
            return blended.numpy()
        blended[:, i, j, k] += (result * weights)[:, *window]
        total[i, j, k] += weights[window]
    if blended is None:
        message = "the mask is empty: no window to apply the network to"
        raise ValueError(message)
    return (blended / total.clamp_min(1e-12)).numpy()


def _windows(
    blocks: Blocks,
    images: npt.NDArray[np.float32],
    starts: Sequence[Start],
    patch: Shape,
    device: torch.device,
) -> Iterator[tuple[Start, torch.Tensor]]:
    count = min(len(starts), max(1, TOGETHER // int(np.prod(patch))))
    first = 0
    while first < len(starts):
        group = starts[first : first + count]
        windows = np.stack([cut(images, start, patch) for start in group])
        results = _shown(blocks, windows, device)
        if results is None:
            count = (len(group) + 1) // 2
            text = "%s has too little memory for %d windows at a time; going on with %d"
            LOG.warning(text, device, len(group), count)
            continue
        yield from zip(group, results, strict=True)
        first += len(group)


def _shown(
    blocks: Blocks, windows: npt.NDArray[np.float32], device: torch.device
) -> torch.Tensor | None:
    """What the network makes of windows; None where several are too much for the memory."""
    try:
        with torch.inference_mode():
            return blocks(torch.from_numpy(windows).to(device)).float().cpu()
    except (RuntimeError, MemoryError) as error:
        if len(windows) == 1 or not is_shortage(error):
            raise
    let_go(device)  # Here the frames that held the tensors are gone.
    return None


def _overlap(
    shape: Sequence[int], start: Sequence[int], patch: Sequence[int]
) -> tuple[Slices, Slices]:
    lows = [max(0, a) for a in start]
    highs = [min(n, a + p) for n, a, p in zip(shape, start, patch, strict=True)]
    i, j, k = (slice(a, max(a, b)) for a, b in zip(lows, highs, strict=True))
    a, b, c = (slice(s.start - n, s.stop - n) for s, n in zip((i, j, k), start, strict=True))
    return (i, j, k), (a, b, c)


def _inside(start: int, length: int, patch: int) -> int:
    if length <= patch:
        return -((patch - length) // 2)
    return min(max(start, 0), length - patch)


def _spread(low: int, high: int, length: int, patch: int, overlap: float) -> list[int]:
    if high - low <= patch:
        return [_inside((low + high - patch) // 2, length, patch)]
    stride = max(1.0, patch * (1 - overlap))
    count = int(np.ceil((high - low - patch) / stride)) + 1
    return [int(a) for a in np.floor(np.linspace(low, high - patch, count))]
