"""Page: the table, and pictures of every participant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.real.measures import truth
from benchmarks.real.parts import RECIPE, Bench, lines
from benchmarks.real.people import DIRECTIONS, STUDIES, everybody, name_of, others, prepare
from bids_synth.core.visit import Prepared
from bids_synth.learn.data.array_cache import scaled_image
from bids_synth.measure.protocols.affine_free import best_affine

SHOWN = ((("T1w",), "T2w"), (("T1w", "T2w"), "FLAIR"), (("T2w", "FLAIR"), "T1w"))
"""Directions of the pictures."""
COLUMNS = {
    "masked3d_psnr": ("masked3d, dB", 2),
    "masked3d_ssim": ("SSIM", 3),
    "affine_free_psnr": ("affine-free, dB", 2),
    "affine_free_ssim": ("SSIM", 3),
    "sharpness": ("sharpness", 2),
    "lesions": ("lesions", 2),
}
ABOUT = """# Out of the box, on real participants

`python -m benchmarks quality --real OUT --page docs/out-of-the-box.md`: five skull-stripped
participants of three studies at 1 mm, each study left out in turn, so that nobody is scored by
what learned from the scanner; {teach}. Nobody selects weights. Two cores, one seed. Scored on the
prepared grid against the scans **as acquired**, shading included, inside the mask. All see the
images that `impute` prepares. *masked3d*: white matter at the level of the real scan, whose gain
nobody can know, and nothing else fitted; *affine-free*: brightness and contrast fitted.
*Sharpness*: power at .25 to .5 of the sampling rate inside the mask, noise included, as a fraction
of the real image's. *Lesions*: contrast of lesions to their surroundings as a fraction of the real
one (two participants with drawn lesions, FLAIR alone). Means of nine directions and five
participants.

*copy* is the nearest source itself; *line* least squares from the sources; *tissue curve* the
sources through the levels of white matter, grey matter and fluid, with no fit but of typical
levels; *trees* boosted trees on twelve features of a voxel, one forest for each direction.
*any-contrast* is the model that comes with the package, fitted by the same command without the
study (shorter: 3000 steps, one network).
"""
HIGH = 99.5


def page(bench: Bench, path: Path, best: str) -> None:
    """Write the page and its pictures beside it."""
    rows = bench.figures()
    found = [name for name in lines() if name in set(rows["line"])]
    whole = [name for name in found if set(rows.loc[rows["line"] == name, "study"]) == {*STUDIES}]
    teach = ", ".join(f"{len(others(s))} teach without {s}" for s in STUDIES)
    text = [ABOUT.format(teach=teach), *_table(rows, whole, bench), *_directions(rows, whole)]
    partial = [name for name in found if name not in whole]
    if partial:
        text.append(f"Made in part, and not shown: {', '.join(partial)}.\n")
    folder = path.parent / "images"
    folder.mkdir(parents=True, exist_ok=True)
    people = prepare(bench.dataset, bench.out, RECIPE)
    text.append(
        f"## Pictures\n\nMade by *{best}*, brightness and contrast fitted to the real image.\n"
    )
    text.append("Of each direction the slice with the least and with the most error.\n")
    for person in everybody():
        file = folder / f"real-{person}.jpg"
        _picture(bench, best, people[person], file)
        text.append(f"### {person}\n\n![{person}](images/{file.name})\n")
    path.write_text("\n".join(text))


def _table(rows: pd.DataFrame, names: Sequence[str], bench: Bench) -> list[str]:
    head = ["line", *(words for words, _ in COLUMNS.values()), "minutes, whole part", "commit"]
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in names:
        own = rows[rows["line"] == name]
        cells = [name]
        for column, (_, digits) in COLUMNS.items():
            values = (
                own.loc[own["target"] == "FLAIR", column] if column == "lesions" else own[column]
            )
            cells.append(f"{values.mean():.{digits}f}")
        parts = [json.loads((bench.part(name, s) / "part.json").read_text()) for s in STUDIES]
        cells.append(" / ".join(f"{part['minutes']:.1f}" for part in parts))
        cells.append(", ".join(sorted({part["commit"] for part in parts})))
        out.append("| " + " | ".join(cells) + " |")
    return [*out, ""]


def _directions(rows: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Affine-free PSNR and SSIM by direction, and how many participants are above the line."""
    words = [name_of(d) for d in DIRECTIONS]
    out = ["Affine-free PSNR, dB, and SSIM by direction:\n"]
    out += ["| line | " + " | ".join(words) + " |", "|" + "---|" * (len(words) + 1)]
    for name in names:
        own = rows[rows["line"] == name].groupby("direction")
        psnr, ssim = own["affine_free_psnr"].mean(), own["affine_free_ssim"].mean()
        cells = [f"{psnr[w]:.2f} / {ssim[w]:.3f}" if w in psnr else "-" for w in words]
        out.append(f"| {name} | " + " | ".join(cells) + " |")
    out += ["", "Participants, of five, whose image is better than that of the straight line:\n"]
    out += ["| line | " + " | ".join(words) + " |", "|" + "---|" * (len(words) + 1)]
    wide = rows.pivot(
        index=["direction", "participant"], columns="line", values="affine_free_psnr"
    )
    for name in (n for n in names if n != "line" and "line" in names):
        better = (wide[name] > wide["line"]).groupby("direction").sum()
        known = wide[name].notna().groupby("direction").any()
        cells = [str(better[w]) if known[w] else "-" for w in words]
        out.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*out, ""]


def _picture(bench: Bench, line: str, person: Prepared, file: Path) -> None:
    label, mask = person.visit.participant, person.mask_image.array > 0
    (study,) = (s for s, people in STUDIES.items() if label in people)
    figure = Figure(figsize=(11, 11.5), facecolor="black", layout="constrained")
    panels = figure.subplots(2 * len(SHOWN), 6)
    for n, (sources, target) in enumerate(SHOWN):
        words = name_of((sources, target))
        real = truth(person, target).array
        made = best_affine(real, bench.image(line, study, label, words), mask)
        trees = best_affine(real, bench.image("trees", study, label, words), mask)
        error = np.abs(made - real) * mask
        low, high = _ends(real, mask)
        images = {source: scaled_image(person, source, mask) for source in sources}
        for m, k in enumerate(_slices(error, mask)):
            shown: list[tuple[str, npt.NDArray[Any], float, float]]
            shown = [
                (s, images[s], *np.percentile(images[s][mask], [100 - HIGH, HIGH]))
                for s in sources
            ]
            shown += [("synthetic", made * mask, low, high), ("trees", trees * mask, low, high)]
            shown += [("real", real * mask, low, high), ("error", error, 0.0, (high - low) / 2)]
            axes = panels[2 * n + m]
            for one in axes:
                one.axis("off")
            for one, (name, image, a, b) in zip(axes, shown, strict=False):
                one.imshow(np.rot90(image[:, :, k]), cmap="gray", vmin=a, vmax=b)
                one.set_title(name if m else f"{name} ({words})" if name == "synthetic" else name,
                              color="white", fontsize=8)  # fmt: skip
    figure.savefig(file, dpi=75, pil_kwargs={"quality": 80})


def _ends(image: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """What is black and what is white."""
    low, high = np.percentile(image[mask], [100 - HIGH, HIGH])
    return float(low), float(high)


def _slices(error: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """The axial slices with the least and the most error, of those that show much of the brain."""
    counts = mask.sum(axis=(0, 1))
    large = np.flatnonzero(counts > 0.5 * counts.max())
    mean = np.square(error).sum(axis=(0, 1))[large] / counts[large]
    return int(large[mean.argmin()]), int(large[mean.argmax()])
