"""The page of a model as a reader uses it: folds, paper, the dark, in a headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser
from test_report_pages import GRID, INSIDE, image, scored

from bids_synth.core.synthetic import Synthetic
from bids_synth.measure.table import summarise
from bids_synth.recipe.recipe import load_recipe
from bids_synth.report.figures.synthetic import Shown
from bids_synth.report.pages.group import Example, write_group_report
from bids_synth.spatial.volume import Volume

OPEN = "[...document.querySelectorAll('details[open]')].map(d => d.closest('section').id)"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("group")
    model = folder / "models" / "impute"
    model.mkdir(parents=True)
    (model / "training.tsv").write_text("step\tloss\tscore\n1\t2\t20\n2\t1\t21\n")
    rows, _ = scored()
    shown = [
        Example(f"sub-{n}", Shown(Synthetic("T2w", ("T1w",), image(), None, real=image()),
                                  {"T1w": image()}, Volume(INSIDE, GRID)))
        for n in range(3)
    ]  # fmt: skip
    return write_group_report(
        folder, model_folder=model, recipe=load_recipe("impute"), rows=rows, examples=shown,
        summary=summarise(rows, resamples=100, seed=1),
    )  # fmt: skip


@pytest.fixture
def opened(page, tmp_path) -> Iterator[Browser]:
    with browser(tmp_path / "profile") as one:
        one.look()
        one.open(page)
        yield one


def test_it_begins_with_pictures_and_one_table_and_the_rest_is_folded(opened):
    parts = opened.run(
        "[...document.querySelectorAll('main > section')].map(s => [s.id,"
        "[...s.querySelectorAll('img, table')].filter(e => e.checkVisibility())"
        ".map(e => e.tagName)])"
    )
    assert parts[:2] == [["examples", ["IMG", "IMG"]], ["scores", ["TABLE"]]]
    assert [seen for _, seen in parts[2:]] == [[]] * len(parts[2:])
    assert opened.messages == []


def test_a_link_opens_the_fold_that_it_leads_into_and_keys_open_others(opened):
    opened.click("nav a[href='#fitting']")
    opened.wait_for(lambda: opened.run(OPEN) == ["fitting"])
    opened.run("document.querySelector('#tables summary').focus()")
    opened.press("Enter")
    assert opened.run(OPEN) == ["tables", "fitting"]


def test_paper_has_all_that_is_folded_and_afterwards_it_is_folded_again(opened, tmp_path):
    opened.run("addEventListener('afterprint', () => { window.printed = 1; })")
    opened.run("addEventListener('beforeprint', () => { window.seen = " + OPEN + "; })")
    opened.print_to(tmp_path / "page.pdf")
    opened.wait_for(lambda: opened.run("window.printed"))
    assert opened.run("window.seen") == ["examples", "tables", "fitting", "model"]
    assert opened.run(OPEN) == []


def test_it_fits_a_telephone_and_the_dark(opened):
    opened.look(400, dark=True, calm=True)
    assert opened.run("document.documentElement.scrollWidth") <= 400
    assert opened.run("getComputedStyle(document.querySelector('img.chart')).filter") != "none"
    assert opened.run(
        "[...document.images].every(i => i.alt.length > 30 && i.alt.endsWith('.'))"
    ), "what is seen, in a sentence"
