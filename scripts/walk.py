"""Follow one visit with real numbers: `python scripts/walk.py FOLDER` writes docs/walk.md.

Phantoms, a model and the visit's images are made in FOLDER by the commands that the page shows;
what is there already is kept. Every number of the page is read from a file that they wrote.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from bids_synth.spatial.grid import Affine, Grid, inverse
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.volume import Volume, read_mask, read_volume

PAGE = Path(__file__).resolve().parent.parent / "docs" / "walk.md"
LABEL = "sub-02"
"""The visit that is followed: it lacks the T2w."""
SOURCES = ("T1w", "PDw")
COMMANDS = (
    "python -m bids_synth.demo bids --participants 8 --resolution 3 --seed 2",
    (
        "bids_synth bids out group --work-dir work --set grid.spacing=3 --set fit.steps=100 "
        "--set fit.steps_per_epoch=50 --set fit.test=0.34"
    ),
    f"bids_synth bids out participant --work-dir work --participant-label {LABEL[4:]}",
)
MARKS = ("bids", "out/models/impute/model.json", f"out/{LABEL}.html")
"""What each of them leaves."""
INTRO = """# A walk: one visit from its scans to a T2w

One visit of the phantoms is followed through the program. The page is written by
`python scripts/walk.py FOLDER`: it runs these commands and reads every number from a file that
they wrote.

