"""Subset: which of the sources are there, as one number."""

from __future__ import annotations

import torch


def subset_number(available: torch.Tensor) -> torch.Tensor:
    """(N, S) zeros and ones -> (N,): the row of `linear`, source s counting 2 to the s.

    >>> subset_number(torch.tensor([[1.0, 0.0, 1.0]])).tolist()
    [5]
    """
    powers = 2 ** torch.arange(available.shape[1], device=available.device)
    return (available.long() * powers).sum(dim=1)
