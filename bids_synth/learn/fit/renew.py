"""Renew: a fitted model under a recipe that teaches the same, or moved aside for another fit."""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from itertools import count
from pathlib import Path

from bids_synth.core.split import Split
from bids_synth.errors import ModelError
from bids_synth.learn.model.model import Model, load_model
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import write_text

LOG = logging.getLogger(__name__)


def renewed(model: Model, recipe: Recipe, split: Split) -> Model:
    """The model with a recipe that differs in nothing that teaches, and its split; weights stay.

    Each file is replaced by rename, `model.json` first, with the digest of the recipe that it
    replaces: whoever opens the folder in between, or after a kill, finds a whole model.
    """
    folder, text = model.folder, recipe.to_toml()
    if (folder / "split.tsv").read_text("utf-8") != split.to_tsv():
        write_text(split.to_tsv(), folder / "split.tsv")
    old = (folder / "recipe.toml").read_text("utf-8")
    if old == text and not model.card.earlier:
        return model
    LOG.info("%s: the weights stay as they are; its recipe is the one that was asked for", folder)
    digest = _digest(text)
    card = model.card.model_copy(update={"recipe": digest, "earlier": [_digest(old)]})
    write_text(card.text(), folder / "model.json")
    write_text(text, folder / "recipe.toml")
    done = card.model_copy(update={"earlier": []})
    write_text(done.text(), folder / "model.json")
    return load_model(folder)


def keep_aside(folder: Path, key: str) -> Path | None:
    """Move a model that is not of the fit `key` to a folder of its own beside; where, or None.

    Nothing that was fitted is replaced but by what continues it.
    """
    if not (folder / "model.json").is_file():
        return None
    try:
        own = load_model(folder).card.fit
    except ModelError:
        own = "unknown"
    if own == key:
        return None
    for number in count(1):
        name = f"{folder.name}-{own[:8]}" + (f"-{number}" if number > 1 else "")
        place = folder.with_name(name)
        if not place.exists():
            break
    with suppress(FileNotFoundError):  # Another job has moved it.
        folder.rename(place)
        message = (
            "%s: held a model of another fit (recipe, scans, parts or seed differ); it is now %s"
        )
        LOG.warning(message, folder, place)
        return place
    return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
