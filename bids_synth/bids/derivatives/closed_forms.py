"""Closed forms: maps that physics computes from acquired ones, with sidecars that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_synth.bids.derivatives.file_names import OutputNames, Region
from bids_synth.bids.derivatives.sidecars import (
    held_block,
    native_block,
    read_sidecar,
    refuse_shadow,
    withdraw,
    write_sidecar,
)
from bids_synth.core.visit import Prepared, Visit
from bids_synth.physics.formulas import can_compute
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import Volume, hold_to_bounds, write_volume

COMPUTED = ("cmro2", "oef")
"""What physics alone gives, written beside what the model makes."""


def computed_of(visit: Visit, recipe: Recipe) -> list[str]:
    """What closed-form physics gives of a visit, whether or not it was acquired too."""
    present = [m for m in recipe.sources if m in visit.scans]
    return [q for q in COMPUTED if recipe.extras.closed_form and can_compute(q, present)]


def write_closed_form(
    quantity: str,
    image: Volume,
    prepared: Prepared,
    output: Path,
    *,
    dataset: Path,
    maps: Sequence[str],
    constants: Mapping[str, float | str],
    region: Region = "brain",
    held: int = 0,
    held_oef: int = 0,
) -> list[Path]:
    """Write `cmro2` or `oef` as computed from `maps`, on the reference's native grid.

    `constants` are the blood's figures that the formula used and whose they are; `held_oef`
    counts voxels in which OEF had to be held at 1, `held` the prepared voxels that were raised
    to the lowest value of the unit. Returns image and sidecar.
    Raises VisitError rather than touch or imitate raw data.
    """
    if not image.grid.matches(prepared.native):
        message = f"the closed form of {quantity} is not on the reference's native grid"
        raise ValueError(message)
    path = OutputNames(prepared.visit, prepared.reference).closed_form(quantity)
    refuse_shadow(path, prepared.visit, output, dataset)
    block = {
        "Description": f"{quantity}, COMPUTED from {', '.join(maps)} by closed-form physics "
        "(multiparametric qBOLD), no network; not acquired",
        **native_block(prepared, maps, image.unit, output, dataset=dataset, region=region),
        "ClosedForm": {
            "SourceModalities": list(maps),
            **constants,
            "VoxelsWithOEFHeldAt1": held_oef,
        },
        "PreparationKey": prepared.key,
        **held_block(held, image.unit),
    }
    withdraw(path, block, output)
    sidecar = write_sidecar(path, block, output)
    return [write_volume(hold_to_bounds(image)[0], output / path), sidecar]


def current_closed_form(
    quantity: str, prepared: Prepared, output: Path, *, constants: Mapping[str, float | str]
) -> Path | None:
    """The map, where it is there and of this preparation and these figures of the blood."""
    path = output / OutputNames(prepared.visit, prepared.reference).closed_form(quantity)
    block = read_sidecar(path) or {}
    same = all(block.get("ClosedForm", {}).get(k) == v for k, v in constants.items())
    current = path.is_file() and same and block.get("PreparationKey") == prepared.key
    return path if current else None
