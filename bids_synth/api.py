"""The path of the data for images in memory: no BIDS dataset, and no folder is left.

>>> import bids_synth
>>> model = bids_synth.load()
>>> model.targets
('T1w', 'T2w', 'PDw', 'FLAIR')
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Image
from nibabel.spatialimages import SpatialImage

from bids_synth.bids.raw.extent import slab_mm
from bids_synth.core.settings import SkullStrip
from bids_synth.core.synthetic import Verdict
from bids_synth.core.visit import Prepared, Scan, Visit
from bids_synth.errors import ModelError, UsageError, VisitError
from bids_synth.evaluate.leaks import Guard
from bids_synth.evaluate.score import on_native
from bids_synth.evaluate.trust.intervals import with_interval
from bids_synth.evaluate.trust.judged import judged, with_scores_of
from bids_synth.evaluate.trust.predicted import SourcePredictor
from bids_synth.learn.data.array_cache import scaled_image
from bids_synth.learn.device import use_threads
from bids_synth.learn.model.model import load_model
from bids_synth.learn.networks.own import admit
from bids_synth.learn.synthesize import Synthesizer, load_synthesizer
from bids_synth.measure.protocol import PROTOCOLS, applies
from bids_synth.prepare.workflow.guest import settings_given_back
from bids_synth.prepare.workflow.workflow import prepare_visits
from bids_synth.recipe.embedded import DEFAULT, embedded_models, fetch_hint
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume

LOG = logging.getLogger(__name__)
Image: TypeAlias = SpatialImage | Path | str
"""A 3D image of nibabel, in any orientation, or the path of one."""
PERSON = "image"
"""Participant label of images that are nobody's."""
MEMORY_GB = 8.0


class Synthesis(NamedTuple):
    """What was made of the images of one head."""

    image: Nifti1Image
    """The synthetic image on the voxels of the reference: the first source of the recipe."""
    doubt: Nifti1Image | None
    """Half the width of the interval that holds nine real values in ten, on the same voxels and in
    the unit of the image; of a model without one the spread of its networks, or None."""
    verdict: Verdict
    """`level` is pass, review or fail; `reasons` are sentences, `checks` the figures behind."""


class PreparedImages(NamedTuple):
    """Images of one head as a model is shown them, all on one grid."""

    images: dict[str, Nifti1Image]
    """By modality, registered, in their own unit, with their skull."""
    mask: Nifti1Image
    """uint8: 1 in the brain, or in the head where the recipe wants it."""
    scaled: dict[str, Nifti1Image]
    """The images in the numbers that the networks see, 0 outside the mask: for another runtime."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in memory, for one head after the other."""

    synthesizer: Synthesizer
    predictor: SourcePredictor

    @property
    def name(self) -> str:
        """As it is called in reports."""
        return self.synthesizer.model.name

    @property
    def sources(self) -> tuple[str, ...]:
        """Modalities that it makes images from."""
        return tuple(self._recipe.sources)

    @property
    def targets(self) -> tuple[str, ...]:
        """Modalities that it makes."""
        return tuple(self._recipe.targets)

    @property
    def _recipe(self) -> Recipe:
        return self.synthesizer.model.recipe

    def synthesize(
        self,
        images: Mapping[str, Image],
        target: str,
        *,
        mask: Image | None = None,
        skull_strip: SkullStrip = "auto",
        seed: int = 1,
    ) -> Synthesis:
        """Make the `target` of a head from images of it, by modality.

        Images are nibabel's or files, each on its own grid. `mask` is a brain mask in the space
        of the reference, the first of `sources` that is there; without one it is found as
        `skull_strip` says. Arbitrary units have white matter at 1. UsageError for what the model
        cannot make, VisitError for images that cannot be used.
        """
        self._require(images, target)
        with _prepared(images, self._recipe, mask, skull_strip, seed) as prepared:
            return self._made(prepared, target)

    def prepare(
        self,
        images: Mapping[str, Image],
        *,
        mask: Image | None = None,
        skull_strip: SkullStrip = "auto",
        seed: int = 1,
    ) -> PreparedImages:
        """Images of one head as the model is shown them: registered, on its grid, with the mask.

        Arguments and errors are those of `synthesize`.
        """
        with _prepared(images, self._recipe, mask, skull_strip, seed) as prepared:
            found = {m: _image(prepared.image(m)) for m in prepared.images}
            mask_image = prepared.mask_image
            scaled = {
                m: _image(v.with_array(scaled_image(prepared, m, mask_image.array)))
                for m, v in ((m, prepared.image(m)) for m in prepared.images)
            }
            return PreparedImages(found, _image(mask_image), scaled)

    def _made(self, prepared: Prepared, target: str) -> Synthesis:
        model = self.synthesizer.model
        task = next(t for t in self._recipe.tasks(prepared.images) if t.target == target)
        image = self.synthesizer.synthesize(prepared, target, sources=task.sources)
        image = with_interval(image, prepared, model.card.intervals)
        image = judged(image, prepared, model, self.predictor.of(prepared, task.sources))
        image = with_scores_of(image, model.card)
        if known := Guard(model.card, "").reason(prepared):
            LOG.warning("%s: %s", model.name, known)
        native = on_native(image, prepared)
        doubt = native.uncertainty
        return Synthesis(
            _image(native.image),
            None if doubt is None else _image(doubt),
            image.verdict or Verdict("review"),
        )

    def _require(self, images: Mapping[str, object], target: str) -> None:
        recipe, faults = self._recipe, []
        if target not in recipe.targets:
            faults.append(f"it makes {', '.join(self.targets)}, not {target}")
        if target in images:
            faults.append(f"the {target} is to be made: leave it out of the images")
        if strange := [m for m in images if m not in recipe.modalities]:
            known = ", ".join(recipe.modalities)
            faults.append(f"it does not know {', '.join(strange)}; it knows {known}")
        enough = any(t.target == target for t in recipe.tasks([*images]))
        if not faults and not enough:
            least, names = recipe.minimum, ", ".join(m for m in self.sources if m != target)
            faults.append(f"a {target} needs {least} or more of {names}; got {', '.join(images)}")
        if faults:
            message = f"model {self.name}: {'; '.join(faults)}"
            raise UsageError(message)


