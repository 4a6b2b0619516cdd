"""Lesions that are kept, faded, erased and invented: each drawn so, and counted."""

from __future__ import annotations

import numpy as np
import pytest

from bids_synth.measure.lesions import invented, lesion_scores

SHAPE = (60, 64, 56)
PLACES = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"))
INSIDE = ((PLACES - np.array(SHAPE)[:, None, None, None] / 2) ** 2).sum(0) < 26**2
CENTRES = ((20, 30, 28), (40, 30, 28), (30, 20, 28), (30, 44, 28))
SPACING = (1.0, 1.0, 1.0)


def ball(centre, radius):
    return ((PLACES - np.array(centre)[:, None, None, None]) ** 2).sum(0) <= radius**2


LESIONS = np.any([ball(centre, 3) for centre in CENTRES], axis=0)


def scan(contrasts, noise=0.02):
    """A brain of 1 with lesions of these contrasts."""
    image = 1 + noise * np.random.default_rng(0).normal(size=SHAPE)
    for centre, contrast in zip(CENTRES, contrasts, strict=True):
        image[ball(centre, 3)] += contrast
    return image * INSIDE


def fates(contrasts, real=(0.4,) * 4):
    scores = lesion_scores(scan(real), scan(contrasts, 0.0), LESIONS, INSIDE, SPACING)
    # Labels follow the first axis.
    return [one.fate for one in scores], scores


def test_each_fate_by_the_contrast_that_is_left():
    found, scores = fates((0.4, 0.0, 0.15, -0.2))
    assert sorted(found) == sorted(["kept", "faded", "erased", "erased"])
    assert all(one.visible for one in scores)
    assert [one.volume for one in scores] == [ball(CENTRES[0], 3).sum()] * 4
    assert np.median([one.real for one in scores]) == pytest.approx(0.4 / 0.02, rel=0.15)


def test_dark_lesions_are_kept_where_they_stay_dark():
    found, _ = fates((-0.3, -0.05, 0.3, -0.2), real=(-0.3,) * 4)
    assert sorted(found) == sorted(["kept", "erased", "erased", "kept"])


def test_what_the_real_image_does_not_show_is_not_visible():
    _, scores = fates((0.4,) * 4, real=(0.4, 0.01, 0.4, 0.0))
    assert sum(one.visible for one in scores) == 2


def test_specks_and_what_lies_outside_are_no_lesions():
    specks = np.zeros(SHAPE, bool)
    specks[30, 30, 30] = True
    specks[:3, :3, :3] = True
    image = scan((0.4,) * 4)
    assert lesion_scores(image, image, specks, INSIDE, SPACING) == []


def test_the_interval_is_compared_with_what_lies_around():
    half = np.where(LESIONS, 0.3, 0.1)
    image = scan((0.4,) * 4)
    scores = lesion_scores(image, image, LESIONS, INSIDE, SPACING, half)
    assert [one.wider for one in scores] == pytest.approx([3.0] * 4)


@pytest.mark.parametrize("bright", [True, False])
def test_a_blob_that_only_the_synthetic_image_has_is_invented(bright):
    sign = 1 if bright else -1
    real, made = scan((0.4 * sign, 0.4 * sign, 0, 0)), scan((0.4 * sign, 0.4 * sign, 0, 0))
    assert invented(real, made, INSIDE, SPACING, bright=bright) == (0, 0.0)
    made = made + 0.6 * sign * ball((38, 38, 34), 4)
    count, volume = invented(real, made, INSIDE, SPACING, bright=bright)
    assert count == 1
    assert volume == pytest.approx(ball((38, 38, 34), 4).sum(), rel=0.25)


def test_lesions_of_the_real_image_are_not_invented():
    real = scan((0.6,) * 4)
    assert invented(real, real, INSIDE, SPACING) == (0, 0.0)
