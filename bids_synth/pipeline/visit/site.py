"""Site: the dataset's own scans of what is made, which say how bright its tissues are here."""

from __future__ import annotations

import heapq
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bids_synth.bids.raw.filters import read_filters
from bids_synth.bids.raw.query import query
from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import Scale
from bids_synth.core.settings import Settings
from bids_synth.core.tissue.levels import levels_of
from bids_synth.core.tissue.site import Donor, Site, site_of
from bids_synth.core.visit import Prepared, Visit
from bids_synth.errors import BidsSynthError, VisitError
from bids_synth.pipeline.prepare_visits import earlier, prepare_reduced
from bids_synth.prepare.brain.levels import tissue_levels
from bids_synth.prepare.workflow.key import preparation_key
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.volume import json_text, read_json_object, write_text
from bids_synth.system.os_errors import visit_fails

LOG = logging.getLogger(__name__)
DONORS = 3
"""Participants whose scans say how bright tissues are."""
LOOKED_AT = 200
"""Participants among whom they are looked for: a job must not grow with the dataset."""
FILE = "site-levels.json"


@dataclass
class SiteLevels:
    """What is known of the dataset's scans of each modality, found when it is first asked for."""

    recipe: Recipe
    settings: Settings
    _donors: dict[str, list[Donor]] = field(default_factory=dict)

    def of(self, target: str, participant: str) -> Site | None:
        """What images of `target` are brought to; None where nobody else has a real one.

        Never by the participant's own scan, which is what is made.
        """
        if not MODALITIES[target].arbitrary or self.recipe.preparation.mask != "brain":
            return None
        if target not in self._donors:
            self._donors[target] = self._find(target)
        others = [d for d in self._donors[target] if d.participant != participant]
        return site_of(others[:DONORS])

    def _find(self, target: str) -> list[Donor]:
        names = having(self.settings.dataset, target, DONORS)
        visits: list[Visit] = []
        try:
            visits = self._visits(names, target) if names else []
        except BidsSynthError as error:
            LOG.warning("how bright a %s is here is not known: %s", target, error)
        known = read_json_object(self._file) or {}
        keys = self._keys(visits, target)
        lacking = [v for v in visits if v.label in keys and keys[v.label] not in known]
        if lacking:
            for prepared in self._prepared(lacking, target):
                known[keys[prepared.label]] = _measured(prepared, target)
            write_text(json_text(known) + "\n", self._file)
        data = [(visit, known.get(keys.get(visit.label, ""))) for visit in visits]
        donors = [
            Donor(visit.participant, levels_of(one["levels"]), Scale(**one["scale"]))
            for visit, one in data
            if one is not None
        ]
        if donors:
            people = ", ".join(f"sub-{donor.participant}" for donor in donors)
            LOG.info("%s: tissues are as bright as in the scans of %s", target, people)
        return donors

    @property
    def _file(self) -> Path:
        return self.settings.output / "logs" / FILE

    def _visits(self, names: Sequence[str], target: str) -> list[Visit]:
        """One visit of each that has the target."""
        settings = self.settings
        filters = read_filters(settings.filter_file) if settings.filter_file else None
        discovery = query(settings.dataset, self.recipe, participants=names, filters=filters)
        first = {v.participant: v for v in reversed(discovery.visits) if target in v.scans}
        return sorted(first.values(), key=lambda v: v.label)

    def _keys(self, visits: Sequence[Visit], target: str) -> dict[str, str]:
        """Label -> key of the preparation of the target alone; none for a file that is broken."""
        settings, keys = self.settings, {}
        for visit in visits:
            with suppress(VisitError), visit_fails():
                keys[visit.label] = preparation_key(
                    _alone(visit, target),
                    self.recipe,
                    seed=settings.seed,
                    skull_strip=settings.skull_strip,
                )
        return keys

    def _prepared(self, visits: Sequence[Visit], target: str) -> list[Prepared]:
        """Visits with the target: as they lie in the output, else prepared from it alone."""
        ready: list[Prepared] = []
        for visit in visits:
            with suppress(VisitError), visit_fails():
                found = earlier(visit, self.recipe, self.settings)
                ready += [found] if found else []
        there = {prepared.label for prepared in ready}
        rest = [_alone(visit, target) for visit in visits if visit.label not in there]
        if rest:
            LOG.info("looking at the %s of %d participant(s)", target, len(rest))
        prepared, problems = prepare_reduced(rest, self.recipe, self.settings)
        for problem in problems:
            LOG.warning("its %s does not say how bright tissue is: %s", target, problem)
        return [*ready, *prepared.values()]


def _alone(visit: Visit, target: str) -> Visit:
    return visit.without([m for m in visit.scans if m != target])


def _measured(prepared: Prepared, target: str) -> dict[str, Any]:
    levels = prepared.levels.get(target)
    if levels is None:
        inside = prepared.mask_image.array > 0
        there = prepared.covered(target)
        inside = inside if there is None else inside & there
        levels = tissue_levels(prepared.image(target), inside, read_itk(prepared.template))
    return {
        "modality": target,
        "participant": prepared.visit.participant,
        "levels": asdict(levels),
        "scale": asdict(prepared.scales[target]),
    }


def having(dataset: Path, target: str, most: int) -> list[str]:
    """Labels of the first participants in whose folders lies a file named as this modality."""
    with os.scandir(dataset) as entries:
        names = (entry.name for entry in entries if entry.name.startswith("sub-"))
        first = heapq.nsmallest(LOOKED_AT, names)
    found: list[str] = []
    for name in first:
        if len(found) == most:
            break
        folder = dataset / name
        if folder.is_dir() and any(_named(folder, target)):
            found.append(name.removeprefix("sub-"))
    return found


def _named(folder: Path, target: str) -> Iterator[Path]:
    modality = MODALITIES[target]
    for place in ("", "ses-*/"):
        yield from folder.glob(f"{place}{modality.datatype}/*_{modality.suffix}.nii*")