def load(
    model: str | Path = DEFAULT, *, device: str = "auto", own_network: str | None = None
) -> LoadedModel:
    """Load a model that comes with the package, by name, or one that `group` fitted, by folder.

    `device` is auto, cpu, cuda or cuda:N. `own_network`, `package.module:Class`, is the one class
    of another package that the model may run; without it a model that asks for one is refused.
    ModelError where there is no such model.
    """
    known = embedded_models()
    folder = known.get(str(model), Path(model))
    if not (folder / "model.json").is_file():
        wanted = f"expected a model folder, or one of {', '.join(known)}"
        message = f"{model}: no model; {fetch_hint(str(model)) or wanted}"
        raise ModelError(message)
    if own_network is not None:
        admit(own_network)
    use_threads(None, most=len(os.sched_getaffinity(0)))
    synthesizer = load_synthesizer(load_model(folder), device)
    return LoadedModel(synthesizer, SourcePredictor(synthesizer))


def score(
    synthetic: SpatialImage,
    real: SpatialImage,
    mask: SpatialImage,
    *,
    protocol: str = "masked3d",
    unit: str = "arbitrary",
) -> dict[str, float]:
    """Scores of a synthetic against a real image on the same voxels, inside a mask.

    `protocol` is one of those of the tables (`masked3d`, `affine-free`, `synthrad` of HU, ...);
    `unit` is told where it matters, HU for example. UsageError for another name, VisitError for
    images that cannot be compared.

    >>> values = np.random.default_rng(0).normal(100, 10, (16, 16, 16)).astype(np.float32)
    >>> real = Nifti1Image(values, np.eye(4))
    >>> inside = Nifti1Image(np.ones(values.shape, np.uint8), np.eye(4))
    >>> scores = score(Nifti1Image(values + 1, np.eye(4)), real, inside)
    >>> round(scores["mae"], 3), round(scores["pearson"], 3)
    (1.0, 1.0)
    """
    if protocol not in PROTOCOLS or not applies(protocol, unit):
        usable = ", ".join(p for p in PROTOCOLS if applies(p, unit))
        message = f"protocol {protocol!r}: of an image in {unit} there are {usable}"
        raise UsageError(message)
    volumes = [_volume(image, unit) for image in (real, synthetic, mask)]
    scores = PROTOCOLS[protocol](*volumes)
    return {name: value for name, value in scores.items() if not np.isnan(value)}


@contextmanager
def _prepared(
    images: Mapping[str, Image],
    recipe: Recipe,
    mask: Image | None,
    skull_strip: SkullStrip,
    seed: int,
) -> Iterator[Prepared]:
    """The images as one visit, prepared; what was written goes with the context."""
    with TemporaryDirectory(prefix="bids_synth-") as place, settings_given_back():
        folder = Path(place)
        visit = _visit(images, mask, recipe, folder)
        prepared, problems = prepare_visits(
            [visit],
            recipe,
            work=folder / "work",
            seed=seed,
            skull_strip=skull_strip,
            nprocs=1,
            memory_gb=MEMORY_GB,
            pdb=True,  # In this process: the caller's may hold threads, which a fork does not.
        )
        if problems:
            raise VisitError(problems[0].message)
        yield prepared[visit.label]


def _visit(
    images: Mapping[str, Image],
    mask: Image | None,
    recipe: Recipe,
    folder: Path,
) -> Visit:
    paths = {m: _file(image, folder / f"{m}.nii") for m, image in images.items()}
    scans = {m: Scan(m, path, slab=slab_mm(path) is not None) for m, path in paths.items()}
    visit = Visit(PERSON, None, scans)
    if mask is None:
        return visit
    path = _file(mask, folder / "mask.nii")
    return replace(visit, brain_mask=path, mask_of=visit.reference(recipe.reference))


def _file(image: Image, path: Path) -> Path:
    """The file of an image, written where it is in memory."""
    if isinstance(image, (str, Path)):
        return Path(image).absolute()
    nib.save(image, path)
    return path


def _image(volume: Volume) -> Nifti1Image:
    image = Nifti1Image(volume.array, volume.grid.affine)
    image.header.set_xyzt_units("mm")
    return image


def _volume(image: SpatialImage, unit: str) -> Volume:
    array: Any = np.asarray(image.dataobj, np.float32)
    if array.ndim != 3:
        message = f"cannot score: expected 3D images, got {array.shape} voxels"
        raise VisitError(message)
    i, j, k = array.shape
    return Volume(array, Grid((i, j, k), np.asarray(image.affine, np.float64)), unit)
