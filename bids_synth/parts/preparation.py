"""Preparation: where a visit is prepared and what is done to its images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bids_synth.parts.base import MOST_NAMES, Part


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
    """N4 (Tustison 2010) on every MRI; off because it lowered scores of an earlier system."""
    registration_spacing: float = Field(2.0, ge=0.5, le=4.0)
    """Voxel size of the copies on which rigid registration runs, mm."""
    reference: tuple[str, ...] = Field((), max_length=MOST_NAMES)
    """Modalities in order of preference as reference; the recipe's order where empty."""
    suvr: Literal["none", "mask"] = "none"
    """Region whose mean uptake a PET is divided by: the whole mask, a pseudo-reference that
    needs no atlas; `none` keeps the PET's own unit."""
    log: tuple[str, ...] = Field((), max_length=MOST_NAMES)
    """Modalities of which the logarithm is scaled."""
