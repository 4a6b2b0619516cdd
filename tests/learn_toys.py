"""Small prepared visits whose T2w is a nonlinear function of T1w and PDw."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import fit_scale
from bids_synth.core.split import Fold, Split
from bids_synth.core.visit import Prepared, Scan, Visit
from bids_synth.recipe.recipe import Recipe, load_recipe, validate_recipe
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume, read_mask, read_volume, write_volume

IDENTITY = """#Insight Transform File V1.0
#Transform 0
Transform: AffineTransform_double_3_3
Parameters: 1 0 0 0 1 0 0 0 1 0 0 0
FixedParameters: 0 0 0
"""
SHAPE = (28, 30, 26)
torch.set_num_threads(1)


def field(rng: np.random.Generator, shape: tuple[int, int, int], width: float) -> np.ndarray:
    """A smooth random field between 0 and 1."""
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), width)
    smooth = (smooth - smooth.mean()) / smooth.std()
    return 1 / (1 + np.exp(-1.5 * smooth))


def ellipsoid(shape: tuple[int, int, int]) -> np.ndarray:
    axes = [np.linspace(-1.1, 1.1, n) for n in shape]
    i, j, k = np.meshgrid(*axes, indexing="ij")
    return ((i**2 + j**2 + k**2) < 1).astype(np.uint8)


def images_of(rng: np.random.Generator, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    t1, pd = field(rng, shape, 1.5), field(rng, shape, 2.5)
    t2 = np.exp(-4 * t1) * (0.2 + 0.8 * pd**2)
    noise = 0.005 * rng.standard_normal((3, *shape))
    stack = np.stack([t1, t2, pd]) + noise
    return {"T1w": 800 * stack[0] + 50, "T2w": 400 * stack[1] + 20, "PDw": 1000 * stack[2] + 90}


def make_visit(
    folder: Path,
    participant: str,
    *,
    modalities: tuple[str, ...] = ("T1w", "T2w", "PDw"),
    shape: tuple[int, int, int] = SHAPE,
    spacing: float = 4.0,
    session: str | None = None,
    images: dict[str, np.ndarray] | None = None,
) -> Prepared:
    """Write and describe one prepared visit; its images depend on the label alone."""
    label = f"{participant}-{session}"
    rng = np.random.default_rng([ord(c) for c in label])
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = -spacing * (np.array(shape) - 1) / 2
    grid = Grid(shape, affine)
    place = folder / label
    mask = ellipsoid(shape)
    made = images or images_of(rng, shape)
    paths, scales = {}, {}
    for modality in modalities:
        volume = Volume(made[modality].astype(np.float32), grid)
        paths[modality] = write_volume(volume, place / f"{modality}.nii.gz")
        scales[modality] = fit_scale(MODALITIES[modality], volume.array[mask > 0])
    mask_path = write_volume(Volume(mask, grid), place / "mask.nii.gz")
    template = place / "template.txt"
    template.write_text(IDENTITY)
    scans = {m: Scan(m, p) for m, p in paths.items()}
    return Prepared(
        visit=Visit(participant, session, scans),
        reference=modalities[0],
        native=grid,
        grid=grid,
        images=paths,
        mask=mask_path,
        native_mask=mask_path,
        transforms=dict.fromkeys(modalities[1:], template),
        template=template,
        scales=scales,
        quality={"template_correlation": 0.9, "mask_volume": 1300.0},
        stripped=True,
        key=(label.encode().hex() * 20)[:64],
    )


def prepare_toys(
    visits: Sequence[Visit], recipe: Recipe, _: object
) -> tuple[dict[str, Prepared], tuple[()]]:
    """What `prepare_reduced` would do for toys, whose scans are prepared images already."""
    made = {}
    for visit in visits:
        place = next(iter(visit.scans.values())).path.parent
        mask = read_mask(place / "mask.nii.gz")
        paths = {m: scan.path for m, scan in visit.scans.items()}
        inside = {m: read_volume(p).array[mask.array > 0] for m, p in paths.items()}
        first, *others = (m for m in recipe.reference if m in paths)
        made[visit.label] = Prepared(
            visit=visit,
            reference=first,
            native=mask.grid,
            grid=mask.grid,
            images=paths,
            mask=place / "mask.nii.gz",
            native_mask=place / "mask.nii.gz",
            transforms=dict.fromkeys(others, place / "template.txt"),
            template=place / "template.txt",
            scales={m: fit_scale(MODALITIES[m], values) for m, values in inside.items()},
            quality={"template_correlation": 0.9, "mask_volume": 1300.0},
            stripped=True,
            key=hashlib.sha256(f"{visit.label}{visit.withheld}".encode()).hexdigest(),
        )
    return made, ()


def small_unet(modalities: Sequence[str], **network: object) -> dict[str, Any]:
    """The task of `impute` by a small residual U-Net, with a short schedule: data of a recipe."""
    data = load_recipe("impute").limited_to(modalities).model_dump(mode="json", exclude={"tune"})
    data["preparation"]["bias_correction"] = False
    data["network"] = {"name": "residual-unet", "filters": 4, "blocks": [1, 1], **network}
    data["objective"] = {"name": "regression", "l1": 0.5, "l2": 5.0, "ssim": 0.2}
    data["fit"] |= {"patch": [16, 16, 16], "batch": 1, "learning_rate": 1e-3}
    data["fit"] |= {"weight_decay": 1e-4, "steps": 12, "steps_per_epoch": 4}
    return data


def toy_recipe(**fit: object) -> Recipe:
    """The task of `impute` for three modalities by one small residual U-Net."""
    data = small_unet(["T1w", "T2w", "PDw"], filters=8)
    data["fit"] |= {"members": 1, **fit}
    return validate_recipe(data, origin="toy")


def toy_split(training: str = "abcd", validation: str = "e", test: str = "z") -> Split:
    return Split(frozenset(test), (Fold(frozenset(training), frozenset(validation)),))


def minus_error(real: np.ndarray, synthetic: np.ndarray, mask: np.ndarray) -> float:
    """A score: PSNR inside the mask for a data range of 1."""
    error = np.mean((real[mask] - synthetic[mask]) ** 2)
    return float(-10 * np.log10(error + 1e-12))


def parameter_count(network: torch.nn.Module) -> int:
    """How many numbers an optimiser moves."""
    return sum(parameter.numel() for parameter in network.parameters())
