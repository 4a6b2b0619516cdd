"""Supplied networks: VGG16 and MedicalNet, with weights that the user has, as they see images."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.networks.nets import ResNetFeatures
from safetensors.torch import load_file
from torch import nn

from bids_synth.core.scale import Scale
from bids_synth.errors import ModelError, raise_all
from bids_synth.spatial.boxes import bounding_box
from bids_synth.spatial.volume import Volume

LARGEST = 2**30
"""Bytes beyond which a file is refused; VGG16 with its classifier has half of them."""
LEAST = 16
"""Voxels a side below which VGG16 has no last maps; MedicalNet's are 32 voxels apart."""
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Filters and convolutions of VGG16 between poolings: configuration D of Simonyan 2014."""
COLOURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and SD of ImageNet's colours in [0, 1]; LPIPS has the same for colours in [-1, 1]."""
UNUSED = re.compile(r"classifier\.|scaling_layer\.|lins\.|.*\.num_batches_tracked$")
"""What files hold beside the weights: LPIPS repeats `lin0` as `lins.0`."""
SHOWN = 5
"""Problems of a file that are told."""
Images = npt.NDArray[np.float32]
Maps = npt.NDArray[np.float32]
Shapes = dict[str, tuple[int, ...]]


class Vgg16(nn.Module):
    """The convolutions of VGG16, numbered as torchvision does."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for filters, convolutions in BLOCKS:
            for _ in range(convolutions):
                layers += [nn.Conv2d(inputs, filters, 3, padding=1), nn.ReLU()]
                inputs = filters
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-1])

    def forward(self, slices: torch.Tensor) -> list[torch.Tensor]:
        """(N, 1, H, W) in [0, 1], the same in each colour -> maps (N, F, h, w) of each block."""
        mean, sd = (slices.new_tensor(colour).view(1, 3, 1, 1) for colour in COLOURS)
        kept, maps = [], (slices - mean) / sd
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                kept.append(maps)
            maps = layer(maps)
        return [*kept, maps]


@dataclass(frozen=True, eq=False)
class FeatureNetwork:
    """A network with weights from a file; never fitted here."""

    module: nn.Module
    linear: tuple[Maps, ...] | None = None
    """Weights (F,) of every kept layer's features in LPIPS, where the file has them."""
    volumes: bool = False
    """True where it sees volumes (MedicalNet), else axial slices (VGG16)."""
    mean: float = 0.0
    sd: float = 1.0

    def see(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(N, 1, *S) -> maps (N, F, *s) of every kept layer; gradients reach the images."""
        maps: list[torch.Tensor] = self.module((images - self.mean) / self.sd)
        # MedicalNet's stem has eight times the voxels of layer1, and only edges.
        return maps[1:] if self.volumes else maps

    def maps(self, image: Images) -> tuple[Maps, ...]:
        """Maps (F, *s) of one image of shape S, one array a kept layer."""
        place = next(self.module.parameters()).device
        with torch.inference_mode():
            tensor = torch.as_tensor(np.ascontiguousarray(image)[None, None], device=place)
            return tuple(kept[0].cpu().numpy() for kept in self.see(tensor))

    def standardised(self, values: npt.NDArray[Any]) -> FeatureNetwork:
        """The network for images with values like these, scaled and inside the mask.

        MedicalNet was taught on volumes of mean 0 and SD 1 inside the head (Chen 2019), around
        which there was noise. Here the dark around a mask stays, the same in each of two images
        that are compared. VGG16 has ImageNet's own mean and SD.
        """
        if not self.volumes:
            return self
        return replace(self, mean=float(values.mean()), sd=max(float(values.std()), 1e-3))


def load_features(path: Path) -> FeatureNetwork:
    """VGG16 or MedicalNet's ResNet-10 of a state dict; nothing in the file is executed.

    ModelError where the file is absent, too large, of another kind, or has other tensors.
    """
    state = _read_state(path)
    volumes = "layer1.0.conv1.weight" in state
    if not volumes and "features.0.weight" not in state:
        message = (
            f"{path}: expected the state dict of VGG16 (features.0.weight ...) or of MedicalNet's "
            f"ResNet-10 (conv1.weight, layer1.0.conv1.weight ...), got "
            f"{', '.join(sorted(state)[:SHOWN]) or 'no tensors'}; supply one of these"
        )
        raise ModelError(message)
    # Without numbers of its own: nothing is drawn, so the chance of a fit stays as it is.
    # MONAI's class of features halves in the stem as Chen 2019 does; its resnet10 would not.
    with torch.device("meta"):
        module = ResNetFeatures("resnet10", pretrained=False) if volumes else Vgg16()
    shapes = {n: tuple(t.shape) for n, t in module.state_dict().items() if not UNUSED.match(n)}
    linear = {f"lin{n}.model.1.weight": (1, f, 1, 1) for n, (f, _) in enumerate(BLOCKS)}
    weighted = not volumes and not linear.keys().isdisjoint(state)
    _check(state, shapes | linear if weighted else shapes, path)
    module.load_state_dict({name: state[name].float() for name in shapes}, assign=True)
    weights = tuple(state[name].flatten().float().numpy() for name in linear if weighted)
    return FeatureNetwork(
        module.requires_grad_(requires_grad=False).eval(), weights or None, volumes
    )


def views_of(image: Volume, mask: Volume, scale: Scale, *, volumes: bool) -> Images:
    """What a network sees of a volume: cropped to the mask, in [0, 1], 0 outside the mask.

    (N, H, W), the axial slices that hold the mask, or (1, I, J, K). `scale` is the real image's,
    for the real and the synthetic image alike. ValueError for an empty mask or other shapes.
    """
    inside = mask.canonical().array > 0
    values = image.canonical().array
    if values.shape != inside.shape or not inside.any():
        message = f"expected a mask with voxels of shape {values.shape}, got {inside.shape}"
        raise ValueError(message)
    scaled = np.where(inside, np.clip(scale.apply(values), 0, 1), 0).astype(np.float32)
    i, j, k = bounding_box(inside)
    if volumes:
        return scaled[None, i, j, k]
    return np.moveaxis(scaled[i, j][..., inside.any(axis=(0, 1))], 2, 0)


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        message = (
            f"{path}: no such file; features (FID, LPIPS) need the weights of VGG16 or "
            "MedicalNet, which you supply"
        )
        raise ModelError(message)
    try:
        return _tensors_of(path)
    except ModelError:
        raise
    # The reader of weights raises whatever a broken file leads it to, KeyError and struct.error
    # among others; its own words advise to execute the file, so they are not shown.
    except Exception as error:
        kind = "state dict as torch.save writes it" if _is_torch(path) else "safetensors file"
        message = f"{path}: is not a {kind}, or is broken; expected tensors alone, save them again"
        raise ModelError(message) from error


def _tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """The tensors that are used, under torchvision's and MONAI's names."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):  # As torch writes; its entries may be compressed.
        with zipfile.ZipFile(path) as file:
            size = sum(entry.file_size for entry in file.infolist())
    if size > LARGEST:
        message = f"{path}: is larger than {LARGEST // 2**20} MiB; supply the weights alone"
        raise ModelError(message)
    is_torch = _is_torch(path)
    content = torch.load(path, "cpu", weights_only=True) if is_torch else load_file(path)
    state = {
        re.sub(r"^net\.slice\d\.", "features.", name.removeprefix("module.")): tensor
        for name, tensor in content.get("state_dict", content).items()
        if isinstance(tensor, torch.Tensor) and not tensor.is_nested
    }
    return {name: tensor for name, tensor in state.items() if not UNUSED.match(name)}


def _is_torch(path: Path) -> bool:
    return path.suffix in {".pth", ".pt"}


def _check(state: Mapping[str, torch.Tensor], shapes: Shapes, path: Path) -> None:
    problems = [
        f"{name} {problem}"
        for name in sorted({*shapes, *state})
        if (problem := _problem(state.get(name), shapes.get(name)))
    ]
    if len(problems) > SHOWN:
        problems[SHOWN:] = [f"and {len(problems) - SHOWN} more"]
    intro = f"{path}: is not VGG16 or MedicalNet's ResNet-10, supply the whole of one of these:"
    raise_all(ModelError, problems, intro=intro)


def _problem(tensor: torch.Tensor | None, shape: tuple[int, ...] | None) -> str | None:
    actual = "absent" if tensor is None else tuple(tensor.shape)
    if tensor is None or actual != shape:
        return f"is {actual}, expected {shape or 'none'}"
    plain = tensor.layout == torch.strided and not tensor.is_meta
    if not plain or tensor.dtype not in (torch.float32, torch.float16):
        return f"is {tensor.dtype}, {tensor.layout}, expected float32 or float16"
    return None if bool(torch.isfinite(tensor).all()) else "has NaN or infinite numbers"
