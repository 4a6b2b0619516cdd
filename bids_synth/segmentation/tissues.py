"""Tissues: shares of fluid, grey and white matter in every voxel of a head, in any contrast."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from itertools import product
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from scipy import ndimage

from bids_synth.errors import ModelError
from bids_synth.segmentation.network import CLASSES, TissueNetwork
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume, sha256_of

FOLDER = Path(__file__).parents[1] / "models" / "tissues"
"""Its weights in half precision, and the card that says where they are from."""
COARSE, CLOSE = 3.0, 2.0
"""Voxel sizes, mm, at which a head is looked for, and looked at."""
WINDOW = (192.0, 224.0, 192.0)
"""Edges, mm, of what is looked at closely: no brain, seen a little off its middle, is cut off."""
MULTIPLE = 32
"""Sides of what the network sees: two to the number of its halvings, the first one included."""
LEAST = 64
"""The shortest of these sides: one voxel alone has no norm."""
LOW, HIGH, MOST = 0.01, 0.995, 50_000
"""Quantiles that become 0 and 1, from so many voxels."""


@dataclass(frozen=True, eq=False)
class Tissues:
    """Shares of `CLASSES`, of sum 1, on a grid along the world's axes."""

    maps: npt.NDArray[np.float32]
    """(5, I, J, K)."""
    grid: Grid

    def of(self, name: str) -> Volume:
        """The map of one class. ValueError for another name."""
        return Volume(self.maps[CLASSES.index(name)], self.grid)

    @property
    def brain(self) -> npt.NDArray[np.float32]:
        """(I, J, K) share of fluid, grey and white matter together."""
        return np.asarray(self.maps[2:].sum(0), np.float32)


def tissues_of(volume: Volume, network: torch.nn.Module | None = None) -> Tissues:
    """The tissues of a whole head, or of a brain without its skull, at 2 mm around the brain.

    `network` maps (1, 1, I, J, K) greys to (1, 5, I, J, K) scores; that of the package where None.
    The whole field of view is looked at with voxels of 3 mm, then the surroundings of the brain
    with voxels of 2 mm. ModelError where the weights of the package are missing or altered.
    """
    stay_alone()
    network = tissue_network() if network is None else network
    view = _seen(volume, COARSE)
    coarse = _shares(network, resample(volume, view))
    brain = np.asarray(coarse.brain)
    centre = ndimage.center_of_mass(brain * _largest(brain > 0.5)) if (brain > 0.5).any() else None
    middle = view.to_mm((np.asarray(view.shape) - 1) / 2 if centre is None else centre)
    return _shares(network, resample(volume, _around(middle)))


@cache
def tissue_network() -> TissueNetwork:
    """The network that comes with the package; ModelError for weights that are not its own."""
    path, card = FOLDER / "weights.safetensors", FOLDER / "model.json"
    if not path.is_file() or not card.is_file():
        message = f"{FOLDER}: expected weights.safetensors and model.json; reinstall"
        raise ModelError(message)
    if sha256_of(path) != json.loads(card.read_text("utf-8"))["sha256"]:
        message = f"{path} is not the file that {card} describes; install the package anew"
        raise ModelError(message)
    network = TissueNetwork()
    network.load_state_dict({n: t.float() for n, t in load_file(path).items()})
    return network.eval()


def stay_alone() -> None:
    """One thread in a process that was forked: it would wait for ever for those of its parent.

    Threads of OpenMP do not survive a fork, and its runtime does not know; steps of preparation
    are forked, also after a fit. Steps run side by side, so that one thread each is enough.
    """
    if parent_process() is not None:
        torch.set_num_threads(1)


def normalized(image: torch.Tensor) -> torch.Tensor:
    """Greys with the first percentile at 0 and the 99.5th at 1, held within -0.1 and 1.5.

    The network learns from images that went through this very function.
    """
    some = image.flatten()[:: max(1, image.numel() // MOST)]
    low, high = torch.quantile(some, torch.tensor([LOW, HIGH], device=image.device))
    scaled: torch.Tensor = (image - low) / (high - low).clamp_min(1e-6)
    return scaled.clamp(-0.1, 1.5)


def _shares(network: torch.nn.Module, image: Volume) -> Tissues:
    """What the network says of an image, all sides of which are padded with its background."""
    greys = normalized(torch.from_numpy(image.array))[None, None]
    pads = [max(LEAST - n, -n % MULTIPLE) for n in image.grid.shape]
    ends = [end for n in reversed(pads) for end in (0, n)]
    padded = torch.nn.functional.pad(greys, ends)
    with torch.inference_mode():
        chances = torch.softmax(network(padded)[0], dim=0)
    i, j, k = image.grid.shape
    return Tissues(chances[:, :i, :j, :k].numpy(), image.grid)


def _seen(volume: Volume, spacing: float) -> Grid:
    """The field of view on cubes along the world's axes."""
    ends = list(product(*[(-0.5, n - 0.5) for n in volume.grid.shape]))
    corners = volume.grid.to_mm(ends)
    shape = np.maximum(1, np.ceil(np.ptp(corners, axis=0) / spacing)).astype(int)
    return _cubes((corners.min(0) + corners.max(0)) / 2, shape, spacing)


def _around(middle: npt.NDArray[np.float64]) -> Grid:
    return _cubes(middle, np.ceil(np.asarray(WINDOW) / CLOSE).astype(int), CLOSE)


def _cubes(middle: npt.NDArray[np.float64], shape: npt.NDArray[np.int64], spacing: float) -> Grid:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = middle - (shape - 1) / 2 * spacing
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _largest(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    return np.asarray(labels == 1 + int(np.bincount(labels.ravel())[1:].argmax()))
