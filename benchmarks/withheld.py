"""`python -m benchmarks.withheld OUT`: how much a withheld reference gives when it stays.

A model is fitted on the demo and made to synthesise the reference of every test visit twice: in
the visit as it was fully prepared, whose grid, mask and registration come from the very scan that
is to be made, and in the visit as it is prepared without it. Only the second way is the protocol.

With the defaults (six phantoms at 4 mm, 60 steps, two test visits) the model's T1w from T2w scored
18.8 dB and SSIM .936 with the reference kept, 18.3 dB and .945 without it; Dice of the masks .924.
(Measured when `impute` had a U-Net of eight filters.)
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bids_synth.core.settings import Settings
from bids_synth.core.split import read_split
from bids_synth.core.visit import Prepared
from bids_synth.demo.dataset import make_demo
from bids_synth.evaluate.scenarios import scenarios
from bids_synth.evaluate.score import score_withheld
from bids_synth.learn.model.model import Model, load_model
from bids_synth.learn.synthesize import load_synthesizer
from bids_synth.pipeline.discover import discover
from bids_synth.pipeline.group import run_group
from bids_synth.pipeline.prepare_visits import prepare_all
from bids_synth.pipeline.visit.withheld import Withheld
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import read_mask

MODALITIES = ("T1w", "T2w")


def overrides(options: argparse.Namespace) -> dict[str, str]:
    """A fit of minutes."""
    return {
        "grid.spacing": str(options.spacing),
        "preparation.registration_spacing": str(min(4.0, max(3.0, options.spacing))),
        "fit.members": "1",
        "fit.steps": str(options.steps),
        "fit.steps_per_epoch": str(max(1, options.steps // 2)),
        "fit.test": "0.45",
        "fit.validation": "0.34",
        "evaluation.bootstrap": "200",
    }


def both_ways(
    model: Model, held_out: Sequence[Prepared], settings: Settings
) -> Iterator[pd.DataFrame]:
    """Scores of every target that is its visit's reference, with the column `reference`."""
    synthesizer, baselines = load_synthesizer(model, settings.device), model.baselines()
    withheld = Withheld(model.recipe, settings)
    tasks = [
        (visit, task)
        for visit in held_out
        for task in scenarios(visit, model.recipe)
        if task.target == visit.reference
    ]
    withheld.prepare(tasks)
    for visit, task in tasks:
        reduced = withheld.of(visit, task)
        for way, prepared in (("kept", visit), ("withheld", reduced)):
            if prepared is not None:
                made = synthesizer.synthesize(prepared, task.target, sources=task.sources)
                scored = score_withheld(made, model, baselines, prepared)
                overlap = dice(visit, reduced) if reduced is not None else float("nan")
                yield scored.rows.assign(reference=way, dice=overlap)


def dice(visit: Prepared, reduced: Prepared) -> float:
    """Overlap of the mask of the whole visit with that of what is left, on the latter's grid."""
    other = read_mask(reduced.mask)
    to_old = reduced.transforms[visit.reference]
    mask = resample(read_mask(visit.mask), other.grid, transform=read_itk(to_old), order=0)
    both = ((mask.array > 0) & (other.array > 0)).sum()
    return float(2 * both / ((mask.array > 0).sum() + (other.array > 0).sum()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, score both ways, print the table and write `withheld.tsv`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.withheld", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--participants", type=int, default=6)
    parser.add_argument("--spacing", type=float, default=4.0, help="voxel size, mm")
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args(arguments)
    dataset = options.out / "bids"
    if not dataset.exists():
        make_demo(
            dataset, participants=options.participants, resolution=options.spacing,
            modalities=MODALITIES, seed=2,
        )  # fmt: skip
    settings = Settings(
        dataset=dataset, output=options.out / "out", level="group", work=options.out / "work",
        recipe="impute", overrides=overrides(options), modalities=MODALITIES, device="cpu",
        nprocs=2, run_id="withheld",
    )  # fmt: skip
    run_group(settings)
    model = load_model(settings.models / "impute")
    found = discover(settings, model.recipe)
    test = read_split(model.folder / "split.tsv").test
    visits = [visit for visit in found.visits if visit.participant in test]
    prepared, _ = prepare_all(visits, model.recipe, replace(settings, synth_only=True))
    rows = pd.concat(both_ways(model, list(prepared.values()), settings), ignore_index=True)
    rows = rows[rows["protocol"] == "masked3d"]
    rows.to_csv(options.out / "withheld.tsv", sep="\t", index=False, na_rep="n/a")
    table = rows.groupby(["target", "method", "reference"])[["psnr", "ssim"]].mean().unstack()
    print(table.round(3).to_string())
    visits_scored = rows["visit"].nunique()
    print(f"{visits_scored} visits; Dice of the two masks {rows['dice'].mean():.3f}")


if __name__ == "__main__":
    main()
