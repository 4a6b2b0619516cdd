"""Discriminator that judges patches, and how much of an image each judgement sees."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from bids_synth.errors import RecipeError
from bids_synth.learn.networks.blocks.initial import draw_normal
from bids_synth.learn.networks.blocks.layout import as_slices
from bids_synth.learn.networks.blocks.parts import level_widths, norm_of

KERNEL = 4
"""Voxels of each convolution along each axis."""


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola 2017, arXiv:1611.07004) in 2D or 3D: a map of logits, no sigmoid.

    `layers` convolutions that halve, then `tail` that do not, 1 or 2; all but the first and the
    last are followed by the norm. `maps` counts the images that the caller has concatenated:
    candidate and condition. With `spectral`, every weight is divided by its largest singular
    value (Miyato 2018, arXiv:1802.05957). With `keep`, the tail keeps the size, as MM-GAN's does
    (a map of 1/16 of the image for 4 layers); otherwise each of its convolutions takes one voxel.
    `initial` is "usual" or "normal", for the published weights: see `draw_normal`.

    With 3 layers, a tail of 2 and InstanceNorm (whose convolutions keep their biases, although
    it cancels them) there are 2,764,737 parameters for three images, the published 2.765 million
    of CycleGAN; with "group" in place of the published BatchNorm, which mixes the items of a
    batch, 2,768,705 for six, the published 2.769 million of pix2pix.
    """

    def __init__(
        self,
        *,
        maps: int,
        outputs: int = 1,
        spatial_dims: int = 2,
        layers: int = 3,
        tail: int = 2,
        filters: int = 64,
        norm: str = "instance",
        spectral: bool = False,
        keep: bool = False,
        initial: str = "usual",
    ) -> None:
        super().__init__()
        _check(spatial_dims, layers, tail)
        self.spatial_dims = spatial_dims
        widths = [*level_widths(layers + tail - 1, filters), outputs]
        draw = draw_normal if initial == "normal" else _as_it_is
        parts: list[nn.Module] = []
        for level, (before, after) in enumerate(zip([maps, *widths], widths, strict=False)):
            halves, inner = level < layers, 0 < level < len(widths) - 1
            if keep and not halves:
                parts.append(_ROW_BEFORE[spatial_dims]())
            bias = not (inner and norm == "group")
            convolution = draw(_convolution(spatial_dims, before, after, halves=halves, bias=bias))
            parts.append(spectral_norm(convolution) if spectral else convolution)
            if inner:
                parts.append(draw(norm_of(norm, after, spatial_dims)))
            if level < len(widths) - 1:
                parts.append(nn.LeakyReLU(0.2))
        self.body = nn.Sequential(*parts)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (N, maps, I, J, K), K = 1 in 2D -> logits (N, outputs, i, j, k), k = 1 in 2D."""
        if self.spatial_dims == 3:
            logits: torch.Tensor = self.body(images)
            return logits
        flat: torch.Tensor = self.body(as_slices(images))
        return flat[..., None]


_ROW_BEFORE: dict[int, Callable[[], nn.Module]] = {
    2: lambda: nn.ConstantPad2d((1, 0) * 2, 0.0),
    3: lambda: nn.ConstantPad3d((1, 0) * 3, 0.0),
}
"""Dimensions -> one more row of zeros before each axis, so that a kernel of 4 keeps the size."""


def _as_it_is(module: nn.Module) -> nn.Module:
    return module


def _check(spatial_dims: int, layers: int, tail: int) -> None:
    if spatial_dims not in _ROW_BEFORE or layers < 1 or tail not in (1, 2):
        message = (
            f"a discriminator got spatial_dims {spatial_dims}, layers {layers} and tail {tail}, "
            "expected 2 or 3, at least 1, and 1 or 2"
        )
        raise RecipeError(message)


def _convolution(dims: int, before: int, after: int, *, halves: bool, bias: bool) -> nn.Module:
    kind = nn.Conv3d if dims == 3 else nn.Conv2d
    return kind(before, after, KERNEL, stride=2 if halves else 1, padding=1, bias=bias)
