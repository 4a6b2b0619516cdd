"""Any contrast: fit the model that comes with the package, and put it there.

    python -m training.any_contrast DATASET OUT [--without STUDY] [--set KEY=VALUE] [--ship]
        [--budget 540s]

DATASET is the BIDS dataset of the five participants without skull. `--simulated N` adds N heads of
whom only the label map is real, which lie beside it. A second call goes on where the first was
stopped. With `--budget` the fit alone takes so long, on a CUDA card where there is one. `python -m
training.evidence` then measures how far the model may be trusted.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from safetensors.numpy import load_file, save_file

from benchmarks.real.people import STUDIES, everybody, others, prepare, split_file
from bids_synth.cli.parser import build_parser
from bids_synth.cli.resolve import resolve
from bids_synth.core.visit import Prepared
from bids_synth.learn.data.training_statistics import Range, figures, training_ranges
from bids_synth.pipeline.discover import discover
from bids_synth.pipeline.prepare_visits import prepare_all
from bids_synth.recipe.recipe import load_recipe
from bids_synth.spatial.volume import sha256_of, write_text
from training.anatomy import read_anatomy
from training.density import CONTRASTS, density_image
from training.simulation import cropped, simulate

RECIPE = Path(__file__).with_name("any_contrast.toml")
NAME = "any-contrast"
SEED = 100
"""Of the first simulated head."""
PACKAGE = Path(__file__).parents[1] / "bids_synth" / "models" / NAME
LABELS = "labels"
"""Folder of label maps, beside the dataset."""
DATASET = "Five participants of three studies, T1w, T2w and FLAIR"
LICENCE = (
    "Apache-2.0. Learned from: VolumeRenderingData (MIT); open_ms_data, Lesjak et al. (CC BY); "
    "TCIA TCGA-LGG (CC BY 3.0)"
)
KEPT = ("model.json", "recipe.toml", "split.tsv", "training.tsv", "baselines.json", "weights")


def dataset_of(people: dict[str, Prepared], folder: Path) -> Path:
    """A BIDS dataset of every participant twice: as scanned, and with a PDw beside.

    Half of what teaches has no PDw, so that the real images are not learned from it alone.
    """
    about = {"Name": DATASET, "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    write_text(json.dumps(about), folder / "dataset_description.json")
    for person, prepared in people.items():
        images = {m: prepared.image(m).array for m in CONTRASTS}
        inside = prepared.mask_image.array > 0
        for session in ("scanned", "density"):
            place = folder / f"sub-{person}" / f"ses-{session}" / "anat"
            place.mkdir(parents=True, exist_ok=True)
            stem = f"sub-{person}_ses-{session}"
            for modality in CONTRASTS:
                link = place / f"{stem}_{modality}.nii.gz"
                link.unlink(missing_ok=True)
                link.symlink_to(prepared.visit.scans[modality].path.resolve())
            target = place / f"{stem}_PDw.nii.gz"
            if session == "density" and not target.is_file():
                made = 1000 * density_image(images, prepared.levels, inside)
                nib.save(nib.Nifti1Image(made, prepared.grid.affine), target)
    return folder


def simulated(labels: Path, folder: Path, count: int) -> list[str]:
    """Add participants of whom only the label map is real; made once, named by their number."""
    maps = sorted(labels.rglob("*.nii.gz"))
    people = [f"sim{number + 1:02d}" for number in range(count)]
    for number, person in enumerate(people):
        place = folder / f"sub-{person}" / "anat"
        if place.is_dir():
            continue
        anatomy = read_anatomy(maps[number % len(maps)])
        visit = cropped(simulate(anatomy, seed=SEED + number))
        part = folder / f"sub-{person}.part"
        part.mkdir(parents=True, exist_ok=True)
        for modality, image in visit.images.items():
            file = part / f"sub-{person}_{modality}.nii.gz"
            nib.save(nib.Nifti1Image((1000 * image).astype(np.uint16), np.eye(4)), file)
        place.parent.mkdir()
        part.rename(place)
    return people


def ranges(dataset: Path, out: Path, teaching: Sequence[str]) -> dict[str, Range]:
    """Figure -> its range over the sessions of these participants, as a fit writes it."""
    words = [str(dataset), str(out / "fit"), "group", "--recipe", str(RECIPE), "--preproc-only"]
    words += ["-w", str(out / "fit-work"), "--participant-label", *teaching]
    subprocess.run([sys.executable, "-m", "bids_synth", *words], check=True)  # noqa: S603
    settings, recipe = resolve(build_parser().parse_args(words)), load_recipe(str(RECIPE))
    prepared, problems = prepare_all(discover(settings, recipe).visits, recipe, settings)
    if problems:
        message = "; ".join(map(str, problems))
        raise RuntimeError(message)
    return training_ranges([figures(one, tuple(recipe.modalities)) for one in prepared.values()])


def minutes_of(budget: str) -> float:
    """Minutes of a budget in seconds (`540s`) or minutes (`9m`); else an error of the user.

    >>> minutes_of("540s"), minutes_of("9m")
    (9.0, 9.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([sm])", budget)
    if match is None or float(match[1]) == 0:
        message = f"--budget {budget}: expected seconds or minutes, as in 540s or 9m"
        raise argparse.ArgumentTypeError(message)
    return float(match[1]) / (60 if match[2] == "s" else 1)


def fit(
    dataset: Path,
    out: Path,
    teaching: Sequence[str],
    words: str,
    overrides: Sequence[str],
    minutes: float | None = None,
) -> Path:
    """The model fitted on these participants by the program itself, in about so many minutes."""
    split = split_file(teaching, out / f"{words}.tsv")
    name = NAME if words == "everybody" else f"{NAME}-{words}"
    command = [sys.executable, "-m", "bids_synth", str(dataset), str(out / "fit"), "group"]
    command += ["--recipe", str(RECIPE), "--split-file", str(split), "--set", f"name={name}"]
    command += ["-w", str(out / "fit-work"), "--participant-label", *teaching]
    command += [word for value in overrides for word in ("--set", value)]
    command += [] if minutes is None else ["--fit-minutes", f"{minutes:g}"]
    subprocess.run(command, check=True)  # noqa: S603
    return out / "fit" / "models" / name


def ship(model: Path, place: Path) -> None:
    """Copy what synthesis needs into the package: no image of anybody, not even a mean one."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name in KEPT:
        source = model / name
        if source.is_dir():
            shutil.copytree(source, place / name)
        else:
            shutil.copyfile(source, place / name)
    means = place / "weights" / "baselines.safetensors"
    save_file({n: a for n, a in load_file(means).items() if n.startswith("gram.")}, means)
    card = json.loads((place / "model.json").read_text("utf-8"))
    card |= {"dataset": DATASET, "licence": LICENCE}
    # Nobody's gain: white matter is 1 in what it writes.
    card["scales"] = {m: {"offset": 0.0, "gain": 1.0, "log": False} for m in card["scales"]}
    for entry in card["baselines"]:
        entry["sha256"] = sha256_of(place / entry["file"])
    write_text(json.dumps(card, indent=2) + "\n", place / "model.json")


def main() -> None:
    """Prepare, fit, and with `--ship` put the model into the package."""
    parser = argparse.ArgumentParser(prog="python -m training.any_contrast")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", choices=tuple(STUDIES), help="leave this study out")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--simulated", type=int, default=0, metavar="N")
    parser.add_argument("--budget", type=minutes_of, metavar="TIME", help="e.g. 540s or 9m")
    parser.add_argument("--ship", action="store_true")
    chosen = parser.parse_args()
    people = prepare(chosen.dataset, chosen.out, "impute")
    dataset = dataset_of(people, chosen.out / "bids")
    drawn = simulated(chosen.dataset.parent / LABELS, dataset, chosen.simulated)
    teaching = [*(others(chosen.without) if chosen.without else everybody()), *drawn]
    words = f"without-{chosen.without}" if chosen.without else "everybody"
    model = fit(dataset, chosen.out, teaching, words, chosen.set, chosen.budget)
    if chosen.ship:
        ship(model, PACKAGE)


if __name__ == "__main__":
    main()
