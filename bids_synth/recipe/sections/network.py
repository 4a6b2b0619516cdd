"""Network: the generators that recipes may name, each with its own keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from bids_synth.recipe.sections.base import Part

Output = Literal["linear", "relu", "sigmoid", "tanh"]
"""What a network does to its last maps; `tanh` is brought to [0, 1]."""
Initial = Literal["usual", "normal"]
"""First weights: PyTorch's, or those of pix2pix, CycleGAN and MM-GAN, from N(0, 0.02)."""


OWN_PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
"""How the class of a network of another package is written."""


class ResidualUNetPart(Part):
    """3D residual U-Net that adds to a linear answer (ours)."""

    name: Literal["residual-unet"] = "residual-unet"
    filters: int = Field(16, ge=4, le=128, multiple_of=4)
    """Feature maps at full resolution; they double at every level."""
    blocks: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(
        (1, 1, 1, 1), min_length=1, max_length=6
    )
    """Residual blocks per level going down; the number of levels is its length."""
    knots: Literal[0] | Annotated[int, Field(ge=2, le=257)] = 0
    """Without pairs, begin at a curve through so many quantiles; 0 for a line."""

    @property
    def divisor(self) -> int:
        """What every length of a patch must be a multiple of."""
        return int(2 ** (len(self.blocks) - 1))


class ContextPart(Part):
    """Perceptron on what lies around a voxel, that adds to a linear answer (ours)."""

    name: Literal["context"] = "context"
    width: int = Field(160, ge=8, le=1024)
    """Units of a hidden layer."""
    layers: int = Field(3, ge=1, le=8)
    """Hidden layers."""
    dropout: float = Field(0.15, ge=0.0, lt=1.0)
    """Chance of dropping what a hidden layer adds, while fitting."""
    voxels: int = Field(1024, ge=16, le=65536)
    """Voxels of one visit that are learned from together: an item of `fit.batch`. A window of
    `fit.patch` is what synthesis shows it at a time, and should hold the whole brain."""
    copies: int = Field(0, ge=0, le=32)
    """Further copies of each visit that are read, their sources bent and noisy by `fit.curve` and
    `fit.noise`: what lies around a voxel is read once, and its image changed before."""
    sample: int = Field(800_000, ge=1000, le=100_000_000)
    """Voxels of all training visits and their copies that a fit learns from, as many of each."""

    @property
    def divisor(self) -> int:
        """What every length of a patch must be a multiple of."""
        return 1


class UNet2DPart(Part):
    """2D U-Net of MM-GAN."""

    name: Literal["unet-2d"] = "unet-2d"
    filters: int = Field(64, ge=4, le=128)
    depth: int = Field(6, ge=3, le=8)
    """Levels; the published ones are 6 and 8."""
    imputation: Literal["zeros", "noise", "average"] = "zeros"
    """What stands in for an absent source."""
    output: Output = "relu"
    """Last activation; `relu` as published."""
    dropout: float = Field(0.2, ge=0.0, lt=1.0)
    """Chance of dropping a value, from the fourth level down."""
    initial: Initial = "usual"

    @property
    def divisor(self) -> int:
        """What every length of a patch must be a multiple of."""
        return int(2**self.depth)


class Pix2PixUNetPart(Part):
    """2D U-Net of pix2pix."""

    name: Literal["pix2pix-unet"] = "pix2pix-unet"
    filters: int = Field(64, ge=4, le=128)
    downs: int = Field(8, ge=4, le=8)
    """Halvings of the slice; the published ones are 7 and 8."""
    norm: Literal["instance", "group"] = "instance"
    """Each looks at one item alone; the published BatchNorm mixes a batch."""
    output: Output = "linear"
    """Last activation; the published `tanh` cannot leave [0, 1]."""
    dropout: float = Field(0.5, ge=0.0, lt=1.0)
    """Chance of dropping a value in the deep levels of the decoder, while fitting."""
    initial: Initial = "usual"

    @property
    def divisor(self) -> int:
        """What every length of a patch must be a multiple of."""
        return int(2**self.downs)


class ResNet2DPart(Part):
    """2D residual generator of CycleGAN."""

    name: Literal["resnet-2d"] = "resnet-2d"
    filters: int = Field(64, ge=4, le=128)
    blocks: int = Field(9, ge=1, le=12)
    """Residual blocks; the published ones are 6 and 9, the T1w-T2w system's 6 and 7."""
    output: Output = "linear"
    """Last activation; the published `tanh` cannot leave [0, 1]."""
    initial: Initial = "usual"

    @property
    def divisor(self) -> int:
        """What every length of a patch must be a multiple of."""
        return 4


class AttentionUNetPart(Part):
    """3D residual U-Net with attention over space of MRI2PET."""

    name: Literal["attention-unet"] = "attention-unet"
    filters: int = Field(32, ge=8, le=128, multiple_of=8)
    levels: int = Field(4, ge=2, le=5)
    depthwise: bool = True
    """Depthwise-separable convolutions."""
    output: Output = "sigmoid"
    """Last activation; `sigmoid` as published."""

    @property
    def divisor(self) -> int:
        """What every length of a patch must be a multiple of."""
        return int(2 ** (self.levels - 1))


class ExcitationUNetPart(Part):
    """3D U-Net with residual blocks, attention gates and squeeze-excitation."""

    name: Literal["excitation-unet"] = "excitation-unet"
    filters: int = Field(16, ge=4, le=128, multiple_of=4)
    levels: int = Field(4, ge=2, le=5)
    """Levels with the bottleneck."""
    output: Output = "linear"
    """Last activation."""

    @property
    def divisor(self) -> int:
        """What every length of a patch must be a multiple of."""
        return int(2 ** (self.levels - 1))


class OwnPart(Part):
    """A 3D network of another Python package, imported only where `--own-network` says so."""

    name: Literal["own"] = "own"
    import_: Annotated[str, Field(pattern=OWN_PATH, max_length=200)] = Field(alias="import")
    """Class as `package.module:Class`; its contract is in docs/own_network.md."""
    parameters: dict[str, bool | int | float | str] = Field(default_factory=dict, max_length=50)
    """Keyword arguments of the class, beside `sources` and `targets`."""

    @property
    def divisor(self) -> int:
        """What every length of a patch must be a multiple of: its first pass says whether."""
        return 1

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return {key.rstrip("_"): value for key, value in data.items()}


def _named(part: Any) -> Any:
    """A path to import is name enough."""
    if isinstance(part, dict) and "import" in part and "name" not in part:
        return {"name": "own", **part}
    return part


NetworkPart = Annotated[
    ResidualUNetPart
    | ContextPart
    | UNet2DPart
    | Pix2PixUNetPart
    | ResNet2DPart
    | AttentionUNetPart
    | ExcitationUNetPart
    | OwnPart,
    Field(discriminator="name"),
    BeforeValidator(_named),
]
MOST_INPUTS = 16
"""Sources and extras of a network whose linear table doubles with each of them."""
MOST_ATTENDING = 2**15
"""Voxels of the deepest maps of an attention-unet, which all look at one another."""
POINTWISE = ("context",)
"""Networks that learn from single voxels: no loss may compare images."""
PLANAR = ("unet-2d", "pix2pix-unet", "resnet-2d")
"""Networks that see one axial slice: patches one voxel high."""
