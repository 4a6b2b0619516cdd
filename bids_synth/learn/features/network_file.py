"""Feature stack: the file of a network that turns slices into features, as it describes itself.

The file is a safetensors file that describes itself. Its metadata has one key, `features`, a JSON
text such as

    {"format": 1, "offset": [0.5], "gain": [0.25],
     "layers": [{"kernel": 3, "kept": true, "pool": 2}, {"kernel": 3, "stride": 2, "kept": true}]}

and its tensors are `layers.<n>.weight` (F, inputs, kernel, kernel) and `layers.<n>.bias` (F,),
float32 or float16, n from 0. A layer is a convolution padded by kernel // 2, then `relu`, then
maximum pooling over `pool` x `pool`. Layers that are `kept` give features, after relu and before
pooling. With `"weighted": true` each of these has `layers.<n>.linear` (F,): the weights of its
features in a perceptual distance (LPIPS).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LayerEntry(_Entry):
    """One layer of the stack."""

    kernel: int = Field(ge=1, le=15)
    """Pixels a side, odd."""
    stride: int = Field(1, ge=1, le=8)
    relu: bool = True
    pool: int = Field(1, ge=1, le=8)
    """Edge and stride of the maximum pooling; 1 for none."""
    kept: bool = False
    """True where its maps are features."""

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            message = f"a kernel must be odd, got {kernel}"
            raise ValueError(message)
        return kernel


class StackEntry(_Entry):
    """The whole stack, as the file's metadata describe it."""

    format: Literal[1]
    layers: tuple[LayerEntry, ...] = Field(min_length=1, max_length=64)
    offset: tuple[float, ...] = Field((0.0,), min_length=1, max_length=3)
    """Taken from a slice's values, one an input: 1, or 3 where the weights want colours."""
    gain: tuple[float, ...] = Field((1.0,), min_length=1, max_length=3)
    """What the rest is divided by."""
    weighted: bool = False
    """True where the file holds weights of the kept layers' features for a perceptual distance."""

    @model_validator(mode="after")
    def _whole(self) -> StackEntry:
        if len(self.offset) != len(self.gain) or not np.isfinite([*self.offset, *self.gain]).all():
            message = "offset and gain must be finite and of one length"
            raise ValueError(message)
        if min(self.gain) <= 0 or not any(layer.kept for layer in self.layers):
            message = "gain must be positive and at least one layer kept"
            raise ValueError(message)
        return self

    @property
    def reduction(self) -> int:
        """How many pixels of a slice, along one side, become one of the last maps."""
        return int(np.prod([layer.stride * layer.pool for layer in self.layers]))
