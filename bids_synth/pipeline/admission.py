"""Admission: the machine and the headers of all scans, before anything is prepared."""

from __future__ import annotations

from dataclasses import replace

from bids_synth.bids.checks.faults import sidecar_notes
from bids_synth.bids.raw.extent import slab_mm
from bids_synth.bids.raw.query import Discovery
from bids_synth.core.settings import Settings
from bids_synth.core.visit import Scan, Visit
from bids_synth.errors import Problem, VisitError
from bids_synth.prepare.checks import admit_header
from bids_synth.spatial.volume import read_grid

MOST = 2000
"""Scans of a dry run above which no header is read: about 5 ms each, and more
on a network disk. A run that does the work always reads them."""


def require_device(settings: Settings) -> None:
    """UsageError where a card was asked for and is not there; `auto` takes what there is."""
    if settings.device.startswith("cuda") and not (settings.preproc_only or settings.reports_only):
        from bids_synth.learn.device import resolve_device

        resolve_device(settings.device)


def admitted(discovery: Discovery, *, planning: bool) -> Discovery:
    """The discovery, visits with a scan or mask whose header is refused among its problems.

    Notes gain what is odd but accepted. Where only a plan is wanted (`planning`) of a dataset
    with many scans, it comes back as it is, with a note that says so.
    """
    count = sum(len(visit.scans) for visit in discovery.visits)
    if planning and count > MOST:
        note = (
            f"the headers of {count:,} scans are not looked at in a dry run of more than "
            f"{MOST:,}; a run names those that cannot be used"
        )
        return replace(discovery, notes=(*discovery.notes, note))
    visits: list[Visit] = []
    unusable: list[Visit] = []
    problems, notes = [], []
    for visit in map(_with_slabs, discovery.visits):
        faults, odd = _looked_at(visit)
        notes += odd
        problems += [Problem(visit.label, fault) for fault in faults]
        (unusable if faults else visits).append(visit)
    return Discovery(
        tuple(visits),
        (*discovery.problems, *problems),
        (*discovery.notes, *notes),
        (*discovery.unusable, *unusable),
    )


def _with_slabs(visit: Visit) -> Visit:
    """The visit, its scans that are slabs marked as such."""
    scans = {m: replace(s, slab=_thickness(s) is not None) for m, s in visit.scans.items()}
    return replace(visit, scans=scans)


def _thickness(scan: Scan) -> float | None:
    try:
        return slab_mm(scan.path)
    except VisitError:
        return None


def _slab_notes(visit: Visit) -> list[str]:
    notes = []
    for modality, scan in visit.scans.items():
        if scan.slab:
            text = f"{scan.path}: is a slab of {_thickness(scan):.0f} mm"
            notes.append(f"{text}; outside it the {modality} counts as missing")
    if notes and visit.brain_mask is not None and visit.scans[visit.mask_of or ""].slab:
        text = f"{visit.label}: {visit.brain_mask} is of a slab"
        notes.append(f"{text}; it is used only where no other scan is the reference")
    return notes


def _looked_at(visit: Visit) -> tuple[list[str], list[str]]:
    """Reasons to refuse a visit, and what is odd about it, all by headers and sidecars."""
    faults: list[str] = []
    notes = _slab_notes(visit)
    for scan in visit.scans.values():
        notes += sidecar_notes(scan.path)
        try:
            notes += admit_header(scan.path)
        except VisitError as error:
            faults.append(str(error))
    if visit.brain_mask is not None:
        try:
            read_grid(visit.brain_mask)
        except VisitError as error:
            faults.append(str(error))
    return faults, notes
