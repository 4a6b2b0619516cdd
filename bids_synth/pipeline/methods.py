"""Methods: the text of a run for a paper."""

from __future__ import annotations

from bids_synth.core.settings import Settings
from bids_synth.core.summary import RunSummary
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import write_text


def write_methods(recipe: Recipe, settings: Settings) -> RunSummary:
    """Write the methods text of a run to `logs/CITATION.md`.

    Jobs that share an output write the same text, and by rename: none sees half of it.
    """
    from bids_synth.report.pages.boilerplate import boilerplate

    spaces = [str(space) for space in settings.spaces]
    text = boilerplate(recipe, skull_strip=settings.skull_strip, spaces=spaces)
    path = write_text(text, settings.output / "logs" / "CITATION.md")
    return RunSummary(done=(f"methods text: {path}",))
