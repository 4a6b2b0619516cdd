"""What comes from file names, sidecars, tables and models is text in every page, never markup."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from bids_fixtures import make_prepared, make_synthetic

from bids_synth.core.synthetic import Verdict
from bids_synth.core.visit import Scan, Visit
from bids_synth.errors import Problem, VisitError
from bids_synth.recipe.recipe import load_recipe
from bids_synth.report.pages.fragments import methods_html, scores_html, summary_html
from bids_synth.report.pages.group import write_group_report
from bids_synth.report.pages.participant import write_participant_report
from bids_synth.report.pages.templates import page
from bids_synth.report.pages.visit import VisitReport, write_visit_figures
from bids_synth.spatial.volume import write_text

HOSTILE = (
    "<pwned>", "</td></table><pwned src=x pwned=1>", '"><pwned pwned="', "'><pwned pwned='",
    '" pwned="1', "' pwned='1", "</style></title></script><pwned>", "{{ 7 * 191 }}<pwned>",
    "<!--<pwned>", "]]><pwned>", "&lt;pwned&gt;", "<svg/onload=pwned()>", "javascript:pwned()",
    "\u202e<pwned>\x00", "<a href=javascript:pwned>", "%3Cpwned%3E", "=cmd|' /C pwned'!A0",
)  # fmt: skip
HARMLESS = "a b"
ACTIVE = {"script", "iframe", "form", "base", "embed", "link", "a", "pwned", "svg", "input"}


class Structure(HTMLParser):
    """Tags with the names of their attributes, the text, and every address."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shape: list[tuple[str, ...]] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.shape.append((tag, *sorted(name for name, _ in attrs)))
        self.addresses += [v or "" for k, v in attrs if k in ("href", "src", "data", "action")]

    def handle_data(self, data):
        self.text += data


def unsafe(structure: Structure) -> list[tuple[str, ...]]:
    """Elements with a name or an attribute that was smuggled in."""
    return [
        element
        for element in structure.shape
        if any("pwned" in name or name.startswith("on") for name in element)
    ]


def fragments(folder: Path, word: str) -> list[str]:
    """Everything that is told of a visit whose every word is `word`."""
    prepared = make_prepared(
        folder, folder / "bids", Visit("01", None, {}), {"T1w": {}, "T2w": {}}
    )
    scan = prepared.visit.scans["T2w"]
    odd = prepared.visit.scans | {"T1w": Scan("T1w", folder / word.replace("/", "-")), "T2w": scan}
    visit = replace(prepared.visit, scans=odd)
    verdict = Verdict("review", (word, word))
    synthetics = [replace(make_synthetic("FLAIR", ("T1w",)), verdict=verdict)]
    facts = dict.fromkeys(("name", "dataset", "licence", "intended_use", "created"), word)
    row = dict.fromkeys(("visit", "participant", "target", "sources", "protocol", "method"), word)
    scores = pd.DataFrame([row | {"psnr": 30.0}])
    return [
        summary_html(replace(prepared, visit=visit), synthetics, facts),
        methods_html(prepared, synthetics, facts),
        scores_html(scores),
        page(
            "participant.html",
            participant=word,
            visits=[],
            problems=[Problem(word, word)],
            links=[],
            version=word,
            viewer="",
            viewer_style="",
        ),
    ]


@pytest.mark.parametrize("word", HOSTILE)
def test_a_hostile_word_changes_no_tag_and_no_attribute(word, tmp_path):
    hostile = [Structure(text) for text in fragments(tmp_path / "a", word)]
    harmless = [Structure(text) for text in fragments(tmp_path / "b", HARMLESS)]
    assert [s.shape for s in hostile] == [s.shape for s in harmless]
    assert not any(unsafe(s) for s in hostile)
    assert "1337" not in "".join(s.text for s in hostile)
    assert all(word.replace("\x00", "") in s.text.replace("\x00", "") for s in hostile[::2])


