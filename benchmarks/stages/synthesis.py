"""Synthesis: a 1 mm volume by networks of every kind, and its report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.stages.measured import FULL, Measured, clock


@dataclass(frozen=True)
class _Entry:
    """What is made by which recipe, its weights drawn."""

    recipe: str
    sources: tuple[str, ...]
    target: str
    most_seconds: float = 0.0
    most_ratio: float = 0.0


DEFAULT = _Entry("impute", ("T1w", "PDw"), "T2w", most_seconds=25, most_ratio=1.4)
OTHERS = (_Entry("ct", ("T1w",), "ct"), _Entry("mmgan", ("T1w", "PDw", "FLAIR"), "T2w"))
"""Networks that are shown windows, and slices: more than the mask, which alone is counted."""
SIDE = 48
"""Voxels a side of what is shown to count the operations of a network that has no windows."""


def synthesis(work: Path) -> list[Measured]:
    """A 1 mm volume by the default recipe and by networks of windows and slices; its report."""
    from benchmarks.toys import whole_brain

    prepared = whole_brain(work / "brain", FULL)
    result, made = _made(DEFAULT, prepared)
    others = [_made(entry, prepared)[0] for entry in OTHERS]
    return [result, *others, _report(prepared, made, work)]


def _made(entry: _Entry, prepared: object) -> tuple[Measured, object]:
    import torch

    from benchmarks.operations import counting
    from benchmarks.toys import untrained_synthesizer
    from bids_synth.core.visit import Prepared
    from bids_synth.learn.data.patches import window_starts
    from bids_synth.recipe.recipe import load_recipe
    from bids_synth.spatial.volume import read_mask

    assert isinstance(prepared, Prepared)
    plain = load_recipe(entry.recipe, {"extras.mean": "false"})
    recipe = plain.limited_to([*entry.sources, entry.target])
    synthesizer, patch = untrained_synthesizer(recipe), recipe.fit.patch
    members, mask = len(synthesizer.networks), read_mask(prepared.mask).array
    windows = len(window_starts(mask, patch, recipe.synthesis.overlap))
    sides = patch if windows > 1 else (SIDE,) * 3
    # Two at a time and with gradients: the ways that are quicker without are not counted.
    shown = torch.rand(2, len(recipe.inputs), *sides)
    there = torch.tensor([[float(m in entry.sources) for m in recipe.inputs]] * 2)
    with counting() as counter:
        synthesizer.networks[0](shown, there)
    of = "one network" if members == 1 else f"{members} networks"
    title = f"synthesize: {entry.recipe}, {FULL} at 1 mm, {of}"
    result = Measured(title, 0.0, most_seconds=entry.most_seconds, most_ratio=entry.most_ratio)
    with clock(result):
        made = synthesizer.synthesize(prepared, entry.target, sources=entry.sources)
    voxels = int((mask > 0).sum())
    one = counter.get_total_flops() / shown[:, 0].numel()
    result.operations = one * members * voxels
    result.note = f"{voxels} voxels"
    if windows > 1:
        share = windows * shown[0, 0].numel() / voxels
        result.note = f"{windows} windows hold {share:.1f} times the voxels of the mask"
    return result, made


def _report(prepared: object, made: object, work: Path) -> Measured:
    from bids_synth.core.synthetic import Synthetic, Verdict
    from bids_synth.core.visit import Prepared
    from bids_synth.evaluate.score import on_native
    from bids_synth.report.pages.participant import write_participant_report
    from bids_synth.report.pages.visit import VisitReport, write_visit_figures

    assert isinstance(prepared, Prepared)
    assert isinstance(made, Synthetic)
    shown = (replace(on_native(made, prepared), verdict=Verdict("pass")),)
    result = Measured("report: figures and page of a 1 mm visit", 0.0)
    with clock(result):
        write_visit_figures(work / "report", VisitReport(prepared, shown))
        write_participant_report(work / "report", prepared.visit.participant)
    return result
