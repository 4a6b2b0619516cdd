"""Completers: what a shell offers after an option beyond files: recipes, models, participants."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bids_synth.core.modality import MODALITIES
from bids_synth.recipe.embedded import embedded_models
from bids_synth.recipe.recipe import recipe_names

Completer = Mapping[str, Any]
"""Shell -> what is called there, and the functions that must stand before."""
WORDS: Mapping[str, Sequence[str]] = {
    "modalities": tuple(MODALITIES),
    "device": ("auto", "cpu", "cuda"),
}
"""Option -> all that can follow it."""
_BASH_NAMES = """\
{name}() {{
  compgen -W {words} -- "$1"
  compgen -f -- "$1"
}}
"""
_ZSH_NAMES = """\
{name}() {{
  _alternative 'names:name:({plain})' 'files:file:_files'
}}
"""
_BASH_LABELS = """\
_bids_synth_participants() {
  local folder
  for folder in "${COMP_WORDS[1]}"/sub-*/; do
    folder=${folder%/}
    [ -d "$folder" ] && compgen -W "${folder##*/sub-}" -- "$1"
  done
}
"""
_ZSH_LABELS = """\
_bids_synth_participants() {
  local -a labels
  labels=(${(Q)words[2]}/sub-*(N/:t:s/sub-//))
  _describe participant labels
}
"""
_FISH_LABELS = (
    "(string trim -r -c / -- (commandline -opc)[2]/sub-*/ | string replace -r '.*/sub-' '')"
)
"""Without a `$`, which the script would have expanded when it is read."""


def completers() -> Mapping[str, Completer]:
    """Option -> its completer: names or files, and the participants of the dataset given."""
    return {
        "recipe": _names_or_files("_bids_synth_recipes", recipe_names()),
        "model": _names_or_files("_bids_synth_models", [*embedded_models()]),
        "participant_label": {
            "bash": "_bids_synth_participants",
            "zsh": "_bids_synth_participants",
            "fish": _FISH_LABELS,
            "preamble": {"bash": _BASH_LABELS, "zsh": _ZSH_LABELS},
        },
    }


def _names_or_files(name: str, words: Sequence[str]) -> Completer:
    plain = " ".join(words)
    filled = {"name": name, "plain": plain, "words": shlex.quote(plain)}
    return {
        "bash": name,
        "zsh": name,
        "fish": f"(printf '%s\\n' {plain}; __fish_complete_path (commandline -ct))",
        "preamble": {"bash": _BASH_NAMES.format(**filled), "zsh": _ZSH_NAMES.format(**filled)},
    }
