"""Shipped: the model that comes with the package, fitted anew without a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.real.fits import answers
from benchmarks.real.people import STUDIES, others
from benchmarks.real.rivals import Answers
from bids_synth.core.scale import Scale
from bids_synth.core.synthetic import Synthetic
from bids_synth.core.tissue.site import Donor, site_of
from bids_synth.core.visit import Prepared
from bids_synth.evaluate.calibrated import calibrated
from bids_synth.spatial.volume import Volume
from training.any_contrast import dataset_of, fit

WITHOUT = ("fit.steps=3000", "fit.members=1")
"""A shorter fit of one network: three of them are made for the table."""


def without(people: dict[str, Prepared], out: Path, study: str) -> Path:
    """The model that has never seen a study."""
    dataset = dataset_of(people, out / "bids")
    return fit(dataset, out, others(study), f"without-{study}", WITHOUT)


def shipped(people: dict[str, Prepared], out: Path, study: str) -> Answers:
    """Answers with white matter at the level of the real scan: its gain is nobody else's."""
    return answers(without(people, out, study), [people[p] for p in STUDIES[study]])


def at_site(people: dict[str, Prepared], out: Path, study: str) -> Answers:
    """The same brought to the levels of the other participants of the study, where it has any."""
    for label, direction, image in shipped(people, out, study):
        person, target = people[label], direction[1]
        site = site_of(
            [
                Donor(p, people[p].levels[target], people[p].scales[target])
                for p in _siblings(label, STUDIES[study])
            ]
        )
        if site is None:
            yield label, direction, image
            continue
        made = Volume(image, person.grid)
        brought = calibrated(Synthetic(target, direction[0], made, None), person, site)
        own: Scale = person.scales[target]
        inside = person.mask_image.array > 0
        values = own.invert(site.scale.apply(brought.image.array))
        yield label, direction, np.where(inside, values, 0).astype(np.float32)


def _siblings(label: str, study: Sequence[str]) -> list[str]:
    return [person for person in study if person != label]
