"""Hooks of MkDocs: pages read from the code, and links of the pages to files of the repository."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from scripts.site_pages import PAGES

ROOT = Path(__file__).resolve().parent.parent
COPIED = {"changes.md": "CHANGES.md", "contributing.md": "CONTRIBUTING.md"}
"""Page -> file at the top of the repository that it is."""
OUTSIDE = re.compile(r"\]\((?:\.\./)+([A-Za-z0-9_./-]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are no files below docs/."""
    texts = {name: write() for name, write in PAGES.items()}
    texts |= {name: (ROOT / path).read_text("utf-8") for name, path in COPIED.items()}
    for name, text in texts.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links into docs/ become the site's own, those to other files lead to the repository."""
    if page.file.src_uri in COPIED:
        markdown = markdown.replace("](docs/", "](")
    return OUTSIDE.sub(lambda link: _link(link, page), markdown)


def _link(link: re.Match[str], page: Page) -> str:
    path = (ROOT / "docs" / page.file.src_uri).parent / link.group(0)[2:-1]
    inside = path.resolve()
    if inside.is_relative_to(ROOT / "docs"):
        return link.group(0)
    return f"]({_repository()}/blob/main/{inside.relative_to(ROOT)})"


def _repository() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["urls"]["Repository"])
