"""Formats: a methods text with citations as Markdown, HTML, LaTeX and BibTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bids_synth.report.methods.references import CITED, cited

_ESCAPED: Mapping[str, str] = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_BLOCKS: Mapping[str, str] = {
    "heading_open": "\\section*{",
    "heading_close": "}\n\n",
    "paragraph_close": "\n\n",
    "bullet_list_open": "\\begin{itemize}\n",
    "bullet_list_close": "\\end{itemize}\n\n",
    "list_item_open": "\\item ",
    "em_open": "\\emph{",
    "em_close": "}",
    "strong_open": "\\textbf{",
    "strong_close": "}",
    "softbreak": "\n",
}
_HTML = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Methods text of bids_synth</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 Georgia, serif; max-width: 42rem; margin: 2rem auto; padding: 0 1rem; }}
</style>
</head>
<body>
{body}</body>
</html>
"""


def formats(text: str) -> dict[str, str]:
    """Suffix of a file -> a text whose citations are `[@key]` in that format."""
    return {
        ".md": markdown(text),
        ".html": html(text),
        ".tex": latex(text),
        ".bib": bibliography(text),
    }


def markdown(text: str) -> str:
    """The text with names and years in place of keys, and a list of references."""
    references = cited(text)
    named = CITED.sub(lambda key: f"({references[key.group(1)].short})", text)
    lines = "\n".join(f"- {reference.line}" for reference in references.values())
    return f"{named.rstrip()}\n\n# References\n\n{lines}\n"


def html(text: str) -> str:
    """A page of its own, for a browser or a word processor."""
    return _HTML.format(body=_parser().render(markdown(text)))


def latex(text: str) -> str:
    """A whole document, whose references are those of `bibliography`, beside it."""
    body = _latex_of(_parser().parse(text)).strip()
    lines = ["\\documentclass{article}", "\\begin{document}", "", body, ""]
    lines += ["\\bibliographystyle{unsrt}", "\\bibliography{CITATION}", "\\end{document}"]
    return "\n".join(lines) + "\n"


def bibliography(text: str) -> str:
    """BibTeX of everything that the text cites."""
    return "\n".join(reference.bibtex(key) for key, reference in cited(text).items())


def _parser() -> MarkdownIt:
    # What a recipe says of itself is words: nothing of it becomes HTML.
    return MarkdownIt("commonmark", {"html": False})


def _latex_of(tokens: Sequence[Token]) -> str:
    pieces = []
    for token in tokens:
        if token.children:
            pieces.append(_latex_of(token.children))
        elif token.type in _BLOCKS:
            # A paragraph in a list stands on the line of its item.
            pieces.append("\n" if token.hidden else _BLOCKS[token.type])
        elif token.content:
            pieces.append(_escaped(token.content))
    return "".join(pieces)


def _escaped(text: str) -> str:
    """Words for LaTeX.

    >>> _escaped("90 % of a_b [@avants2011]")
    '90 \\\\% of a\\\\_b \\\\cite{avants2011}'
    """
    plain = re.split(CITED, text)
    escaped = ["".join(_ESCAPED.get(c, c) for c in piece) for piece in plain[::2]]
    keys = [f"\\cite{{{key}}}" for key in plain[1::2]] + [""]
    return "".join(words + key for words, key in zip(escaped, keys, strict=True))
