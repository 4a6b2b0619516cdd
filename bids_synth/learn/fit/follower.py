"""Follower: a further process of a fit, which learns its share and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from bids_synth.errors import BidsSynthError, FitError
from bids_synth.learn.data.array_cache import reopen
from bids_synth.learn.device import resolve_device
from bids_synth.learn.features.loss import features_of
from bids_synth.learn.features.segmenter import key_of
from bids_synth.learn.fit.distributed import join, leave, listen, place_of, rank, tell
from bids_synth.learn.fit.member import Member, calm, learn
from bids_synth.learn.fit.record import STATE, leave_if_asked
from bids_synth.learn.networks import build_network
from bids_synth.recipe.recipe import validate_recipe
from bids_synth.system.signals import EX_TEMPFAIL, Preempted, claim, held, released


def run_together(lead: Callable[[], int], *, environment: Mapping[str, str], device: str) -> int:
    """Exit code of one of several processes: the first one leads, the others follow it.

    `lead` is the whole run, of which only the fits are shared. Raises UsageError where the
    environment names no place, BidsSynthError in a follower whose leader has failed.
    """
    place = place_of(environment)
    card = card_of(device, place.local)
    with held():
        join(place)
        try:
            return follow(card) if place.rank > 0 else _leading(lead)
        finally:
            leave()


def follow(device: torch.device) -> int:
    """Take part in every fit that the first process begins; its exit code, when all is over."""
    while True:
        try:
            order = listen()
            if "end" in order:
                return int(order["end"])
            fit_along(order, device)
        except (Preempted, FitError):  # The first process tells why.
            continue
        except RuntimeError as error:
            message = f"process {rank()}: the first process is gone, see what it said ({error})"
            raise BidsSynthError(message) from error


def fit_along(order: Mapping[str, Any], device: torch.device) -> None:
    """The share of this process in the fit of one member."""
    recipe = validate_recipe(order["recipe"], origin="the first process")
    member = Member(
        recipe,
        int(order["fold"]),
        int(order["number"]),
        int(order["seed"]),
        str(order["key"]),
        Path(order["place"]),
        Path(order["logs"]),
    )
    training = [
        reopen(label, participant, modalities, [Path(folder) for folder in folders])
        for label, participant, modalities, folders in order["visits"]
    ]
    kept = member.place.with_name(f"fold-{member.fold}_segmenter.safetensors")
    features = features_of(recipe, training, kept, key=key_of(kept), seed=member.own_seed)
    state = member.place / STATE if order["state"] else None
    with calm(device):
        network = build_network(recipe)
        learn(member, training, device, network, [Keeping()], state, features)


def card_of(device: str, local: int) -> torch.device:
    """The CUDA card of this process among those that it sees, or the processor."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device in ("auto", "cuda") and count > 0:
        return torch.device("cuda", local % count)
    return resolve_device(device)


class Keeping(Callback):  # type: ignore[misc]
    """Leaves with the first process: asks the same questions as its Record, in the same order."""

    def on_fit_start(self, *_: Any) -> None:
        """Where the first process may have closed an epoch."""
        leave_if_asked()

    def on_train_start(self, *_: Any) -> None:
        """Take the signals from Lightning."""
        claim()

    def on_train_batch_end(self, loop: Trainer, _m: Any, _o: Any, _b: Any, number: int) -> None:
        """After each step but the last."""
        if number + 1 < loop.num_training_batches:
            leave_if_asked()

    def on_train_epoch_end(self, *_: Any) -> None:
        """After the validation by the first process."""
        leave_if_asked()


def _leading(lead: Callable[[], int]) -> int:
    """The exit code of `lead`, of which the followers hear; of a fault in a fit they cannot."""
    try:
        with released():
            code = lead()
    except Preempted:
        tell({"end": EX_TEMPFAIL})
        raise
    except BidsSynthError as error:
        tell({"end": error.exit_code})
        raise
    tell({"end": code})
    return code
