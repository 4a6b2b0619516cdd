"""`python -m training.tissue LABELS ... --out DIR`: fit the tissue network on drawn heads.

Resumes where it was left; `--budget` is the time of this run. With CUDA it runs there unchanged.
`--ship` puts what has been learned until now into the package.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bids_synth.segmentation.network import CLASSES, TissueNetwork
from bids_synth.segmentation.tissues import FOLDER
from bids_synth.spatial.volume import sha256_of, write_text
from training.anatomy import Anatomy, read_anatomy
from training.drawing import draw
from training.scanner import Window, render

COARSE, CLOSE = Window((64, 64, 64), 3.0), Window((80, 96, 80), 2.0)
"""Whole heads, quickly; then brains as closely as they are looked at in use."""
EARLY, MIXED = 0.55, 0.25
"""Share of the steps that see coarse windows alone, and share of coarse ones later."""
RATE, WARM, AVERAGED = 2e-3, 200, 0.998
SAVED = 60.0
"""Seconds between two saved states."""
LICENCE = (
    "Apache-2.0. Learned from label maps of SynthSeg (Apache-2.0) and SynthSR (Apache-2.0) alone"
)
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class Plan:
    """What decides the weights."""

    labels: tuple[Path, ...]
    steps: int
    batch: int
    """Images of one shape in a step."""
    seed: int


@dataclass(eq=False)
class Fit:
    """A network on its way."""

    network: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    done: int = 0

    def save(self, path: Path) -> None:
        """The state, whole or not at all."""
        part = path.with_name(f"{path.name}.part")
        torch.save(
            {
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "done": self.done,
            },
            part,
        )
        part.replace(path)

    def load(self, path: Path, device: torch.device) -> None:
        """Go on from a saved state."""
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done = int(state["done"])


def begin(plan: Plan, device: torch.device) -> Fit:
    """A network that has learned nothing yet."""
    torch.manual_seed(plan.seed)
    network = TissueNetwork().to(device)
    decay = get_ema_multi_avg_fn(AVERAGED)  # type: ignore[no-untyped-call]
    average = AveragedModel(network, multi_avg_fn=decay)
    return Fit(network, average, torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4))


def fit(plan: Plan, folder: Path, budget: float, device: torch.device) -> int:
    """Steps that are done when the budget, s, or the plan is at its end; the state is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    state, now = folder / "state.pt", begin(plan, device)
    if state.is_file():
        now.load(state, device)
    anatomies = [read_anatomy(path) for path in plan.labels]
    start = saved = time.monotonic()
    losses: list[float] = []
    while now.done < plan.steps and time.monotonic() - start < budget:
        losses.append(step(now, plan, anatomies, device))
        if time.monotonic() - saved > SAVED:
            now.save(state)
            print(f"step {now.done} loss {np.mean(losses):.4f}", flush=True)
            saved, losses = time.monotonic(), []
    now.save(state)
    return now.done


def ship(plan: Plan, now: Fit, place: Path) -> Path:
    """Write averaged weights in half precision, and the card that describes them."""
    place.mkdir(parents=True, exist_ok=True)
    path = place / "weights.safetensors"
    state = now.average.module.state_dict()
    save_file({name: value.half().contiguous() for name, value in state.items()}, path)
    folders = dict.fromkeys(labels.parent.name for labels in plan.labels)
    card = {
        "name": place.name,
        "classes": list(CLASSES),
        "licence": LICENCE,
        "label_maps": [labels.name for labels in plan.labels],
        "steps": now.done,
        "of": plan.steps,
        "batch": plan.batch,
        "seed": plan.seed,
        "command": f"python -m training.tissue {' '.join(folders)} --steps {plan.steps} "
        f"--batch {plan.batch} --seed {plan.seed} --ship",
        "sha256": sha256_of(path),
    }
    write_text(json.dumps(card, indent=2) + "\n", place / "model.json")
    return path


def step(now: Fit, plan: Plan, anatomies: list[Anatomy], device: torch.device) -> float:
    """One step of descent; returns its loss. What it sees depends on its number alone."""
    rng = np.random.default_rng([plan.seed, now.done])
    anatomy = anatomies[int(rng.integers(len(anatomies)))]
    late = now.done > EARLY * plan.steps
    window = CLOSE if late and rng.random() > MIXED else COARSE
    drawing = draw(rng, anatomy, contrasts=plan.batch)
    images, shares = render(drawing, anatomy, window, device)
    for group in now.optimizer.param_groups:
        group["lr"] = rate_of(now.done, plan.steps)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        scores = now.network(images)
    loss = loss_of(scores.float(), shares)
    if not torch.isfinite(loss):
        message = f"step {now.done}: the loss is {float(loss)}; lower the rate"
        raise FloatingPointError(message)
    now.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(now.network.parameters(), 1.0)
    now.optimizer.step()
    now.average.update_parameters(now.network)
    now.done += 1
    return float(loss.detach())


def loss_of(scores: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Cross entropy with the shares of the tissues, and one minus their mean Dice.

    Scores (N, K, *S); a tissue that an image lacks counts in its entropy alone.
    """
    entropy = -(shares * torch.log_softmax(scores, 1)).sum(1).mean()
    chance, where = torch.softmax(scores, 1), tuple(range(2, scores.ndim))
    volume = shares.sum(where)
    dice = 2 * (chance * shares).sum(where) / (chance.sum(where) + volume).clamp_min(1.0)
    present = volume[:, 1:] > 1
    return entropy + ((1 - dice[:, 1:]) * present).sum() / present.sum().clamp_min(1)


def rate_of(done: int, steps: int) -> float:
    """Warm-up, then a half cosine."""
    return float(RATE * min(1.0, (done + 1) / WARM) * 0.5 * (1 + np.cos(np.pi * done / steps)))


def seconds(text: str) -> float:
    """`2h30`, `540s` or `15m` in seconds; ValueError for anything else."""
    if not re.fullmatch(r"(\d+[hms])*(\d+)?", text) or not text:
        message = f"expected a time such as 2h30, 15m or 540s, got {text!r}"
        raise ValueError(message)
    parts = re.findall(r"(\d+)([hms]?)", text)
    units = [unit or ("m" if n else "s") for n, (_, unit) in enumerate(parts)]
    return sum(float(number) * UNITS[unit] for (number, _), unit in zip(parts, units, strict=True))


def main() -> None:
    """Fit for a time."""
    parser = argparse.ArgumentParser(prog="python -m training.tissue", description=__doc__)
    parser.add_argument("labels", type=Path, nargs="+", help="folders of label maps")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=seconds, default=seconds("2h30"))
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ship", action="store_true")
    options = parser.parse_args()
    paths = sorted(path for folder in options.labels for path in folder.glob("*.nii.gz"))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plan = Plan(tuple(paths), options.steps, options.batch, options.seed)
    done = fit(plan, options.out, options.budget, device)
    print(f"{done} of {options.steps} steps")
    if options.ship:
        now = begin(plan, device)
        now.load(options.out / "state.pt", device)
        print(ship(plan, now, FOLDER))


if __name__ == "__main__":
    main()
