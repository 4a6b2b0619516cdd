"""Registration: what error each setting has and what it costs, by one command.

    python -m benchmarks.registration OUT.md

Against the published transforms of thick-slice scans (`ms-raw`, where it is there; they are
affine, so the rigid map nearest to each over the brain is the truth) and against the demo's own
motions at 1 mm. Errors are root mean squares of displacement over the brain, mm; time is the
processor's.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_synth.demo.dataset import make_demo
from bids_synth.prepare.brain.template_mask import mask_by_template
from bids_synth.prepare.registration.ants_runtime import Stage
from bids_synth.prepare.registration.rigid import Settings, register_rigid
from bids_synth.spatial.grid import Affine
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.volume import Volume, read_mask, read_volume

RAW = Path(__file__).resolve().parents[2] / "shared" / "data" / "ms-raw"
SPACING = 2.0
"""Spacing of the recipes, mm."""
LONG = Stage("Rigid[0.25]", (50, 25), (2, 1), (1, 0))
ROWS = Stage("Rigid[0.1]", (15,), (1,), (0,), "Regular,0.05")
TABLE: dict[str, Settings] = {
    "2 mm, rows of 5 % (before)": Settings(LONG, ROWS, (2.0, 1.0), samples=0),
    "2 mm, 30,000 drawn": Settings(sizes=(2.0, 1.0)),
    "1.5 mm, 30,000 drawn": Settings(sizes=(2.0, 0.75)),
    "1 mm, rows of 5 %": Settings(LONG, ROWS, samples=0),
    "1 mm, 10,000 drawn": Settings(samples=10_000),
    "1 mm, 20,000 drawn": Settings(samples=20_000),
    "1 mm, 30,000 drawn (now)": Settings(),
    "1 mm, 80,000 drawn": Settings(samples=80_000),
    "0.5 mm, 30,000 drawn": Settings(sizes=(2.0, 0.25)),
}
"""Name -> settings; pure data."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two scans of one head, and where the points of the first lie in the second."""

    name: str
    reference: Volume
    moving: Volume
    mask: Volume
    truth: Affine


def nearest_rigid(affine: Affine, points: npt.NDArray[np.float64]) -> Affine:
    """The rigid map nearest to an affine over points (Kabsch 1976)."""
    there = points @ affine[:3, :3].T + affine[:3, 3]
    u, _, vt = np.linalg.svd((there - there.mean(0)).T @ (points - points.mean(0)))
    matrix = np.eye(4)
    matrix[:3, :3] = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    matrix[:3, 3] = there.mean(0) - matrix[:3, :3] @ points.mean(0)
    return matrix


def error_of(answer: Affine, truth: Affine, points: npt.NDArray[np.float64]) -> float:
    """Root mean square of the distance, mm, between two maps over points."""
    difference = answer - truth
    moved = points @ difference[:3, :3].T + difference[:3, 3]
    return float(np.sqrt((moved**2).sum(1).mean()))


def _points(mask: Volume) -> npt.NDArray[np.float64]:
    return mask.grid.to_mm(np.argwhere(mask.array > 0)[::50])


def published() -> Iterator[Pair]:
    """The thick-slice scans, T1w and T2w to FLAIR; none, with a message, where they are absent."""
    if not RAW.exists():
        print(f"registration: real scans are not there: {RAW}", file=sys.stderr)
    for folder in sorted(RAW.glob("sub-*/ses-*/anat")):
        reference = read_volume(next(folder.glob("*_FLAIR.nii.gz")))
        mask = mask_by_template(reference, seed=1)[0]
        known = RAW / "derivatives" / "published-registration" / folder.relative_to(RAW)
        for contrast in ("T1w", "T2w"):
            affine = read_itk(next(known.glob(f"*from-{contrast}_to-FLAIR*.txt")))
            scan = read_volume(next(folder.glob(f"*_{contrast}.nii.gz")))
            truth = nearest_rigid(affine, _points(mask))
            yield Pair(f"{folder.parent.name} {contrast}", reference, scan, mask, truth)


def drawn(root: Path, participants: int = 1) -> Iterator[Pair]:
    """The demo's 1 mm scans, T2w and PDw to T1w, with their own motions."""
    if not root.exists():
        make_demo(root, participants=participants, resolution=1.0, seed=1)
    for folder in sorted(root.glob("sub-*/anat")):
        known = root / "derivatives" / "truth" / folder.relative_to(root)
        reference = read_volume(next(folder.glob("*_T1w.nii.gz")))
        mask = read_mask(next(known.glob("*_desc-brain_mask.nii.gz")))
        for contrast in ("T2w", "PDw"):
            motion = next(known.glob(f"*from-{contrast}_to-T1w*.txt"), None)
            scan = next(folder.glob(f"*_{contrast}.nii.gz"), None)
            if motion is not None and scan is not None:
                truth = read_itk(motion)
                name = f"{folder.parent.name} {contrast}"
                yield Pair(name, reference, read_volume(scan), mask, truth)


def row(name: str, settings: Settings, pairs: Sequence[Pair], seed: int = 1) -> str:
    """One line of the table (markdown)."""
    errors, start = [], time.process_time()
    for pair in pairs:
        images = (pair.reference, pair.moving, pair.mask)
        answer = register_rigid(*images, spacing=SPACING, seed=seed, settings=settings)
        errors.append(error_of(answer, pair.truth, _points(pair.mask)))
    seconds = (time.process_time() - start) / len(pairs)
    cells = [f"{error:.2f}" for error in errors]
    return f"| {name} | {' | '.join(cells)} | {max(errors):.2f} | {seconds:.1f} |"


def main() -> None:
    """Print the table, and write it to the file named on the command line."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = [*published(), *drawn(Path(folder) / "demo")]
    heads = [pair.name for pair in pairs]
    lines = [
        f"| fine pass | {' | '.join(heads)} | worst | seconds |",
        "|---" * (len(heads) + 3) + "|",
    ]
    print("\n".join(lines), flush=True)
    for name, settings in TABLE.items():
        lines.append(row(name, settings, pairs))
        print(lines[-1], flush=True)
    if sys.argv[1:]:
        Path(sys.argv[1]).write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
