"""Small datasets and prepared visits for the tests of the bids side."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np

from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import Scale
from bids_synth.core.synthetic import Synthetic, Verdict
from bids_synth.core.visit import Prepared, Scan, Visit
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume, write_text, write_volume

NATIVE = Grid((6, 5, 4), np.array([[-1, 0, 0, 3], [0, 1, 0, -2], [0, 0, 3, -6], [0, 0, 0, 1.0]]))
HEAD = Grid((8, 8, 8), np.diag([10.0, 10.0, 10.0, 1.0]))
PREPARED = Grid((4, 4, 4), np.diag([1.5, 1.5, 1.5, 1.0]))


def make_dataset(root: Path, *paths: str) -> Path:
    """A raw dataset whose images are a few hundred bytes of nothing; discovery opens none."""
    root.mkdir(parents=True, exist_ok=True)
    description = {"Name": "Tiny", "BIDSVersion": "1.10.0", "DatasetDOI": "doi:10.1/x"}
    write_text(json.dumps(description), root / "dataset_description.json")
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(blank(packed=path.endswith(".gz")))
    return root


@cache
def blank(*, packed: bool) -> bytes:
    """A NIfTI as large as a head, in which nothing is."""
    image = nib.Nifti1Image(np.zeros(HEAD.shape, np.uint8), HEAD.affine)
    image.set_qform(HEAD.affine, code=1)
    return gzip.compress(image.to_bytes()) if packed else image.to_bytes()


def volume(grid: Grid, seed: int = 0, *, unit: str = "arbitrary") -> Volume:
    """Random positive values."""
    values = np.random.default_rng(seed).random(grid.shape, dtype=np.float32)
    return Volume(values, grid, unit)


def mask(grid: Grid) -> Volume:
    """The first half along i."""
    array = np.zeros(grid.shape, np.uint8)
    array[: grid.shape[0] // 2] = 1
    return Volume(array, grid)


def make_scan(dataset: Path, visit: Visit, modality: str, **entities: str) -> Scan:
    """A real small NIfTI in the raw dataset."""
    known = MODALITIES[modality]
    own = {"sub": visit.participant} | ({"ses": visit.session} if visit.session else {})
    labels = own | entities
    stem = "_".join(f"{key}-{label}" for key, label in labels.items())
    folder = dataset.joinpath(*(f"{key}-{label}" for key, label in own.items()), known.datatype)
    path = write_volume(volume(NATIVE), folder / f"{stem}_{known.suffix}.nii.gz")
    return Scan(modality, path, labels)


def make_prepared(
    work: Path, dataset: Path, visit: Visit, modalities: dict[str, dict[str, str]]
) -> Prepared:
    """A prepared visit of these modalities (with extra entities), files in `work`."""
    scans = {m: make_scan(dataset, visit, m, **extra) for m, extra in modalities.items()}
    visit = replace(visit, scans=scans)
    reference, *others = modalities
    folder = work / visit.label
    return Prepared(
        visit=visit,
        reference=reference,
        native=NATIVE,
        grid=PREPARED,
        images={
            m: write_volume(volume(PREPARED, i), folder / f"{m}.nii.gz")
            for i, m in enumerate(modalities)
        },
        mask=write_volume(mask(PREPARED), folder / "mask.nii.gz"),
        native_mask=write_volume(mask(NATIVE), folder / "native_mask.nii.gz"),
        transforms={m: write_text(f"#rigid {m}\n", folder / f"{m}.txt") for m in others},
        template=write_text("#affine\n", folder / "template.txt"),
        scales={m: Scale(0.25, 3.0) for m in modalities},
        quality={"mask_volume": 1234.5, "template_correlation": 0.9},
        stripped=False,
        key="abc123",
    )


def make_synthetic(modality: str, sources: tuple[str, ...], *, spread: bool = True) -> Synthetic:
    """A synthetic image on the native grid, judged."""
    unit = MODALITIES[modality].unit
    doubt = volume(NATIVE, 8, unit=unit) if spread else None
    image = volume(NATIVE, 7, unit=unit)
    return Synthetic(modality, sources, image, doubt, verdict=Verdict("pass"))
