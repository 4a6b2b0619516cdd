"""Operations: floating-point operations of a body, those of oneDNN among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

Shape = Sequence[int]


def counting() -> FlopCounterMode:
    """Torch's counter, which by itself does not know the ways into oneDNN that networks take."""
    known: dict[Any, Callable[..., int]] = {torch.ops.aten.mkldnn_convolution: _convolution}
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        known[torch.ops.mkldnn._linear_pointwise] = _linear  # noqa: SLF001
    return FlopCounterMode(display=False, custom_mapping=known)


def _linear(values: Shape, weight: Shape, *_: object, **__: object) -> int:
    return 2 * values[0] * values[1] * weight[0]


def _convolution(images: Shape, weight: Shape, *_: object, out_shape: Shape, **__: object) -> int:
    count: int = conv_flop_count(list(images), list(weight), list(out_shape), transposed=False)
    return count
