"""Follower: a further process of a fit: the same loop on its share, writing nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from bids_synth.errors import BidsSynthError, FitError
from bids_synth.learn.device import card, resolve_device
from bids_synth.learn.fit.distributed import join, leave, listen, place_of, rank, tell
from bids_synth.learn.fit.loop import Job, calm, fit
from bids_synth.learn.fit.record import Record
from bids_synth.system.signals import EX_TEMPFAIL, Preempted, held, released


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
            job = listen()
            if not isinstance(job, Job):
                return int(job)
            with calm(device):
                fit(job, device, Record(job.member))
        except (Preempted, FitError):  # The first process tells why.
            continue
        except RuntimeError as error:
            message = f"process {rank()}: the first process is gone, see what it said ({error})"
            raise BidsSynthError(message) from error


def card_of(device: str, local: int) -> torch.device:
    """The CUDA card of this process among those that it sees, or the processor."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device in ("auto", "cuda") and count > 0:
        return card(local % count)
    return resolve_device(device)


def _leading(lead: Callable[[], int]) -> int:
    """The exit code of `lead`, of which the followers hear; of a fault in a fit they cannot."""
    try:
        with released():
            code = lead()
    except Preempted:
        tell(EX_TEMPFAIL)
        raise
    except BidsSynthError as error:
        tell(error.exit_code)
        raise
    tell(code)
    return code
