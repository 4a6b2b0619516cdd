"""`python -m benchmarks.masks`: how good brain masks are, on phantoms and on real heads.

Phantoms and drawn skulls have a truth: Dice, 95 % surface distance, volume, holes, pieces. Real
heads have none: their masks are held against one another, turned, or between contrasts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bids_synth.demo.dataset import make_demo
from bids_synth.prepare.brain.network_mask import mask_by_network
from bids_synth.prepare.brain.region import brain_of_stripped
from bids_synth.prepare.brain.template_mask import mask_by_template
from bids_synth.spatial.grid import Affine, Grid, inverse
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume, read_mask, read_volume

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
CONTRASTS = ("T1w", "T2w", "FLAIR", "PDw")
LAYERS = {"T1w": (0.25, 0.1, 0.9), "T2w": (1.4, 0.1, 0.6), "FLAIR": (0.2, 0.1, 0.7)}
"""Brightness of fluid, skull and scalp against the brain's 95th percentile."""
PHANTOMS = ((1, 2.0), (2, 2.4))
"""Seed and voxel size, mm, of the datasets of phantoms."""
BEYOND = 3.0
"""Distance, mm, from the brain at which the skull begins."""
ABOUT = """Made by `python -m benchmarks.masks`: the mask of a whole head where no other is given.

- *phantom*: every scan of the demo at 2 mm, and of another draw at 2.4 mm, where slices of many
  scans are 3.1 or 3.6 mm thick. The truth holds the fluid around the brain up to the
  template's outline, so that masks, which end at the brain's surface, are smaller.
- *drawn skull*: real brains without their skull, within a drawn layer of fluid (3 mm), skull and
  scalp, 2 mm. The truth is the brain as its own study stripped it.
- *real, turned*: a real head on a grid turned by 30 degrees, against its mask on the plain grid.
- *real, against FLAIR*: the T1w and T2w of a real visit, slices of 3 mm, against the mask of its
  FLAIR, by the published registration.

- *real, way against way*: the mask of the network against that of the template, real heads.

`beyond` is the share of the brain's volume that a mask holds more than 3 mm away. `network`
is the tissue network that comes with the package, which saw none of these heads; `template` the
registration of the MNI152 template; seconds are of one mask, other work beside it."""
HEADINGS = (
    *("heads", "contrast", "way", "n", "Dice", "worst", "95 % distance, mm", "worst", "volume"),
    *("beyond, %", "worst", "holes", "s"),
)
WAYS: dict[str, Callable[[Volume], Volume]] = {
    "network": lambda head: _sure(mask_by_network(head, seed=1), head),
    "template": lambda head: mask_by_template(head, seed=1)[0],
}
BETWEEN = "real, way against way"
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    """One mask."""

    group: str
    contrast: str
    way: str
    name: str
    dice: float
    distance: float
    """95 % surface distance, mm."""
    volume: float
    """Against that of what it is held against."""
    beyond: float
    """Share of the brain's volume that lies more than BEYOND from the brain."""
    holes: int
    """Voxels of holes."""
    seconds: float


def _sure(found: tuple[Volume, Affine] | None, head: Volume) -> Volume:
    """The mask; an empty one where no brain was seen."""
    return head.with_array(np.zeros(head.grid.shape, np.uint8)) if found is None else found[0]


def phantoms(root: Path, participants: int, seed: int, resolution: float) -> Iterator[Row]:
    """Every scan of the demo's phantoms, as if it were the reference of its visit."""
    make_demo(
        root,
        participants=participants,
        resolution=resolution,
        modalities=CONTRASTS,
        seed=seed,
    )
    for path in sorted(root.glob("sub-*/**/anat/*.nii.gz")):
        label, contrast = path.name.removesuffix(".nii.gz").rsplit("_", 1)
        place = root / "derivatives" / "truth" / path.relative_to(root).parent
        truth = read_mask(place / f"{label}_space-T1w_desc-brain_mask.nii.gz")
        motion = place / f"{label}_from-{contrast}_to-T1w_mode-image_xfm.txt"
        back = inverse(read_itk(motion)) if motion.exists() else np.eye(4)
        scan = read_volume(path)
        for way in WAYS:
            yield against(f"phantom, {resolution:g} mm", contrast, way, label, scan, truth, back)


def drawn_skulls() -> Iterator[Row]:
    """The real stripped brains inside a drawn skull, at 2 mm."""
    for path in sorted((SHARED / "stripped").glob("sub-*/anat/*.nii.gz")):
        label, contrast = path.name.removesuffix(".nii.gz").rsplit("_", 1)
        if "ce-" in label:
            continue
        head, truth = with_skull(read_volume(path), contrast)
        for way in WAYS:
            yield against("drawn skull", contrast, way, label, head, truth, np.eye(4))


def real_heads() -> Iterator[Row]:
    """Real heads: a turned copy against the plain one, and contrasts against FLAIR."""
    for path in sorted((SHARED / "head").glob("sub-*/anat/*.nii.gz")):
        head = read_volume(path)
        head = resample(head, head.grid.with_spacing(1.5))
        for way, mask_of in WAYS.items():
            yield against("real, turned 30 degrees", "T1w", way, "head", turned(head, 30),
                          mask_of(head), np.eye(4))  # fmt: skip
        plain = WAYS["template"](head)
        yield against(BETWEEN, "T1w", "network", "head", head, plain, np.eye(4))
    raw, known = SHARED / "ms-raw", SHARED / "ms-raw" / "derivatives" / "published-registration"
    for folder in sorted(raw.glob("sub-*/ses-*/anat")):
        label = folder.parent.name
        flair = read_volume(next(folder.glob("*_FLAIR.nii.gz")))
        masks = {way: mask_of(flair) for way, mask_of in WAYS.items()}
        yield against(BETWEEN, "FLAIR", "network", label, flair, masks["template"], np.eye(4))
        for contrast in ("T1w", "T2w"):
            scan = read_volume(next(folder.glob(f"*_{contrast}.nii.gz")))
            name = f"*from-{contrast}_to-FLAIR*.txt"
            there = read_itk(next((known / folder.relative_to(raw)).glob(name)))
            for way, mask in masks.items():
                yield against("real, against FLAIR", contrast, way, label, scan, mask,
                              inverse(there))  # fmt: skip
            other = WAYS["template"](scan)
            yield against(BETWEEN, contrast, "network", label, scan, other, np.eye(4))


