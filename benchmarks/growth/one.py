"""One piece of work in a process of its own: `python -m benchmarks.growth.one WHAT ...`."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bids_synth.core.visit import Prepared

OTHERS = ("T1w", "PDw", "FLAIR")
"""What the T2w is made from, so many of them as are asked for."""


def split(by: str, size: str) -> None:
    """The split of `size` participants; balanced over columns where `by` is `by`."""
    from bids_synth.learn.split.folds import draw_split

    chance, count = random.Random(1), int(size)
    labels = [f"{number:06d}" for number in range(count + 10)]
    strata = {
        label: {
            "site": str(chance.randrange(20)),
            "sex": chance.choice("FM"),
            "age": str(chance.randrange(40, 90)),
        }
        for label in labels
    }
    having = {label: ("T1w", "T2w")[: 1 + int(label) % 2] for label in labels}
    columns = ["site", "sex", "age"] if by == "by" else []
    draw_split(
        labels, test=0.1, validation=0.1, folds=1, seed=1, strata=strata, by=columns, having=having
    )


def synthesis(folder: str, spacing: str, sources: str) -> None:
    """A T2w of a whole brain by one untrained network of the default recipe."""
    from benchmarks.toys import untrained_synthesizer
    from bids_synth.recipe.recipe import load_recipe

    chosen = OTHERS[: int(sources)]
    recipe = load_recipe("impute", {"fit.members": "1"}).limited_to([*chosen, "T2w"])
    prepared = _brain(Path(folder), float(spacing))
    untrained_synthesizer(recipe).synthesize(prepared, "T2w", sources=chosen)


def report(folder: str, spacing: str) -> None:
    """Figures and page of a visit with one synthetic image."""
    from bids_synth.core.synthetic import Synthetic, Verdict
    from bids_synth.report.pages.participant import write_participant_report
    from bids_synth.report.pages.visit import VisitReport, write_visit_figures

    place = Path(folder)
    prepared = _brain(place, float(spacing))
    image = prepared.image("T1w")
    made = Synthetic("T2w", ("T1w", "PDw"), image, image, verdict=Verdict("pass"))
    write_visit_figures(place / "report", VisitReport(prepared, (made,)))
    write_participant_report(place / "report", prepared.visit.participant)


def finer(folder: str, out: str, spacing: str) -> None:
    """A phantom's scans on a finer grid than the phantoms have, beside the rest of its dataset."""
    import shutil

    import numpy as np

    from bids_synth.spatial.grid import Grid
    from bids_synth.spatial.resample import resample
    from bids_synth.spatial.volume import read_volume, write_volume

    shutil.copytree(folder, out)
    for path in Path(out).glob("sub-*/anat/*.nii.gz"):
        volume = read_volume(path)
        factor = min(volume.grid.spacing) / float(spacing)
        i, j, k = (round(n * factor) for n in volume.grid.shape)
        affine = volume.grid.affine @ np.diag([1 / factor] * 3 + [1.0])
        write_volume(resample(volume, Grid((i, j, k), affine), order=1), path)


def _brain(folder: Path, spacing: float) -> Prepared:
    """The template's brain as a prepared visit of three modalities at this spacing."""
    import numpy as np
    from scipy import ndimage

    from benchmarks.stages.measured import FULL
    from benchmarks.toys import whole_brain
    from bids_synth.spatial.grid import Grid
    from bids_synth.spatial.volume import Volume, read_volume, write_volume

    full = whole_brain(folder, FULL)

    def zoomed(path: Path, dtype: type) -> Path:
        array = ndimage.zoom(read_volume(path).array, 1 / spacing, order=0)
        return write_volume(Volume(array.astype(dtype), Grid(array.shape, affine)), path)

    affine = full.grid.affine @ np.diag([spacing] * 3 + [1.0])
    images = {m: zoomed(path, np.float32) for m, path in full.images.items()}
    mask = zoomed(full.mask, np.uint8)
    grid = Grid(read_volume(mask).grid.shape, affine)
    third = {"FLAIR": images["PDw"]}
    scans = full.visit.scans
    seen = {**scans, "FLAIR": replace(scans["PDw"], modality="FLAIR")}
    return replace(
        full,
        visit=replace(full.visit, scans=seen),
        images={**images, **third},
        mask=mask,
        native_mask=mask,
        grid=grid,
        native=grid,
        transforms={**full.transforms, "FLAIR": mask},
        scales={**full.scales, "FLAIR": full.scales["PDw"]},
    )


WORK: dict[str, Callable[..., None]] = {
    "split": split,
    "synthesis": synthesis,
    "report": report,
    "finer": finer,
}

if __name__ == "__main__":
    WORK[sys.argv[1]](*sys.argv[2:])
