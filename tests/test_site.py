"""The site: builds strictly, no link leads to nothing, nothing is loaded from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from bids_synth.cli.parser import build_parser
from bids_synth.recipe.recipe import Recipe
from scripts.site_pages import PAGES

pytest.importorskip("mkdocs", reason="pip install 'bids_synth[docs]'")
ROOT = Path(__file__).resolve().parent.parent
LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.pictures_without_words = 0
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if address := values.get(LOADED.get(tag, "")):
            self.loaded.append(address)
        if tag == "img" and not values.get("alt"):
            self.pictures_without_words += 1


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    variables = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        line, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def anchors(path: Path, pages: dict[Path, Page]) -> set[str]:
    """What a page can be entered at."""
    return pages[path].anchors if path in pages else set()


def broken(path: Path, page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    """Links of a page whose file or anchor is not there."""
    for address in (*page.links, *page.loaded):
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file():
            yield f"{path.name}: {address}"
        elif parts.fragment and unquote(parts.fragment) not in anchors(target, pages):
            yield f"{path.name}: {address}: no such anchor"


@pytest.mark.slow
def test_no_link_leads_to_nothing(pages: dict[Path, Page]) -> None:
    assert len(pages) > 40
    lost = [
        text
        for path, page in pages.items()
        if path.name != "404.html"
        for text in broken(path, page, pages)
    ]
    assert lost == []


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page], site: Path) -> None:
    for path, page in pages.items():
        away = [a for a in page.loaded if urlsplit(a).scheme in ("http", "https")]
        assert away == [], path.name
        assert "fonts.googleapis" not in path.read_text("utf-8")
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert "url(http" not in styles
    assert "@import" not in styles


@pytest.mark.slow
def test_every_picture_has_words(pages: dict[Path, Page]) -> None:
    assert [path.name for path, page in pages.items() if page.pictures_without_words] == []


@pytest.mark.parametrize("name", sorted(PAGES))
def test_pages_from_the_code_have_a_table_or_options(name: str) -> None:
    text = PAGES[name]()
    assert text.startswith("# ")
    assert text.count("\n### `--") > 40 or text.count("\n| `") > 20


def test_the_page_of_the_command_line_has_every_option() -> None:
    text = PAGES["command-line.md"]()
    for action in build_parser()._actions:
        assert all(f"`{name}" in text for name in action.option_strings), action


def test_the_page_of_recipes_has_every_key_with_its_words() -> None:
    text = PAGES["recipe-keys.md"]()
    schema = Recipe.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        for key, about in part.get("properties", {}).items():
            assert f"| `{key}` |" in text
            assert " ".join(about.get("description", "").split()).replace("|", "\\|") in text
