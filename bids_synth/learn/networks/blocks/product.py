"""Product: a linear layer on many rows, by the quickest library that torch comes with."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


def linear(
    values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *, silu: bool = False
) -> torch.Tensor:
    """(V, K), (N, K), (N,) -> (V, N), as `functional.linear`; with `silu`, that of the product.

    Without gradients on a processor by oneDNN: torch's own product is by MKL, which on
    processors of other makers than its own takes 2.2 times as long.
    """
    if _is_plain(values):
        quick: Any = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
        result: torch.Tensor = quick(values, weight, bias, "swish" if silu else "none", [], "")
        return result
    answer = functional.linear(values, weight, bias)
    return functional.silu(answer) if silu else answer


def _is_plain(values: torch.Tensor) -> bool:
    return (
        not torch.is_grad_enabled()
        and values.device.type == "cpu"
        and values.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._is_tracing()  # noqa: SLF001
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
