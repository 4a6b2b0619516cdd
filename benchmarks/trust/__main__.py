"""`python -m benchmarks trust OUT [--page FILE]`: intervals, verdicts, lesions, volumes.

What an earlier call has made in OUT is taken over.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import pandas as pd

from benchmarks.real.people import STUDIES, prepare
from benchmarks.trust.bed import (
    Job,
    broken_dataset,
    prepared_visits,
    scans_of,
    verdicts,
    with_faults,
)
from benchmarks.trust.left_out import LeftOut, card_without, left_out, tables
from benchmarks.trust.page import (
    broken_section,
    held_rows,
    held_section,
    lesion_section,
    volume_section,
    write_page,
)
from benchmarks.trust.phantoms import FITS, Fit, dataset, fit, spent, split, tested
from bids_synth.core.visit import Prepared
from bids_synth.evaluate.trust.trusted import volume_agreement
from bids_synth.learn.model.model import load_model
from bids_synth.recipe.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared/data/stripped"
NOTES = ROOT / "benchmarks/trust_notes.md"
"""What somebody has to say of the misses; written by hand."""
REAL_JOB = Job("impute", ("--modalities", "T1w", "T2w", "FLAIR"), "FLAIR", ("T1w", "T2w"))
PHANTOM_JOBS = {
    "impute": Job("impute", tuple(FITS[0].words[2:]), "PDw", ("T1w", "T2w")),
    "cmro2": Job("cmro2", tuple(FITS[4].words[2:]), "cmro2",
                 ("cbf", "cbv", "T2map", "T2starmap")),
}  # fmt: skip
PEOPLE = 3
"""Test phantoms that are broken, and real participants: one of each study."""


@dataclass(frozen=True)
class Bench:
    """Where everything is kept."""

    out: Path
    real_out: Path
    real: Path

    def kept(self, name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A table that is made once."""
        path = self.out / f"{name}.tsv"
        if not path.is_file():
            make().to_csv(path, sep="\t", index=False, na_rep="n/a")
        text = {"participant": str, "person": str, "visit": str, "why": str}
        return pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False, dtype=text)


def phantom_tables(bench: Bench) -> tuple[list[list[str]], dict[str, pd.DataFrame], pd.DataFrame]:
    """Rows of the table of intervals, lesions and volumes of the five tasks."""
    rows: list[list[str]] = []
    lesions, every = {}, []
    dataset(bench.out)
    split(bench.out)
    for one in FITS:
        folder = fit(one, bench.out)
        coverage = pd.read_csv(folder / "coverage.tsv", sep="\t", na_values=["n/a"])
        seconds, measuring = spent(folder, bench.out / f"{one.recipe}.log")
        shipped = seconds * load_recipe(one.recipe).fit.steps / one.steps
        share = [100 * measuring / whole for whole in (seconds, shipped)]
        time = f"{measuring:.0f} s, {share[0]:.0f} %, {share[1]:.1f} %"
        rows += held_rows(one.task, coverage, time)
        every.append(coverage[coverage["region"] == "mask"].assign(task=one.task))
        if one.recipe == "impute":
            path = folder / "lesions.tsv"
            lesions["phantoms"] = pd.read_csv(path, sep="\t", na_values=["n/a"])
            volumes = pd.read_csv(folder / "volumes.tsv", sep="\t", na_values=["n/a"])
            lesions["volumes"] = volume_agreement(volumes)
    return rows, lesions, pd.concat(every, ignore_index=True)


def phantom_bed(bench: Bench, one: Fit, job: Job) -> pd.DataFrame:
    """Verdicts of broken and clean test phantoms."""
    model = load_model(bench.out / f"out-{one.recipe}" / "models" / one.recipe)
    clean = _prepared_phantoms(bench, one, job)
    chosen = list(clean.values())[:PEOPLE]
    people = {
        p.visit.participant: scans_of(p, chosen[(n + 1) % len(chosen)], job.sources)
        for n, p in enumerate(chosen)
    }
    place = bench.out / "bed" / one.recipe
    broken = broken_dataset(people, place, job.sources)
    found, refused = prepared_visits(
        broken, place.with_name(f"{one.recipe}-out"), place.with_name(f"{one.recipe}-work"), job
    )
    return with_faults(list(verdicts(model, job, {**clean, **found})), refused, job)


def _prepared_phantoms(bench: Bench, one: Fit, job: Job) -> dict[str, Prepared]:
    """Test phantoms with all that the job needs, one visit each."""
    found, _ = prepared_visits(
        bench.out / "phantoms", bench.out / f"out-{one.recipe}", bench.out / "work", job
    )
    return {
        label: found[label]
        for label in tested(bench.out)
        if label in found and {*job.sources} <= {*found[label].images}
    }


