"""Segmenter: a small tissue network, fitted on thresholds, whose maps compare images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from bids_synth.core.modality import MODALITIES
from bids_synth.errors import UsageError
from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.data.patches import cut
from bids_synth.learn.fit.finite import require_finite
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.network import PLANAR

AIR, BONE = -200.0, 200.0
"""HU below which there is air and above which there is bone."""
FILTERS = (8, 16, 16)
STEPS, RATE, SIDE = 150, 1e-2, 32
"""Steps of the fit, their largest rate and the longest edge of a patch."""
NOISE = 0.25
"""Noise on what it is shown, in widths of the middle class, so that it must look around."""
SAMPLED = 2000
"""Voxels of a visit from which tertiles are read."""
CLASSES = 3


class Segmenter(nn.Module):
    """Three convolutions and a head: air, soft tissue and bone of an image of 1 map."""

    def __init__(self, *, planar: bool) -> None:
        super().__init__()
        kernel, pad = ((3, 3, 1), (1, 1, 0)) if planar else ((3, 3, 3), (1, 1, 1))
        half = (2, 2, 1) if planar else (2, 2, 2)
        inputs, strides = (1, *FILTERS), ((1, 1, 1), half, half)
        self.layers = nn.ModuleList(
            nn.Conv3d(inputs[n], filters, kernel, stride=strides[n], padding=pad)
            for n, filters in enumerate(FILTERS)
        )
        self.head = nn.Conv3d(sum(FILTERS), CLASSES, 1)
        self.register_buffer("window", torch.tensor([0.0, 1.0]))
        for number, filters in enumerate(FILTERS):
            self.register_buffer(f"spread{number}", torch.ones(filters))

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """(M, 1, I, J, K) -> maps (M, F, i, j, k) of every layer, each in its own SD."""
        return [
            maps / self.get_buffer(f"spread{n}")[:, None, None, None]
            for n, maps in enumerate(self.maps(image))
        ]

    def maps(self, image: torch.Tensor) -> list[torch.Tensor]:
        """The maps as they are."""
        middle, width = self.get_buffer("window")
        kept, maps = [], (image - middle) / width
        for layer in self.layers:
            maps = functional.leaky_relu(layer(maps), 0.1)
            kept.append(maps)
        return kept

    def classes(self, image: torch.Tensor) -> torch.Tensor:
        """(M, 1, I, J, K) -> (M, 3, I, J, K): scores of air, soft tissue and bone."""
        size = image.shape[2:]
        wide = [functional.interpolate(m, size=size) for m in self.maps(image)]
        scores: torch.Tensor = self.head(torch.cat(wide, dim=1))
        return scores


@dataclass(frozen=True)
class Limits:
    """Scaled values between the classes, by target."""

    of: dict[str, tuple[float, float]]

    @property
    def window(self) -> tuple[float, float]:
        """Middle and half width of the middle class, averaged over targets."""
        low, high = np.mean(list(self.of.values()), axis=0)
        return float(low + high) / 2, max(float(high - low) / 2, 1e-3)


def kept_segmenter(
    recipe: Recipe, training: Sequence[Stored], path: Path, *, key: str, seed: int
) -> Segmenter:
    """The segmenter of a fold: read from `path` where that is of this very `key`, else fitted."""
    segmenter = Segmenter(planar=recipe.network.name in PLANAR)
    if key_of(path) != key:
        segmenter = fit_segmenter(recipe, training, seed=seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        require_finite(segmenter.state_dict(), "the weights of the segmenter")
        save_file(segmenter.state_dict(), path.with_suffix(".part"), metadata={"key": key})
        path.with_suffix(".part").replace(path)
    segmenter.load_state_dict(load_file(path))
    return segmenter.requires_grad_(requires_grad=False).eval()


def fit_segmenter(recipe: Recipe, training: Sequence[Stored], *, seed: int) -> Segmenter:
    """Fit on patches of the training targets; the same seed and visits give the same weights.

    Raises UsageError where no training visit has a target.
    """
    limits = limits_of(recipe, training)
    rng = np.random.default_rng([seed, 7])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        segmenter = Segmenter(planar=recipe.network.name in PLANAR)
        segmenter.get_buffer("window").copy_(torch.tensor(limits.window))
        optimizer = torch.optim.Adam(segmenter.parameters(), lr=RATE)
        rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
        patches = _patches(recipe, training, limits, rng)
        for _ in range(STEPS):
            image, labels = next(patches)
            noise = NOISE * 2 * limits.window[1] * torch.randn_like(image)
            loss = functional.cross_entropy(
                segmenter.classes(image + noise), labels, weight=_weights(labels)
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rates.step()
        segmenter.zero_grad(set_to_none=True)
        _measure_spread(segmenter, torch.cat([next(patches)[0] for _ in range(8)]))
    return segmenter.requires_grad_(requires_grad=False).eval()


def limits_of(recipe: Recipe, training: Sequence[Stored]) -> Limits:
    """Air and bone where a target is in HU; tertiles of its scaled values elsewhere."""
    kept = {}
    for target, values in target_samples(recipe, training).items():
        modality = MODALITIES[target]
        if modality.unit == "HU" and modality.window:
            low, high = modality.window
            first, second = ((value - low) / (high - low) for value in (AIR, BONE))
        else:
            first, second = np.quantile(values, [1 / 3, 2 / 3])
        kept[target] = (float(first), float(second))
    return Limits(kept)


def target_samples(recipe: Recipe, training: Sequence[Stored]) -> dict[str, np.ndarray]:
    """Target -> scaled values (N,) inside the masks of the training visits that have it.

    Raises UsageError where none has any target.
    """
    held = {t: [_sample(v, t) for v in training if t in v.images] for t in recipe.targets}
    if not any(held.values()):
        message = f"no training visit has one of {', '.join(recipe.targets)} to segment or compare"
        raise UsageError(message)
    return {target: np.concatenate(values) for target, values in held.items() if values}


def _sample(visit: Stored, target: str) -> np.ndarray:
    step = max(1, len(visit.centres) // SAMPLED)
    return np.asarray(visit.images[target].reshape(-1)[visit.centres[::step]], np.float32)


def _patches(
    recipe: Recipe, training: Sequence[Stored], limits: Limits, rng: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Images (M, 1, I, J, K) and their classes (M, I, J, K), without end."""
    pairs = [(v, t) for v in training for t in limits.of if t in v.images]
    i, j, k = (min(n, SIDE) for n in recipe.fit.patch)
    count = 16 if k == 1 else 2
    while True:
        images, labels = [], []
        for number in rng.integers(len(pairs), size=count):
            visit, target = pairs[number]
            start = visit.draw_window(rng, (i, j, k))
            patch = cut(visit.images[target], start, (i, j, k)).astype(np.float32)
            images.append(patch)
            labels.append(np.digitize(patch, limits.of[target]))
        yield torch.from_numpy(np.stack(images))[:, None], torch.from_numpy(np.stack(labels))


def _weights(labels: torch.Tensor) -> torch.Tensor:
    """Rare classes count more, up to tenfold."""
    counts = torch.stack([(labels == c).sum() for c in range(CLASSES)]).float()
    return (labels.numel() / (CLASSES * counts.clamp_min(1))).clamp(max=10)


@torch.no_grad()
def _measure_spread(segmenter: Segmenter, images: torch.Tensor) -> None:
    for number, maps in enumerate(segmenter.maps(images)):
        spread = maps.std(dim=(0, 2, 3, 4))
        segmenter.get_buffer(f"spread{number}").copy_(torch.where(spread > 1e-3, spread, 1.0))


def key_of(path: Path) -> str:
    """The key under which a segmenter was kept; empty where there is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return str((file.metadata() or {}).get("key", ""))
    except (OSError, SafetensorError):
        return ""
