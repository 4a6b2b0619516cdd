"""Finite: a fit whose numbers are none is stopped, and says where and what to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bids_synth.errors import FitError


class DivergedError(FitError):
    """A loss or a gradient is NaN or infinite; the step was not taken."""


def require_step(step: int, loss: torch.Tensor, norm: torch.Tensor) -> None:
    """Raise DivergedError for a step, 0-based, whose loss or norm of gradients is no number."""
    for name, value in (("loss", loss), ("gradient", norm)):
        if not bool(torch.isfinite(value.detach()).all()):
            message = f"step {step}: the {name} is {float(value.detach().mean())}"
            raise DivergedError(message)
    message = f"step {step}: the loss or the gradient of another process is NaN or infinite"
    raise DivergedError(message)


def is_finite(tensors: Mapping[str, Any]) -> bool:
    """True where every value of every array or tensor is a number."""
    return all(bool(torch.isfinite(torch.as_tensor(t)).all()) for t in tensors.values())


def require_finite(tensors: Mapping[str, Any], what: str) -> None:
    """Raise FitError, with the names, where arrays that are about to be written are no numbers."""
    if is_finite(tensors):
        return
    wrong = [name for name, tensor in tensors.items() if not is_finite({name: tensor})]
    message = (
        f"{what} hold NaN or infinity in {', '.join(wrong[:3])}; nothing was written; look at the "
        "prepared images of the training participants"
    )
    raise FitError(message)


def what_to_change(rate: float, precision: str) -> str:
    """The remedies of a fit that ran away, for the end of a message."""
    advice = f"lower fit.learning_rate ({rate:g}), e.g. --set fit.learning_rate={rate / 4:g}"
    if precision != "32-true":
        advice += f"; or fit in 32 bits with --device cpu (this was {precision})"
    return (
        f"{advice}; gradients are clipped at a norm of 1 already; if it stays, look at the "
        "prepared images"
    )
