"""Methods: the text of a run for a paper."""

from __future__ import annotations

from bids_synth.core.settings import Settings
from bids_synth.core.summary import RunSummary
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import write_text


def write_methods(recipe: Recipe, settings: Settings) -> RunSummary:
    """Write the methods text of a run to `logs/CITATION.md`, `.html`, `.tex` and `.bib`.

    Jobs that share an output write the same text, and by rename: none sees half of it.
    """
    from bids_synth.report.methods.boilerplate import boilerplate
    from bids_synth.report.methods.formats import formats

    spaces = [str(space) for space in settings.spaces]
    text = boilerplate(recipe, skull_strip=settings.skull_strip, spaces=spaces)
    logs = settings.output / "logs"
    for suffix, content in formats(text).items():
        write_text(content, logs / f"CITATION{suffix}")
    return RunSummary(done=(f"methods text: {logs / 'CITATION.md'} (and .html, .tex, .bib)",))
