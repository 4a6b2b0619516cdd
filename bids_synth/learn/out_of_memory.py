"""Shortage: whether a fault is that memory, of the card or of the machine, did not suffice."""

from __future__ import annotations

import torch

_SAID = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
"""What torch says where it raises a plain RuntimeError for it."""


def is_shortage(error: BaseException) -> bool:
    """True where less work at a time, or another device, would have avoided the fault.

    >>> is_shortage(MemoryError()), is_shortage(RuntimeError("shapes do not match"))
    (True, False)
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _SAID)


def let_go(device: torch.device) -> None:
    """Give back what a card keeps for tensors that are no more."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