def test_the_comparison_can_see_what_is_not_escaped():
    for word in HOSTILE[:3]:
        assert (
            Structure(f'<td title="{word}">{word}</td>').shape != Structure("<td title=a>").shape
        )


def hostile_group_page(folder: Path, words: Sequence[str]) -> Structure:
    """A model's page from hostile tables, card and recipe."""
    told = " ".join(words)
    model = folder / "models" / "m"
    write_text(json.dumps({"name": told, "dataset": told, "licence": told}), model / "model.json")
    rows = "".join(f"sub-{w}\t{p}\n" for w, p in zip(words, _parts(), strict=False))
    write_text(f"participant_id\tpart\n{rows}", model / "split.tsv")
    printable = "".join(c for c in told if c.isprintable())
    recipe = load_recipe("impute").with_values({"task": printable[:400], "source": told[:200]})
    nothing = pd.DataFrame(columns=["target", "sources", "protocol", "method", "metric"])
    path = write_group_report(
        folder, model_folder=model, recipe=recipe, summary=nothing, rows=nothing
    )
    return Structure(path.read_text("utf-8"))


def _parts():
    yield from ("training", "validation", "test")
    while True:
        yield "training"


def test_the_page_of_a_hostile_model_has_the_tags_of_a_plain_one(tmp_path):
    words = [w for w in HOSTILE if w.isprintable()]
    hostile = hostile_group_page(tmp_path / "a", words)
    harmless = hostile_group_page(tmp_path / "b", [f"a{n}" for n in range(len(words))])
    assert hostile.shape == harmless.shape
    assert not unsafe(hostile)
    assert not any(a.lower().startswith("javascript") for a in hostile.addresses)
    assert words[1] in hostile.text


def test_a_whole_report_with_hostile_words_holds_none_of_them_as_markup(tmp_path):
    """Figures, fragments and page as a run writes them, with hostile files left beside."""
    word = HOSTILE[1]
    prepared = make_prepared(tmp_path, tmp_path / "bids", Visit("01", None, {}), {"T1w": {}})
    model = {"name": word, "dataset": word}
    write_visit_figures(tmp_path / "out", VisitReport(prepared, model=model))
    figures = tmp_path / "out" / "sub-01" / "figures"
    (figures / '"><pwned pwned=".svg').write_text("<svg/>")
    (figures / "sub-01_desc-synth_T1w&<pwned>.svg").write_text("<svg/>")
    path = write_participant_report(tmp_path / "out", "01", problems=[Problem(word, word)])
    whole = Structure(path.read_text("utf-8"))
    assert not unsafe(whole)
    assert not {tag for tag, *_ in whole.shape} & (ACTIVE - {"a", "svg"})
    assert all(a.startswith(("#", "./", "data:image/", "sub-01/")) for a in whole.addresses)
    assert word in whole.text
    for svg in figures.glob("sub-01_desc-*_T1w.svg"):
        assert not unsafe(Structure(svg.read_text("utf-8")))


def test_a_folder_of_results_that_is_a_link_is_not_written_through(tmp_path):
    prepared = make_prepared(tmp_path, tmp_path / "bids", Visit("01", None, {}), {"T1w": {}})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub-01").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VisitError, match="is a link out of the output"):
        write_visit_figures(tmp_path / "out", VisitReport(prepared))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_label_with_a_plus_finds_its_own_old_figures(tmp_path):
    """BIDS allows + in labels, regular expressions mean something else by it."""
    prepared = make_prepared(tmp_path, tmp_path / "bids", Visit("a+b", None, {}), {"T1w": {}})
    stale = tmp_path / "out" / "sub-a+b" / "figures" / "sub-a+b_desc-synth_T2w.svg"
    other = stale.parent / "sub-aab_desc-synth_T2w.svg"
    for path in (stale, other):
        write_text("<svg/>", path)
    write_visit_figures(tmp_path / "out", VisitReport(prepared))
    assert not stale.exists()
    assert other.exists(), "a label that the + would also stand for"
