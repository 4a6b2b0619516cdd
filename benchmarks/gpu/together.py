"""Together: a fit by two processes, on a card each where there are two, and by one alone."""

from __future__ import annotations

import json
import os
import socket
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks.gpu.apart import Tell
from benchmarks.gpu.figure import Figure, Settings
from benchmarks.gpu.machine import cards
from benchmarks.gpu.phantoms import small_brains, store
from benchmarks.gpu.steps import SEED, recipe_of
from bids_synth.learn.device import resolve_device
from bids_synth.learn.fit.follower import run_together
from bids_synth.learn.fit.loop import fit_member
from bids_synth.learn.fit.member import Member
from bids_synth.learn.fit.selection import LatestSelection, made_by
from bids_synth.learn.networks import build_network
from bids_synth.recipe.recipe import Recipe

APART = 0.1
"""Target: difference of the images of both, over how far a fit moves them from its start; AdamW
makes a full step of a gradient that is rounding alone."""
FASTER = 1.4
"""Target: of two cards, steps as large as those of one in less time by this factor."""


def together(settings: Settings, tell: Tell) -> None:
    """Two processes make the steps of one with the doubled batch, sooner on two cards."""
    two = cards() >= 2 and settings.device != "cpu"
    device = "cuda" if two else "cpu"
    note = "two cards" if two else "no second card: two processes on the processor"
    place = Path(settings.work) / "together"
    small = Settings(device, settings.tiny or not two, settings.work)
    small_brains(small)
    port, context = _free_port(), get_context("fork")
    pair = [context.Process(target=_rank, args=(n, port, place / "two", small)) for n in (0, 1)]
    for process in pair:
        process.start()
    for process in pair:
        process.join()
    if codes := [process.exitcode for process in pair if process.exitcode]:
        message = f"a process of two ended with {codes[0]}"
        raise RuntimeError(message)
    _fit(place / "one", 2, small, resolve_device(device))
    start, one, both = (_image(p, small) for p in (None, place / "one", place / "two"))
    apart = float(np.linalg.norm(both - one) / np.linalg.norm(one - start))
    tell(Figure("image of two processes", apart, "relative", most=APART, note=note))
    faster = _seconds(place / "one") / _seconds(place / "two")
    least = FASTER if two else None
    tell(Figure("steps of two processes", faster, "x", least=least, card_only=True, note=note))


def _rank(number: int, port: int, place: Path, settings: Settings) -> None:
    """One of the two; the first leads."""
    here = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    os.environ.update(here | {"RANK": f"{number}", "LOCAL_RANK": f"{number}", "WORLD_SIZE": "2"})
    torch.set_num_threads(1)

    def lead() -> int:
        _fit(place, 1, settings, resolve_device(settings.device))
        return 0

    raise SystemExit(run_together(lead, environment=os.environ, device=settings.device))


def _recipe(settings: Settings, batch: int) -> Recipe:
    steps = 2 if settings.tiny else 20
    values = {"fit.batch": batch, "fit.steps": 2 * steps, "fit.steps_per_epoch": steps}
    return recipe_of("pet", settings).with_values(values)


def _initial(recipe: Recipe) -> nn.Module:
    torch.manual_seed(SEED)
    return build_network(recipe)


def _fit(place: Path, batch: int, settings: Settings, device: torch.device) -> None:
    recipe = _recipe(settings, batch)
    visits = store(recipe, small_brains(settings), Path(settings.work))
    member = Member(recipe, 0, 0, SEED, "together", place)
    unjudged = LatestSelection(device)
    fit_member(member, visits, unjudged, partial(_initial, recipe), quiet=True)


def _image(place: Path | None, settings: Settings) -> npt.NDArray[np.float32]:
    """What the network of a fit makes of the first visit, or the one that they begin from."""
    recipe = _recipe(settings, 1)
    network, (visit, *_) = (
        _initial(recipe),
        store(recipe, small_brains(settings), Path(settings.work)),
    )
    if place is not None:
        network.load_state_dict(load_file(place / "weights.safetensors"))
    sources = [name for name in recipe.sources if name in visit.present]
    return made_by(network, recipe, visit, sources, recipe.targets[0], torch.device("cpu"))


def _seconds(place: Path) -> float:
    return float(json.loads((place / "fitted.json").read_text())["rows"][-1]["seconds"])


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return int(one.getsockname()[1])
