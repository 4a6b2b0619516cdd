"""Features: what a small network, whose weights the user supplies, sees in slices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import nn

from bids_synth.core.scale import Scale
from bids_synth.errors import ModelError, raise_all
from bids_synth.learn.features.network_file import LayerEntry, StackEntry
from bids_synth.spatial.boxes import bounding_box
from bids_synth.spatial.volume import Volume

LARGEST = 256 * 2**20
"""Bytes beyond which a file is refused."""
MOST_FILTERS = 4096
BATCH = 8
"""Slices that are looked at together."""
Slices = npt.NDArray[np.float32]
Maps = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FeatureNetwork:
    """A plain stack of convolutions with weights from a file; never fitted here."""

    stack: StackEntry
    convolutions: tuple[nn.Conv2d, ...]
    linear: tuple[Maps, ...] | None
    """Weights (F,) of every kept layer's features in a perceptual distance, where it has any."""

    def vectors(self, slices: Slices) -> npt.NDArray[np.float64]:
        """(N, F): the last kept layer's maps averaged over each of N slices (N, H, W)."""
        rows = []
        for start in range(0, len(slices), BATCH):
            last = self._kept(slices[start : start + BATCH])[-1]
            rows.append(last.mean(dim=(2, 3)).double().cpu().numpy())
        return np.concatenate(rows)

    def maps(self, image: Slices) -> tuple[Maps, ...]:
        """Maps (F, h, w) of one slice (H, W), one array a kept layer."""
        return tuple(kept[0].float().cpu().numpy() for kept in self._kept(image[None]))

    def see(self, slices: torch.Tensor) -> list[torch.Tensor]:
        """(N, 1, H, W) -> maps (N, F, h, w) of every kept layer; gradients reach the slices."""
        offset = slices.new_tensor(self.stack.offset).view(1, -1, 1, 1)
        gain = slices.new_tensor(self.stack.gain).view(1, -1, 1, 1)
        kept, maps = [], (slices - offset) / gain
        for layer, convolution in zip(self.stack.layers, self.convolutions, strict=True):
            maps = convolution(maps)
            maps = torch.relu(maps) if layer.relu else maps
            if layer.kept:
                kept.append(maps)
            maps = nn.functional.max_pool2d(maps, layer.pool) if layer.pool > 1 else maps
        return kept

    def _kept(self, slices: Slices) -> list[torch.Tensor]:
        least = self.stack.reduction
        if slices.ndim != 3 or min(slices.shape) < 1 or min(slices.shape[1:]) < least:
            message = f"expected slices (N, H, W) of {least} pixels or more, got {slices.shape}"
            raise ValueError(message)
        place = self.convolutions[0].weight.device
        with torch.inference_mode():
            maps = torch.as_tensor(np.ascontiguousarray(slices), dtype=torch.float32, device=place)
            return self.see(maps[:, None])


def load_features(path: Path) -> FeatureNetwork:
    """The network of a file as `feature_stack` describes it; nothing in the file is executed.

    Raises ModelError where the file is absent, too large, no safetensors file, of another
    description, or its tensors are not those that it describes.
    """
    if not path.is_file():
        message = (
            f"{path}: no such file; features (FID, LPIPS) need the weights of a network, which "
            "you supply as a safetensors file"
        )
        raise ModelError(message)
    if path.stat().st_size > LARGEST:
        message = f"{path}: is larger than {LARGEST // 2**20} MiB; expected a small network"
        raise ModelError(message)
    try:
        with safe_open(path, framework="pt") as file:
            stack = _read_stack(file.metadata() or {}, path)
            shapes = {n: tuple(file.get_slice(n).get_shape()) for n in file.keys()}  # noqa: SIM118
            problems = _shape_problems(shapes, stack)
            raise_all(ModelError, problems, intro=f"{path}: does not fit its description:")
            tensors = {name: file.get_tensor(name) for name in shapes}
    except (SafetensorError, OSError) as error:
        message = f"{path}: is not a safetensors file ({error}); convert the weights"
        raise ModelError(message) from error
    _require_numbers(tensors, path)
    layers = tuple(_convolution(tensors, n, e) for n, e in enumerate(stack.layers))
    return FeatureNetwork(stack, layers, _linear(tensors, stack))


