"""Synthesis: a 1 mm volume by the default recipe, and its report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.stages.measured import FULL, Measured, clock


def synthesis(work: Path) -> list[Measured]:
    """A 1 mm volume by the default recipe's network with all its members, and its report."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.toys import untrained_synthesizer, whole_brain
    from bids_synth.recipe.recipe import load_recipe
    from bids_synth.spatial.volume import read_mask

    recipe = load_recipe("impute").limited_to(["T1w", "T2w", "PDw"])
    prepared = whole_brain(work / "brain", FULL)
    synthesizer = untrained_synthesizer(recipe)
    members = len(synthesizer.networks)
    side = 48
    shown = torch.rand(1, len(recipe.sources), side, side, side)
    there = torch.tensor([[float(m != "T2w") for m in recipe.sources]])
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        synthesizer.networks[0](shown, there)
    result = Measured(f"synthesize: {FULL} at 1 mm, {members} members", 0.0)
    with clock(result):
        made = synthesizer.synthesize(prepared, "T2w")
    voxels = int((read_mask(prepared.mask).array > 0).sum())
    result.operations = counter.get_total_flops() / side**3 * members * voxels
    result.note = f"{voxels} voxels"
    return [result, _report(prepared, made, work)]


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
