"""A small fit by the command line, in a folder of its own, by one process or by two."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from learn_kill import curve
from program_ranks import Disturbance, Ended, Ranks
from ready_dataset import MODALITIES, make_ready

from bids_synth.learn.model.model import load_model
from bids_synth.recipe.recipe import load_recipe, validate_recipe

NAME = "small"
EPOCHS, PER_EPOCH = 2, 4


class Job:
    """A dataset and an output of its own, and the command line that fits a small model there."""

    def __init__(self, folder: Path, *, batch: int = 1, epochs: int = EPOCHS) -> None:
        self.folder = folder
        self.dataset, self.output = make_ready(folder)
        self.model = self.output / "models" / NAME
        self.work = folder / "work"
        self.steps = epochs * PER_EPOCH
        recipe = folder / f"{NAME}.toml"
        recipe.write_text(_small(batch, self.steps))
        self.options = ["--recipe", str(recipe), "--device", "cpu"]
        places = [self.dataset, self.output, "group", "-w", self.work]
        self.words = [*map(str, places), *self.options]

    @property
    def place(self) -> Path:
        """Where the fit is kept, in a folder of its key; nowhere before it begins."""
        places = self.work.glob(f"fit/{NAME}-*/fold-0_member-0")
        return next(places, self.work / "not-begun")

    def ranks(self, *more: str, disturbed: Disturbance | None = None) -> Ranks:
        words = [*self.words, "--distributed", *more]
        return Ranks(self.folder / "said", words, disturbed=disturbed)

    def run(self, *more: str, disturbed: Disturbance | None = None) -> Ended:
        return self.ranks(*more, disturbed=disturbed).end()

    def wait_for_an_epoch(self, *, seconds: float = 100) -> None:
        stop = time.monotonic() + seconds
        while not (self.place / "training.tsv").is_file():
            assert time.monotonic() < stop, "no epoch of a fit was finished"
            time.sleep(0.05)

    def steps_kept(self) -> int:
        state = self.place / "state.ckpt"
        return torch.load(state, weights_only=True)["steps_done"] if state.is_file() else 0

    def curve(self) -> list[list[str]]:
        """That of the model, as `learn_kill.curve`."""
        return curve(self.model)

    def weights(self) -> dict[str, torch.Tensor]:
        return load_model(self.model).networks()[0].state_dict()


def apart(one: Job, other: Job) -> list[float]:
    """Largest difference of each tensor between the weights of two models."""
    pairs = zip(one.weights().values(), other.weights().values(), strict=True)
    return [float((a - b).abs().max()) for a, b in pairs]


def _small(batch: int, steps: int) -> str:
    """A recipe whose network begins with no linear answer: what a fit keeps, it has learned."""
    data = load_recipe("impute").limited_to(MODALITIES).model_dump(mode="json", exclude={"tune"})
    data["name"] = NAME
    data["preparation"]["reference"] = ["T1w"]
    data["network"] = {"name": "excitation-unet", "filters": 4, "levels": 2}
    data["objective"] = {"name": "regression", "l1": 0.5, "l2": 5.0, "ssim": 0.2}
    data["fit"] |= {"patch": [16, 16, 16], "members": 1, "ema": 0.0, "batch": batch}
    data["fit"] |= {"learning_rate": 1e-3, "weight_decay": 1e-4}
    data["fit"] |= {"steps": steps, "steps_per_epoch": PER_EPOCH}
    data["fit"] |= {"test": 0.25, "validation": 0.25}
    data["evaluation"]["bootstrap"] = 100
    return validate_recipe(data, origin=NAME).to_toml()