def axial_slices(image: Volume, mask: Volume, scale: Scale) -> Slices:
    """(N, H, W): the axial slices that hold the mask, cropped to it, in [0, 1], 0 outside it.

    `scale` is the real image's, for the real and the synthetic image alike. ValueError for an
    empty mask or other shapes.
    """
    inside = mask.canonical().array > 0
    values = image.canonical().array
    if values.shape != inside.shape or not inside.any():
        message = f"expected a mask with voxels of shape {values.shape}, got {inside.shape}"
        raise ValueError(message)
    scaled = np.where(inside, np.clip(scale.apply(values), 0, 1), 0)
    i, j, _ = bounding_box(inside)
    slices = scaled[i, j][..., inside.any(axis=(0, 1))]
    return np.ascontiguousarray(np.moveaxis(slices, 2, 0), dtype=np.float32)


def _read_stack(metadata: dict[str, str], path: Path) -> StackEntry:
    if "features" not in metadata:
        message = f"{path}: its metadata lack `features`, the description of the network's layers"
        raise ModelError(message)
    try:
        return StackEntry.model_validate_json(metadata["features"])
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(p) for p in fault['loc']) or 'features'}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise_all(ModelError, problems, intro=f"{path}: describes no network known here:")
        raise


def _shape_problems(shapes: dict[str, tuple[int, ...]], stack: StackEntry) -> list[str]:
    wanted: dict[str, tuple[int, ...]] = {}
    inputs = len(stack.offset)
    for number, layer in enumerate(stack.layers):
        name = f"layers.{number}"
        filters = (*shapes.get(f"{name}.bias", ()), 0)[0]
        if not 0 < filters <= MOST_FILTERS:
            return [f"{name}.bias must have 1 to {MOST_FILTERS} numbers, one a filter"]
        wanted[f"{name}.weight"] = (filters, inputs, layer.kernel, layer.kernel)
        wanted[f"{name}.bias"] = (filters,)
        if stack.weighted and layer.kept:
            wanted[f"{name}.linear"] = (filters,)
        inputs = filters
    wrong = sorted(n for n in {*wanted, *shapes} if wanted.get(n) != shapes.get(n))
    return [f"{n} is {shapes.get(n, 'absent')}, expected {wanted.get(n, 'none')}" for n in wrong]


def _require_numbers(tensors: dict[str, torch.Tensor], path: Path) -> None:
    problems = []
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.float16):
            problems.append(f"{name} is {tensor.dtype}, expected float32 or float16")
        elif not bool(torch.isfinite(tensor).all()):
            problems.append(f"{name} has NaN or infinite numbers")
    raise_all(ModelError, problems, intro=f"{path}: cannot be used:")


def _convolution(tensors: dict[str, torch.Tensor], number: int, layer: LayerEntry) -> nn.Conv2d:
    weight = tensors[f"layers.{number}.weight"].float()
    convolution = nn.Conv2d(
        weight.shape[1],
        weight.shape[0],
        layer.kernel,
        stride=layer.stride,
        padding=layer.kernel // 2,
        device="meta",
    )
    state = {"weight": weight, "bias": tensors[f"layers.{number}.bias"].float()}
    convolution.load_state_dict(state, assign=True)
    return convolution.requires_grad_(requires_grad=False).eval()


def _linear(tensors: dict[str, torch.Tensor], stack: StackEntry) -> tuple[Maps, ...] | None:
    if not stack.weighted:
        return None
    kept = [number for number, layer in enumerate(stack.layers) if layer.kept]
    return tuple(tensors[f"layers.{number}.linear"].float().numpy() for number in kept)
