"""MONAI and Lightning: the script that a user of both would write, by the book of each."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

import lightning.pytorch as lightning
import torch
from monai import transforms
from monai.data import CacheDataset, DataLoader
from monai.inferers import sliding_window_inference
from monai.networks.nets import SegResNet
from torch import nn
from torch.nn import functional
from torch.utils.data import RandomSampler

from benchmarks.peers.ours import learning
from benchmarks.peers.phantoms import TOP, Phantom
from benchmarks.peers.turns import Watch
from benchmarks.stages.measured import SEED
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.boxes import bounding_box


def unet(recipe: Recipe) -> nn.Module:
    """The U-Net of the recipe as MONAI has it; one map of ones beside each image."""
    part = recipe.network
    return SegResNet(
        spatial_dims=3,
        init_filters=part.filters,  # type: ignore[union-attr]
        in_channels=2 * len(recipe.inputs),
        out_channels=len(recipe.targets),
        norm=("GROUP", {"num_groups": 8}),
        upsample_mode="nontrainable",
        blocks_down=tuple(part.blocks),  # type: ignore[union-attr]
        blocks_up=(1,) * (len(part.blocks) - 1),  # type: ignore[union-attr]
    )


class Script(lightning.LightningModule):
    """The network, L1 and AdamW."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.rate = recipe.fit.learning_rate
        self.network = unet(recipe)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, S, I, J, K) -> (N, T, I, J, K)."""
        return self.network(torch.cat([images, torch.ones_like(images)], dim=1))

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        """Mean absolute difference."""
        loss = functional.l1_loss(self(batch["image"]), batch["target"])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW as torch sets it up."""
        return torch.optim.AdamW(self.parameters(), lr=self.rate)


class Noted(lightning.Callback):
    """Tells the watch of every step."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:  # noqa: ANN001, ARG002
        """Lightning's own hook."""
        self.watch.note(batch["image"], outputs["loss"])


class MonaiFit:
    """A cached dataset, random patches and the Trainer."""

    def __init__(
        self, recipe: Recipe, phantoms: Sequence[Phantom], device: torch.device, processes: int
    ) -> None:
        torch.manual_seed(SEED)
        self.samples, self.device, self.processes = recipe.fit.batch, device, processes
        self.script = Script(recipe)
        self.parameters = learning(self.script)
        sources, targets = list(recipe.inputs), list(recipe.targets)
        files = [{k: str(p.files[k]) for k in (*sources, *targets, "mask")} for p in phantoms]
        self.data = CacheDataset(files, steps_of(recipe), num_workers=1, progress=False)

    def run(self, steps: int, watch: Watch) -> None:
        """`Trainer.fit` of the same script, without what writes and shows."""
        drawn = RandomSampler(self.data, replacement=True, num_samples=steps * self.samples)
        loader = DataLoader(
            self.data,
            batch_size=self.samples,
            sampler=drawn,
            num_workers=self.processes,
            persistent_workers=self.processes > 0,
            pin_memory=self.device.type == "cuda",
        )
        cuda = self.device.type == "cuda"
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = lightning.Trainer(
                max_steps=steps,
                accelerator="cuda" if cuda else "cpu",
                devices=[self.device.index or 0] if cuda else 1,
                precision="bf16-mixed" if cuda else "32-true",
                callbacks=[Noted(watch)],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(self.script, loader)


def steps_of(recipe: Recipe) -> transforms.Compose:
    """From file names to a patch: all up to the crop is done once, and kept."""
    sources, targets = list(recipe.inputs), list(recipe.targets)
    images = [*sources, *targets]
    keys = ["image", "target", "mask"]
    return transforms.Compose(
        [
            transforms.LoadImaged([*images, "mask"]),
            transforms.EnsureChannelFirstd([*images, "mask"]),
            transforms.ScaleIntensityRanged(images, a_min=0, a_max=TOP, b_min=0, b_max=1),
            transforms.ConcatItemsd(sources, name="image"),
            transforms.ConcatItemsd(targets, name="target"),
            transforms.SelectItemsd(keys),
            transforms.FgBgToIndicesd("mask"),
            transforms.RandCropByPosNegLabeld(
                keys,
                label_key="mask",
                spatial_size=recipe.fit.patch,
                pos=1,
                neg=0,
                num_samples=1,
                fg_indices_key="mask_fg_indices",
                bg_indices_key="mask_bg_indices",
            ),
            transforms.SelectItemsd(keys),
            transforms.RandFlipd(keys, prob=recipe.fit.flip, spatial_axis=0),
            transforms.RandScaleIntensityd("image", factors=recipe.fit.intensity, prob=1.0),
            transforms.EnsureTyped(keys, track_meta=False),  # Plain tensors are faster.
        ]
    )


class MonaiSynthesis:
    """One volume by `sliding_window_inference` over the box of the mask."""

    samples = 1

    def __init__(self, recipe: Recipe, phantom: Phantom, device: torch.device) -> None:
        torch.manual_seed(SEED)
        self.recipe, self.device = recipe, device
        self.script = Script(recipe).to(device).eval()
        self.parameters = learning(self.script)
        self.images = torch.stack([torch.from_numpy(phantom.images[m]) for m in recipe.inputs])
        self.box = bounding_box(phantom.mask)

    def run(self, steps: int, watch: Watch) -> None:
        """The same volume again and again."""
        inside = self.images[(slice(None), *self.box)][None].to(self.device)
        for _ in range(steps):
            with torch.inference_mode():
                made = sliding_window_inference(
                    inside, self.recipe.fit.patch, 4, self.script,
                    overlap=self.recipe.synthesis.overlap, mode="gaussian",
                )  # fmt: skip
            whole = torch.zeros(len(made[0]), *self.images.shape[1:])
            whole[(slice(None), *self.box)] = made[0].cpu()
            watch.note(whole)
