"""The page that follows one visit has the stations and commands of the script that writes it."""

from __future__ import annotations

import re
from pathlib import Path

from scripts import walk

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "walk.md").read_text("utf-8")


def test_the_page_has_every_station_in_order() -> None:
    headings = re.findall(r"^## \d+\. (.+)$", PAGE, re.MULTILINE)
    assert headings == [station.__doc__ for station in walk.stations()]


def test_the_page_shows_the_commands_that_were_run() -> None:
    assert "\n".join(walk.COMMANDS) in PAGE


def test_every_room_that_the_page_names_is_there() -> None:
    headings = "".join(station.__doc__ or "" for station in walk.stations())
    rooms = re.findall(r"`([^`]+)`", headings)
    assert len(rooms) >= len(walk.stations()) - 1
    assert [room for room in rooms if not (ROOT / "bids_synth" / room).exists()] == []
