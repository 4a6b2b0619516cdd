"""The score without pairs prefers the right values in the right places."""

from __future__ import annotations

import numpy as np
import pytest

from bids_synth.learn.fit.unpaired_score import SHARES, proxy_score


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    blocks = np.kron(rng.random((4, 4, 4)), np.ones((5, 5, 5))).astype(np.float32)
    real = 1 - blocks**2
    return blocks, real, np.ones(blocks.shape, bool)


def test_the_truth_scores_best(images: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    given, real, mask = images
    wanted = np.quantile(real, SHARES)
    rng = np.random.default_rng(2)
    moved = np.roll(real, (3, 8, 2), (0, 1, 2))
    noise = rng.permutation(real.ravel()).reshape(real.shape)
    flat = np.full_like(real, real.mean())
    others = {"copy": given, "moved": moved, "noise": noise, "flat": flat}
    best = proxy_score(given, real, mask, wanted)
    worse = {name: proxy_score(given, image, mask, wanted) for name, image in others.items()}
    assert all(score < best - 0.05 for score in worse.values()), (best, worse)


def test_only_the_mask_counts(images: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    given, real, mask = images
    inner = mask.copy()
    inner[:5] = False
    wanted = np.quantile(real[inner], SHARES)
    spoilt = real.copy()
    spoilt[:4] = 9
    assert proxy_score(given, spoilt, inner, wanted) == proxy_score(given, real, inner, wanted)
