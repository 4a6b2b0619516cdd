"""Files of VGG16 and MedicalNet with random weights, under the keys of those that people have."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.networks.nets import resnet10
from safetensors.torch import save_file
from torch import nn

CONFIGURATION_D = "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"
"""Simonyan 2014, table 1: convolutions 3 x 3 by their filters, M for maximum pooling."""
WIDTHS = (64, 128, 256, 512, 512)


def plain_vgg16(seed: int = 0) -> nn.Sequential:
    """`features` of torchvision's VGG16, whose maps neither fade nor grow from layer to layer."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    inputs = 3
    for word in CONFIGURATION_D.split():
        if word == "M":
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        convolution = nn.Conv2d(inputs, int(word), kernel_size=3, padding=1)
        with torch.no_grad():
            convolution.weight.normal_(0, (2 / (9 * inputs)) ** 0.5)
            convolution.bias.normal_(0, 0.1)
        layers += [convolution, nn.ReLU()]
        inputs = int(word)
    return nn.Sequential(*layers).eval()


def vgg_state(seed: int = 0) -> dict[str, torch.Tensor]:
    return {f"features.{n}": t for n, t in plain_vgg16(seed).state_dict().items()}


def linear_weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return {f"lin{n}.model.1.weight": torch.rand(1, f, 1, 1) for n, f in enumerate(WIDTHS)}


def vgg_file(path: Path, seed: int = 0) -> Path:
    save_file(vgg_state(seed), path)
    return path


def plain_medicalnet(seed: int = 0) -> nn.Module:
    """MONAI's own network, whose stem halves as Med3D's does, with statistics of its own."""
    torch.manual_seed(seed)
    network = resnet10(
        spatial_dims=3, n_input_channels=1, feed_forward=False, shortcut_type="B",
        bias_downsample=False, conv1_t_stride=2,
    )  # fmt: skip
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def medicalnet_file(path: Path, seed: int = 0) -> Path:
    """As Med3D hands it out: wrapped, and named by DataParallel."""
    state = {f"module.{n}": t for n, t in plain_medicalnet(seed).state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, path)
    return path
