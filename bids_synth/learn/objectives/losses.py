"""Losses: pure functions of synthetic images, real images and a mask, all (N, 1, I, J, K)."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from bids_synth.learn.fit.distributed import divisor

WINDOW = 7
"""Voxels of the uniform SSIM window, as scikit-image and SynthRAD use."""
C1, C2 = 0.01**2, 0.03**2
"""Stabilisers of SSIM (Wang 2004) for a data range of 1."""


def masked_l1(synthetic: torch.Tensor, real: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference over the voxels inside the mask; 0 where there is none."""
    error = ((synthetic - real) * mask).abs().sum()
    return error / divisor(mask)


def masked_l2(synthetic: torch.Tensor, real: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean squared error over the voxels of the mask; (N, C, I, J, K) each, 0 for no voxel."""
    return ((synthetic - real) ** 2 * mask).sum() / divisor(mask)


def masked_bce(synthetic: torch.Tensor, real: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy of scaled values, both clipped to [0, 1], over the mask."""
    with torch.autocast(synthetic.device.type, enabled=False):
        chance = synthetic.float().clamp(1e-4, 1 - 1e-4)
        wanted = real.float().clamp(0, 1)
        error = -(wanted * chance.log() + (1 - wanted) * (1 - chance).log())
        return (error * mask).sum() / divisor(mask)


def masked_ssim(synthetic: torch.Tensor, real: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean SSIM over the voxels of the mask whose window lies inside the image.

    Both images are set to 0 outside the mask first, so that only what is scored counts.
    1 where no such voxel exists.
    """
    rim = slice(WINDOW // 2, -(WINDOW // 2))
    inner = mask[..., rim, rim, rim]
    values = ssim_map(synthetic * mask, real * mask)
    missed = ((1 - values) * inner).sum() / divisor(inner)
    return 1 - missed


def ssim_map(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Local structural similarity (Wang 2004, doi:10.1109/TIP.2003.819861), data range 1.

    Uniform window of 7 voxels, population covariance, valid region only: each length of the
    result is 6 shorter. Computed in float32 also under mixed precision, because the variance
    is a small difference of large numbers.
    """
    with torch.autocast(one.device.type, enabled=False):
        x, y = one.float(), other.float()
        apply: Any = _WindowMean.apply
        mean_x, mean_y, *products = apply(torch.cat([x, y, x * x, y * y, x * y])).chunk(5)
        squares = mean_x**2, mean_y**2, mean_x * mean_y
        var_x, var_y, covariance = (a - b for a, b in zip(products, squares, strict=True))
        luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
        result: torch.Tensor = luminance * (2 * covariance + C2) / (var_x + var_y + C2)
        return result


class _WindowMean(torch.autograd.Function):
    """Means over all windows inside an image, whose gradient is the sum over those of a voxel."""

    @staticmethod
    def forward(_: Any, images: torch.Tensor) -> torch.Tensor:
        return _window_sums(images) / WINDOW**3

    @staticmethod
    def backward(_: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return _window_sums(functional.pad(gradients[0], [WINDOW - 1] * 6)) / WINDOW**3


def _window_sums(images: torch.Tensor) -> torch.Tensor:
    # Sums of neighbours axis by axis: torch convolves a single map on one core.
    for axis in (2, 3, 4):
        length = images.shape[axis] - WINDOW + 1
        total = images.narrow(axis, 0, length) + images.narrow(axis, 1, length)
        for shift in range(2, WINDOW):
            total += images.narrow(axis, shift, length)
        images = total
    return images
