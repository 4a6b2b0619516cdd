"""The methods text: its citations, and the same words in every format."""

from __future__ import annotations

import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bids_synth import __version__
from bids_synth.recipe.recipe import load_recipe, recipe_names, validate_recipe
from bids_synth.report.methods import boilerplate as words
from bids_synth.report.methods.boilerplate import boilerplate
from bids_synth.report.methods.formats import _ESCAPED, _escaped, formats, html, latex
from bids_synth.report.methods.references import CITED, REFERENCES, cited

ROOT = Path(__file__).resolve().parent.parent
TEXTS = [
    boilerplate(load_recipe(name), skull_strip=mask)
    for name in recipe_names()
    for mask in words._MASKS
]


class Words(HTMLParser):
    """The text of the body of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.pieces: list[str] = []
        self.feed(page.partition("<body>")[2])

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)


def plain(text: str) -> str:
    """Letters, figures and dots alone, to compare formats by."""
    return re.sub(r"[^\w.]+", " ", text).strip()


def test_every_citation_has_its_reference_and_every_reference_is_cited() -> None:
    keys = {key for text in TEXTS for key in CITED.findall(text)}
    assert keys == set(REFERENCES)


def test_the_program_cites_itself_with_its_version() -> None:
    for text in TEXTS:
        assert "[@bids_synth]" in text
    for suffix, content in formats(TEXTS[0]).items():
        assert "bids_synth" in content.replace("\\_", "_"), suffix
        assert __version__ in content, suffix


@pytest.mark.parametrize("text", TEXTS[::7], ids=range(len(TEXTS[::7])))
def test_all_formats_say_the_same(text: str) -> None:
    done = formats(text)
    markdown = re.sub(r"^(#|-) ", "", done[".md"], flags=re.MULTILINE).replace("*", "")
    assert plain("".join(Words(done[".html"]).pieces)) == plain(markdown)
    cites = re.findall(r"\\cite\{(\w+)\}", done[".tex"])
    assert cites == CITED.findall(text)
    entries = re.findall(r"^@\w+\{(\w+),$", done[".bib"], re.MULTILINE)
    assert entries == list(dict.fromkeys(cites))
    assert not CITED.search(done[".md"])


@pytest.mark.parametrize("key", REFERENCES)
def test_an_entry_of_bibtex_is_whole(key: str) -> None:
    entry = REFERENCES[key].bibtex(key)
    assert entry.count("{") == entry.count("}")
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},?$", entry, re.MULTILINE))
    assert {"author", "title"} <= set(fields)
    assert len(fields) == len(entry.strip().splitlines()) - 2
    people = fields["author"].split(" and ")
    assert all("," in person or person[0] == "{" or person == "others" for person in people)


def test_dois_are_dois() -> None:
    dois = [r.doi for r in REFERENCES.values() if r.doi]
    assert all(re.fullmatch(r"10\.\d{4,5}/\S+", doi) for doi in dois)
    assert len(set(dois)) == len(dois)


@given(st.text(st.characters(codec="ascii", exclude_characters="[\n\r\0")))
def test_words_survive_the_way_through_latex(text: str) -> None:
    back = _escaped(text)
    for character, escape in sorted(_ESCAPED.items(), key=lambda item: -len(item[1])):
        back = back.replace(escape, f"\0{ord(character)}\1")
    assert re.sub("\0(\\d+)\1", lambda found: chr(int(found[1])), back) == text


def test_latex_opens_and_closes() -> None:
    for text in TEXTS:
        document = latex(text)
        opened = re.findall(r"\\begin\{(\w+)\}", document)
        assert sorted(opened) == sorted(re.findall(r"\\end\{(\w+)\}", document))
        bare = re.sub(r"\\[{}]", "", document)
        assert bare.count("{") == bare.count("}")


def test_a_stranger_s_recipe_puts_no_markup_into_the_page() -> None:
    data = load_recipe("impute").model_dump(mode="json")
    data |= {"task": "<script>alert(1)</script> 50 % of \\input{x} & more"}
    text = boilerplate(validate_recipe(data, origin="x"), skull_strip="auto")
    assert "script" not in Words(html(text)).tags
    assert "\\input{" not in latex(text)


def test_the_citation_file_satisfies_the_schema_of_its_format() -> None:
    """`cff-1.2.0.schema.json` is that of citation-file-format 1.2.0 (CC BY 4.0)."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(Path(__file__).with_name("cff-1.2.0.schema.json").read_text("utf-8"))
    jsonschema.validate(yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8")), schema)


def test_the_citation_file_is_of_this_version() -> None:
    cff = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"version: {__version__}\n" in cff
    licence = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["license"]
    assert f"license: {licence}\n" in cff
    assert REFERENCES["bids_synth"].title.split(":")[0] == "bids_synth"
    assert cited("[@bids_synth]")["bids_synth"].title in cff
