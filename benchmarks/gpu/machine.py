"""Machine: which card this is, and what it can do at best; clocks and memory of either device."""

from __future__ import annotations

import platform
import resource
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import torch

from benchmarks.gpu.figure import Settings

LIBRARIES = ("torch", "monai", "lightning", "numpy", "nibabel", "pydantic", "safetensors")


def about(device: str) -> dict[str, str]:
    """Name of the card, its driver, and versions; for the page of figures."""
    known = {"python": platform.python_version(), "system": platform.platform()}
    for library in LIBRARIES:
        try:
            known[library] = version(library)
        except PackageNotFoundError:
            known[library] = str(getattr(torch, "__version__", "")) if library == "torch" else ""
    known["cuda"] = str(torch.version.cuda or "")
    known["device"] = _card() if device.startswith("cuda") else platform.machine()
    return known


def _card() -> str:
    """Name, memory and driver as the driver tells them: torch would take hold of the card."""
    words = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "a CUDA card"
    return "; ".join(done.stdout.strip().splitlines())


def cards() -> int:
    """How many cards the driver tells of."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return 0
    return len(done.stdout.strip().splitlines()) if done.returncode == 0 else 0


def wait_for(device: torch.device) -> None:
    """Until the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(call: Callable[[], object], device: torch.device, *, repeats: int) -> float:
    """Seconds of one of `repeats` calls in a row, after one that is not timed."""
    call()
    wait_for(device)
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    wait_for(device)
    return (time.perf_counter() - began) / repeats


def matrix_rate(
    device: torch.device, dtype: torch.dtype, settings: Settings, *, tf32: bool = False
) -> float:
    """Operations a second of a square product of random matrices."""
    side = 8192 if _is_full(device, settings) else 256
    before = torch.backends.cuda.matmul.allow_tf32
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    try:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        seconds = seconds_of(lambda: one @ other, device, repeats=20)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * side**3 / seconds


def _is_full(device: torch.device, settings: Settings) -> bool:
    return device.type == "cuda" and not settings.tiny


def copy_rate(device: torch.device, settings: Settings) -> float:
    """Bytes read and written a second by a copy on the device."""
    count = 2**30 if _is_full(device, settings) else 2**20
    source = torch.zeros(count, device=device)
    target = torch.empty_like(source)
    seconds = seconds_of(lambda: target.copy_(source), device, repeats=10)
    return 2 * source.nbytes / seconds


def fitting_rate(device: torch.device, settings: Settings) -> float:
    """Operations a second in the precision in which fits run on the device."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    return matrix_rate(device, dtype, settings)


def forget_peak(device: torch.device) -> None:
    """Begin to count the peak of memory anew, where the device can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_gb(device: torch.device) -> float:
    """Largest memory of tensors on the card, or of the process, in GB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
