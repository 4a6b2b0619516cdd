"""Voxels: what is known of each voxel of a synthetic image before anybody sees the real one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.core.trust.interval import Array
from bids_synth.spatial.boxes import Box, bounding_box

SMOOTH = 1.0
"""Standard deviation, in voxels, of the Gaussian under which edges are looked for."""
MARGIN = 5
"""Voxels around the mask that a Gaussian of that width and a slope still see."""


@dataclass(frozen=True, eq=False)
class Ground:
    """What is known of the voxels of a visit's mask before any image is made of it."""

    mask: npt.NDArray[np.bool_]
    """(I, J, K)."""
    spacing: Sequence[float]
    """Of its voxels, mm."""
    _steep: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    """Name of a source -> how steep it is at the voxels of the mask."""

    @cached_property
    def box(self) -> Box:
        """The box of the mask."""
        return bounding_box(self.mask)

    @cached_property
    def inside(self) -> npt.NDArray[np.bool_]:
        """The mask in its box, with a margin."""
        return np.pad(self.mask[self.box], MARGIN)

    @cached_property
    def depth(self) -> npt.NDArray[np.float32]:
        """(V,) distance to what is not in the mask, mm."""
        depth = ndimage.distance_transform_edt(self.inside, sampling=self.spacing)
        return np.asarray(depth[self.inside], np.float32)

    def steepness(self, image: Array) -> npt.NDArray[np.float32]:
        """(V,) how steep an image (I, J, K), 0 outside the mask, is."""
        return _steepness(np.pad(image[self.box], MARGIN), self.spacing)[self.inside]

    def detail(self, name: str, image: Callable[[], Array]) -> npt.NDArray[np.float32]:
        """The same of a source, `image`, which is looked at once."""
        if name not in self._steep:
            self._steep[name] = self.steepness(image())
        return self._steep[name]


def voxel_figures(
    answer: Array,
    sources: Mapping[str, Callable[[], Array]],
    ground: Ground,
    spread: Array | None = None,
) -> dict[str, npt.NDArray[np.float32]]:
    """Figures of the voxels of a mask, each (V,), in the order of `array[mask]`.

    `value` of the answer, in scaled numbers; `depth` below the mask's edge, mm; `edge` and
    `detail`, how steep the answer and the steepest of its sources are, in scaled numbers per mm;
    `spread` over the networks, where there are several. Images are (I, J, K), 0 outside the mask;
    those of the sources are asked for where `ground` has not seen them.
    """
    figures = {
        "value": answer[ground.mask],
        "depth": ground.depth,
        "edge": ground.steepness(answer),
        "detail": np.max([ground.detail(name, s) for name, s in sources.items()], axis=0),
    }
    if spread is not None:
        figures["spread"] = spread[ground.mask]
    return {name: np.asarray(values, np.float32) for name, values in figures.items()}


def _steepness(image: npt.NDArray[Any], spacing: Sequence[float]) -> npt.NDArray[np.float32]:
    smooth = ndimage.gaussian_filter(image.astype(np.float32), SMOOTH)
    slopes = np.gradient(smooth, *spacing)
    return np.asarray(np.sqrt(sum(np.square(slope) for slope in slopes)), np.float32)
