"""Scanner: a head as it was drawn, rendered as scans and as shares of tissues.

torch alone, on any device; the same drawing gives the same image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from bids_synth.segmentation.network import CLASSES
from bids_synth.segmentation.tissues import normalized
from training.anatomy import SURFACE, Anatomy
from training.drawing import Contrast, Drawing, Lesion

FINE = 2
"""Points of the label map along the edge of one voxel of an image."""
KNOTS = 16
"""Points along an edge at which bends of all scales are added up."""
BASE = FINE**3 + 1
"""Digits in which the counts of tissues within a voxel are added up at once."""


@dataclass(frozen=True)
class Window:
    """The grid of a training image: its voxels and their edge, mm."""

    shape: tuple[int, int, int]
    spacing: float


def render(
    drawing: Drawing, anatomy: Anatomy, window: Window, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, 1, *S), one a contrast, from 0 to about 1, and shares of the tissues, (N, 5, *S).

    What was stripped away, or lies beyond a crop of the field of view, is background.
    """
    generator = torch.Generator(device).manual_seed(drawing.seed)
    structures = place(drawing, anatomy, window, device)
    layers = shares_of(structures, anatomy)
    images, answers = [], []
    for contrast in drawing.contrasts:
        image = _scan(contrast, structures, layers, generator)
        seen = _seen(contrast, image)
        images.append(normalized(image * seen)[None])
        answers.append(_answer(contrast, layers, seen))
    return torch.stack(images), torch.stack(answers)


def place(
    drawing: Drawing, anatomy: Anatomy, window: Window, device: torch.device
) -> torch.Tensor:
    """(FINE I, FINE J, FINE K) structures, nearest, along the drawn affine and bends."""
    shape = tuple(n * FINE for n in window.shape)
    steps = [
        (torch.arange(n, device=device, dtype=torch.float32) - (n - 1) / 2)
        * (window.spacing / FINE)
        for n in shape
    ]
    bends = sum(_stretched(torch.as_tensor(b, device=device), (KNOTS,) * 3) for b in drawing.bends)
    affine = torch.as_tensor(drawing.affine, device=device)
    shifts = _stretched(torch.einsum("ij,jxyz->ixyz", affine[:, :3], bends), shape)
    points = []
    for axis, extent in enumerate(anatomy.structures.shape):
        along = [affine[axis, n] * step for n, step in enumerate(steps)]
        index = along[0][:, None, None] + along[1][None, :, None] + along[2][None, None, :]
        index = index + affine[axis, 3] + shifts[axis]
        points.append(index * (2 / (extent - 1)) - 1)
    grid = torch.stack(points[::-1], dim=-1)[None]
    labels = torch.as_tensor(anatomy.structures, device=device).float()[None, None]
    nearest = functional.grid_sample(labels, grid, mode="nearest", align_corners=True)
    return nearest[0, 0].int()


