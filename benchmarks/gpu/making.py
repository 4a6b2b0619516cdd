"""Making: a whole 1 mm image by the default recipe, by the model of the package, and by `ct`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

import bids_synth
from benchmarks.gpu.apart import Tell
from benchmarks.gpu.equality import moved, synthesizer_of
from benchmarks.gpu.figure import Figure, Settings, share_of_limit
from benchmarks.gpu.machine import forget_peak, matrix_rate, peak_gb, wait_for
from benchmarks.gpu.phantoms import phantom
from benchmarks.gpu.steps import recipe_of
from benchmarks.operations import counting
from benchmarks.toys import untrained_synthesizer
from bids_synth.core.visit import Prepared
from bids_synth.learn.device import resolve_device
from bids_synth.learn.model.model import load_model
from bids_synth.learn.synthesize import Synthesizer, load_synthesizer
from bids_synth.spatial.grid import Shape

MOST = 0.5
"""Target: seconds of an image of 182 x 218 x 182 voxels."""
FULL: Shape = (182, 218, 182)
SHIPPED = Path(bids_synth.__file__).parent / "models" / "any-contrast"
MODALITIES = ("T1w", "T2w", "PDw")


def synthesis(settings: Settings, tell: Tell) -> None:
    """Seconds, share of the matrix rate in float32, and peak memory of each."""
    device = resolve_device(settings.device)
    shape: Shape = (18, 22, 18) if settings.tiny else FULL
    kept = (*MODALITIES, "ct")
    place = Path(settings.work) / "whole"
    prepared = phantom(place, 9, shape, 8.0 if settings.tiny else 1.0, kept)
    rate = matrix_rate(device, torch.float32, settings)
    for title, target, synthesizer in _synthesizers(settings, prepared, device):
        forget_peak(device)
        with counting() as counter:
            synthesizer.synthesize(prepared, target)
        seconds = min(
            _once(synthesizer, prepared, target) for _ in range(1 if settings.tiny else 3)
        )
        shown = "x".join(map(str, shape))
        most = None if title == "ct" else MOST
        note = f"{shown}, {len(synthesizer.networks)} networks"
        tell(Figure(f"{title}: an image", seconds, "s", most=most, card_only=True, note=note))
        operations = counter.get_total_flops()
        note = f"{operations / 1e9:.3g} GFLOP at {rate / 1e12:.3g} TFLOP/s in float32"
        part = share_of_limit(operations, seconds, rate)
        tell(Figure(f"{title}: share of the limit", part, note=note))
        tell(Figure(f"{title}: peak memory", peak_gb(device), "GB"))


def _synthesizers(
    settings: Settings, prepared: Prepared, device: torch.device
) -> Iterator[tuple[str, str, Synthesizer]]:
    default = recipe_of("impute", settings).limited_to(MODALITIES)
    yield "impute", "T2w", moved(untrained_synthesizer(default), device)
    model = load_model(SHIPPED)
    if settings.tiny:
        small = model.recipe.with_values({"fit.patch": [32, 32, 32]})
        model = replace(model, recipe=small)
    yield "any-contrast", "T2w", load_synthesizer(model, settings.device)
    yield "ct", "ct", moved(synthesizer_of(recipe_of("ct", settings), prepared), device)


def _once(synthesizer: Synthesizer, prepared: Prepared, target: str) -> float:
    fresh = replace(synthesizer, last={})
    wait_for(fresh.device)
    began = time.perf_counter()
    fresh.synthesize(prepared, target)
    return time.perf_counter() - began
