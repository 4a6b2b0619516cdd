"""The network that sees what lies around a voxel, and the voxels that it learns from."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_toys import make_visit, minus_error, toy_split
from scipy import ndimage

from bids_synth.core.visit import Prepared
from bids_synth.errors import RecipeError
from bids_synth.learn.data.array_cache import open_store
from bids_synth.learn.data.points import Points
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.fit.selection import made_by
from bids_synth.learn.model.start import bare
from bids_synth.learn.networks import build_network
from bids_synth.learn.networks.blocks.surroundings import (
    CENTRE,
    CROSS,
    LEVELS,
    SHARES,
    VALUES,
    Surroundings,
    mirrored,
    smooth,
)
from bids_synth.learn.networks.context import ContextPerceptron, answers_of
from bids_synth.recipe.recipe import Recipe, load_recipe

SMALL = {"network.width": 16, "network.layers": 2, "network.voxels": 256, "network.sample": 4000}


def context(**values: object) -> Recipe:
    """`impute` of two modalities by the context network, small."""
    data = load_recipe("impute").model_dump(mode="json", exclude={"network", "tune"})
    roles = values.pop("modalities", {"T1w": "either", "T2w": "either"})
    data |= {"network": {"name": "context"}, "modalities": roles}
    data["objective"] |= {"ssim": 0.0}
    data["fit"] |= {"patch": [24, 24, 24], "batch": 2, "members": 1}
    chosen = SMALL | {key.replace("__", "."): value for key, value in values.items()}
    return Recipe.model_validate(data).with_values(chosen)


def head(shape: tuple[int, int, int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two noisy images and a ball in which they count."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    inside = sum(a**2 for a in axes) < 0.8
    images = rng.normal(0.5, 0.2, (2, *shape)) * inside
    return torch.from_numpy(images.astype(np.float32)), torch.from_numpy(inside)


def scipy_closed(inside: np.ndarray) -> np.ndarray:
    """Gaps of up to four voxels closed, as if all went on beyond the edges."""
    wide = np.pad(ndimage.binary_dilation(inside, np.ones((5, 5, 5))), 2, constant_values=True)
    return ndimage.binary_erosion(wide, np.ones((5, 5, 5)))[2:-2, 2:-2, 2:-2]


def noisy_visit(folder: Path, participant: str) -> Prepared:
    """A T1w of noise, and a T2w that is its mean over six neighbours and itself."""
    shape = (24, 24, 24)
    noise = np.random.default_rng(ord(participant)).normal(0.5, 0.2, shape)
    mean = ndimage.generate_binary_structure(3, 1) / 7
    images = {"T1w": noise, "T2w": ndimage.convolve(noise, mean, mode="constant")}
    return make_visit(folder, participant, modalities=("T1w", "T2w"), shape=shape, images=images)


@given(
    st.tuples(*[st.integers(9, 40)] * 3),
    st.sampled_from([level.smoothing for level in LEVELS if level.smoothing]),
)
@settings(max_examples=20, deadline=None)
def test_smoothing_is_a_gaussian(shape: tuple[int, int, int], sigma: float) -> None:
    """Against scipy's: a point in the middle becomes the same bell, and a constant stays one."""
    point = np.zeros(shape, np.float32)
    point[tuple(n // 2 for n in shape)] = 1
    bell = ndimage.gaussian_filter(point, sigma, mode="constant", truncate=5)
    answer = smooth(torch.from_numpy(point)[None], sigma)[0].numpy()
    assert np.abs(answer - bell).max() < 0.2 * bell.max()
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape), 2).astype("f4")
    both = (
        smooth(torch.from_numpy(noise)[None], sigma)[0].numpy(),
        ndimage.gaussian_filter(noise, sigma, mode="constant", truncate=5),
    )
    assert np.abs(both[0] - both[1]).max() < 0.05 * np.abs(noise).max()


