"""Ablation: what a model loses where sets of its sources are withheld."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bids_synth.core.visit import Prepared
from bids_synth.evaluate.score import Scored
from bids_synth.measure.agreement import agreement, mean_values, scatter
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.tasks import Task
from bids_synth.report.figures.ablation import AblationShown

ALL_SOURCES = "all sources"
"""Label of the set from which nothing is withheld."""
VOXELS = 2000
"""Voxels of a visit, evenly spread over its mask, that are drawn against one another."""


def withheld_sets(recipe: Recipe, task: Task) -> Iterator[tuple[str, Task]]:
    """Label and remaining task of every set of the recipe that the task can do without."""
    for chosen in recipe.evaluation.ablate:
        left = task.without(chosen)
        if set(chosen) <= set(task.sources) and left.feasible(recipe.minimum):
            yield f"without {', '.join(chosen)}", left


@dataclass
class Ablation:
    """The study of a model over its test visits, filled one synthetic image after the other."""

    rows: list[pd.DataFrame] = field(default_factory=list)
    """Scores of the model with a column `withheld`."""
    means: list[pd.DataFrame] = field(default_factory=list)
    """Means inside the mask; their column `sources` is the label of the set."""
    voxels: list[pd.DataFrame] = field(default_factory=list)
    """Real and synthetic values of some voxels."""

    def add(self, label: str, scored: Scored, prepared: Prepared) -> None:
        """Take up what the model made with one set of sources."""
        synthetic, mask = scored.synthetic, scored.where(prepared)
        rows = scored.rows[scored.rows["method"] == "model"]
        keys = {
            "visit": prepared.label,
            "participant": prepared.visit.participant,
            "target": synthetic.modality,
            "sources": label,
            "method": "model",
        }
        means = mean_values(scored.real, synthetic.image, mask, keys)
        self.means.append(means)
        averages = {
            "real": float(means["real"].iloc[0]),
            "synthetic": float(means["synthetic"].iloc[0]),
        }
        self.rows.append(rows.assign(withheld=label, **averages))
        inside = np.flatnonzero(mask.array)
        some = inside[:: max(1, inside.size // VOXELS)]
        pairs = {
            "real": scored.real.array.reshape(-1)[some],
            "synthetic": synthetic.image.array.reshape(-1)[some],
        }
        self.voxels.append(pd.DataFrame(pairs).assign(target=synthetic.modality, sources=label))

    def table(self) -> pd.DataFrame:
        """Tidy: one row a visit, target, set and protocol."""
        table = pd.concat(self.rows, ignore_index=True)
        first = [*table.columns[:3], "withheld"]
        return table[[*first, *(c for c in table if c not in first)]]

    def shown(self, recipe: Recipe) -> AblationShown | None:
        """What the page of the group draws; None where no set was withheld from any visit."""
        if not any(set(rows["withheld"]) - {ALL_SOURCES} for rows in self.rows):
            return None
        points = scatter(pd.concat(self.means, ignore_index=True))
        units = {target: recipe.unit(target) for target in recipe.targets}
        voxels = pd.concat(self.voxels, ignore_index=True)
        return AblationShown(self.table(), points, agreement(points), voxels, units)
