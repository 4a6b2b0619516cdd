"""What this machine can do at best: matrix-product rate, copy rate, bare interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Limits:
    """The best of a few repeats; everything else is read as a ratio to these."""

    gflops: float
    """float32 matrix product of 1536 x 1536, 1e9 floating-point operations a second."""
    copy_gbs: float
    """Copy of 256 MB of float32, 1e9 bytes read and written a second."""
    interpreter: float
    """Seconds of `python -c pass`."""
    quick_gflops: float = 0.0
    """The same product by oneDNN, which torch's own does not always use; 0 where unknown."""

    def best(self, other: Limits) -> Limits:
        """What the machine was seen to do in either: other work only ever takes from it.

        >>> Limits(1, 9, 3, 2).best(Limits(5, 8, 4, 1))
        Limits(gflops=5, copy_gbs=9, interpreter=3, quick_gflops=2)
        """
        return Limits(
            max(self.gflops, other.gflops),
            max(self.copy_gbs, other.copy_gbs),
            min(self.interpreter, other.interpreter),
            max(self.quick_gflops, other.quick_gflops),
        )

    def compute(self, operations: float) -> float:
        """Seconds for so many floating-point operations at the rate of the matrix product."""
        return operations / (self.gflops * 1e9)

    def move(self, size: float) -> float:
        """Seconds for so many bytes read and written at the copy rate."""
        return size / (self.copy_gbs * 1e9)


def fastest(call: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of `repeats` calls, after one that is not timed."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def measure_limits() -> Limits:
    """Measure the machine, about five seconds."""
    import torch  # Not above: whoever reads limits would lend its memory to what it starts.

    from bids_synth.learn.networks.blocks.product import linear

    side = 1536
    one, other = torch.rand(side, side), torch.rand(side, side)
    product = fastest(lambda: one @ other)
    with torch.inference_mode():
        quick = fastest(lambda: linear(one, other, torch.zeros(side)))
    array = np.zeros(64_000_000, dtype=np.float32)
    target = np.empty_like(array)
    copy = fastest(lambda: np.copyto(target, array))
    bare = fastest(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
    operations = 2 * side**3 / 1e9
    return Limits(operations / product, 2 * array.nbytes / copy / 1e9, bare, operations / quick)


if __name__ == "__main__":
    print(json.dumps(vars(measure_limits())))
