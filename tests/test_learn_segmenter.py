"""The segmenter tells bone from soft tissue, is frozen, and makes a fit resume to the bit."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
import torch
from feature_files import medicalnet_file, vgg_file
from learn_toys import field, make_visit, toy_recipe, toy_split
from safetensors.torch import load_file

from bids_synth.core.modality import MODALITIES
from bids_synth.errors import RecipeError, UsageError
from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.features import segmenter as module
from bids_synth.learn.features.loss import SuppliedFeatures, features_of
from bids_synth.learn.features.segmenter import Segmenter, fit_segmenter, kept_segmenter, limits_of
from bids_synth.learn.features.supplied import load_features
from bids_synth.learn.fit.fit import fit_key, fit_model
from bids_synth.learn.objectives.paired import paired_loss
from bids_synth.learn.objectives.regression import Regression
from bids_synth.recipe.recipe import load_recipe, validate_recipe

SIDE = 24


def scaled(values):
    low, high = MODALITIES["ct"].window
    return (values - low) / (high - low)


def head(number):
    """A head in HU: air, soft tissue, and a shell of bone whose place depends on the number."""
    rng = np.random.default_rng(number)
    i, j, k = np.meshgrid(*[np.linspace(-1.2, 1.2, SIDE)] * 3, indexing="ij")
    radius = np.sqrt(i**2 + j**2 + k**2) + 0.05 * rng.standard_normal()
    values = np.where(radius > 1, -1000, np.where(radius > 0.75, 900, 40))
    values = values + 20 * rng.standard_normal(values.shape)
    image = scaled(values).astype(np.float16)
    mask = np.ones(image.shape, np.uint8)
    return Stored(str(number), str(number), {"ct": image}, mask, np.arange(image.size, dtype="u4"))


def recipe_of(patch=(16, 16, 16), network="residual-unet", **objective):
    data = load_recipe("ct").model_dump(mode="json")
    data["network"] = {"name": network, "filters": 4}
    data["network"] |= {"depth": 4} if network == "unet-2d" else {"blocks": [1, 1]}
    data["objective"] |= {"ssim": 0} | objective
    data["fit"] |= {"patch": list(patch)}
    return validate_recipe(data, origin="toy")


VISITS = [head(n) for n in range(3)]


@pytest.fixture(scope="module", params=["3D", "2D"])
def fitted(request):
    recipe = recipe_of() if request.param == "3D" else recipe_of((16, 16, 1), "unet-2d")
    return recipe, fit_segmenter(recipe, VISITS, seed=1)


def test_it_separates_air_soft_tissue_and_bone_of_a_head_it_never_saw(fitted):
    recipe, made = fitted
    image = head(99).images["ct"].astype(np.float32)
    truth = np.digitize(image, limits_of(recipe, VISITS).of["ct"])
    assert np.bincount(truth.ravel()).min() > 500
    found = made.classes(torch.from_numpy(image)[None, None]).argmax(1)[0].numpy()
    for tissue in range(3):
        both = np.sum((found == tissue) & (truth == tissue))
        dice = 2 * both / (np.sum(found == tissue) + np.sum(truth == tissue))
        assert dice > 0.85, tissue
    soft, bone = (float(scaled(v)) for v in (40, 900))
    maps = [made(torch.full((1, 1, 16, 16, 16), v)) for v in (soft, bone)]
    middle = [[m[..., 2:-2, 2:-2, :].mean(dim=(2, 3, 4)) for m in kept[:2]] for kept in maps]
    apart = [float((a - b).abs().mean()) for a, b in zip(*middle, strict=True)]
    assert min(apart) > 0.5


def test_the_limits_of_ct_are_its_hounsfield_units():
    low, high = limits_of(recipe_of(), VISITS).of["ct"]
    assert (low, high) == pytest.approx((scaled(-200), scaled(200)))


def test_targets_in_arbitrary_units_have_classes_of_a_third():
    rng = np.random.default_rng(0)
    image = field(rng, (16, 16, 16), 1.0).astype(np.float16)
    visits = [Stored("a", "a", {"T1w": image}, np.ones_like(image), np.arange(4096, dtype="u4"))]
    limits = limits_of(toy_recipe(), visits)
    shares = np.bincount(np.digitize(image.ravel(), limits.of["T1w"])) / image.size
    assert list(limits.of) == ["T1w"]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.03)
    with pytest.raises(UsageError, match="no training visit has one of ct"):
        limits_of(recipe_of(), visits)


def test_the_same_seed_gives_the_same_weights_and_another_others(monkeypatch):
    monkeypatch.setattr(module, "STEPS", 4)
    torch.manual_seed(0)
    one = fit_segmenter(recipe_of(), VISITS, seed=1).state_dict()
    chance = torch.rand(1)
    other = fit_segmenter(recipe_of(), VISITS, seed=1).state_dict()
    third = fit_segmenter(recipe_of(), VISITS, seed=2).state_dict()
    assert all(torch.equal(one[n], other[n]) for n in one)
    assert not torch.equal(one["layers.0.weight"], third["layers.0.weight"])
    torch.manual_seed(0)
    assert torch.equal(chance, torch.rand(1)), "the fit's own chance must not be touched"


def test_gradients_reach_the_image_and_not_the_weights(fitted):
    recipe, made = fitted
    shape = (1, 1, *recipe.fit.patch)
    image, real = torch.rand(shape).requires_grad_(), torch.rand(shape)
    batch = {"scored": torch.tensor([[True]]), "real": real, "mask": torch.ones(shape)}
    weights = recipe.objective.model_copy(update={"l1": 0.0, "features": 1.0})
    loss = paired_loss(image, batch, weights, features=made)
    loss.backward()
    assert float(loss) > 0
    assert image.grad is not None
    assert float(image.grad.abs().mean()) > 0
    assert all(p.grad is None and not p.requires_grad for p in made.parameters())
    assert float(paired_loss(real, batch, weights, features=made)) == 0


def test_it_is_kept_for_its_key_and_fitted_anew_for_another(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STEPS", 2)
    path, recipe = tmp_path / "fold" / "segmenter.safetensors", recipe_of()
    one = kept_segmenter(recipe, VISITS, path, key="a", seed=1).state_dict()
    monkeypatch.setattr(module, "fit_segmenter", lambda *_, **__: pytest.fail("fitted again"))
    other = kept_segmenter(recipe, VISITS, path, key="a", seed=1).state_dict()
    assert all(torch.equal(one[n], other[n]) for n in one)
    monkeypatch.undo()
    monkeypatch.setattr(module, "STEPS", 2)
    third = kept_segmenter(recipe, VISITS, path, key="b", seed=2).state_dict()
    assert not torch.equal(one["layers.0.weight"], third["layers.0.weight"])
    path.write_bytes(b"broken")
    assert isinstance(kept_segmenter(recipe, VISITS, path, key="b", seed=2), Segmenter)


def test_an_interrupted_fit_with_features_ends_at_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STEPS", 3)
    data = toy_recipe(steps=4, steps_per_epoch=2).model_dump(mode="json")
    data["objective"] |= {"ssim": 0, "features": 1.0, "features_from": "thresholds"}
    recipe, plain = validate_recipe(data, origin="toy"), toy_recipe(steps=4, steps_per_epoch=2)
    looks = count()

    def rising(*_):
        """The last weights are kept, which every step has changed."""
        return float(next(looks))

    def fit(place, recipe=recipe):
        visits = [make_visit(place / "p", p, shape=(20, 20, 20)) for p in "abce"]
        split = toy_split(training="abc")
        where = {"folder": place / "model", "work": place / "work"}
        fit_model(recipe, visits, split, rising, **where, seed=3, device="cpu", quiet=True)
        return load_file(next((place / "work" / "fit").rglob("weights.safetensors")))

    whole = fit(tmp_path / "whole")
    losses = Regression.losses

    def stop(self, batch):
        if self.steps_done == 3:
            raise InterruptedError
        return losses(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Regression, "losses", stop)
        with pytest.raises(InterruptedError):
            fit(tmp_path / "cut")
    kept = next((tmp_path / "cut" / "work" / "fit").rglob("fold-0_segmenter.safetensors"))
    before = kept.stat().st_mtime_ns
    resumed = fit(tmp_path / "cut")
    assert kept.stat().st_mtime_ns == before
    assert all(torch.equal(whole[n], resumed[n]) for n in whole)
    other = fit(tmp_path / "plain", plain)
    assert not all(torch.equal(whole[n], other[n]) for n in whole), "features had no effect"


def test_a_supplied_network_sees_axial_slices_with_gradients(tmp_path):
    network = load_features(vgg_file(tmp_path / "w.safetensors"))
    seen, image = SuppliedFeatures(network), torch.rand(2, 1, 16, 17, 3, requires_grad=True)
    first, *_, last = seen(image)
    assert first.shape == (2 * 3, 64, 16, 17)
    assert last.shape == (2 * 3, 512, 1, 1)
    by_hand = network.maps(image[1, 0, :, :, 2].detach().numpy())[0]
    unit = by_hand / np.maximum(np.linalg.norm(by_hand, axis=0), 1e-12)
    assert first[5].detach().numpy() == pytest.approx(unit, abs=1e-5)
    last.pow(3).sum().backward()
    assert float(image.grad.abs().sum()) > 0
    assert not seen.state_dict(), "its weights would be written with every epoch"


def test_a_supplied_network_of_volumes_sees_patches_in_the_scale_of_the_targets(tmp_path):
    path = medicalnet_file(tmp_path / "resnet_10.pth")
    seen = features_of(recipe_of(features_from=str(path)), VISITS, tmp_path, key="k", seed=1)
    image = torch.rand(2, 1, 16, 16, 16, requires_grad=True)
    maps = seen(image)
    assert [m.shape[:2] for m in maps] == [(2, 64), (2, 128), (2, 256), (2, 512)]
    values = np.concatenate([v.images["ct"].ravel()[::6] for v in VISITS]).astype(np.float32)
    standard = load_features(path).standardised(values)
    by_hand = standard.maps(image[1, 0].detach().numpy())[0]
    unit = by_hand / np.maximum(np.linalg.norm(by_hand, axis=0), 1e-12)
    assert maps[0][1].detach().numpy() == pytest.approx(unit, abs=1e-3)
    maps[-1].pow(3).sum().backward()
    assert float(image.grad.abs().sum()) > 0
    assert not seen.state_dict()


def test_patches_of_one_slice_are_for_vgg16(tmp_path):
    path = medicalnet_file(tmp_path / "resnet_10.pth")
    recipe = recipe_of((16, 16, 1), "unet-2d", features_from=str(path))
    with pytest.raises(RecipeError, match=r"sees volumes.*\[16, 16, 1\].*take VGG16"):
        fit_key(recipe, [], toy_split(), seed=1)
    path = vgg_file(tmp_path / "w.safetensors")
    recipe = recipe_of((16, 16, 1), "unet-2d", features_from=str(path))
    assert fit_key(recipe, [], toy_split(), seed=1)


def test_other_weights_of_a_supplied_network_make_another_fit(tmp_path):
    path = vgg_file(tmp_path / "w.safetensors")
    recipe = recipe_of(features_from=str(path))
    split = toy_split()
    first = fit_key(recipe, [], split, seed=1)
    vgg_file(path, seed=1)
    assert first != fit_key(recipe, [], split, seed=1)


def test_features_without_an_origin_are_refused():
    with pytest.raises(RecipeError, match=r"features_from: expected `thresholds` or the path"):
        recipe_of(features_from="")