def with_skull(brain: Volume, contrast: str) -> tuple[Volume, Volume]:
    """A stripped brain with fluid, skull and scalp around it and noise, and its mask; 2 mm."""
    grid = brain.grid.canonical().with_spacing(2.0)
    wide = grid.crop([-14, -14, -14], [n + 14 for n in grid.shape])
    mask = resample(brain_of_stripped(brain), wide, order=0)
    image, inside = resample(brain, wide).array, mask.array > 0
    image = image - np.median(image[~inside])
    depth = ndimage.distance_transform_edt(~inside, sampling=wide.spacing)
    rng = np.random.default_rng(1)
    wave = ndimage.gaussian_filter(rng.normal(size=wide.shape), 8)
    depth = depth + 1.5 * wave / wave.std() * (depth > 3)
    top = float(np.percentile(image[inside], 95))
    shells = ((0, 3), (3, 9), (9, 15))
    for (near, far), bright in zip(shells, LAYERS[contrast], strict=True):
        image[~inside & (depth > near) & (depth <= far)] = bright * top
    noise = rng.normal(0, 0.02 * top, (2, *wide.shape))
    image = np.hypot(ndimage.gaussian_filter(image, 0.4) + noise[0], noise[1])
    return Volume(image.astype(np.float32), wide), mask


def turned(volume: Volume, degrees: float) -> Volume:
    """The same head on a grid turned about its middle, nothing cut off."""
    grid, spacing = volume.grid, min(volume.grid.spacing)
    ends = [[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    corners = grid.to_mm(np.asarray(ends) * (np.asarray(grid.shape) - 1))
    middle = corners.mean(0)
    turn = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
    shape = np.ceil(np.ptp((corners - middle) @ turn, axis=0) / spacing).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
    return resample(volume, Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine))


def against(
    group: str, contrast: str, way: str, name: str, scan: Volume, truth: Volume, back: Affine
) -> Row:
    """The mask of a scan against a truth that `back` leads to, RAS+ mm."""
    start = time.perf_counter()
    found = WAYS[way](scan)
    seconds = time.perf_counter() - start
    smooth = truth.with_array(truth.array.astype(np.float32))
    true = resample(smooth, scan.grid, transform=back).array > 0.5
    mask = found.array > 0
    overlap = 2 * float((mask & true).sum()) / float(mask.sum() + true.sum())
    holes = int((ndimage.binary_fill_holes(mask) & ~mask).sum())
    distance = surface_distance(mask, true, scan.grid.spacing)
    share = float(mask.sum() / true.sum())
    away = ndimage.distance_transform_edt(~true, sampling=scan.grid.spacing)
    beyond = float((mask & (away > BEYOND)).sum() / true.sum())
    return Row(group, contrast, way, name, overlap, distance, share, beyond, holes, seconds)


def surface_distance(one: Bools, other: Bools, spacing: tuple[float, float, float]) -> float:
    """95th percentile, mm, of the distances from each surface to the other."""
    rims = [m & ~ndimage.binary_erosion(m) for m in (np.pad(one, 1), np.pad(other, 1))]
    far = [ndimage.distance_transform_edt(~r, sampling=spacing) for r in rims]
    return float(np.percentile(np.concatenate([far[0][rims[1]], far[1][rims[0]]]), 95))


def page(rows: list[Row]) -> str:
    """The table as Markdown: mean and worst of each group and contrast."""
    lines = [
        "# Brain masks", "", ABOUT, "",
        f"| {' | '.join(HEADINGS)} |",
        "|" + "---|" * len(HEADINGS),
    ]  # fmt: skip
    for kind in dict.fromkeys((r.group, r.contrast, r.way) for r in rows):
        some = [r for r in rows if (r.group, r.contrast, r.way) == kind]
        dice, far = [r.dice for r in some], [r.distance for r in some]
        volume, holes = np.mean([r.volume for r in some]), sum(r.holes for r in some)
        beyond = [100 * r.beyond for r in some]
        lines.append(
            f"| {' | '.join(kind)} | {len(some)} | {np.mean(dice):.3f} | {min(dice):.3f} "
            f"| {np.mean(far):.1f} | {max(far):.1f} | {volume:.2f} "
            f"| {np.mean(beyond):.1f} | {max(beyond):.1f} | {holes} "
            f"| {np.median([r.seconds for r in some]):.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print every mask, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.masks", description=__doc__)
    parser.add_argument("--participants", type=int, default=12)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        groups = [
            phantoms(Path(folder) / f"{seed}", options.participants, seed, resolution)
            for seed, resolution in PHANTOMS
        ]
        groups += [drawn_skulls(), real_heads()] if SHARED.is_dir() else []
        for group in groups:
            for row in group:
                rows.append(row)
                print(
                    f"{row.group:24} {row.contrast:6} {row.way:9} {row.name:16} "
                    f"Dice {row.dice:.4f} {row.distance:5.1f} mm volume {row.volume:.3f} "
                    f"{row.seconds:5.1f} s",
                    flush=True,
                )
    print(page(rows))
    if options.page:
        options.page.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
