"""What must hold on a CUDA card and can be seen without one."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.figure import Settings
from benchmarks.gpu.phantoms import brains, store
from benchmarks.gpu.steps import features_beside, first_network, recipe_of, steps_on
from bids_synth.learn.device import resolve_device
from bids_synth.learn.fit import loop
from bids_synth.learn.fit.follower import card_of
from bids_synth.learn.fit.loop import Job, objective_of
from bids_synth.learn.fit.member import Member
from bids_synth.learn.networks.blocks.surroundings import width_of
from bids_synth.learn.objectives.adversarial import Health
from bids_synth.recipe.recipe import recipe_names
from bids_synth.recipe.sections.network import POINTWISE
from bids_synth.spatial.template import template_grid, template_t1w


@pytest.mark.parametrize("ask", [lambda: resolve_device("cuda:1"), lambda: card_of("auto", 3)])
def test_a_card_computes_float32_in_float32(ask, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    switches = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = True
        assert ask() == torch.device("cuda", 1)
        assert [switch.allow_tf32 for switch in switches] == [False, False]
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


def test_health_goes_on_from_its_state_whatever_counted() -> None:
    torch.manual_seed(1)
    whole, half = Health("lsgan"), Health("lsgan")
    steps = [(torch.rand(2, 2, 3, 1, 1), torch.rand(2, 2, 3, 1, 1)) for _ in range(4)]
    counts = [torch.tensor([[n % 2 == 0, n == 2]] * 2) for n in range(4)]
    for number, (step, counted) in enumerate(zip(steps, counts, strict=True)):
        whole.add(*step, counted)
        if number == 2:
            state, half = half.state(), Health("lsgan")
            assert len(state) == 2 + 2 * 1, "a step in which nothing counts is not kept"
            half.resume(state)
        half.add(*step, counted)
    assert half.state() == pytest.approx(whole.state())
    assert half.close() == pytest.approx(whole.close())


def test_the_grid_of_the_template_is_that_of_its_file() -> None:
    grid, file = template_grid(), template_t1w().grid.canonical()
    assert grid.shape == file.shape
    assert (grid.affine == file.affine).all()


def one_item(tensor: torch.Tensor, **_: object) -> tuple[torch.Tensor, ...]:
    """The first entry alone: how many there are cannot be seen where there are no values."""
    return tuple(torch.zeros(1, dtype=torch.long, device=tensor.device) for _ in tensor.shape)


@pytest.mark.parametrize("name", sorted(recipe_names()))
def test_a_step_stays_on_the_device_of_its_batch(name: str, monkeypatch) -> None:
    """On `meta`, which refuses to meet a tensor of the processor as a card would."""
    recipe = recipe_of(name, Settings("cpu", tiny=True, work=""))
    count = len(recipe.inputs)
    if recipe.unpaired:
        items = {"sources": torch.rand(1, 2, *recipe.fit.patch)}
        items["mask"] = torch.ones_like(items["sources"])
    else:
        patch = (8, 1, 1) if recipe.network.name in POINTWISE else tuple(recipe.fit.patch)
        read = (8, width_of(count)) if recipe.network.name in POINTWISE else (count, *patch)
        items = {
            "sources": torch.rand(1, *read),
            "available": torch.ones(1, count),
            "real": torch.rand(1, len(recipe.targets), *patch),
            "scored": torch.ones(1, len(recipe.targets), dtype=torch.bool),
            "mask": torch.ones(1, 1, *patch),
        }
    job = Job(
        Member(recipe, 0, 0, 1, "", Path()), [], first_network(recipe), features_beside(recipe)
    )
    objective = objective_of(job, 10).to("meta")
    monkeypatch.setattr(torch.Tensor, "nonzero", one_item)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    batch = {name: tensor.to("meta") for name, tensor in items.items()}
    for loss in objective.losses(batch):
        loss.backward()
        assert loss.device.type == "meta"
        assert loss.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(recipe_names()))
def test_a_step_in_mixed_precision_is_near_one_in_float32(
    name: str, tmp_path: Path, monkeypatch
) -> None:
    """As fits run on a card: bfloat16 where it does no harm, losses and norms in float32."""
    small = Settings("cpu", tiny=True, work=str(tmp_path))
    recipe, cpu = recipe_of(name, small), torch.device("cpu")
    visits = store(recipe, brains(small), tmp_path)
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        monkeypatch.setattr(loop, "precision_on", lambda _, own=precision: own)
        with loop.calm(cpu):
            take, objective = steps_on(recipe, visits, cpu)
            losses.append(torch.stack([take() for _ in range(2)]))
        assert all(p.dtype == torch.float32 for p in objective.parameters())
    assert losses[1].dtype == torch.float32
    torch.testing.assert_close(losses[1], losses[0], rtol=0.05, atol=0.005)