```
{commands}
```
"""


def main(folder: Path) -> None:
    """Run what has not run, and write the page."""
    folder.mkdir(parents=True, exist_ok=True)
    for command, mark in zip(COMMANDS, MARKS, strict=True):
        if not (folder / mark).exists():
            subprocess.run(["sh", "-c", command], cwd=folder, check=True)
    PAGE.write_text(page(folder), encoding="utf-8")


def page(folder: Path) -> str:
    """The whole page as Markdown."""
    parts = [INTRO.format(commands="\n".join(COMMANDS))]
    for number, station in enumerate(stations(), 1):
        parts += [f"## {number}. {station.__doc__}\n", *station(folder)]
    return "\n".join(parts)


def stations() -> tuple[Callable[[Path], Iterator[str]], ...]:
    """In the order of the data; the docstring of each is its heading."""
    before = (query, plan, mask, registration, grid, scales)
    return (*before, model, image, native, against_truth, files, report)


def query(folder: Path) -> Iterator[str]:
    """Query: what does the visit have? (`bids/raw`)"""
    yield "| scan | voxels | mm | values |\n|---|---|---|---|"
    for modality in SOURCES:
        scan = read_volume(scan_of(folder, modality))
        low, high = np.percentile(scan.array, [1, 99])
        shape = " x ".join(map(str, scan.grid.shape))
        yield f"| {modality} | {shape} | {spacing_text(scan.grid)} | {low:.0f} to {high:.0f} |"
    yield "\nThe entities of a name come from its path inside the dataset; there is no T2w.\n"


def plan(folder: Path) -> Iterator[str]:
    """Plan: what can be made of what? (`recipe/tasks.py`, `pipeline/plans`)"""
    command = COMMANDS[2] + " --dry-run"
    told = subprocess.run(
        ["sh", "-c", command], cwd=folder, check=True, capture_output=True, text=True
    )
    words = told.stdout.strip().replace(f"{folder.resolve()}/", "")
    yield f"`{command}` prints\n\n```\n{words}\n```\n"


def mask(folder: Path) -> Iterator[str]:
    """Brain: where is it in the reference scan? (`prepare/brain`)"""
    estimate = read_mask(anat(folder) / f"{LABEL}_space-T1w_desc-brain_mask.nii.gz")
    known = read_mask(truth(folder) / f"{LABEL}_space-T1w_desc-brain_mask.nii.gz")
    one, other = estimate.array > 0, known.array > 0
    dice = 2 * (one & other).sum() / (one.sum() + other.sum())
    affine = read_itk(anat(folder) / f"{LABEL}_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.txt")
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    yield (
        "The template is laid over the T1w, tissues are told apart, and what is grey or white "
        f"matter, closed and filled, is the brain: {one.sum():,} voxels, "
        f"{volume_ml(estimate):.0f} ml. The phantom's own mask has {volume_ml(known):.0f} ml; "
        f"Dice {dice:.3f}. From the template to the scan, lengths along the axes change by "
        f"{', '.join(f'{s:.3f}' for s in sizes)}.\n"
    )


def registration(folder: Path) -> Iterator[str]:
    """Registration: the other scans on the reference (`prepare/registration`)"""
    name = f"{LABEL}_from-PDw_to-T1w_mode-image_xfm.txt"
    rigid, known = read_itk(anat(folder) / name), read_itk(truth(folder) / name)
    brain = read_mask(truth(folder) / f"{LABEL}_space-T1w_desc-brain_mask.nii.gz")
    points = brain.grid.to_mm(np.argwhere(brain.array > 0)[::20])
    error, size = displacement(points, rigid, known), displacement(points, rigid, np.eye(4))
    yield (
        f"A rigid transform by mutual information moves the PDw by {size.mean():.1f} mm in the "
        f"mean over the brain. The phantom's own motion is known: {error.mean():.2f} mm off in "
        f"the mean, {error.max():.2f} mm at most.\n"
    )


def grid(folder: Path) -> Iterator[str]:
    """Grid: what the network reads (`prepare/to_template.py`, `spatial`)"""
    image = read_volume(prepared(folder, "T1w"))
    inside = read_mask(prepared_mask(folder)).array > 0
    yield (
        f"Both scans are interpolated once, to {' x '.join(map(str, image.grid.shape))} voxels "
        f"of {spacing_text(image.grid)} mm in RAS order, cropped around the mask "
        f"({inside.sum():,} voxels). Images keep their unit; the mask is data beside them.\n"
    )


def scales(folder: Path) -> Iterator[str]:
    """Scale: numbers that networks like (`core/scale.py`)"""
    inside = read_mask(prepared_mask(folder)).array > 0
    yield "| image inside the mask | 0.5 % | median | 99.5 % | SD |\n|---|---|---|---|---|"
    for modality in SOURCES:
        values = read_volume(prepared(folder, modality)).array[inside]
        low, median, high = np.percentile(values, [0.5, 50, 99.5])
        sd = values.std()
        yield f"| {modality} | {low:.0f} | {median:.0f} | {high:.0f} | {sd:.0f} |"
    mask = prepared_mask(folder)
    sidecar = mask.with_name(mask.name.replace(".nii.gz", ".json"))
    levels = json.loads(sidecar.read_text("utf-8"))["Preparation"]["Levels"]
    whites = " and ".join(f"{m} {levels[m]['white']:.0f}" for m in SOURCES)
    yield f"\nWhite matter lies at {whites}: the scale maps it to 1 and 0 to 0, and back.\n"


def model(folder: Path) -> Iterator[str]:
    """Model: what was fitted on the others (`learn`)"""
    card = json.loads((folder / MARKS[1]).read_text("utf-8"))
    split = pd.read_csv(folder / "out/models/impute/split.tsv", sep="\t", dtype=str)
    scores = pd.read_csv(folder / "out/models/impute/metrics.tsv", sep="\t")
    parts = split["fold-0"].value_counts()
    counts = ", ".join(f"{count} {part}" for part, count in parts.items())
    size = sum(p.stat().st_size for p in (folder / "out/models/impute").rglob("*.safetensors"))
    yield (
        f"Participants by part: {counts}. The model folder holds {len(card['weights'])} networks "
        f"and the baselines, {size / 2**20:.1f} MiB; `metrics.tsv` has {len(scores)} rows.\n"
    )


def image(folder: Path) -> Iterator[str]:
    """Synthesis: the T2w and how sure it is (`learn/synthesize.py`, `evaluate/trust`)"""
    sidecar = sidecar_of(folder)
    facts, verdict = sidecar["SynthesisModel"], sidecar["QualityVerdict"]
    yield (
        f"Every network of `{facts['Name']}` sees {' and '.join(facts['SourceModalities'])}; the "
        "mean is the image. "
        f"{interval_text(sidecar['Uncertainty'])} The verdict is **{verdict['Level']}**, after "
        f"{len(verdict['Checks'])} checks; the strangest figure of the visit lies "
        f"{verdict['Strangeness']:.1f} standard deviations from those that taught.\n"
    )
    yield "".join(f"- {reason}\n" for reason in verdict["Reasons"])


def interval_text(known: dict[str, Any]) -> str:
    """What is said of the interval in a sidecar, in a sentence."""
    if "Level" not in known:
        return "Their spread is the uncertainty."
    return (
        f"Half the width of the {100 * known['Level']:.0f} % interval is "
        f"{known['MeanInMask']:.0f} on average, by {known['Participants']} validation "
        "participant(s)."
    )


def native(folder: Path) -> Iterator[str]:
    """Native: back on the scanner's own grid (`prepare/native.py`)"""
    made = read_volume(synthetic(folder))
    inside = read_mask(anat(folder) / f"{LABEL}_space-T1w_desc-brain_mask.nii.gz").array > 0
    low, median, high = np.percentile(made.array[inside], [1, 50, 99])
    scan = nib.load(scan_of(folder, "T1w"))
    same = np.allclose(scan.affine, made.grid.affine) and scan.shape[:3] == made.grid.shape
    yield (
        f"{' x '.join(map(str, made.grid.shape))} voxels of {spacing_text(made.grid)} mm, "
        f"{'the very grid' if same else 'NOT the grid'} of the T1w. Inside the mask 1 % of the "
        f"values lie below {low:.0f}, half below {median:.0f}, 99 % below {high:.0f}; outside "
        f"it all are {np.unique(made.array[~inside]).max():.0f}.\n"
    )