def shares_of(structures: torch.Tensor, anatomy: Anatomy) -> torch.Tensor:
    """(6, *S) shares of the tissues within every voxel, of sum 1; surface fluid is the last."""
    digits = torch.as_tensor(anatomy.tissue, device=structures.device).long()
    digits[[n for n, name in enumerate(anatomy.names) if name == SURFACE]] = len(CLASSES)
    weights = (BASE**digits).float()
    counts = _pooled(weights[structures]) * FINE**3
    counts = counts.round().long()
    each = [counts // BASE**n % BASE for n in range(len(CLASSES) + 1)]
    return torch.stack(each).float() / FINE**3


def _scan(
    contrast: Contrast, structures: torch.Tensor, layers: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    device, shape = structures.device, layers.shape[1:]
    means = _pooled(torch.as_tensor(contrast.means, device=device)[structures])
    spreads = _pooled(torch.as_tensor(contrast.spreads, device=device)[structures])
    image = means + spreads * _texture(contrast.patchy, shape, generator)
    for lesion in contrast.lesions:
        image = image * _changed(lesion, layers[3] + layers[4], generator)
    image = _blurred(image, contrast.blur)
    if contrast.slices is not None:
        image = _in_slices(image, *contrast.slices)
    gain = _stretched(torch.as_tensor(contrast.bias, device=device)[None], shape)[0]
    image = image * torch.exp(gain)
    image = (image / image.max().clamp_min(1e-6)).clamp_min(0) ** contrast.gamma
    noise = torch.randn((2, *shape), generator=generator, device=device) * contrast.noise
    noise = noise * (image > 1e-3) if contrast.silent else noise
    return torch.hypot(image + noise[0], noise[1])


def _texture(
    patchy: float, shape: torch.Size | tuple[int, ...], generator: torch.Generator
) -> torch.Tensor:
    """(*S) of SD about 1: white noise and a share that is smooth over four voxels."""
    device = generator.device
    fine = torch.randn(tuple(shape), generator=generator, device=device)
    few = tuple(max(2, n // 4) for n in shape)
    coarse = torch.randn((1, *few), generator=generator, device=device)
    return fine * (1 - patchy) + _stretched(coarse, shape)[0] * patchy * 1.5


def _changed(lesion: Lesion, brain: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(*S) factors: of the lesion's ball, rough at its surface, where there is brain."""
    shape = brain.shape
    few = tuple(max(2, n // 6) for n in shape)
    rough = torch.randn((1, *few), generator=generator, device=brain.device)
    steps = [
        torch.arange(n, device=brain.device) - (n - 1) / 2 * (1 + c)
        for n, c in zip(shape, lesion.centre, strict=True)
    ]
    square = (
        steps[0][:, None, None] ** 2 + steps[1][None, :, None] ** 2 + steps[2][None, None] ** 2
    )
    radius = lesion.radius * (1 + 0.35 * _stretched(rough, shape)[0])
    inside = torch.sigmoid(2 * (radius - square.sqrt())) * brain
    return 1 + inside * (lesion.change - 1)


def _seen(contrast: Contrast, image: torch.Tensor) -> torch.Tensor:
    seen = torch.ones_like(image)
    if contrast.crop is None:
        return seen
    axis, share = contrast.crop
    size = image.shape[axis]
    edge = round(abs(share) * size)
    seen.narrow(axis, *((0, size - edge) if share < 0 else (edge, size - edge))).zero_()
    return seen


def _answer(contrast: Contrast, layers: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """(5, *S) shares of what the image shows."""
    air, head, csf, grey, white, surface = layers
    if contrast.stripped:
        air, head = air + head, torch.zeros_like(head)
    if contrast.dry:
        air = air + surface
    else:
        csf = csf + surface
    answer = torch.stack([air, head, csf, grey, white]) * seen
    answer[0] += 1 - seen
    return answer


def _pooled(fine: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool3d(fine[None, None], FINE)[0, 0]


def _blurred(image: torch.Tensor, sd: float) -> torch.Tensor:
    half = max(1, round(3 * sd))
    steps = torch.arange(-half, half + 1, device=image.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps / sd) ** 2)
    kernel = kernel / kernel.sum()
    for axis in range(3):
        shape, padding = [1] * 5, [0] * 3
        shape[2 + axis], padding[axis] = len(steps), half
        image = functional.conv3d(image[None, None], kernel.view(shape), padding=padding)[0, 0]
    return image


def _in_slices(image: torch.Tensor, axis: int, thickness: float) -> torch.Tensor:
    """Averaged over thick slices and interpolated between them."""
    shape = list(image.shape)
    shape[axis] = max(2, round(shape[axis] / thickness))
    slices = functional.interpolate(image[None, None], tuple(shape), mode="area")[0]
    return _stretched(slices, image.shape)[0]


def _stretched(values: torch.Tensor, shape: torch.Size | tuple[int, ...]) -> torch.Tensor:
    """(C, n, n, n) -> (C, *shape), trilinear."""
    size = tuple(shape)
    return functional.interpolate(values[None], size, mode="trilinear", align_corners=True)[0]
