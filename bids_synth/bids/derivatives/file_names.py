"""Outputs: what every file of a visit is called in the output dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from bids_synth.bids.names import KEYS, derivative_path
from bids_synth.core.modality import MODALITIES
from bids_synth.core.visit import Visit
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.template import SPACE

Region = Literal["brain", "head"]


@dataclass(frozen=True)
class OutputNames:
    """Paths, relative to the output, of the files of one visit registered to one reference."""

    visit: Visit
    """The visit whose files they are."""
    reference: str
    """Modality of the reference scan; its suffix is the `space-` label."""

    @property
    def space(self) -> str:
        """Label of the reference's space."""
        return MODALITIES[self.reference].suffix

    def synthetic(self, target: str, *, tracer: str | None = None) -> PurePosixPath:
        """The synthetic image of a target, on the reference's native grid."""
        entities = self._shared() | self._kind(target, tracer) | {"desc": "synth"}
        return self._path(target, entities)

    def uncertainty(self, target: str, *, tracer: str | None = None) -> PurePosixPath:
        """The uncertainty map of a target: a suffix of its own, since it is no such image."""
        entities = self._shared() | self._kind(target, tracer) | {"desc": f"synth{target}"}
        return self._path(target, entities, suffix="uncertainty")

    def closed_form(self, quantity: str) -> PurePosixPath:
        """The map of `cmro2` or `oef` that physics alone computes, on the reference's grid."""
        entities = self._shared() | {"desc": "closedform"}
        participant, session = self.visit.participant, self.visit.session
        return derivative_path(participant, session, "perf", quantity, entities=entities)

    def prepared(self, modality: str, grid: Grid, region: Region = "brain") -> PurePosixPath:
        """A scan of the visit on the prepared grid, which is cropped around the region."""
        run = self._run_of(modality)
        desc = "preproc" if region == "brain" else f"{region}preproc"
        entities = run | self._kind(modality) | {"space": self.space, "desc": desc}
        return self._path(modality, entities | {"res": resolution_label(grid)})

    def mask(self, region: Region, grid: Grid | None = None) -> PurePosixPath:
        """The mask on the prepared grid, or on the reference's own where none is given."""
        entities = self._shared() | {"desc": region}
        if grid is not None:
            entities["res"] = resolution_label(grid)
        return self._anat("mask", entities)

    def coverage(self, modality: str, grid: Grid) -> PurePosixPath:
        """The mask, on the prepared grid, of what a scan of the visit shows."""
        entities = self._shared() | {"desc": f"{modality}coverage", "res": resolution_label(grid)}
        return self._anat("mask", entities)

    def transform(self, source: str) -> PurePosixPath:
        """The transform that brings images of a modality to the reference's space."""
        return self._transform(source, self.reference)

    def template(self) -> PurePosixPath:
        """The transform that brings images in the reference's space to the template."""
        return self._transform(self.reference, SPACE)

    def _transform(self, source: str, target: str) -> PurePosixPath:
        entities = self._run_of(self.reference) | {"from": source, "to": target, "mode": "image"}
        return self._anat("xfm", entities, extension=".txt")

    def _shared(self) -> dict[str, str]:
        return self._run_of(self.reference) | {"space": self.space}

    def _run_of(self, modality: str) -> dict[str, str]:
        scan = self.visit.scans.get(modality)
        return {"run": scan.entities["run"]} if scan and "run" in scan.entities else {}

    def _kind(self, modality: str, tracer: str | None = None) -> dict[str, str]:
        """Entities that tell a modality from others of its suffix: agent and tracer."""
        fixed = MODALITIES[modality].entities.items()
        entities = {KEYS[name]: label for name, label in fixed if label is not None}
        scan = self.visit.scans.get(modality)
        if tracer is None and scan is not None:
            tracer = scan.entities.get("trc")
        return entities if tracer is None else {"trc": tracer} | entities

    def _path(
        self, modality: str, entities: Mapping[str, str], *, suffix: str | None = None
    ) -> PurePosixPath:
        known = MODALITIES[modality]
        participant, session = self.visit.participant, self.visit.session
        return derivative_path(
            participant, session, known.datatype, suffix or known.suffix, entities=entities
        )

    def _anat(
        self, suffix: str, entities: Mapping[str, str], *, extension: str = ".nii.gz"
    ) -> PurePosixPath:
        """Masks and transforms lie in anat whatever the reference: BIDS has no pet mask."""
        participant, session = self.visit.participant, self.visit.session
        return derivative_path(
            participant, session, "anat", suffix, entities=entities, extension=extension
        )


def resolution_label(grid: Grid) -> str:
    """The `res-` label of a grid: its voxel size with `p` for the decimal point.

    >>> import numpy as np
    >>> resolution_label(Grid((2, 2, 2), np.diag([1.5, 1.5, 1.5, 1])))
    '1p5mm'
    >>> resolution_label(Grid((2, 2, 2), np.diag([1, 1, 3, 1])))
    '1x1x3mm'
    """
    sizes = [f"{size:.3g}".replace(".", "p") for size in grid.spacing]
    return (sizes[0] if len(set(sizes)) == 1 else "x".join(sizes)) + "mm"


def sidecar_of(path: PurePosixPath) -> PurePosixPath:
    """The JSON beside a file.

    >>> sidecar_of(PurePosixPath("sub-01/anat/sub-01_T2w.nii.gz")).name
    'sub-01_T2w.json'
    """
    return path.with_name(path.name.split(".", 1)[0] + ".json")