def against_truth(folder: Path) -> Iterator[str]:
    """Against the truth, which only a phantom has (`measure`)"""
    real = read_volume(truth(folder) / f"{LABEL}_space-T1w_desc-truth_T2w.nii.gz").array
    inside = read_mask(truth(folder) / f"{LABEL}_space-T1w_desc-brain_mask.nii.gz").array > 0
    inside &= read_mask(anat(folder) / f"{LABEL}_space-T1w_desc-brain_mask.nii.gz").array > 0
    true, made = real[inside], read_volume(synthetic(folder)).array[inside]
    fit = np.polyval(np.polyfit(made, true, 1), made)
    width = np.subtract(*np.percentile(true, [99.5, 0.5]))
    psnr = 20 * np.log10(width / np.sqrt(np.mean((true - fit) ** 2)))
    yield (
        f"Voxels of the image and of the T2w that the phantom would have had correlate by "
        f"{np.corrcoef(made, true)[0, 1]:.3f} inside both masks; PSNR after the best straight "
        f"line between their scales {psnr:.1f} dB.\n"
    )


def files(folder: Path) -> Iterator[str]:
    """Files: BIDS-Derivatives (`bids/derivatives`)"""
    out = folder / "out"
    names = sorted(p.relative_to(out).as_posix() for p in (out / LABEL).rglob("*") if p.is_file())
    yield "```\n" + "\n".join(names) + "\n```\n"
    kept = ("Sources", "SpatialReference", "Units", "Synthetic", "Uncertainty", "QualityVerdict")
    sidecar = {key: value for key, value in sidecar_of(folder).items() if key in kept}
    first, *others = sidecar["QualityVerdict"]["Checks"]
    sidecar["QualityVerdict"]["Checks"] = [first, f"... and {len(others)} more"]
    yield f"Of the image's sidecar:\n\n```json\n{json.dumps(sidecar, indent=2)}\n```\n"


def report(folder: Path) -> Iterator[str]:
    """Scores and pages (`measure`, `report`)"""
    scores = pd.read_csv(folder / "out/models/impute/metrics.tsv", sep="\t")
    chosen = scores[(scores["target"] == "T2w") & (scores["protocol"] == "masked3d")]
    table = chosen.groupby("method")["psnr"].mean().sort_values(ascending=False)
    yield (
        "This visit has no real T2w to be scored with. Of the test participants, who have one, "
        "`group` wrote (PSNR inside the mask on the native grid, dB, mean over visits and sets "
        "of sources):\n"
    )
    yield "| method | dB |\n|---|---|"
    yield from (f"| {method} | {score:.1f} |" for method, score in table.items())
    yield f"\n`out/group.html` shows them with intervals, `out/{LABEL}.html` this visit.\n"


def scan_of(folder: Path, modality: str) -> Path:
    """The acquired scan of the visit."""
    return folder / "bids" / LABEL / "anat" / f"{LABEL}_{modality}.nii.gz"


def anat(folder: Path) -> Path:
    """What the participant level wrote of the visit."""
    return folder / "out" / LABEL / "anat"


def truth(folder: Path) -> Path:
    """What the phantoms' maker knows of the visit."""
    return folder / "bids" / "derivatives" / "truth" / LABEL / "anat"


def prepared(folder: Path, modality: str) -> Path:
    """An image on the recipe's grid."""
    return anat(folder) / f"{LABEL}_space-T1w_res-3mm_desc-preproc_{modality}.nii.gz"


def prepared_mask(folder: Path) -> Path:
    """The mask on the recipe's grid."""
    return anat(folder) / f"{LABEL}_space-T1w_res-3mm_desc-brain_mask.nii.gz"


def synthetic(folder: Path) -> Path:
    """The image that was made."""
    return anat(folder) / f"{LABEL}_space-T1w_desc-synth_T2w.nii.gz"


def sidecar_of(folder: Path) -> dict[str, Any]:
    """What is said of it."""
    path = synthetic(folder).with_name(f"{LABEL}_space-T1w_desc-synth_T2w.json")
    data: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return data


def displacement(points: np.ndarray, one: Affine, other: Affine) -> np.ndarray:
    """Millimetres between where two transforms bring points."""
    change = inverse(other) @ one
    return np.linalg.norm(points @ change[:3, :3].T + change[:3, 3] - points, axis=1)


def volume_ml(mask: Volume) -> float:
    """Millilitres of a mask."""
    return float((mask.array > 0).sum() * np.prod(mask.grid.spacing) / 1000)


def spacing_text(grid: Grid) -> str:
    """`2.4 x 2.4 x 3.12`."""
    return " x ".join(f"{s:.4g}" for s in grid.spacing)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