def test_what_is_read_is_what_lies_there() -> None:
    images, inside = head((20, 23, 18))
    around = Surroundings(images, inside)
    voxels = inside.nonzero()[::37]
    read = around.at(voxels).numpy()
    values, shares = read[:, : VALUES * 2].reshape(-1, VALUES, 2), read[:, VALUES * 2 :]
    first = 0
    for level in LEVELS:
        mask = scipy_closed(inside.numpy()).astype(np.float64)
        seen = images.numpy() * mask
        if level.smoothing:
            weight = ndimage.gaussian_filter(mask, level.smoothing, mode="constant", truncate=5)
            blurred = [
                ndimage.gaussian_filter(i, level.smoothing, mode="constant", truncate=5)
                for i in seen
            ]
            seen = np.stack(blurred) / np.maximum(weight, 1e-2) * mask
        wide = np.pad(seen, [(0, 0), *[(16, 16)] * 3])
        for n, offset in enumerate(level.offsets):
            i, j, k = (voxels.numpy() + 16 + np.array(offset) * level.stride).T
            wanted = wide[:, i, j, k].T
            assert np.abs(values[:, first + n] - wanted).max() < 0.03, (level, offset)
        first += len(level.offsets)
    assert first == VALUES
    assert shares.shape == (len(voxels), SHARES)
    assert (np.diff(shares.mean(axis=0)) < 0).all(), "the wider, the more lies outside"
    i, j, k = voxels.T
    np.testing.assert_allclose(values[:, CENTRE], images[:, i, j, k].T, atol=1e-3)


def test_a_mirrored_head_is_read_in_the_mirrored_order() -> None:
    images, inside = head((20, 16, 18))
    voxels = inside.nonzero()[::11]
    other = Surroundings(images.flip(1), inside.flip(0))
    there = voxels.clone()
    there[:, 0] = 19 - there[:, 0]
    one, two = Surroundings(images, inside).at(voxels), other.at(there)
    swapped = one[:, : VALUES * 2].reshape(-1, VALUES, 2)[:, mirrored()].flatten(1)
    torch.testing.assert_close(swapped, two[:, : VALUES * 2], atol=2e-3, rtol=0)


def test_five_sources_are_read_as_each_alone() -> None:
    images, inside = head((14, 15, 16))
    many = torch.cat([images, images + 1, images[:1] * 2])
    voxels = inside.nonzero()[::13]
    values = Surroundings(many, inside).at(voxels)[:, : VALUES * 5].reshape(-1, VALUES, 5)
    for n, image in enumerate(many):
        alone = Surroundings(image[None], inside).at(voxels)[:, :VALUES]
        torch.testing.assert_close(values[:, :, n], alone)


def test_a_volume_is_its_voxels_one_by_one() -> None:
    torch.manual_seed(0)
    network = build_network(context()).eval()
    torch.nn.init.normal_(network.body.last.weight)
    network.linear.normal_()
    images, inside = head((20, 23, 18))
    available = torch.tensor([[1.0, 0.0]])
    with torch.no_grad():
        whole = network(images[None], available)[0]
        one = images * torch.tensor([1.0, 0.0])[:, None, None, None]
        read = Surroundings(one, inside).at(inside.nonzero())
        points = network(read[None], available)[0, :, :, 0, 0]
        hidden = network(torch.stack([images[0], images[1] + 1])[None], available)[0]
    assert (whole[:, torch.from_numpy(~scipy_closed(inside.numpy()))] == 0).all()
    torch.testing.assert_close(whole[:, inside], points)
    torch.testing.assert_close(hidden, whole, msg="a source that is not there was seen")


