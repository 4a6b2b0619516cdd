"""Product: a linear layer on many rows, by the quickest library that torch comes with."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional


def linear(
    values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *, silu: bool = False
) -> torch.Tensor:
    """(V, K), (N, K), (N,) -> (V, N), as `functional.linear`; with `silu`, that of the product.

    On a processor by oneDNN: torch's own product is by MKL, which on processors of other makers
    than its own takes 2.2 times as long.
    """
    if not _is_plain(values):
        answer = functional.linear(values, weight, bias)
    elif torch.is_grad_enabled():
        learned: Any = _Learned.apply
        answer = learned(values, weight, bias)
    else:
        return _product(values, weight, bias, "swish" if silu else "none")
    return functional.silu(answer) if silu else answer


class _Learned(torch.autograd.Function):
    """The product with its gradients, which are products too."""

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(values, weight)
        return _product(values, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        values, weight = ctx.saved_tensors
        of_values = _product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        return of_values, _product(gradient.t(), values.t()), gradient.sum(dim=0)


def _product(
    values: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    after: str = "none",
) -> torch.Tensor:
    quick: Any = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
    result: torch.Tensor = quick(values, weight, bias, after, [], "")
    return result


def _is_plain(values: torch.Tensor) -> bool:
    return (
        values.device.type == "cpu"
        and values.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._is_tracing()  # noqa: SLF001
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
