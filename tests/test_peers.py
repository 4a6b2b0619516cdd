"""Peers: every other side really learns, and both sides do the same work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.peers.contests import CONTESTS, Field, Size, field_of, results
from benchmarks.peers.loops import CycleGan, MmGan, Pix2Pix, Slices, as_published
from benchmarks.peers.monai_script import MonaiFit
from benchmarks.peers.phantoms import stored
from benchmarks.peers.sampling import NumpySampling, crop, intensities, write_cases
from benchmarks.peers.turns import Contest, Watch, contend
from benchmarks.stages import STAGES
from bids_synth.learn.fit.loop import dataset_of
from bids_synth.learn.networks import build_network
from bids_synth.learn.networks.blocks.convolution import NarrowConv2d
from bids_synth.learn.networks.unet2d import DoubledConv2d

CPU = torch.device("cpu")
SMALL = {"network.filters": "8", "objective.discriminator.filters": "4"}
KEYS = {
    "ct": {"network.filters": "8", "network.blocks": "[1,1]", "fit.patch": "[16,16,16]"},
    "pix2pix-ct": {**SMALL, "network.downs": "4", "fit.patch": "[32,32,1]",
                   "objective.discriminator.layers": "2"},
    "cyclegan": {**SMALL, "network.blocks": "1", "fit.patch": "[32,32,1]",
                 "objective.discriminator.layers": "2"},
    "mmgan": {**SMALL, "network.depth": "4", "fit.patch": "[32,32,1]", "fit.batch": "2",
              "objective.discriminator.layers": "2"},
}  # fmt: skip
TINY = Size(2, (24, 28, 22), dict.fromkeys(CONTESTS, (1, 2)), KEYS, processes=0)


@pytest.fixture(scope="module")
def field(tmp_path_factory) -> Field:
    return field_of(TINY, tmp_path_factory.mktemp("peers"), CPU)


@pytest.mark.parametrize("name", CONTESTS)
def test_both_sides_see_equal_shapes_and_move_as_many_numbers(name: str, field: Field) -> None:
    contest = CONTESTS[name](field)
    assert contest.ours.parameters == contest.theirs.parameters
    assert contest.ours.samples == contest.theirs.samples
    seen = []
    for side in (contest.ours, contest.theirs):
        watch = Watch(3, CPU)
        side.run(3, watch)
        assert len(watch.shapes) == 3
        assert all(torch.isfinite(loss) for loss in watch.losses)
        seen.append(watch.shapes)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("name", ["pix2pix-ct", "cyclegan", "mmgan"])
def test_published_layers_give_what_ours_do(name: str, field: Field) -> None:
    recipe = field.recipe(name)
    network = build_network(recipe).eval()
    images = torch.rand(2, len(recipe.sources), 32, 32, 1)
    there = torch.ones(2, len(recipe.sources))
    made = network(images, there)
    plain = as_published(network)
    assert not any(isinstance(m, (NarrowConv2d, DoubledConv2d)) for m in plain.modules())
    torch.testing.assert_close(plain(images, there), made, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "loop"), [("pix2pix-ct", Pix2Pix), ("cyclegan", CycleGan), ("mmgan", MmGan)]
)
def test_the_loops_of_the_papers_learn(name: str, loop: type, field: Field, monkeypatch) -> None:
    shown = Slices(field.phantoms, field.recipe(name), 1)[0]
    monkeypatch.setattr(Slices, "__getitem__", lambda *_: shown)
    side = loop(field.recipe(name, {"fit.learning_rate": "2e-3"}), field.phantoms, CPU, 0)
    assert_learns(side, 40)


def test_the_script_of_monai_and_lightning_learns(field: Field) -> None:
    keys = {"fit.flip": "0", "fit.intensity": "0", "fit.patch": "[24,24,16]"}
    alone = replace(field, phantoms=field.phantoms[:1])
    assert_learns(MonaiFit(alone.recipe("ct", keys), alone.phantoms, CPU, 0), 40)


def assert_learns(side, steps: int) -> None:
    watch = Watch(steps, CPU)
    side.run(steps, watch)
    losses = torch.stack(watch.losses)
    assert losses[-5:].mean() < 0.6 * losses[:5].mean()


def test_the_stage_has_a_row_for_each_contest_whose_target_is_the_peer(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("benchmarks.peers.contests.FULL", TINY)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    rows = STAGES["peers"](tmp_path)
    assert len({row.stage for row in rows}) == len(CONTESTS)
    for row in rows:
        assert row.stage.startswith("peers, cpu: ")
        assert row.most_seconds > 0
        assert row.met(1.0) == (row.seconds <= row.most_seconds) == ("ahead" in row.note)


def test_a_contest_whose_library_is_not_there_is_left_out(
    field: Field, monkeypatch, capsys
) -> None:
    monkeypatch.setattr("benchmarks.peers.contests.find_spec", lambda _: None)
    assert results(field, ["ct"]) == []
    assert "ct is left out: lightning is not installed" in capsys.readouterr().err


def test_the_sides_take_turns_in_going_first() -> None:
    order = []

    class Fake:
        samples, parameters = 2, 0

        def __init__(self, name: str) -> None:
            self.name = name

        def run(self, steps: int, watch: Watch) -> None:
            order.append(self.name)
            for _ in range(steps):
                watch.note(torch.ones(1))

    contend(Contest("x", Fake("ours"), Fake("theirs")), CPU, steps=2, rounds=2)
    assert order == ["ours", "theirs", "theirs", "ours"]


def test_patches_of_numpy_are_those_of_the_volume(field: Field, tmp_path) -> None:
    recipe = field.recipe("ct", {"fit.flip": "0", "fit.intensity": "0"})
    (case, _) = write_cases(tmp_path, field.phantoms, recipe)
    ours = dataset_of(recipe)(recipe, stored(field.phantoms, recipe, tmp_path), seed=1, total=8)
    for draw in map(ours.draw, range(8)):
        if draw.visit == 0:
            centre = [a + p // 2 for a, p in zip(draw.start, recipe.fit.patch, strict=True)]
            patch, item = crop(case.images, centre, recipe.fit.patch), ours.apply([draw])
            wanted = torch.cat([item[n][0] for n in ("sources", "real", "mask")]).numpy()
            np.testing.assert_allclose(patch, wanted, atol=2e-3)


def test_the_numpy_augmentation_changes_values_and_keeps_shapes(field: Field, tmp_path) -> None:
    recipe = field.recipe("ct")
    side = NumpySampling(recipe, write_cases(tmp_path, field.phantoms, recipe), augment=True)
    batches = [next(side.batches()) for _ in range(60)]
    assert {b.shape for b in batches} == {(1, 4, *recipe.fit.patch)}
    assert all(np.isfinite(b).all() for b in batches)
    image = np.random.default_rng(0).random((1, 16, 16, 16)).astype(np.float32)
    changed = [intensities(image, np.random.default_rng(n)) for n in range(20)]
    assert sum(not np.array_equal(image, c) for c in changed) > 5
    assert sum(np.array_equal(image, c) for c in changed) > 2
