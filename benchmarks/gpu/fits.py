"""Fits: one that is interrupted, and a short one of the model that comes with the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks.gpu.apart import Tell
from benchmarks.gpu.equality import compare, synthesizer_of
from benchmarks.gpu.figure import Figure, Settings
from benchmarks.gpu.machine import forget_peak, peak_gb
from benchmarks.gpu.phantoms import phantom, small_brains, store
from benchmarks.gpu.steps import SEED, TINY, recipe_of
from bids_synth.core.split import Fold, Split
from bids_synth.core.visit import Prepared
from bids_synth.learn.budget import recipe_within
from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.device import resolve_device
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.fit.loop import fit_member
from bids_synth.learn.fit.member import Member
from bids_synth.learn.fit.selection import selection_of
from bids_synth.learn.model.model import Model, load_model
from bids_synth.learn.networks import build_network
from bids_synth.learn.synthesize import Synthesizer, load_start, load_synthesizer
from bids_synth.recipe.recipe import Recipe, load_recipe
from bids_synth.spatial.grid import Shape

RECIPE = Path(__file__).parents[2] / "training" / "any_contrast.toml"
SAME = 1e-3
"""Target: relative difference of a loss or a score of a resumed fit, whose sums may be ordered
otherwise on a card."""
CONTRASTS = ("T1w", "T2w", "PDw", "FLAIR")
TEACHING, HELD = range(11, 16), 16
"""Numbers of the phantoms that teach, and of the one that is not seen."""


class _StoppedError(Exception):
    """The fit was asked to end."""


def score(real: npt.NDArray[Any], made: npt.NDArray[Any], mask: npt.NDArray[Any]) -> float:
    """Mean absolute error inside the mask, negative."""
    return -float(np.abs(real - made)[mask].mean())


def resumed(settings: Settings, tell: Tell) -> None:
    """A fit that ends after its first epoch and goes on has the curve of one that does not."""
    for name in ("pet", "impute"):
        recipe = _short(recipe_of(name, settings), 1 if settings.tiny else 25)
        visits = store(recipe, small_brains(settings), Path(settings.work))
        whole = _fitted(recipe, visits, settings, "whole")
        broken = _fitted(recipe, visits, settings, "broken", stop=True)
        for what in ("loss", "validation_score"):
            apart = _apart(whole, broken, what)
            tell(Figure(f"{name}: {what} of a resumed fit", apart, "relative", most=SAME))


def _short(recipe: Recipe, steps: int) -> Recipe:
    return recipe.with_values({"fit.steps": 3 * steps, "fit.steps_per_epoch": steps})


def _member(recipe: Recipe, settings: Settings, name: str) -> Member:
    place = Path(settings.work) / "resumed" / recipe.name / name
    return Member(recipe, 0, 0, SEED, "resumed", place)


def _fitted(
    recipe: Recipe, visits: list[Stored], settings: Settings, name: str, *, stop: bool = False
) -> list[dict[str, Any]]:
    """The curve of a fit that is whole, or ends after its first epoch and goes on."""
    member = _member(recipe, settings, name)
    selection = selection_of(recipe, visits[:1], score, resolve_device(settings.device))

    def initial() -> nn.Module:
        torch.manual_seed(SEED)
        return build_network(recipe)

    def watch(_: int, __: float) -> None:
        raise _StoppedError

    if stop:
        try:
            fit_member(member, visits, selection, initial, quiet=True, watch=watch)
        except _StoppedError:
            pass
        else:
            message = "the fit did not stop"
            raise RuntimeError(message)
    fit_member(member, visits, selection, initial, quiet=True)
    return list((member.fitted() or {})["rows"])


def _apart(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]], what: str) -> float:
    """Largest relative difference of one column of two curves."""
    pairs = [(a[what], b[what]) for a, b in zip(one, other, strict=True)]
    return float(max(abs(a - b) / max(abs(a), 1e-12) for a, b in pairs))


def any_contrast(settings: Settings, tell: Tell) -> None:
    """The recipe of the package's model, as much as fits into seconds; better than its start."""
    visits = [_person(number, settings) for number in (*TEACHING, HELD)]
    people = frozenset(v.visit.participant for v in visits[:-1])
    split = Split(frozenset({visits[-1].visit.participant}), (Fold(people, frozenset()),))
    recipe, work = _any_contrast(settings), Path(settings.work) / "any-contrast"
    where: dict[str, Any] = {"work": work, "seed": SEED, "device": settings.device}
    minutes = 0.05 if settings.tiny else 0.75
    recipe = recipe_within(
        recipe, visits[:-1], split, score, minutes=minutes, name="any-contrast", **where
    )
    device = resolve_device(settings.device)
    forget_peak(device)
    folder = _model(settings)
    model = fit_model(recipe, visits[:-1], split, score, folder=folder, quiet=True, **where)
    tell(Figure("steps in the budget", recipe.fit.steps, note=f"{60 * minutes:.0f} s"))
    tell(Figure("peak memory", peak_gb(device), "GB"))
    own, start = (_error(one, visits[-1]) for one in _both(model, settings.device))
    note = f"{own:.1f} against {start:.1f}, mean absolute error of a T2w that nobody taught"
    tell(Figure("error over that of its start", own / start, most=1.0, card_only=True, note=note))


def carried(settings: Settings, tell: Tell) -> None:
    """Models fitted on the card make on the processor what they make on the card."""
    device, held = resolve_device(settings.device), _person(HELD, settings)
    shown = load_synthesizer(load_model(_model(settings)), "cpu")
    compare("any-contrast, fitted here", shown, held, "T2w", device, tell)
    recipe = _short(recipe_of("pet", settings), 1)
    visit = small_brains(settings)[0]
    one = synthesizer_of(recipe, visit)
    weights = load_file(_member(recipe, settings, "whole").weights)
    one.networks[0].load_state_dict(weights)
    compare("pet, fitted here", one, visit, "pet", device, tell)


def _any_contrast(settings: Settings) -> Recipe:
    recipe = load_recipe(RECIPE)
    if not settings.tiny:
        # Reading so many voxels takes longer than the fit, on the processor.
        return recipe.with_values({"network.sample": 400_000})
    return recipe.with_values({**TINY["impute"], "network.copies": 1, "fit.members": 1})


def _person(number: int, settings: Settings) -> Prepared:
    shape: Shape = (18, 22, 18) if settings.tiny else (92, 110, 92)
    place = Path(settings.work) / "people"
    return phantom(place, number, shape, 8.0 if settings.tiny else 2.0, CONTRASTS)


def _model(settings: Settings) -> Path:
    return Path(settings.work) / "any-contrast" / "models" / "any-contrast"


def _both(model: Model, device: str) -> tuple[Synthesizer, Synthesizer]:
    """The model, and what its fit began from."""
    own = load_synthesizer(model, device)
    start = load_start(own)
    if start is None:
        message = "the fit began from no answer"
        raise RuntimeError(message)
    return replace(own, last={}), start


def _error(synthesizer: Synthesizer, held: Prepared) -> float:
    """Mean absolute error of the T2w made from the others, in its own unit."""
    made = synthesizer.synthesize(held, "T2w", scale=held.scales["T2w"])
    inside = held.mask_image.array > 0
    return -score(held.image("T2w").array, made.image.array, inside)
