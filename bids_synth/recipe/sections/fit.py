"""Fit: the schedule, what is withheld while fitting, synthesis and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated, Literal

from pydantic import Field, field_validator

from bids_synth.recipe.sections.base import MOST_NAMES, Line, Part

Patch = tuple[int, int, int]
Column = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_. -]*$", max_length=64)]
"""Name of a column of participants.tsv; it becomes part of a file's name."""
MOST_VOXELS = 2**23
"""Of a patch, about 203 a side: the maps of a network are many times larger."""


class MissingPart(Part):
    """How sources are withheld while fitting (any-missing recipes)."""

    ramp: float = Field(0.3, ge=0.0, le=1.0)
    """Fraction of the steps over which the chance of withholding more than one grows."""
    several: float = Field(0.5, ge=0.0, le=1.0)
    """Chance, after the ramp, of withholding more than one modality at once."""


class ExtrasPart(Part):
    """What the network is shown beside the sources."""

    mean: bool = False
    """The mean target of the training participants, laid over the visit."""
    scalars: dict[Column, dict[str, float]] = Field(default_factory=dict, max_length=16)
    """Column of participants.tsv -> number of each of its values; unknown values are 0."""
    closed_form: bool = False
    """R2' and CMRO2 by their closed form, where the sources for them are given."""
    oef_smoothing: float = Field(0.0, ge=0.0, le=100.0)
    """Width in mm of the Gaussian over which that CMRO2 averages R2' and CBV; 0 for none."""

    def names(self, targets: Sequence[str]) -> tuple[str, ...]:
        """Names of the maps, in the order in which the network sees them."""
        means = [f"mean-{target}" for target in targets] if self.mean else []
        closed = ["closed-r2prime", "closed-cmro2"] if self.closed_form else []
        return (*means, *(f"scalar-{column}" for column in self.scalars), *closed)


class FitPart(Part):
    """The schedule."""

    start: Literal["linear", "any-contrast"] = "linear"
    """What networks that keep a linear answer begin from: that of the training participants, or
    the weights that come with the package, where grid, preparation and network are theirs."""
    patch: Patch = (64, 64, 64)
    """Voxels of a patch; synthesis uses the same, since normalisation sees the patch. A last
    length of 1 is an axial slice, for 2D networks."""
    batch: int = Field(1, ge=1, le=256)
    steps: int = Field(20000, ge=1, le=10_000_000)
    """Optimiser steps of each member."""
    steps_per_epoch: int = Field(250, ge=1, le=1_000_000)
    """Steps between two looks at the validation participants."""
    learning_rate: float = Field(1e-3, gt=0.0)
    beta: float = Field(0.9, ge=0.0, lt=1.0)
    """Momentum of Adam; GANs like 0.5."""
    weight_decay: float = Field(1e-4, ge=0.0)
    decay: Literal["cosine", "linear", "step", "constant"] = "cosine"
    """Learning rate: warm-up and half a cosine; constant for half of the steps, then straight to
    0; halved after every third; or constant."""
    ema: float = Field(0.995, ge=0.0, lt=1.0)
    """Decay per step of the averaged weights, which are the ones kept; 0 keeps the last."""
    flip: float = Field(0.5, ge=0.0, le=1.0)
    """Chance of mirroring a patch left to right."""
    intensity: float = Field(0.1, ge=0.0, le=0.5)
    """Largest relative change of a source's gain, drawn per patch."""
    curve: float = Field(0.0, ge=0.0, le=1.0)
    """How much sources are bent: standard deviation of the logarithms of the slopes of a random
    rising curve that keeps 0 and 1. Scanners differ in more than gain."""
    noise: float = Field(0.0, ge=0.0, le=1.0)
    """Largest standard deviation of noise added to sources, in their scaled numbers."""
    members: int = Field(2, ge=1, le=20)
    """Networks fitted from different seeds; their mean is the image, their spread is doubt."""
    validation: float = Field(0.15, ge=0.0, lt=0.5)
    """Fraction of the participants that selects weights; with 0 nobody does, and the averaged
    weights of the last step are kept."""
    test: float = Field(0.2, ge=0.0, lt=0.5)
    """Fraction of the participants that only the final scores see."""
    preview: bool = True
    """Keep a slice of one validation participant after every epoch in the model folder, for an
    animation of the fit."""
    stratify: tuple[Line, ...] = Field((), max_length=MOST_NAMES)
    """Columns of participants.tsv, such as site, sex and age, over which the parts of the split
    are balanced; then all participants together decide who is where, else each one's label."""

    @field_validator("patch")
    @classmethod
    def _patch_divides(cls, patch: Patch) -> Patch:
        lengths = patch[:2] if patch[2] == 1 else patch
        if any(n < 16 or n % 8 for n in lengths):
            message = (
                "each length must be a multiple of 8 and at least 16 (or the last one 1), got "
                f"{list(patch)}"
            )
            raise ValueError(message)
        if prod(patch) > MOST_VOXELS:
            message = f"expected at most {MOST_VOXELS} voxels, got {prod(patch)}"
            raise ValueError(message)
        return patch


class SynthesisPart(Part):
    """How patches become a volume."""

    overlap: float = Field(0.5, ge=0.0, lt=0.9)
    """Shared fraction of neighbouring patches, blended by Gaussian weights.

    Held-out phantoms by networks of small patches (32 of 3 mm), a quarter instead of a half:
    -0.04 dB for CT, 0.01 dB more for PET and CMRO2, nothing for T1w and T2w.
    """


class EvaluationPart(Part):
    """How held-out visits are scored."""

    protocols: tuple[Literal["masked3d", "synthrad", "slices", "affine-free"], ...] = Field(
        ("masked3d",), max_length=4
    )
    scenarios: Literal["one-missing", "all"] = "one-missing"
    """Withhold one modality at a time, or every subset of them."""
    ablate: tuple[tuple[str, ...], ...] = Field((), max_length=256)
    """Sets of sources withheld in turn in the ablation study."""
    features_from: str = ""
    """A file of VGG16 or MedicalNet for `fid` and `perceptual` (docs/recipes.md), or empty."""
    bootstrap: int = Field(2000, ge=100, le=100_000)
    """Resamples of the 95 % interval over participants."""
