"""Heads for learning: labels are placed, counted and shown as they were drawn."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from drawn_heads import NAMES, TISSUE, ball
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bids_synth.segmentation.network import CLASSES
from training.anatomy import SURFACE, read_anatomy, structure_of
from training.drawing import Contrast, Drawing, draw
from training.scanner import FINE, Window, place, render, shares_of

CPU = torch.device("cpu")
WINDOW = Window((12, 14, 16), 3.0)


@settings(max_examples=15)
@given(st.integers(0, 2**31))
def test_structures_lie_where_the_affine_says(seed: int) -> None:
    anatomy = ball()
    drawing = draw(np.random.default_rng(seed), anatomy)
    still = tuple(np.zeros_like(bend) for bend in drawing.bends)
    plain = Drawing(drawing.affine, still, drawing.contrasts, drawing.seed)
    result = place(plain, anatomy, WINDOW, CPU).numpy()
    steps = [(np.arange(n * FINE) - (n * FINE - 1) / 2) * 1.5 for n in WINDOW.shape]
    points = np.stack(np.meshgrid(*steps, indexing="ij")).reshape(3, -1)
    index = plain.affine[:, :3] @ points + plain.affine[:, 3:]
    oracle = ndimage.map_coordinates(
        anatomy.structures, np.round(index), order=0, mode="constant", cval=0
    )
    assert (result.ravel() == oracle).mean() > 0.999


@settings(max_examples=15)
@given(st.integers(0, 2**31))
def test_shares_are_counts_of_labels(seed: int) -> None:
    anatomy = ball()
    structures = torch.as_tensor(np.random.default_rng(seed).integers(0, 5, (8, 6, 4))).int()
    shares = shares_of(structures, anatomy).numpy()
    layer = [
        CLASSES.index("csf") if name == SURFACE else t
        for name, t in zip(NAMES, TISSUE, strict=True)
    ]
    blocks = structures.numpy().reshape(4, 2, 3, 2, 2, 2)
    for n in range(len(CLASSES)):
        counts = np.isin(blocks, [s for s, t in enumerate(layer) if t == n]).mean((1, 3, 5))
        own = shares[n] + (shares[-1] if CLASSES[n] == "csf" else 0)
        np.testing.assert_allclose(own, counts)


@settings(max_examples=25)
@given(st.integers(0, 2**31))
def test_images_show_what_was_drawn(seed: int) -> None:
    anatomy = ball()
    drawing = draw(np.random.default_rng(seed), anatomy, contrasts=2)
    images, shares = render(drawing, anatomy, WINDOW, CPU)
    assert images.shape == (2, 1, *WINDOW.shape)
    assert shares.shape == (2, len(CLASSES), *WINDOW.shape)
    torch.testing.assert_close(shares.sum(1), torch.ones(2, *WINDOW.shape))
    assert torch.isfinite(images).all()
    again, _ = render(drawing, anatomy, WINDOW, CPU)
    assert torch.equal(images, again)
    layers = shares_of(place(drawing, anatomy, WINDOW, CPU), anatomy)
    for contrast, share in zip(drawing.contrasts, shares, strict=True):
        torch.testing.assert_close(share, answer(contrast, layers.clone()))


def answer(contrast: Contrast, layers: torch.Tensor) -> torch.Tensor:
    """The shares of an image: what is not shown or not seen is background."""
    air, head, csf, _, _, surface = layers
    if contrast.dry:
        air += surface
    else:
        csf += surface
    if contrast.stripped:
        air += head
        head.zero_()
    if contrast.crop is not None:
        axis, share = contrast.crop
        index = np.arange(WINDOW.shape[axis])
        kept = round(abs(share) * len(index))
        cut = index[:-kept] if share < 0 else index[kept:]
        layers.movedim(axis + 1, 1)[:, cut] = 0
        air.movedim(axis, 0)[cut] = 1
    return layers[:-1]


def test_a_label_that_is_not_known_is_named(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.full((4, 4, 4), 333, np.int16), np.eye(4))
    nib.save(image, tmp_path / "labels.nii.gz")
    with pytest.raises(ValueError, match=r"labels\.nii\.gz.*background"):
        read_anatomy(tmp_path / "labels.nii.gz")
    with pytest.raises(ValueError, match="label 333"):
        structure_of(333)


@pytest.mark.real
def test_every_label_map_is_known_and_laid_out_like_a_head(real_data: Path) -> None:
    for path in sorted((real_data / "labels").glob("*.nii.gz"))[:3]:
        anatomy = read_anatomy(path)
        volumes = np.bincount(anatomy.tissue[anatomy.structures].ravel(), minlength=5) / 1000
        assert anatomy.whole
        assert 150 < volumes[2] < 800  # Fluid, ml.
        assert 400 < volumes[3] < 1000
        assert 300 < volumes[4] < 800
