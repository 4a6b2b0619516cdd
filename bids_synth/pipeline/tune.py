"""Tuning: search the recipe's values and write what was tried and what was best."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bids_synth.core.settings import Settings
from bids_synth.core.split import Split
from bids_synth.core.summary import RunSummary
from bids_synth.core.visit import Prepared
from bids_synth.learn.device import use_threads
from bids_synth.learn.fit.tune import Tuned, tune
from bids_synth.measure.protocol import prepared_score
from bids_synth.measure.table import write_rows
from bids_synth.recipe.recipe import Recipe, validate_recipe
from bids_synth.report.figures.tune import write_tune_figures
from bids_synth.spatial.volume import write_text


def tune_and_report(
    recipe: Recipe, prepared: Sequence[Prepared], split: Split, settings: Settings
) -> RunSummary:
    """Search until `settings.tune` trials are there; write trials.tsv, figures, the best recipe.

    They lie in `models/<recipe>-tune` of the output, which no fit replaces.
    """
    use_threads(settings.omp_nthreads, most=settings.nprocs)
    tuned = tune(
        recipe,
        prepared,
        split,
        prepared_score,
        trials=settings.tune,
        work=settings.work,
        seed=settings.seed,
        device=settings.device,
        fold=settings.fold or 0,
    )
    folder = settings.models / f"{recipe.name}-tune"
    rows = trial_rows(tuned, recipe)
    write_rows(rows, folder / "trials.tsv")
    choices = {key: search.choices for key, search in recipe.tune.items() if search.choices}
    logs = [key for key, search in recipe.tune.items() if search.log]
    write_tune_figures(rows, tuned.importance, folder, choices=choices, logs=logs)
    best = tuned.best
    if best is None:
        return RunSummary(done=(f"no trial came to its end yet; see {folder / 'trials.tsv'}",))
    path = folder / f"{recipe.name}-tuned.toml"
    write_text(tuned_recipe(recipe, tuned).to_toml(), path)
    done = (
        f"{len(tuned.trials)} trials; best {best.score:.6g} in trial {best.number}",
        f"recipe with the best values, for --recipe: {path}",
    )
    return RunSummary(done=done)


def tuned_recipe(recipe: Recipe, tuned: Tuned) -> Recipe:
    """The recipe with the best values, named after it; as it was where there are none."""
    values = tuned.best.values if tuned.best else {}
    data = recipe.with_values(values).model_dump(mode="json")
    return validate_recipe(data | {"name": f"{recipe.name}-tuned"}, origin="tuned recipe")


def trial_rows(tuned: Tuned, recipe: Recipe) -> pd.DataFrame:
    """One row a trial: number, state, score, epochs, seconds and the value of every key."""
    rows = [
        {
            "trial": trial.number,
            "state": trial.state,
            "score": trial.score,
            "epochs": trial.epochs,
            "seconds": trial.seconds,
            **{key: trial.values.get(key) for key in recipe.tune},
        }
        for trial in tuned.trials
    ]
    return pd.DataFrame(rows)
