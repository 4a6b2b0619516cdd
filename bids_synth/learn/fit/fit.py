"""Fit: prepared visits, a split and a recipe to a model folder."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bids_synth.core.coverage import teaching
from bids_synth.core.split import Split
from bids_synth.core.visit import Prepared
from bids_synth.errors import ModelError, UsageError
from bids_synth.learn.baselines.baselines import fit_baselines
from bids_synth.learn.baselines.linear import Gramian, gramian_of_inputs, gramian_of_means
from bids_synth.learn.data.array_cache import Stored, open_store
from bids_synth.learn.data.auxiliary_inputs import auxiliary_inputs_of, known_traits
from bids_synth.learn.data.mean_image import population_of
from bids_synth.learn.data.quantiles import quantiles_of
from bids_synth.learn.device import resolve_device
from bids_synth.learn.features.loss import features_digest, features_of
from bids_synth.learn.fit.distributed import ranks
from bids_synth.learn.fit.loop import fit_member
from bids_synth.learn.fit.member import Member, initial_network
from bids_synth.learn.fit.renew import keep_aside, renewed
from bids_synth.learn.fit.selection import Score
from bids_synth.learn.fit.unpaired_score import AnySelection, choose_selection
from bids_synth.learn.model.export import Fitted, export, member_name, population_scales
from bids_synth.learn.model.model import Model, load_model
from bids_synth.learn.model.size_limits import empty_network
from bids_synth.learn.networks import Quantiles, laid_out, network_parameters
from bids_synth.learn.networks.context import ContextPerceptron
from bids_synth.recipe.recipe import Recipe
from bids_synth.system.locks import exclusive

LOG = logging.getLogger(__name__)
VERSION = 8
"""Changes when the same inputs would give other weights, so that fits are not taken up."""


@dataclass(frozen=True)
class Places:
    """Where a fit keeps what."""

    folder: Path
    """The model folder, which appears at the end."""
    work: Path
    """The work directory."""

    def member(self, recipe: Recipe, key: str, seed: int, fold: int, number: int) -> Member:
        """One member with its folder under the work directory."""
        name = member_name(fold, number)
        own = hashlib.sha256(f"{key}:{fold}:{number}".encode()).hexdigest()
        place = self.work / "fit" / f"{self.folder.name}-{key[:12]}" / name
        return Member(recipe, fold, number, seed, own, place)


def fit_model(
    recipe: Recipe,
    prepared: Sequence[Prepared],
    split: Split,
    score: Score,
    *,
    folder: Path,
    work: Path,
    seed: int,
    device: str = "auto",
    resume: bool = True,
    fold: int | None = None,
    init_from: Path | None = None,
    dataset: str = "",
    version: str = "",
    quiet: bool = False,
    overwrite: bool = False,
) -> Model:
    """Fit every member of every fold (or of `fold`) and write the model folder.

    Only visits of training and validation participants are ever opened; those of test
    participants and strangers are dropped before anything else. Killed at any moment and
    called again, it goes on and ends at the same weights; called again with nothing changed but
    what decides no weights (`parts.taught`), it writes that into the folder and returns at once.
    With `fold`, the folder holds all folds that are finished by then. A model of another fit in
    the folder is moved aside, and named, unless `overwrite`.

    Raises UsageError where the data cannot teach the recipe, the fold or the device does not
    exist; ModelError where `init_from` is no fitting model.
    """
    where = resolve_device(device)
    folds = _folds(split, fold)
    visits = fitting_visits(prepared, split)
    key = fit_key(recipe, visits, split, seed=seed, init_from=init_from)
    if resume and (model := _finished(folder, key, recipe, folds)):
        return renewed(model, recipe, split)
    aside = None if overwrite else keep_aside(folder, key if resume else "")
    if aside and init_from is not None and init_from.resolve() == folder.resolve():
        init_from = aside
    places = Places(folder, work)
    training = [p for p in visits if any(_is_in(p, f.training) for f in split.folds)]
    population_scales(recipe, training)
    numbers = range(recipe.fit.members)
    LOG.info("curves while it fits: tensorboard --logdir %s", work / "fit")
    for k in folds:
        members = [places.member(recipe, key, seed, k, n) for n in numbers]
        if not resume:
            _forget(members)
        fit_fold(members, visits, split, score, where, init_from, quiet=quiet)
    every = [
        places.member(recipe, key, seed, k, n) for k in range(len(split.folds)) for n in numbers
    ]
    done = [m for m in every if m.fitted() is not None]
    baselines = fit_baselines(recipe, training)
    start = load_model(init_from).card if init_from else None
    fitted = Fitted(recipe, split, key, done, training, baselines, dataset, version, visits, start)
    if not overwrite:
        keep_aside(folder, key)  # Another job may have put one there meanwhile.
    return export(fitted, folder)


def fitting_visits(prepared: Sequence[Prepared], split: Split) -> list[Prepared]:
    """Visits of training and validation participants, by label; nobody else's.

    Without the scans that show too little of the mask to teach.
    """
    kept = [teaching(p) for p in prepared if p.visit.participant in split.fitted]
    if any(p.visit.participant in split.test for p in kept):
        message = "a test participant is among those that fit or select the model"
        raise UsageError(message)
    return sorted(kept, key=lambda p: p.label)


def fit_key(
    recipe: Recipe,
    visits: Sequence[Prepared],
    split: Split,
    *,
    seed: int,
    init_from: Path | None = None,
) -> str:
    """sha256 of all that decides the weights of a fit, and of nothing else.

    Whoever could not be prepared, or is only tested, is not in it.
    """
    start = load_model(init_from).sha256 if init_from else ""
    parts = {
        "version": VERSION,
        "recipe": recipe.taught(),
        "visits": [
            (p.label, p.key, known_traits(recipe, p.visit), _parts(split, p)) for p in visits
        ],
        "seed": seed,
        "start": start,
    }
    if digest := features_digest(recipe):
        parts["features"] = digest
    if ranks() > 1:
        parts["ranks"] = ranks()
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _parts(split: Split, prepared: Prepared) -> list[str | None]:
    folds = range(len(split.folds))
    return [split.part(prepared.visit.participant, fold) for fold in folds]


def fit_fold(
    members: Sequence[Member],
    visits: Sequence[Prepared],
    split: Split,
    score: Score,
    device: torch.device,
    init_from: Path | None,
    *,
    quiet: bool,
    watch: Callable[[int, float], None] | None = None,
) -> None:
    """Fit the members of one fold on its training visits, each from where it was left.

    `watch` is told epoch and validation score after each look, and may raise to end the fit.
    A fold that another job fits in the same work directory is waited for and taken over.
    """
    locks = members[0].place.parent / "turns"
    with exclusive({f"fold-{members[0].fold}"}, locks, does="fits"):
        if all(member.fitted() is not None for member in members):
            return
        own = inputs_of(members[0], visits, split, score, device, init_from)
        for member in members:
            fit_member(
                member,
                own.training,
                own.selection,
                own.initial(member),
                quiet=quiet,
                features=own.features,
                fitted_before=init_from is not None,
                watch=watch,
            )


@dataclass(frozen=True, eq=False)
class FoldInputs:
    """What the members of one fold are fitted with."""

    training: Sequence[Stored]
    selection: AnySelection
    features: nn.Module | None
    initial: Callable[[Member], Callable[[], nn.Module]]
    """A member -> its network before the first step, made when it is called."""


def inputs_of(
    member: Member,
    visits: Sequence[Prepared],
    split: Split,
    score: Score,
    device: torch.device,
    init_from: Path | None,
) -> FoldInputs:
    """What the members of the fold of one of them are fitted with."""
    recipe, fold = member.recipe, split.folds[member.fold]
    work = member.place.parents[2]
    chosen = [p for p in visits if _is_in(p, fold.training)]
    extras, modalities = auxiliary_inputs_of(recipe, chosen), tuple(recipe.modalities)
    training = open_store(chosen, modalities, work, extras)
    validation = open_store(
        [p for p in visits if _is_in(p, fold.validation)], modalities, work, extras
    )
    selection = choose_selection(recipe, training, validation, score, device)
    gramian = cache(partial(_gramian, recipe, chosen, training))
    kept = member.place.with_name(f"fold-{member.fold}_segmenter.safetensors")
    features = features_of(recipe, training, kept, key=member.key, seed=member.own_seed)

    def initial(member: Member) -> Callable[[], nn.Module]:
        return _initial(member, gramian, partial(quantiles_of, training), init_from)

    return FoldInputs(training, selection, features, initial)


def _gramian(recipe: Recipe, chosen: Sequence[Prepared], training: Sequence[Stored]) -> Gramian:
    if recipe.unpaired:
        return gramian_of_means(
            tuple(recipe.modalities), population_of(chosen, tuple(recipe.modalities))
        )
    return gramian_of_inputs(recipe, training)


def _forget(members: Sequence[Member]) -> None:
    for member in members:
        (member.place / "key.txt").unlink(missing_ok=True)
        member.result.unlink(missing_ok=True)


def _initial(
    member: Member, gramian: Callable[[], Gramian], quantiles: Quantiles, init_from: Path | None
) -> Callable[[], nn.Module]:
    if init_from is None:
        return lambda: initial_network(member, gramian, quantiles)
    return lambda: _network_of(load_model(init_from), member)


def _network_of(model: Model, member: Member) -> nn.Module:
    """A network of a model, with fewer modalities where the recipe has fewer."""
    recipe, other = member.recipe, model.recipe
    networks = model.networks()
    begun = networks[member.number % len(networks)]
    alike = built(other) == built(recipe)
    within = {*recipe.inputs} <= {*other.inputs} and {*recipe.targets} <= {*other.targets}
    if alike and (other.inputs, other.targets) == (recipe.inputs, recipe.targets):
        return _with_weights_of(begun, recipe)
    if alike and within and isinstance(begun, ContextPerceptron):
        sources = [other.inputs.index(name) for name in recipe.inputs]
        targets = [other.targets.index(name) for name in recipe.targets]
        return _with_weights_of(begun.narrowed(sources, targets), recipe)
    message = (
        f"--init-from {model.folder}: its modalities and network "
        f"({', '.join(other.modalities)}; {other.network}) are not those of "
        f"the recipe ({', '.join(recipe.modalities)}; {recipe.network})"
    )
    raise ModelError(message)


def _with_weights_of(begun: nn.Module, recipe: Recipe) -> nn.Module:
    """The recipe's own network, with its own dropout, and the weights of another."""
    network = empty_network(recipe)
    network.load_state_dict(begun.state_dict(), assign=True)
    return laid_out(network, recipe).requires_grad_(requires_grad=True)


def built(recipe: Recipe) -> dict[str, Any]:
    """What decides the weights of a network beside its sources and targets."""
    free = {"sources", "targets", "dropout"}
    return {k: v for k, v in network_parameters(recipe).items() if k not in free}


def _finished(folder: Path, key: str, recipe: Recipe, folds: Sequence[int]) -> Model | None:
    try:
        model = load_model(folder)
    except ModelError:
        return None
    there = {(w.fold, w.member) for w in model.card.weights}
    wanted = {(k, n) for k in folds for n in range(recipe.fit.members)}
    return model if model.card.fit == key and wanted <= there else None


def _folds(split: Split, fold: int | None) -> Sequence[int]:
    count = len(split.folds)
    if fold is None:
        return range(count)
    if not 0 <= fold < count:
        message = f"--fold {fold}: the split has folds 0 to {count - 1}"
        raise UsageError(message)
    return [fold]


def _is_in(prepared: Prepared, participants: frozenset[str]) -> bool:
    return prepared.visit.participant in participants
