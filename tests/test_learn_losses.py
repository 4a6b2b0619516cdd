"""Losses against scikit-image and the textbook."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics.regression import compute_ssim_and_cs
from skimage.metrics import structural_similarity
from torch.nn import functional

from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import fit_scale
from bids_synth.learn.objectives.losses import masked_l1, masked_ssim, ssim_map
from bids_synth.learn.objectives.paired import emphasis_of, gains_of, paired_loss
from bids_synth.recipe.recipe import load_recipe, validate_recipe
from bids_synth.recipe.sections.objective import RegressionPart


def pair(seed=0, shape=(1, 1, 20, 18, 22)):
    rng = np.random.default_rng(seed)
    real = rng.random(shape).astype(np.float32)
    return torch.from_numpy(real), torch.from_numpy(
        (real + 0.1 * rng.standard_normal(shape)).astype(np.float32)
    )


def ssim_by_convolution(x, y):
    """The formula of Wang 2004 with every mean by one convolution."""
    window = torch.full((1, 1, 7, 7, 7), 1 / 343, dtype=x.dtype)
    mean_x, mean_y, xx, yy, xy = (
        functional.conv3d(image, window) for image in (x, y, x * x, y * y, x * y)
    )
    var_x, var_y, covariance = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    above = (2 * mean_x * mean_y + 1e-4) * (2 * covariance + 9e-4)
    return above / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))


@pytest.mark.parametrize("shape", [(1, 1, 7, 7, 7), (2, 1, 9, 16, 8)])
def test_ssim_and_its_gradients_are_those_by_convolution(shape):
    real, made = pair(seed=3, shape=shape)
    ours, theirs = made.clone().requires_grad_(), made.double().requires_grad_()
    found, wanted = ssim_map(ours, real), ssim_by_convolution(theirs, real.double())
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-5)
    found.square().mean().backward()
    wanted.square().mean().backward()
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-3, atol=1e-6)


def test_ssim_is_that_of_scikit_image_and_monai():
    real, made = pair()
    ours = ssim_map(made, real)[0, 0].numpy()
    _, full = structural_similarity(
        real[0, 0].numpy(),
        made[0, 0].numpy(),
        win_size=7,
        data_range=1.0,
        use_sample_covariance=False,
        full=True,
    )
    np.testing.assert_allclose(ours, full[3:-3, 3:-3, 3:-3], atol=2e-5)
    theirs, _ = compute_ssim_and_cs(made, real, 3, [7] * 3, [1.5] * 3, kernel_type="uniform")
    np.testing.assert_allclose(ours, theirs[0, 0].numpy(), atol=2e-5)


def test_only_voxels_inside_the_mask_count():
    real, made = pair()
    mask = torch.zeros_like(real)
    mask[..., 5:15, 5:12, 5:16] = 1
    elsewhere = made + 5 * (1 - mask)
    assert masked_l1(elsewhere, real, mask) == pytest.approx(float(masked_l1(made, real, mask)))
    assert masked_ssim(elsewhere, real, mask) == pytest.approx(
        float(masked_ssim(made, real, mask))
    )
    inside = mask.numpy() > 0
    expected = np.abs(made.numpy() - real.numpy())[inside].mean()
    assert float(masked_l1(made, real, mask)) == pytest.approx(float(expected), rel=1e-5)


def test_a_perfect_image_loses_nothing_and_an_empty_mask_is_harmless():
    real, made = pair()
    ones, none = torch.ones_like(real), torch.zeros_like(real)
    assert float(masked_l1(real, real, ones)) == 0
    assert float(masked_ssim(real, real, ones)) == pytest.approx(1, abs=1e-5)
    assert float(masked_l1(made, real, none)) == 0
    assert float(masked_ssim(made, real, none)) == 1


def test_images_that_are_not_scored_have_no_gradient():
    torch.manual_seed(0)
    made = torch.rand(2, 3, 12, 12, 12, requires_grad=True)
    scored = torch.tensor([[True, False, False], [False, True, True]])
    batch = {
        "real": torch.rand(2, 3, 12, 12, 12),
        "mask": torch.ones(2, 1, 12, 12, 12),
        "scored": scored,
    }
    paired_loss(made, batch, RegressionPart()).backward()
    felt = made.grad.abs().amax(dim=(2, 3, 4)) > 0
    assert torch.equal(felt, scored)


@pytest.mark.parametrize(
    ("recipe", "above", "scale"),
    [
        ("ct", 300.0, fit_scale(MODALITIES["ct"], np.empty(0))),
        ("cmro2", 150.0, fit_scale(MODALITIES["cmro2"], np.empty(0), log=True)),
        # Half of this image's mean is an uptake ratio of 0.5.
        ("pet", 0.5, fit_scale(MODALITIES["pet"], np.array([0.4, 1.6]), suvr=True)),
        ("impute", 0.7, None),
    ],
)
def test_emphasis_begins_at_a_value_in_the_unit_of_the_target(recipe, above, scale):
    data = load_recipe(recipe).model_dump(mode="json")
    data["objective"]["emphasis"] = {"above": above, "weight": 3.0}
    changed = validate_recipe(data, origin=recipe)
    rows = emphasis_of(changed, changed.objective)
    wanted = above if scale is None else float(scale.apply(np.array([above]))[0])
    np.testing.assert_allclose(rows[:, 0], wanted, rtol=1e-6)
    assert (rows[:, 1] == 3).all()


@pytest.mark.parametrize("name", ["l1", "l2"])
def test_errors_of_a_logarithm_are_those_of_the_value_to_first_order(name):
    recipe = load_recipe("cmro2")
    scale = recipe.shared_scale("cmro2")
    real, mask = pair()[0], torch.ones(1, 1, 20, 18, 22)
    made = real + 1e-4 * torch.randn(real.shape, generator=torch.Generator().manual_seed(1))
    weights = RegressionPart(**{"l1": 0.0, "l2": 0.0, "ssim": 0.0, name: 1.0})
    batch = {"real": real, "mask": mask, "scored": torch.tensor([[True]])}
    found = float(paired_loss(made, batch, weights, gains=gains_of(recipe)))
    difference = scale.invert(made.double().numpy()) - scale.invert(real.double().numpy())
    # In units of the gain and of the value that becomes 1, which rank no two voxels.
    error = np.abs(difference) / scale.gain / scale.invert(np.ones(1))
    wanted = error.mean() if name == "l1" else (error**2).mean()
    assert found == pytest.approx(float(wanted), rel=1e-2)


def test_targets_without_a_logarithm_are_weighed_as_before():
    real, made = pair()
    batch = {"real": real, "mask": torch.ones_like(real), "scored": torch.tensor([[True]])}
    weights = RegressionPart(ssim=0.0)
    one = paired_loss(made, batch, weights)
    other = paired_loss(made, batch, weights, gains=torch.tensor([float("nan")]))
    assert float(one) == float(other)
    assert gains_of(load_recipe("impute")) is None
