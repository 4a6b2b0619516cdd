"""The page of a dataset as a reader uses it, in a headless Chromium."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser
from index_outputs import fill, put, sidecar

from bids_synth.core.settings import Settings
from bids_synth.pipeline.visit.index import only_index

ROWS = "[...document.querySelectorAll('#list tbody tr')]"
SHOWN = f"{ROWS}.map(tr => tr.cells[0].innerText + ' ' + tr.querySelector('td.target').innerText)"
KEPT = "document.getElementById('kept').innerText"


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture
def page(opened, tmp_path) -> Path:
    fill(tmp_path)
    only_index(Settings(tmp_path / "bids", tmp_path, "participant", tmp_path / "work"))
    opened.open(tmp_path / "index.html")
    opened.run("localStorage.clear()")
    opened.look()
    opened.open(tmp_path / "index.html")
    return tmp_path / "index.html"


def test_it_opens_from_a_file_without_a_word_and_asks_nobody(opened, page):
    loaded = opened.run("performance.getEntriesByType('resource').map(e => e.name)")
    assert loaded == []
    assert opened.messages == []
    assert opened.run(f"{ROWS}.length") == 6


def test_a_script_that_is_smuggled_in_does_not_run(opened, page):
    opened.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.pwned = 1';"
        "document.body.append(s); })()"
    )
    assert opened.run("window.pwned === undefined")
    assert any("Content Security Policy" in words for words in opened.messages)


def test_what_is_wrong_comes_first_and_every_column_sorts_both_ways(opened, page):
    verdicts = f"{ROWS}.map(tr => tr.querySelector('.badge').innerText)"
    assert opened.run(verdicts) == ["fail", "review", *["pass"] * 4]
    numbers = f"{ROWS}.map(tr => tr.cells[6].innerText)"
    for way, expected in (
        ("descending", ["9.3", "2.8", "2.8", "2.0", "1.5", ""]),
        ("ascending", ["1.5", "2.0", "2.8", "2.8", "9.3", ""]),
    ):
        opened.click("[data-key=strangeness]")
        assert opened.run(numbers) == expected, "what has no number stays last"
        heads = "document.querySelector('[data-key=strangeness]').parentElement"
        assert opened.run(f"{heads}.getAttribute('aria-sort')") == way
    opened.click("[data-key=participant]")
    assert opened.run(SHOWN)[0].startswith("sub-01")
    assert opened.run(SHOWN)[-1].startswith("sub-10"), "numbers in labels count"


def test_filters_find_by_word_verdict_target_and_decision(opened, page):
    opened.run("document.querySelector('[name=text]').focus()")
    opened.type("SUB-10 gd")
    assert opened.run(SHOWN) == ["sub-10 T1wGd"]
    assert opened.run("document.getElementById('count').innerText") == "1 of 6 images"
    opened.click("[type=reset]")
    opened.wait_for(lambda: opened.run(f"{ROWS}.length") == 6)
    opened.click("[name=verdict][value=pass]")
    assert opened.run(SHOWN) == ["sub-02 T2w", "sub-01 FLAIR"]
    opened.run(
        "(() => { const t = document.querySelector('[name=target]'); t.value = 'FLAIR';"
        "t.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert opened.run(SHOWN) == ["sub-01 FLAIR"]
    opened.click("[type=reset]")
    opened.wait_for(lambda: opened.run(f"{ROWS}.length") == 6)
    opened.click("tbody tr .accept")
    opened.run(
        "(() => { const t = document.querySelector('[name=decision]'); t.value = 'accept';"
        "t.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert opened.run(SHOWN) == ["sub-02 T2w"]


def test_decisions_stay_and_leave_as_a_table(opened, page, tmp_path):
    assert "stay in this browser" in opened.run("document.querySelector('.decisions').innerText")
    assert opened.run("document.getElementById('export').disabled")
    opened.click("tbody tr:nth-child(1) .reject")
    opened.click("tbody tr:nth-child(1) td input")
    opened.type("cut at the neck\tand =1+1")
    opened.click("tbody tr:nth-child(2) .accept")
    opened.click("#reviewer")
    opened.type("AB")
    opened.run("document.activeElement.blur()")
    assert opened.run(KEPT) == "2 of 6 decided, 2 not exported yet."
    opened.open(page)
    assert opened.run(KEPT) == "2 of 6 decided, 2 not exported yet.", "kept in this browser"
    pressed = "[...document.querySelectorAll('[aria-pressed=true]')].map(b => b.innerText)"
    assert [words.strip("✓✕\xa0") for words in opened.run(pressed)] == ["reject", "accept"]
    folder = tmp_path / "downloads"
    folder.mkdir()
    opened.download_to(folder)
    opened.click("#export")
    opened.wait_for((folder / "decisions.tsv").is_file)
    opened.wait_for(lambda: (folder / "decisions.tsv").stat().st_size > 0)
    text = (folder / "decisions.tsv").read_text()
    rows = {r["image"]: r for r in csv.DictReader(io.StringIO(text), delimiter="\t")}
    assert len(rows) == 2
    first = rows["sub-02/anat/sub-02_space-T1w_desc-synth_T2w.nii.gz"]
    assert (first["participant_id"], first["session_id"], first["target"]) == (
        "sub-02", "n/a", "T2w")  # fmt: skip
    assert (first["decision"], first["verdict"], first["reviewer"]) == ("reject", "fail", "AB")
    assert first["note"] == "cut at the neck and =1+1", "no tab of a note breaks the table"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", first["decided"])
    assert opened.run(KEPT) == "2 of 6 decided, all exported."


def test_an_image_made_anew_asks_for_a_new_decision_and_one_judged_anew_does_not(opened, page):
    opened.click("tbody tr:nth-child(1) .reject")
    opened.click("tbody tr:nth-child(2) .accept")
    output = page.parent
    put(output, "sub-02_space-T1w_desc-synth_T2w.json", sidecar(level="fail", key="anew"))
    put(
        output,
        "sub-01_space-T1w_desc-synth_FLAIR.json",
        sidecar("FLAIR", ("T1w", "T2w"), level="pass"),
    )
    only_index(Settings(output / "bids", output, "participant", output / "work"))
    opened.open(page)
    assert opened.run(KEPT).startswith("1 of 6 decided")


def test_the_keys_alone_are_enough(opened, page):
    opened.press("Tab")
    assert opened.run("document.activeElement.innerText") == "Skip to the images"
    opened.run("document.querySelector('tbody a').focus()")
    opened.press("r")
    assert opened.run(
        "document.querySelectorAll('tr:nth-child(1) .reject[aria-pressed=true]').length"
    )
    opened.press("ArrowDown")
    assert opened.run("document.activeElement.closest('tr').rowIndex") == 2
    opened.press("a")
    opened.press("a")
    assert opened.run(KEPT).startswith("1 of 6 decided"), "the second press takes it back"
    opened.run("document.querySelector('tbody input').focus()")
    opened.press("a")
    assert opened.run("document.querySelector('tbody input').value") == "a", "in a note it is text"
    opened.run("document.querySelector('[data-key=target]').focus()")
    opened.press("Enter")
    assert opened.run("document.querySelector('[aria-sort=ascending]').innerText") == "target"


def test_marks_are_links_and_folds_open_where_one_is_led(opened, page):
    links = opened.run(
        "[...document.querySelectorAll('.strip a')].map(a => a.getAttribute('href') + ' '"
        "+ a.getAttribute('aria-label'))"
    )
    assert "sub-02.html sub-02: 300 ml, fail" in links
    opened.click(".strip a path")
    opened.wait_for(lambda: str(opened.run("location.href")).endswith("sub-02.html"))


def test_no_page_is_wider_than_the_window_and_tables_say_that_they_scroll(opened, page):
    for width in (1280, 400):
        opened.look(width)
        opened.open(page)
        assert opened.run("document.documentElement.scrollWidth") <= width
        over = "document.querySelector('.scroll').classList.contains('over')"
        wide = "(e => e.scrollWidth > e.clientWidth + 1)(document.querySelector('.scroll'))"
        opened.wait_for(lambda: opened.run(f"{over} === {wide}"))  # noqa: B023
    assert opened.run(over)


def test_in_the_dark_and_with_less_motion_the_page_follows(opened, page):
    colours = "getComputedStyle(document.body).backgroundColor"
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    light = opened.run(colours), opened.run(behaviour)
    opened.look(dark=True, calm=True)
    dark = opened.run(colours), opened.run(behaviour)
    assert light[0] != dark[0]
    assert sum(map(int, re.findall(r"\d+", dark[0])[:3])) < 120
    assert (light[1], dark[1]) == ("smooth", "auto")


def test_paper_has_every_image_and_nothing_folded(opened, page, tmp_path):
    for n in range(150):
        put(tmp_path, f"sub-p{n}_space-T1w_desc-synth_T2w.json", sidecar(), page=False)
    only_index(Settings(tmp_path / "bids", tmp_path, "participant", tmp_path / "work"))
    opened.open(page)
    assert opened.run(f"{ROWS}.length") == 100
    assert opened.run("document.getElementById('more').innerText") == "Show 56 more of 56"
    opened.print_to(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").stat().st_size > 10_000
    assert opened.run(f"{ROWS}.length") == 156
