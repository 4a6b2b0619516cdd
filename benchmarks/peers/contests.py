"""Contests: every peer beside the recipe of ours that does the same, at full size or tiny."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch

from benchmarks.peers.loops import CycleGan, Loop, MmGan, Pix2Pix, workers
from benchmarks.peers.ours import MORE, OurFit, OurPatches, OurSynthesis
from benchmarks.peers.phantoms import Phantom, make_phantoms, stored
from benchmarks.peers.sampling import NumpySampling, write_cases
from benchmarks.peers.turns import Contest, contend
from benchmarks.stages.measured import Measured
from bids_synth.recipe.recipe import Recipe, load_recipe
from bids_synth.spatial.grid import Shape

PUBLISHED = 2.3
"""Slices of 192 x 192 a second that the published MM-GAN code fits on the reference machine."""
PLAIN = {"objective.ssim": "0", "objective.features": "0", "objective.emphasis.weight": "1"}
"""What turns the loss of `ct` into the L1 of a plain script."""
MONAI = "MONAI + Lightning"
Keys = Mapping[str, str]


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    heads: int
    shape: Shape
    turns: Mapping[str, tuple[int, int]]
    """Contest -> turns of each side, and steps of a turn."""
    keys: Mapping[str, Keys]
    """Recipe -> what is changed of it."""
    processes: int
    """That fetch data for the others."""


FULL = Size(
    heads=3,
    shape=(138, 164, 132),
    turns={"ct": (3, 5), "ct-whole": (2, 4), "sampling": (5, 60), "augmented": (3, 12),
           "pix2pix-ct": (5, 4), "cyclegan": (3, 2), "mmgan": (5, 3), "synthesis": (3, 2)},
    keys={"mmgan": {"fit.patch": "[192,192,1]", "fit.batch": "4"}},
    processes=workers(),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Field:
    """Where both sides of every contest meet."""

    size: Size
    phantoms: Sequence[Phantom]
    work: Path
    device: torch.device

    def recipe(self, name: str, more: Keys | None = None) -> Recipe:
        """A recipe at this size."""
        keys = dict(self.size.keys.get(name, {})) | dict(more or {})
        recipe = load_recipe(name, keys)
        return recipe.limited_to(["T1w", "T2w", "PDw"]) if name == "mmgan" else recipe

    def fit(self, recipe: Recipe) -> OurFit:
        """Ours."""
        return OurFit(recipe, stored(self.phantoms, recipe, self.work), self.device)


def monai_fit(field: Field) -> Contest:
    """A plain script with the same network and loss."""
    from benchmarks.peers.monai_script import MonaiFit

    recipe = field.recipe("ct", PLAIN)
    theirs = MonaiFit(recipe, field.phantoms, field.device, field.size.processes)
    return Contest("`ct`, L1 alone", field.fit(recipe), theirs, MORE, MONAI)


def monai_fit_whole(field: Field) -> Contest:
    """The same script beside the recipe with all its losses."""
    more = f"{MORE}, and has SSIM and features of a segmenter in its loss"
    contest = monai_fit(field)
    return replace(
        contest, title="`ct` with all its losses", ours=field.fit(field.recipe("ct")), more=more
    )


def sampling(field: Field) -> Contest:
    """Patches alone: crops, mirrors and gains."""
    return _sampling(field, augment=False)


def augmented(field: Field) -> Contest:
    """Patches alone, each side with its own augmentation."""
    return _sampling(field, augment=True)


def pix2pix(field: Field) -> Contest:
    """The loop of the paper."""
    return _classic(field, "pix2pix-ct", Pix2Pix)


def cyclegan(field: Field) -> Contest:
    """The loop of the paper."""
    return _classic(field, "cyclegan", CycleGan)


def mmgan(field: Field) -> Contest:
    """The loop of the paper; its published code took so long on the reference machine."""
    contest = _classic(field, "mmgan", MmGan)
    return replace(contest, more=f"published code {PUBLISHED}/s; {contest.more}")


def synthesis(field: Field) -> Contest:
    """A volume by one network of `ct`."""
    from benchmarks.peers.monai_script import MonaiSynthesis

    recipe, phantom = field.recipe("ct"), field.phantoms[0]
    return Contest(
        "a volume by one network of `ct`",
        OurSynthesis(recipe, phantom, field.device),
        MonaiSynthesis(recipe, phantom, field.device),
        peer="MONAI's sliding_window_inference",
        unit="voxels of the mask",
        scale=float((phantom.mask > 0).sum()),
    )


CONTESTS: dict[str, Callable[[Field], Contest]] = {
    "ct": monai_fit,
    "ct-whole": monai_fit_whole,
    "sampling": sampling,
    "augmented": augmented,
    "pix2pix-ct": pix2pix,
    "cyclegan": cyclegan,
    "mmgan": mmgan,
    "synthesis": synthesis,
}
NEEDS = {"ct": "lightning", "ct-whole": "lightning", "synthesis": "lightning"}
"""Contest -> what it needs beside the program."""
ON_A_CARD = {"ct", "ct-whole", "pix2pix-ct", "cyclegan", "mmgan", "synthesis"}
"""Those in which a card has a part."""


def field_of(size: Size, work: Path, device: torch.device) -> Field:
    """The heads, made anew under `work`."""
    return Field(size, make_phantoms(work / "heads", size.shape, size.heads), work, device)


def results(field: Field, names: Sequence[str] = tuple(CONTESTS)) -> list[Measured]:
    """A row for each contest that can be held here."""
    rows = []
    for name in names:
        if (needed := NEEDS.get(name)) and find_spec(needed) is None:
            print(f"{name} is left out: {needed} is not installed", file=sys.stderr)
            continue
        contest = CONTESTS[name](field)
        row = contend(contest, field.device, *field.size.turns[name])
        rows.append(replace(row, stage=f"peers, {field.device.type}: {row.stage}"))
    return rows


def _sampling(field: Field, *, augment: bool) -> Contest:
    recipe = field.recipe("ct")
    cases = write_cases(field.work / "cases", field.phantoms, recipe)
    more = "ours keeps float16, and makes each patch from seed and number alone"
    if augment:
        more = "theirs also rotates, scales, blurs, coarsens and adds noise"
    return Contest(
        f"patches of `ct` alone{', with augmentation' if augment else ''}",
        OurPatches(recipe, stored(field.phantoms, recipe, field.work)),
        NumpySampling(recipe, cases, augment=augment),
        more,
        "nnU-Net's way",
    )


def _classic(field: Field, name: str, loop: type[Loop]) -> Contest:
    recipe = field.recipe(name)
    theirs = loop(recipe, field.phantoms, field.device, field.size.processes)
    return Contest(f"`{name}`", field.fit(recipe), theirs, MORE, "the loop of its paper")
