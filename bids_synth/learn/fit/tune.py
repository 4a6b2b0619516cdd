"""Tune: try values of a recipe's keys, judged by the validation participants alone."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState

from bids_synth.core.split import Split
from bids_synth.core.visit import Prepared
from bids_synth.errors import FitError, RecipeError, UsageError
from bids_synth.learn.device import resolve_device
from bids_synth.learn.fit.fit import fit_fold, fit_key, fitting_visits
from bids_synth.learn.fit.member import Member
from bids_synth.learn.fit.selection import Score
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.tune import SearchPart

LOG = logging.getLogger(__name__)
UNPRUNED = 4
"""Trials that run to their end before any is stopped early."""
FIRST_EPOCHS = 2
"""Epochs in which no trial is stopped."""
JOB, JUDGED = "job", "judged"
"""What the study knows of a trial: the process that fits it, and that its failure is an answer."""


class _Stop(Exception):  # noqa: N818 (no fault: the trial is worse than the median)
    """The trial is not worth its remaining epochs."""


@dataclass(frozen=True)
class Trial:
    """One fit with some values of the search space."""

    number: int
    state: str
    """complete, pruned, fail (a fault, or a score that is no number) or running."""
    score: float | None
    """Best validation score; None where it did not come to its end."""
    epochs: int
    """Looks at the validation participants."""
    seconds: float | None
    values: Mapping[str, Any]
    """Dotted key of the recipe -> value tried."""


@dataclass(frozen=True)
class Tuned:
    """Every trial of a study, this call's and earlier or parallel ones."""

    trials: tuple[Trial, ...]
    importance: Mapping[str, float]
    """Dotted key -> share of its effect, summing to 1; empty before there are enough trials."""
    best: Trial | None
    """The complete trial with the highest score."""


def tune(
    recipe: Recipe,
    prepared: Sequence[Prepared],
    split: Split,
    score: Score,
    *,
    trials: int,
    work: Path,
    seed: int,
    device: str = "auto",
    fold: int = 0,
    quiet: bool = False,
) -> Tuned:
    """Add trials to the recipe's study in the work directory until it holds so many.

    Returns all that it holds. Each trial fits one member of `fold` with the recipe's own
    schedule; its score is the best that the validation participants gave it. Only visits of
    training and validation participants are opened. Called again with the same data it goes on
    with the same study, and several calls at once share it; trials that were interrupted do not
    count. Values are drawn by a tree-structured Parzen estimator (Bergstra et al. 2011, NeurIPS)
    from `seed` and the number of the trial; a trial below the median of the others at an epoch
    is stopped.

    Raises UsageError where the recipe has no search space, or no fold of that number.
    """
    if not recipe.tune:
        message = f"recipe {recipe.name} has no section [tune]: nothing says what to try"
        raise UsageError(message)
    if not 0 <= fold < len(split.folds):
        message = f"--fold {fold}: the split has folds 0 to {len(split.folds) - 1}"
        raise UsageError(message)
    if not split.folds[fold].validation:
        message = (
            f"--tune: nobody of fold {fold} validates, so nothing tells which values are better"
        )
        raise UsageError(message)
    visits, where = fitting_visits(prepared, split), resolve_device(device)
    key = fit_key(recipe, visits, split, seed=seed)
    ledger = _ledger(recipe, key, work, fold)

    def fit(tried: Recipe, number: int, watch: Callable[[int, float], None]) -> float:
        place = work / "tune" / f"{ledger.study_name}-trial-{number}" / "member"
        own = fit_key(tried, visits, split, seed=seed)
        member = Member(tried, fold, 0, seed, own, place)
        try:
            fit_fold([member], visits, split, score, where, None, quiet=quiet, watch=watch)
            return float((member.fitted() or {})["score"])
        finally:
            shutil.rmtree(place.parent, ignore_errors=True)

    while _counted(ledger) < trials:
        trial = ledger.ask()
        trial.set_user_attr(JOB, _own_job())
        if _counted(ledger, before=trial.number) < trials:
            _attempt(ledger, trial, recipe, seed, fit)
        else:  # Another job was faster.
            ledger.tell(trial, state=TrialState.FAIL)
    return _tuned(ledger, recipe)


def journal_of(recipe: Recipe, work: Path) -> Path:
    """The file in which the trials of a recipe are kept."""
    return work / "tune" / f"{recipe.name}.journal"


