"""Objective: the ways to learn that recipes may name, each with its own keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bids_synth.recipe.sections.base import Part
from bids_synth.recipe.sections.network import Initial


class EmphasisPart(Part):
    """Voxels whose error weighs more."""

    above: float = 0.0
    """Real value, in the target's unit, above which a voxel is emphasised."""
    weight: float = Field(1.0, ge=1.0, le=100.0)
    """Factor of its error; 1 emphasises nothing."""


class DiscriminatorPart(Part):
    """A patch discriminator; that of paired images sees the sources beside the candidate."""

    filters: int = Field(64, ge=4, le=128)
    layers: int = Field(3, ge=1, le=5)
    """Convolutions with stride 2: a receptive field of 16, 34, 70 (or 94 with `tail` 1)."""
    tail: int = Field(2, ge=1, le=2)
    """Convolutions with stride 1 at the end."""
    norm: Literal["instance", "group", "none"] = "instance"
    """Norm between its convolutions; of one item alone."""
    spectral: bool = False
    """Spectral normalisation of its weights (Miyato 2018, arXiv:1802.05957)."""
    initial: Initial = "usual"
    """First weights, before they are normalised."""
    learning_rate: float = Field(2e-4, gt=0.0)
    gradient_penalty: float = Field(0.0, ge=0.0)
    """Weight of the penalty on gradients at real images (R1, Mescheder 2018)."""

    @property
    def least(self) -> int:
        """Shortest length of a patch that leaves it something to judge."""
        return int(2**self.layers * (1 + self.tail))


class PairedLosses(Part):
    """Losses between a synthetic image and the real one, each with its weight."""

    l1: float = Field(1.0, ge=0.0)
    """Weight of the mean absolute error on missing modalities."""
    l2: float = Field(0.0, ge=0.0)
    """Weight of the mean squared error on missing modalities: the mean image, less the median."""
    ssim: float = Field(0.0, ge=0.0)
    """Weight of 1 - SSIM on missing modalities; 3D networks only."""
    bce: float = Field(0.0, ge=0.0)
    """Weight of the binary cross-entropy of scaled images, as MRI2PET has it."""
    features: float = Field(0.0, ge=0.0)
    """Weight of the distance between features of a network: see `features_from`."""
    features_from: str = ""
    """`thresholds` for a small tissue segmenter fitted on thresholds of the training targets,
    or the path of a file of VGG16 or MedicalNet (docs/recipes.md)."""
    emphasis: EmphasisPart = EmphasisPart()

    @property
    def empty(self) -> bool:
        """True where no loss has a weight."""
        return not (self.l1 or self.l2 or self.ssim or self.bce or self.features)


class RegressionPart(PairedLosses):
    """Regression: the expected image."""

    name: Literal["regression"] = "regression"
    ssim: float = Field(0.2, ge=0.0)
    """Weight of 1 - SSIM on missing modalities; 3D networks only."""


class AdversarialPart(PairedLosses):
    """What the objectives with a discriminator for paired images share."""

    adversarial: float = Field(0.1, ge=0.0)
    """Weight of the adversarial loss."""
    gan: Literal["lsgan", "vanilla"] = "lsgan"
    """Least squares (Mao 2017) or cross-entropy (Goodfellow 2014)."""
    start: float = Field(0.0, ge=0.0, lt=1.0)
    """Fraction of the schedule after which the discriminator joins in."""
    discriminator: DiscriminatorPart = DiscriminatorPart()


class ConditionalGanPart(AdversarialPart):
    """Conditional GAN (Isola 2017, arXiv:1611.07004)."""

    name: Literal["conditional-gan"] = "conditional-gan"


class AnyMissingGanPart(AdversarialPart):
    """Any-missing GAN (Sharma and Hamarneh 2020): the discriminator knows what was given."""

    name: Literal["any-missing-gan"] = "any-missing-gan"


class CycleGanPart(Part):
    """Cycle GAN (Zhu 2017, arXiv:1703.10593): two modalities without pairs."""

    name: Literal["cycle-gan"] = "cycle-gan"
    adversarial: float = Field(1.0, ge=0.0)
    """Weight of the adversarial losses."""
    gan: Literal["lsgan", "vanilla"] = "lsgan"
    """Least squares (Mao 2017) or cross-entropy (Goodfellow 2014)."""
    cycle: float = Field(10.0, ge=0.0)
    """Weight of the way there and back."""
    identity: float = Field(5.0, ge=0.0)
    """Weight of leaving an image of the target's own modality as it is."""
    structure: float = Field(0.0, ge=0.0)
    """Weight of the difference of local structure (MIND, Heinrich 2012) of input and output."""
    pool: int = Field(50, ge=0, le=1000)
    """Synthetic images that the discriminators are reminded of (Shrivastava 2017); 0 for none."""
    discriminator: DiscriminatorPart = DiscriminatorPart()


ObjectivePart = Annotated[
    RegressionPart | ConditionalGanPart | AnyMissingGanPart | CycleGanPart,
    Field(discriminator="name"),
]