@cache
def everybody_left_out(bench: Bench) -> LeftOut:
    """Images of all real participants by models that have not seen their study."""
    return left_out(prepare(bench.real, bench.real_out, "impute"), bench.real_out)


def real_bed(bench: Bench) -> pd.DataFrame:
    """Verdicts of broken and clean real participants by models that have not seen their study."""
    known = everybody_left_out(bench)
    labels = list(known.people)
    names = REAL_JOB.sources
    chosen = [own[0] for own in STUDIES.values()]
    people = {
        label: scans_of(known.people[label], known.people[labels[(n + 2) % len(labels)]], names)
        for n, label in enumerate(labels)
        if label in chosen
    }
    place = bench.out / "bed" / "real"
    broken = broken_dataset(people, place, names)
    found, refused = prepared_visits(
        broken, place.with_name("real-out"), place.with_name("real-work"), REAL_JOB
    )
    rows: list[dict[str, object]] = []
    for study, own in STUDIES.items():
        model = replace(known.models[study], card=card_without(known, study))
        visits = {label: known.people[label] for label in own}
        visits |= {label: p for label, p in found.items() if label.split("x")[0] == own[0]}
        rows += verdicts(model, REAL_JOB, visits)
    return with_faults(rows, refused, REAL_JOB)


BEDS: Mapping[str, Callable[[Bench], pd.DataFrame]] = {
    "phantoms": lambda bench: phantom_bed(bench, FITS[0], PHANTOM_JOBS["impute"]),
    "maps": lambda bench: phantom_bed(bench, FITS[4], PHANTOM_JOBS["cmro2"]),
    "real": real_bed,
}
"""Test beds of broken visits, by name."""


def real_tables(bench: Bench) -> dict[str, pd.DataFrame]:
    """Coverage, lesions and volumes of those left out."""
    names = ("coverage", "lesions", "volumes")
    if not all((bench.out / f"real-{name}.tsv").is_file() for name in names):
        _, trusted = tables(everybody_left_out(bench), bench.real, beside=False)
        for name, table in trusted.tables().items():
            table.to_csv(bench.out / f"real-{name}.tsv", sep="\t", index=False, na_rep="n/a")
    return {name: bench.kept(f"real-{name}", pd.DataFrame) for name in names}


def means(phantoms: pd.DataFrame, real: pd.DataFrame) -> list[str]:
    """The bars, in a line each."""
    lines = []
    for task, own in phantoms.groupby("task", sort=False):
        lines.append(f"- {task}: {100 * own['coverage'].mean():.1f} % (bar: 88 to 92)")
    whole = real[real["region"] == "mask"]
    people = ", ".join(
        f"{person} {100 * own['coverage'].mean():.0f}"
        for person, own in whole.groupby("participant", sort=False)
    )
    share = 100 * whole["coverage"].mean()
    lines.append(f"- real, study left out: {share:.1f} % (bar: 85 to 95); by person: {people}")
    return ["Means over all images of a task:\n", *lines]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what lacks, then write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks trust", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--real-out", type=Path, help="of `quality --real` (OUT/real)")
    parser.add_argument("--real", type=Path, default=REAL, help="the real participants")
    parser.add_argument("--page", type=Path, help="(OUT/trust.md)")
    parser.add_argument("--beds", nargs="*", choices=[*BEDS], default=[*BEDS],
                        help="whose broken visits are looked at")  # fmt: skip
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    bench = Bench(out, (options.real_out or out / "real").resolve(), options.real.resolve())
    rows, phantoms, every = phantom_tables(bench)
    real = real_tables(bench)
    rows += held_rows("real, study left out", real["coverage"], "-")
    made = {name: partial(BEDS[name], bench) for name in options.beds}
    beds = {name: bench.kept(f"bed-{name}", make) for name, make in made.items()}
    volumes = {"phantoms": phantoms.pop("volumes"), "real": volume_agreement(real["volumes"])}
    parts = [
        held_section(rows, means(every, real["coverage"])),
        *([broken_section(beds)] if beds else []),
        lesion_section({**phantoms, "real": real["lesions"]}),
        volume_section(volumes),
    ]
    chosen = "" if options.beds == [*BEDS] else f" --beds {' '.join(options.beds)}"
    write_page(options.page or out / "trust.md", parts, NOTES, chosen)


if __name__ == "__main__":
    main()