def _ledger(recipe: Recipe, key: str, work: Path, fold: int) -> optuna.Study:
    space = {name: search.model_dump(mode="json") for name, search in recipe.tune.items()}
    text = json.dumps([key, fold, space], sort_keys=True)
    name = f"{recipe.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    path = journal_of(recipe, work)
    path.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # Appending under a link as lock is safe on NFS, where SQLite's file locks are not.
    lock = JournalFileSymlinkLock(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
        return optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(UNPRUNED, FIRST_EPOCHS),
        )


def _counted(ledger: optuna.Study, before: int | None = None) -> int:
    """How many trials are done or being fitted; those of jobs that were killed are given up."""
    count = 0
    for trial in ledger.get_trials(deepcopy=False)[:before]:
        if trial.state == TrialState.RUNNING and _is_over(trial.user_attrs.get(JOB)):
            ledger.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        elif trial.state != TrialState.FAIL or JUDGED in trial.user_attrs:
            count += 1
    return count


def _own_job() -> list[str | float]:
    process = psutil.Process()
    return [platform.node(), process.pid, process.create_time()]


def _is_over(job: Sequence[str | float] | None) -> bool:
    """True for a process of this computer that is no more; of others nothing is known."""
    if job is None or job[0] != platform.node():
        return False
    try:
        return bool(psutil.Process(int(job[1])).create_time() != job[2])
    except psutil.NoSuchProcess:
        return True


def _attempt(
    ledger: optuna.Study,
    trial: optuna.Trial,
    recipe: Recipe,
    seed: int,
    fit: Callable[[Recipe, int, Callable[[int, float], None]], float],
) -> None:
    """One trial; whatever ends it is told to the study, so that no other job waits for it."""
    # Seeded by the trial's number: jobs that share the study draw different values.
    ledger.sampler = optuna.samplers.TPESampler(seed=seed + trial.number, multivariate=False)
    values = {key: _suggest(trial, key, search) for key, search in recipe.tune.items()}
    choice = ", ".join(f"{key}={value}" for key, value in values.items())

    def watch(epoch: int, score: float) -> None:
        if not isfinite(score):
            return
        trial.report(score, epoch)
        if trial.should_prune():
            raise _Stop

    state, result = TrialState.FAIL, None
    try:
        result = fit(recipe.with_values(values), trial.number, watch)
        state = TrialState.COMPLETE if isfinite(result) else TrialState.FAIL
        trial.set_user_attr(JUDGED, value=True)
    except _Stop:
        state = TrialState.PRUNED
    except FitError as error:
        trial.set_user_attr(JUDGED, value=True)
        LOG.warning("trial %d: %s", trial.number, error)
    except RecipeError as error:
        trial.set_user_attr(JUDGED, value=True)
        LOG.warning("trial %d: values that do not go together: %s", trial.number, error)
    finally:
        ledger.tell(trial, result if state == TrialState.COMPLETE else None, state)
    LOG.info("trial %d: %s, score %s: %s", trial.number, state.name.lower(), result, choice)


def _suggest(trial: optuna.Trial, key: str, search: SearchPart) -> Any:
    if search.choices:
        texts = [json.dumps(choice) for choice in search.choices]
        return json.loads(trial.suggest_categorical(key, texts))
    low, high = search.low or 0, search.high or 0
    if search.integer:
        return trial.suggest_int(
            key, int(low), int(high), step=int(search.step or 1), log=search.log
        )
    return _tidy(trial.suggest_float(key, low, high, step=search.step, log=search.log))


def _tidy(value: Any) -> Any:
    """A number without the last bits of its steps: 0.3, not 0.30000000000000004."""
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _tuned(ledger: optuna.Study, recipe: Recipe) -> Tuned:
    trials = tuple(_plain(trial, recipe) for trial in ledger.get_trials(deepcopy=False))
    done = [t for t in trials if t.score is not None]
    best = max(done, key=lambda t: t.score or 0.0, default=None)
    importance: dict[str, float] = {}
    if len(done) >= UNPRUNED and len({t.score for t in done}) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importance = get_param_importances(ledger, evaluator=PedAnovaImportanceEvaluator())
    return Tuned(trials, importance, best)


def _plain(trial: FrozenTrial, recipe: Recipe) -> Trial:
    values = {
        key: json.loads(value) if recipe.tune[key].choices else _tidy(value)
        for key, value in trial.params.items()
    }
    seconds = trial.duration.total_seconds() if trial.duration else None
    score = trial.value if trial.state == TrialState.COMPLETE else None
    epochs, state = len(trial.intermediate_values), trial.state.name.lower()
    return Trial(trial.number, state, score, epochs, seconds, values)