def test_a_part_is_answered_alone_and_as_in_the_whole() -> None:
    torch.manual_seed(0)
    network = build_network(context()).eval()
    torch.nn.init.normal_(network.body.last.weight)
    images, inside = head((20, 23, 18))
    wanted = torch.zeros(inside.shape)
    wanted[:9] = 1
    available, asked = torch.ones(2), []

    def adding(*known: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        add = ContextPerceptron.adding(network, *known)
        return lambda read: asked.append(len(read)) or add(read)

    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        whole = answers_of([network], images, available)[0]
        patch.setattr(network, "adding", adding, raising=False)
        part = answers_of([network], images, available, wanted)[0]
    here = inside & (wanted > 0)
    torch.testing.assert_close(part[:, here], whole[:, here], rtol=0, atol=1e-5)
    assert (part[:, wanted == 0] == 0).all()
    closed_here = scipy_closed(inside.numpy()) & (wanted > 0).numpy()
    assert sum(asked) == closed_here.sum()


def test_lines_alone_are_answered_as_by_bodies_that_add_nothing() -> None:
    """Without what a body would read: the start of a fit."""
    torch.manual_seed(0)
    networks = [build_network(context()).eval() for _ in range(2)]
    for network in networks:
        network.linear.normal_()
    images, inside = head((20, 23, 18))
    wanted = torch.zeros(inside.shape)
    wanted[:9] = 1
    for available in (torch.ones(2), torch.tensor([0.0, 1.0])):
        with torch.no_grad():
            whole = answers_of(networks, images, available, wanted)
            alone = answers_of([bare(deepcopy(n)) for n in networks], images, available, wanted)
        torch.testing.assert_close(alone, whole, rtol=0, atol=1e-5)


def test_it_begins_at_the_line_and_learns_what_no_line_knows(tmp_path: Path) -> None:
    """The target is the mean of its source's neighbours: what a line of the voxel's own value
    makes of it has the noise of the source."""
    people = [noisy_visit(tmp_path / "data", p) for p in "abcdez"]
    recipe = context(
        modalities={"T1w": "source", "T2w": "target"},
        fit__steps=400, fit__steps_per_epoch=100, fit__learning_rate=4e-3, fit__intensity=0.0,
    )  # fmt: skip
    model = fit_model(
        recipe, people, toy_split(), minus_error, folder=tmp_path / "m", work=tmp_path / "w",
        seed=1, device="cpu", quiet=True,
    )  # fmt: skip
    (visit,) = open_store([people[4]], ("T1w", "T2w"), tmp_path / "w")
    real, mask = np.asarray(visit.images["T2w"], np.float32), np.asarray(visit.mask) > 0

    def score(network: torch.nn.Module) -> float:
        answer = made_by(network, recipe, visit, ["T1w"], "T2w", torch.device("cpu"))
        return minus_error(real, answer, mask)

    (network,), (start,) = model.networks(), model.starts()
    pairs = [open_store([p], ("T1w", "T2w"), tmp_path / "w")[0] for p in people[:4]]
    known = [
        np.stack([np.asarray(v.images[m])[v.mask > 0] for m in ("T1w", "T2w")]) for v in pairs
    ]
    line = np.polyfit(*np.concatenate(known, axis=1).astype(np.float64), 1)
    wanted = minus_error(real, np.polyval(line, visit.images["T1w"]), mask)
    assert score(start) == pytest.approx(wanted, abs=0.05)
    assert score(network) > wanted + 3


def test_tissue_that_is_scaled_to_0_is_inside() -> None:
    """Images of whole numbers have many voxels at the very value that becomes 0."""
    torch.manual_seed(0)
    network = build_network(context()).eval()
    torch.nn.init.normal_(network.body.last.weight)
    images, inside = head((20, 23, 18))
    images[:, 8:12, 9:12, 7:11] = 0
    assert inside[8:12, 9:12, 7:11].all()
    available = torch.ones(1, 2)
    with torch.no_grad():
        whole = network(images[None], available)[0]
        read = Surroundings(images, inside).at(inside.nonzero())
        points = network(read[None], available)[0, :, :, 0, 0]
    torch.testing.assert_close(whole[:, inside], points)
    assert (whole[:, inside] != 0).all()


def test_points_are_drawn_again_alike_and_of_the_visit(tmp_path: Path) -> None:
    recipe = context()
    people = [make_visit(tmp_path / "data", p, shape=(24, 24, 24)) for p in "abc"]
    stored = open_store(people, tuple(recipe.modalities), tmp_path / "w")
    one, two = (Points(recipe, stored, seed=3, total=50) for _ in range(2))
    drawn = [one.draw(n) for n in range(30)]
    assert drawn == [two.draw(n) for n in range(30)]
    assert {d.visit for d in drawn} == {0, 1, 2}
    for draw in drawn[:6]:
        item = {name: rows[0] for name, rows in one.apply([draw]).items()}
        (target,) = draw.scenario.scored
        own = recipe.targets.index(target)
        values = item["sources"][:, : VALUES * 2].reshape(-1, VALUES, 2)[:, CENTRE]
        gain = draw.change.gains[own]
        torch.testing.assert_close(
            values[:, own], item["real"][own, :, 0, 0] * gain, atol=2e-3, rtol=2e-3
        )
        assert item["available"].tolist() == [float(m != target) for m in recipe.sources]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("objective.ssim", 0.2, "objective.ssim: compares images"),
        ("objective.features", 1.0, "objective.features: compares images"),
        ("objective", {"name": "conditional-gan"}, "learns by regression"),
    ],
)
def test_no_loss_compares_images(key: str, value: object, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        context().with_values({key: value})


def test_levels_reach_as_far_as_they_say() -> None:
    assert len(CROSS) == 7
    assert [level.stride for level in LEVELS] == sorted(level.stride for level in LEVELS)


def test_copies_show_the_same_targets_with_bent_sources(tmp_path: Path) -> None:
    """Every copy has voxels of its own; where two read the same one, its target is the same."""
    recipe = context(network__copies=2, fit__curve=0.3, fit__noise=0.1, network__sample=90_000)
    visit = make_visit(tmp_path, "a", modalities=("T1w", "T2w"), shape=(24, 24, 24))
    points = Points(recipe, open_store([visit], ("T1w", "T2w"), tmp_path / "w"), seed=1, total=99)
    first, *others = points.read[0]
    assert len(others) == 2
    # All voxels are read of so small a visit, so that rows are the same voxels.
    for other in others:
        np.testing.assert_array_equal(other.real, first.real)
        assert np.abs(np.asarray(other.values - first.values, float)).max() > 0.05
    assert {points.draw(n).copy for n in range(99)} == {0, 1, 2}


@given(st.integers(0, 2**31), st.permutations([0, 1, 2]), st.integers(1, 3))
@settings(max_examples=20)
def test_a_narrowed_network_answers_as_the_whole_one_without_the_rest(
    seed: int, order: list[int], count: int
) -> None:
    torch.manual_seed(seed)
    whole = ContextPerceptron(sources=3, targets=3, width=12, layers=2).eval()
    for tensor in (*whole.parameters(), whole.linear):
        torch.nn.init.normal_(tensor, std=0.3)
    kept = order[:count]
    few = whole.narrowed(kept, kept).eval()
    read = torch.randn(40, VALUES * 3 + SHARES)
    own = read[:, : VALUES * 3].view(40, VALUES, 3)[:, :, kept].flatten(1)
    there = torch.randint(0, 2, (40, count)).float()
    every = torch.zeros(40, 3)
    every[:, kept] = there
    with torch.no_grad():
        wanted = whole.at(read[:, None], every)[:, 0, kept]
        few_read = torch.cat([own, read[:, VALUES * 3 :]], dim=1)
        given_few = few.at(few_read[:, None], there)[:, 0]
    torch.testing.assert_close(given_few, wanted)


def test_a_fit_from_other_weights_has_its_own_dropout_and_order(tmp_path: Path) -> None:
    """The order of modalities is the network's; a recipe that differs in it gets its own."""
    roles = dict.fromkeys(("T1w", "T2w"), "either")
    first = context(fit__steps=1, network__dropout=0.1, modalities=roles)
    other = context(
        fit__steps=1, fit__learning_rate=1e-12, network__dropout=0.4,
        modalities=dict(reversed(roles.items())),
    )  # fmt: skip
    people = [noisy_visit(tmp_path, p) for p in "abe"]
    fit = {"seed": 1, "device": "cpu", "quiet": True, "work": tmp_path / "w"}
    old = fit_model(first, people, toy_split("ab"), minus_error, folder=tmp_path / "old", **fit)
    new = fit_model(
        other, people, toy_split("ab"), minus_error, folder=tmp_path / "new",
        init_from=old.folder, **fit,
    )  # fmt: skip
    one, two = old.networks()[0], new.networks()[0]
    assert two.body.drop.p == 0.4
    torch.testing.assert_close(two.body.last.bias, one.body.last.bias.flip(0))
    torch.testing.assert_close(two.linear[1], one.linear[2].flip(0)[:, [1, 0, 2]])
