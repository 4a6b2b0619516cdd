"""The page of a participant, assembled by NiReports from what lies in its figures folder."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nireports.assembler.report import Report

import bids_synth
from bids_synth.errors import Problem
from bids_synth.report.pages.pictures import described, inside, markup
from bids_synth.report.pages.templates import FOLDER, page, viewer_script, viewer_style
from bids_synth.spatial.volume import write_text

SESSIONS_PER_PAGE = 4
"""Sessions above which each has a page of its own, as in fMRIPrep."""
VIEWER = "Look through"
"""The section of `participant.yml` that needs the script of the viewer."""
_PLAIN = re.compile(r"[A-Za-z0-9_.+-]+")
_SESSION = re.compile(r"_ses-([A-Za-z0-9]+)_")


def write_participant_report(
    output: Path,
    participant: str,
    *,
    problems: Sequence[Problem] = (),
    sessions_per_page: int = SESSIONS_PER_PAGE,
    embed: bool = False,
) -> Path:
    """Write `output/sub-<participant>.html` from the figures that are there; returns its path.

    Visits are sections, in the order of their sessions; `problems` of this run come first.
    With more sessions than `sessions_per_page` each has a page of its own,
    `sub-<participant>_ses-<session>.html`, and this page leads to them.
    With `embed` a page holds its figures and volumes, and needs no other file.
    Needs no image, so that a page can be made again at any time.
    """
    figures = output / f"sub-{participant}" / "figures"
    names = sorted(f.name for f in figures.iterdir()) if figures.is_dir() else []
    odd = [name for name in names if not _PLAIN.fullmatch(name)]
    sessions = {m[1] if (m := _SESSION.search(name)) else None for name in names}
    visits = [
        _visit(output, participant, session, odd, embed=embed)
        for session in sorted(sessions, key=lambda s: s or "")
    ]
    visits = [visit for visit in visits if visit["parts"]]
    apart = visits if len(visits) > sessions_per_page else []
    pages = {_page_name(participant, visit): visit for visit in apart}
    for name, visit in pages.items():
        _write(output / name, participant, visits=[visit])
    for name in _earlier_pages(output / f"sub-{participant}.html") - pages.keys():
        (output / name).unlink(missing_ok=True)
    links = [{"file": name, "title": visit["title"]} for name, visit in pages.items()]
    path = output / f"sub-{participant}.html"
    return _write(
        path, participant, visits=[] if apart else visits, problems=problems, links=links
    )


def _earlier_pages(page: Path) -> set[str]:
    """Pages of sessions that a participant's page leads to.

    Not by a look at the output: it lists everybody, and each participant would pay for all.
    """
    if not page.is_file():
        return set()
    ours = re.compile(rf"href=\"({re.escape(page.stem)}_ses-[A-Za-z0-9]+\.html)\"")
    return set(ours.findall(page.read_text("utf-8", errors="replace")))


def _page_name(participant: str, visit: Mapping[str, Any]) -> str:
    return f"sub-{participant}_{visit['anchor']}.html"


def _write(
    path: Path,
    participant: str,
    *,
    visits: Sequence[Mapping[str, Any]],
    problems: Sequence[Problem] = (),
    links: Sequence[Mapping[str, str]] = (),
) -> Path:
    shows = any(_has_viewer(visit) for visit in visits)
    text = page(
        "participant.html",
        participant=participant,
        visits=visits,
        problems=problems,
        links=links,
        version=bids_synth.__version__,
        viewer=viewer_script() if shows else "",
        viewer_style=viewer_style() if shows else "",
    )
    return write_text(text, path)


def _has_viewer(visit: Mapping[str, Any]) -> bool:
    return any(part["title"] == VIEWER for part in visit["parts"])


def _visit(
    output: Path, participant: str, session: str | None, odd: Sequence[str], *, embed: bool
) -> dict[str, Any]:
    def way(content: str, title: str) -> str:
        content = described(content, output, title)
        return inside(content, output) if embed else content

    anchor = f"ses-{session}" if session else "visit"
    parts = []
    for section in _sections(output, participant, session):
        blocks = [
            {"content": markup(way(content, section.name)), "caption": caption}
            for reportlet in section.reportlets
            for content, caption in sorted(reportlet.components, key=lambda c: str(c[0]))
            if not any(name in content for name in odd)
        ]
        if blocks:
            part = f"{anchor}-{section.name.lower().replace(' ', '-')}"
            parts.append({"title": section.name, "anchor": part, "blocks": blocks})
    title = f"Session {session}" if session else ""
    return {"title": title, "anchor": anchor, "parts": parts}


def _sections(output: Path, participant: str, session: str | None) -> list[Any]:
    # pybids takes entities from the whole path: an output below /anat/ or /sub-x/ would give
    # an empty report, hence the link with a neutral path.
    with tempfile.TemporaryDirectory(prefix="report") as folder:
        link = Path(folder) / "output"
        link.symlink_to(output.resolve(), target_is_directory=True)
        report = Report(
            link,
            "",
            bootstrap_file=FOLDER / "participant.yml",
            out_filename="report.html",
            reportlets_dir=link / f"sub-{participant}",
            subject=participant,
            session=session,
        )
        return list(report.sections)
