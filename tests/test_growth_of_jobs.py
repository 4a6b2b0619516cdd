"""Nothing that is done for one participant grows with the others: counts, and plain oracles."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_synth.core.settings import Settings
from bids_synth.core.visit import Visit
from bids_synth.errors import Problem
from bids_synth.learn.split import places, strata
from bids_synth.pipeline import prepare_visits
from bids_synth.pipeline.visit.site import having
from bids_synth.recipe.recipe import load_recipe
from bids_synth.report.pages.participant import write_participant_report


def exchange_plainly(part, shown, parts):
    """As `strata._exchange`, everything counted anew before each exchange."""
    while True:
        chosen = np.unique(np.column_stack([part, shown]), axis=0, return_index=True)[1]
        mine, seen = part[chosen], shown[chosen]
        gain = seen @ strata._excess(part, shown, parts).T
        own, there = gain[np.arange(len(chosen)), mine], gain[:, mine]
        apart = 2 * (seen[0].sum() - seen @ seen.T)
        change = there + there.T - own[:, None] - own[None] + apart
        change[mine[:, None] == mine[None]] = 0.0
        i, j = np.unravel_index(int(change.argmin()), change.shape)
        if change[i, j] > -1e-9:
            return part
        part = part.copy()
        part[chosen[i]], part[chosen[j]] = mine[j], mine[i]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), total=st.integers(4, 60), parts=st.integers(2, 4))
def test_participants_are_exchanged_as_if_everything_were_counted_anew(seed, total, parts):
    rng = np.random.default_rng(seed)
    columns = {name: rng.integers(0, n, total) for name, n in (("site", 4), ("sex", 2))}
    shown = strata._indicators(columns)
    part = rng.integers(0, parts, total)
    part[:parts] = np.arange(parts)
    np.testing.assert_array_equal(
        strata._exchange(part, shown, parts), exchange_plainly(part, shown, parts)
    )


@settings(max_examples=150, deadline=None)
@given(data=st.data(), total=st.integers(3, 15), seed=st.integers(0, 50))
def test_the_repair_takes_the_change_that_plain_counting_takes(data, total, seed):
    labels = [f"{n:02d}" for n in range(total)]
    parts = {p: data.draw(st.integers(0, 2)) for p in labels}
    groups = {"": frozenset(labels)} | {
        m: frozenset(data.draw(st.sets(st.sampled_from(labels), min_size=1))) for m in "ab"
    }
    wanted = [(name, n) for name, people in groups.items() for n in range(3)[: len(people)]]

    def missing(changed):
        counts = {g: Counter(changed[p] for p in people) for g, people in groups.items()}
        return sum(not counts[g][n] for g, n in wanted)

    for name, number in wanted:
        if not places._lacking(parts, groups[name], number):
            continue
        changes = places._changes(parts, groups[name], number, seed)
        plain = next((parts | c for c in changes if missing(parts | c) < missing(parts)), None)
        assert places._first_better(parts, groups, wanted, name, number, seed) == plain


def test_a_page_is_written_without_a_look_at_everybody(tmp_path, monkeypatch):
    figures = tmp_path / "sub-01" / "figures"
    figures.mkdir(parents=True)
    for session in "AB":
        svg = '<?xml version="1.0"?><svg viewBox="0 0 1 1"></svg>'
        (figures / f"sub-01_ses-{session}_desc-scans_T1w.svg").write_text(svg)
    other = tmp_path / "sub-01x_ses-A.html"
    other.write_text("another's")
    write_participant_report(tmp_path, "01", sessions_per_page=1)
    apart = [tmp_path / f"sub-01_ses-{session}.html" for session in "AB"]
    assert all(page.is_file() for page in apart)
    look = os.scandir

    def refused(path="."):
        assert isinstance(path, int) or Path(path) != tmp_path, "everybody is listed"
        return look(path)

    monkeypatch.setattr(os, "scandir", refused)
    write_participant_report(tmp_path, "01", sessions_per_page=2)
    assert not any(page.exists() for page in apart), "what no longer holds is removed"
    assert other.is_file()


def test_a_workflow_never_holds_more_than_so_many_visits(tmp_path, monkeypatch):
    groups: list[int] = []

    def in_work(visits, *_):
        groups.append(len(visits))
        failed = tuple(Problem(v.label, "toy") for v in visits)
        return {}, failed if len(groups) == 2 else ()

    monkeypatch.setattr(prepare_visits, "_in_work", in_work)
    monkeypatch.setattr(prepare_visits, "earlier", lambda *_: None)
    visits = [Visit(f"{n:03d}", None, {}) for n in range(70)]
    here = Settings(tmp_path, tmp_path / "out", "group", tmp_path / "work", nprocs=2)
    recipe = load_recipe("impute")
    _, problems = prepare_visits.prepare_all(visits, recipe, here)
    assert groups == [32, 32, 6]
    assert len(problems) == 32
    groups.clear()
    stopping = Settings(**{**vars(here), "stop_on_first_crash": True})
    _, problems = prepare_visits.prepare_all(visits, recipe, stopping)
    assert groups == [32, 32]
    assert "not begun" in problems[-1].message
    groups.clear()
    prepare_visits.prepare_reduced(visits, recipe, Settings(**{**vars(here), "nprocs": 40}))
    assert groups == [70]


def test_donors_are_looked_for_among_the_first_by_name(tmp_path: Path) -> None:
    for number in range(300, 0, -1):
        anat = tmp_path / f"sub-{number:03d}" / "anat"
        anat.mkdir(parents=True)
        if number in (7, 150, 250):
            (anat / f"sub-{number:03d}_T2w.nii.gz").touch()
    (tmp_path / "sub-000").touch()
    assert having(tmp_path, "T2w", 3) == ["007", "150"]
    assert having(tmp_path, "T2w", 1) == ["007"]


@pytest.mark.parametrize("count", [3])
def test_problems_of_a_participant_reach_their_page(tmp_path, monkeypatch, count):
    from bids_synth.pipeline.visit import reports

    told = {}
    monkeypatch.setattr(
        reports, "write_participant_report",
        lambda output, participant, *, problems, **_: told.update({participant: list(problems)}),
    )  # fmt: skip
    results = [SimpleNamespace(visit=Visit(f"{n:02d}", None, {})) for n in range(count)]
    problems = [Problem("sub-01_ses-A", "a"), Problem("sub-01", "b"), Problem("sub-1", "c")]
    here = Settings(tmp_path, tmp_path, "participant", tmp_path)
    reports.write_pages(results, problems, here)
    assert told == {"00": [], "01": problems[:2], "02": []}
