"""Write a visit: synthetic images and closed forms, their copies in templates, what is current."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bids_synth.bids.derivatives.closed_forms import (
    computed_of,
    current_closed_form,
    write_closed_form,
)
from bids_synth.bids.derivatives.copies import copy_is_current, write_copies
from bids_synth.bids.derivatives.synthetic import is_current, write_synthetic, written_synthetic
from bids_synth.core.catalogue import METRICS
from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import Scale
from bids_synth.core.settings import Settings
from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared
from bids_synth.evaluate.score import Scored, closed_form_image
from bids_synth.evaluate.trust.evidence import evidence_digest
from bids_synth.learn.model.evidence import held_out_of
from bids_synth.learn.model.model import Model
from bids_synth.measure.table import MODEL
from bids_synth.physics.formulas import NEEDED
from bids_synth.physics.visit_maps import blood_figures, held_voxels
from bids_synth.prepare.native import to_native
from bids_synth.prepare.to_template import to_template
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.tasks import Task
from bids_synth.spatial.volume import Volume, hold_to_bounds

LOG = logging.getLogger(__name__)


WHITE = "arbitrary (white matter is 1)"
"""`Units` where no scan of the dataset says how bright its scanner makes tissue."""


@dataclass(frozen=True)
class VisitWriter:
    """What a run makes of a visit, written into its output dataset."""

    model: Model
    recipe: Recipe
    """The model's own, limited to the modalities that the run asks for."""
    settings: Settings

    @cached_property
    def evidence(self) -> str:
        """Digest of what is known of the model's errors."""
        return evidence_digest(self.model.card)

    def write(
        self,
        synthetic: Synthetic,
        native: Synthetic,
        prepared: Prepared,
        *,
        leak: str | None,
        scores: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """An image on the reference's native grid and, from the prepared one, in templates.

        `leak` says why the participant is no stranger to the model; None where it is one.
        `scores` are `scores_told` of the image, where it was scored.
        """
        files = write_synthetic(
            native,
            prepared,
            self.settings.output,
            dataset=self.settings.dataset,
            model=self.block(native.modality, native.sources) | self._use(native, leak),
            region=self.model.recipe.preparation.mask,
            units=self._units(native),
            scores=scores,
        )
        self._copy(_images(files, synthetic), prepared)

    def _use(self, synthetic: Synthetic, leak: str | None) -> dict[str, Any]:
        """What the model is for, how it did on people whom it had not seen, and its leak guard."""
        card = self.model.card
        score = held_out_of(card.held_out, synthetic.modality, synthetic.sources)
        return {
            "HeldOut": None if score is None else score.model_dump(exclude={"target", "sources"}),
            "ParticipantKnown": leak or False,
            "Licence": card.licence,
            "IntendedUse": card.intended_use,
        }

    def _units(self, synthetic: Synthetic) -> str:
        """What is known of the unit of an image that no scan of the dataset has calibrated."""
        own = self.model.scales[synthetic.modality]
        scaling = self.model.recipe.preparation.scaling
        ours = MODALITIES[synthetic.modality].arbitrary and not synthetic.donors
        return WHITE if ours and scaling == "white-matter" and own == Scale(0.0, 1.0) else ""

    def compute(self, prepared: Prepared) -> list[str]:
        """Write what closed-form physics gives of a visit; a line where anything was written."""
        settings, constants, written = self.settings, blood_figures(prepared), []
        held_oef = 0
        for quantity in computed_of(prepared.visit, self.recipe):
            current = current_closed_form(quantity, prepared, settings.output, constants=constants)
            if current and not settings.overwrite and self._copies_are_current(current):
                continue
            image, held = hold_to_bounds(closed_form_image(quantity, prepared))
            if held:
                LOG.info("%s: %d voxels of %s were held at 0", prepared.label, held, quantity)
            held_oef = held_oef or held_voxels(prepared, prepared.mask_image.array)
            path, _ = write_closed_form(
                quantity,
                to_native(image, prepared, order=1),
                prepared,
                settings.output,
                dataset=settings.dataset,
                maps=NEEDED[quantity],
                constants=constants,
                region=self.model.recipe.preparation.mask,
                held=held,
                held_oef=held_oef,
            )
            self._copy({path: (image, 0.0)}, prepared)
            written.append(quantity)
        more = f" (OEF is held at 1 in {held_oef:,} voxels)" if held_oef else ""
        line = f"{prepared.label}: {', '.join(written)} by closed form{more}"
        return [line] if written else []

    def is_current(self, prepared: Prepared, task: Task) -> bool:
        """Whether a run of this model has written the image of a task, copies included."""
        current = written_synthetic(prepared.visit, prepared, task.target, self.settings.output)
        if current is None or not is_current(
            current[1], key=prepared.key, model=self.block(task.target, task.sources)
        ):
            return False
        return self._copies_are_current(current[0])

    def _copies_are_current(self, original: Path) -> bool:
        spaces, output = self.settings.spaces, self.settings.output
        return all(copy_is_current(original, space, output) for space in spaces)

    def block(self, target: str, sources: Sequence[str]) -> dict[str, Any]:
        """The sidecar's `SynthesisModel`."""
        card = self.model.card
        pet = MODALITIES[target].datatype == "pet" and bool(card.tracer)
        return {
            **({"Tracer": card.tracer} if pet else {}),
            "Name": card.name,
            "Version": card.version,
            "Recipe": self.model.recipe.name,
            "WeightsSHA256": self.model.sha256,
            "TrainingDataset": card.dataset,
            "SourceModalities": list(sources),
            "Members": len(card.weights),
            "EvidenceSHA256": self.evidence,
        }

    def _copy(self, images: Mapping[Path, tuple[Volume, float]], prepared: Prepared) -> None:
        """Write images, each with its background, in every template that was asked for.

        The keys are the originals; the values lie on the prepared grid, to be resampled once.
        """
        for space in self.settings.spaces:
            volumes = {
                path: to_template(
                    volume, prepared, space, seed=self.settings.seed, background=outside
                )
                for path, (volume, outside) in images.items()
            }
            write_copies(volumes, prepared, space, self.settings.output)


def scores_told(scored: Scored | None) -> list[dict[str, Any]]:
    """What the sidecar says of the model's scores, one mapping a protocol; nothing without any."""
    if scored is None:
        return []
    rows = scored.rows[scored.rows["method"] == MODEL]
    columns = [c for c in ("protocol", *METRICS, "coverage") if c in rows]
    return [
        {name: value for name, value in row.items() if pd.notna(value)}
        for row in rows[columns].to_dict("records")
    ]


def _images(files: Sequence[Path], synthetic: Synthetic) -> dict[Path, tuple[Volume, float]]:
    """Files of a synthetic image and its uncertainty -> their values and backgrounds."""
    paths = [path for path in files if path.suffix != ".json"]
    values = [
        (synthetic.image, MODALITIES[synthetic.modality].background),
        (synthetic.uncertainty, 0.0),
    ]
    pairs = zip(paths, values, strict=False)
    return {path: (volume, outside) for path, (volume, outside) in pairs if volume is not None}
