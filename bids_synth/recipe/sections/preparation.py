"""Preparation: where a visit is prepared and what is done to its images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from bids_synth.recipe.sections.base import MOST_NAMES, Part


class GridPart(Part):
    """Where a visit is prepared."""

    spacing: float = Field(1.0, ge=0.5, le=8.0)
    """Voxel size of the prepared grid, mm, isotropic."""
    margin: float = Field(6.0, ge=0.0, le=50.0)
    """Distance kept around the mask when cropping, mm."""


class PreparationPart(Part):
    """What is done to the images of a visit."""

    mask: Literal["brain", "head"] = "brain"
    """Where the network reads and writes."""
    bias_correction: bool = False
    """N4 (Tustison 2010) inside the mask, on every MRI in arbitrary units: shading of one image is
    in no other, so that nobody can learn it. Scores compare with the scans as acquired."""
    registration_spacing: float = Field(2.0, ge=0.5, le=4.0)
    """Rigid registration runs on copies with voxels of twice this size, mm, then of half of it."""
    reference: tuple[str, ...] = Field((), max_length=MOST_NAMES)
    """Modalities in order of preference as reference; the recipe's order where empty."""
    suvr: Literal["none", "mask"] = "none"
    """Region whose mean uptake a PET is divided by: the whole mask, a pseudo-reference that
    needs no atlas; `none` keeps the PET's own unit."""
    scaling: Literal["percentiles", "white-matter"] = "percentiles"
    """What the numbers of an image of arbitrary unit mean: its percentiles are 0 and 1, or its
    white matter is 1, found in any contrast by the template's tissues and the image's own greys,
    and its zero stays. White matter does not move with fluid, lesion and mask."""
    percentiles: tuple[float, float] = (0.5, 99.5)
    """Percentiles inside the mask that become 0 and 1 in images of arbitrary unit. Far from the
    ends they depend less on how much fluid and vessel a scan shows, so that tissue has the same
    numbers in all participants; a network whose answers end at 0 and 1 needs the ends."""
    log: tuple[str, ...] = Field((), max_length=MOST_NAMES)
    """Modalities of which the logarithm is scaled."""

    @model_validator(mode="after")
    def _white_matter_lies_in_brains(self) -> PreparationPart:
        if self.scaling == "white-matter" and self.mask != "brain":
            message = "scaling: white matter is looked for in a brain mask; set mask to brain"
            raise ValueError(message)
        return self

    @field_validator("percentiles")
    @classmethod
    def _in_order(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= ends[0] < ends[1] <= 100:
            message = f"expected two percentiles in order, from 0 to 100, got {list(ends)}"
            raise ValueError(message)
        return ends
