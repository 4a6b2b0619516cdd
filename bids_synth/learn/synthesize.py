"""Synthesize: a model and a prepared visit to a synthetic image with its spread."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bids_synth.core.coverage import Part, parts_of
from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import Scale
from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared
from bids_synth.errors import UsageError, VisitError
from bids_synth.learn.data.array_cache import scaled_image
from bids_synth.learn.data.auxiliary_inputs import AuxiliaryInputs, auxiliary_names
from bids_synth.learn.data.patches import slide
from bids_synth.learn.device import resolve_device
from bids_synth.learn.fit.selection import blocks_of
from bids_synth.learn.model.model import Model
from bids_synth.learn.networks.context import ContextPerceptron, answers_of
from bids_synth.learn.out_of_memory import is_shortage
from bids_synth.recipe.tasks import task_of
from bids_synth.spatial.volume import LEAST, Volume, hold_to_bounds

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Synthesizer:
    """A model with its networks loaded.

    Of the visits it has seen it holds the last answer alone, since targets that are made of the
    same sources come from one pass.
    """

    model: Model
    networks: tuple[nn.Module, ...]
    device: torch.device
    extras: AuxiliaryInputs | None = None
    """What the maps beside the sources are made of, where the recipe has any."""
    last: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict, compare=False)
    """Digest of what was shown -> the answers of every network to all targets."""

    def synthesize(
        self,
        prepared: Prepared,
        target: str,
        *,
        sources: Sequence[str] | None = None,
        scale: Scale | None = None,
        within: npt.NDArray[np.bool_] | None = None,
    ) -> Synthetic:
        """Make `target` from `sources` (all that the visit has but the target itself).

        The image is the mean over folds and members, the spread their standard deviation,
        both on `prepared.grid` in the target's unit by `scale` (the model's population scale
        where None). Outside the mask, and of `within` where it is given, the image holds the
        modality's background and the spread 0. Outside its field of view a source is missing:
        each part of the mask is made from the sources that are there, and one with too few of
        them stays background.
        Raises UsageError where the recipe cannot make the target, VisitError where the sources
        do not suffice or the card's memory does not.
        """
        used = self._sources(prepared, target, sources)
        mask = prepared.mask_image.array
        parts = parts_of(prepared, used, mask, least=self.model.recipe.minimum)
        if not parts:
            message = (
                f"{prepared.label}: nowhere in the mask are {self.model.recipe.minimum} sources "
                f"of {target} at once; give scans that cover the same part of the head"
            )
            raise VisitError(message)
        if within is not None:
            parts = [replace(part, weight=part.weight * within) for part in parts]
        images = self._images(prepared, used, mask)
        answers = (p.weight * self._part(images, mask, p, target, prepared) for p in parts)
        scaled = np.asarray(sum(answers), dtype=np.float32)
        inside: npt.NDArray[np.bool_] = np.any([part.weight > 0 for part in parts], axis=0)
        chosen = scale or self.model.scales[target]
        modality = MODALITIES[target]
        every = chosen.invert(scaled)
        self._require_finite(every[:, inside], prepared.label, target)
        mean = np.where(inside, every.mean(axis=0), np.float32(modality.background))
        unit = modality.unit if scale else self.model.recipe.unit(target)
        image, held = hold_to_bounds(Volume(mean.astype(np.float32), prepared.grid, unit))
        if held:
            text = "%s: %d of %d voxels of the %s were below %g %s and are held there"
            least = LEAST[unit]
            LOG.info(text, prepared.label, held, inside.sum(), target, least, unit)
        missing = (mask > 0) & ~inside
        made_in = image.with_array(inside.astype(np.uint8)) if missing.any() else None
        spread = None
        if len(every) > 1:
            deviation = np.where(inside, every.std(axis=0, ddof=1), 0)
            spread = image.with_array(deviation.astype(np.float32))
        return Synthetic(target, used, image, spread, made_in=made_in, held=held, scale=chosen)

    def _require_finite(self, values: npt.NDArray[np.float32], label: str, target: str) -> None:
        """VisitError where one of the networks gives no number: `values` is (networks, voxels)."""
        lost = int((~np.isfinite(values)).any(axis=0).sum())
        if lost:
            message = (
                f"{label}: model {self.model.name} gives NaN or infinity at {lost:,} of "
                f"{values.shape[1]:,} voxels of the {target}; look at its sources and its "
                f"training.tsv, or fit the model anew"
            )
            raise VisitError(message)

    def _images(
        self, prepared: Prepared, sources: Sequence[str], mask: npt.NDArray[np.uint8]
    ) -> dict[str, npt.NDArray[np.floating[Any]]]:
        """All that the network can be shown of a visit, by name, scaled."""
        images: dict[str, npt.NDArray[Any]] = {
            source: scaled_image(prepared, source, mask) for source in sources
        }
        if self.extras is not None:
            images |= self.extras.maps(prepared, mask)
        return images

    def _part(
        self,
        images: Mapping[str, npt.NDArray[np.floating[Any]]],
        mask: npt.NDArray[np.uint8],
        part: Part,
        target: str,
        prepared: Prepared,
    ) -> npt.NDArray[np.float32]:
        """Scaled result of every network, (networks, I, J, K), right in one part of the mask."""
        recipe = self.model.recipe
        shown = np.zeros((len(recipe.inputs), *mask.shape), dtype=np.float32)
        for name in (*part.sources, *auxiliary_names(recipe, part.sources)):
            shown[recipe.inputs.index(name)] = images[name]
        where = part.weight > 0
        return self._slide(shown, mask, part.sources, target, prepared.label, where)

    def _sources(
        self, prepared: Prepared, target: str, sources: Sequence[str] | None
    ) -> tuple[str, ...]:
        recipe = self.model.recipe
        if target not in recipe.targets:
            message = (
                f"model {self.model.name} cannot make {target}; it makes "
                f"{', '.join(recipe.targets)}"
            )
            raise UsageError(message)
        own = [m for m in prepared.images if m not in prepared.truths]
        task = task_of(target, recipe.sources, own if sources is None else sources)
        if lacking := [m for m in sources or () if m not in own]:
            message = (
                f"{prepared.label}: has no prepared {', '.join(lacking)} to make {target} from"
            )
            raise VisitError(message)
        if not task.feasible(recipe.minimum):
            others = task_of(target, recipe.sources, recipe.sources).sources
            message = (
                f"{prepared.label}: {target} needs at least {recipe.minimum} of "
                f"{', '.join(others)}; given: {', '.join(task.sources) or 'none'}"
            )
            raise VisitError(message)
        return task.sources

    def _slide(
        self,
        images: npt.NDArray[np.float32],
        mask: npt.NDArray[np.uint8],
        sources: Sequence[str],
        target: str,
        label: str,
        part: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.float32]:
        """Scaled result of every network: (networks, I, J, K)."""
        recipe = self.model.recipe
        shown = hashlib.sha256(str([id(network) for network in self.networks]).encode())
        for number, image in enumerate(images):
            if image.any():
                shown.update(bytes([number]))
                shown.update(np.ascontiguousarray(image).data)
        shown.update("/".join(sources).encode() + np.packbits(part).tobytes())
        if (known := self.last.get(shown.hexdigest())) is None:
            self.last.clear()
            known = self.last[shown.hexdigest()] = self._every(images, mask, sources, label, part)
        return known[:, recipe.targets.index(target)]

    def _every(
        self,
        images: npt.NDArray[np.float32],
        mask: npt.NDArray[np.uint8],
        sources: Sequence[str],
        label: str,
        part: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.float32]:
        """All targets by every network: (networks, T, I, J, K)."""
        recipe = self.model.recipe
        if self._reads:  # They answer voxel by voxel, and need not answer elsewhere.
            images = np.concatenate([images, part[None].astype(np.float32)])
        try:
            answers = slide(
                self._blocks(sources),
                images,
                mask,
                patch=recipe.fit.patch,
                overlap=recipe.synthesis.overlap,
                device=self.device,
                part=part,
            )
        except (RuntimeError, MemoryError) as error:
            if not is_shortage(error):
                raise
            raise VisitError(_too_little(label, self.device, recipe.fit.patch)) from error
        except ValueError as error:
            message = f"{label}: {error}; check its preparation"
            raise VisitError(message) from error
        return answers.reshape(len(self.networks), len(recipe.targets), *mask.shape)

    def _blocks(self, sources: Sequence[str]) -> Callable[[torch.Tensor], torch.Tensor]:
        """Windows (N, S, ...) -> the targets of one network after the other, (N, M T, ...).

        The last image of windows for networks that read is above 0 where they are to answer.
        """
        recipe, networks = self.model.recipe, self.networks
        reading = [n for n in networks if isinstance(n, ContextPerceptron)]
        if not self._reads:
            parts = [blocks_of(n, recipe, sources, recipe.targets, self.device) for n in networks]
            return lambda window: torch.cat([part(window) for part in parts], dim=1)
        known = {*sources, *auxiliary_names(recipe, sources)}
        there = torch.tensor([float(m in known) for m in recipe.inputs], device=self.device)
        return lambda window: torch.stack(
            [answers_of(reading, one[:-1], there, one[-1]).flatten(0, 1) for one in window]
        )

    @property
    def _reads(self) -> bool:
        """Whether every network reads what lies around a voxel."""
        return all(isinstance(network, ContextPerceptron) for network in self.networks)


def load_start(synthesizer: Synthesizer) -> Synthesizer | None:
    """The same for the answers that the fits began from; None where they began from none."""
    starts = synthesizer.model.starts()
    networks = tuple(network.to(synthesizer.device) for network in starts)
    return replace(synthesizer, networks=networks, last={}) if networks else None


def load_synthesizer(model: Model, device: str = "auto") -> Synthesizer:
    """Load a model's networks onto a device, once for all visits.

    Raises UsageError where they do not fit into its memory.
    """
    where = resolve_device(device)
    try:
        networks = tuple(network.to(where) for network in model.networks())
    except (RuntimeError, MemoryError) as error:
        if not is_shortage(error):
            raise
        message = (
            f"{where} has too little memory for the networks of {model.name}{_otherwise(where)}"
        )
        raise UsageError(message) from error
    recipe, extras = model.recipe, None
    if len(recipe.inputs) > len(recipe.sources):
        extras = AuxiliaryInputs(recipe, model.baselines().population)
    return Synthesizer(model, networks, where, extras)


def _too_little(label: str, device: torch.device, patch: Sequence[int]) -> str:
    window = "x".join(map(str, patch))
    return (
        f"{label}: {device} has too little memory for one window of {window}{_otherwise(device)}"
    )


def _otherwise(device: torch.device) -> str:
    if device.type == "cuda":
        return "; end what else runs on the card, or use --device cpu"
    return "; give it more memory"
