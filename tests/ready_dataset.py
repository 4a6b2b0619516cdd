"""A dataset of four tiny participants and an output in which all are prepared already."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from learn_toys import make_visit

from bids_synth.bids.derivatives.dataset import open_output
from bids_synth.bids.derivatives.prepared import write_prepared
from bids_synth.bids.raw.query import query
from bids_synth.prepare.workflow.key import preparation_key
from bids_synth.recipe.recipe import load_recipe

MODALITIES = ("T1w", "T2w")
PEOPLE = ("a", "b", "c", "e")
SHAPE = (20, 20, 20)


def make_ready(
    folder: Path, overrides: Mapping[str, str] = MappingProxyType({})
) -> tuple[Path, Path]:
    """The raw dataset and the output; nothing is left for ANTs to do with these values."""
    dataset, output = folder / "bids", folder / "out"
    recipe = load_recipe("impute", overrides).limited_to(MODALITIES)
    made = {p: make_visit(folder / "made", p, modalities=MODALITIES, shape=SHAPE) for p in PEOPLE}
    for person, prepared in made.items():
        anat = dataset / f"sub-{person}" / "anat"
        anat.mkdir(parents=True)
        for modality, path in prepared.images.items():
            shutil.copyfile(path, anat / f"sub-{person}_{modality}.nii.gz")
    described = {"Name": "ready", "BIDSVersion": "1.10.0"}
    (dataset / "dataset_description.json").write_text(json.dumps(described))
    open_output(output, dataset=dataset, version="0", derivatives={})
    for visit in query(dataset, recipe).visits:
        key = preparation_key(visit, recipe, seed=1, skull_strip="auto")
        one = replace(made[visit.participant], visit=visit, key=key)
        write_prepared(one, output, dataset=dataset)
    return dataset, output


def fit_options(*, steps: int | None, **fit: object) -> list[str]:
    """Options of `group` for a fit of one small member on the ready dataset."""
    values = {"members": 1, "test": 0.25, "validation": 0.25} | fit
    values |= {} if steps is None else {"steps": steps}
    words = ["-m", *MODALITIES, "--device", "cpu"]
    for key, value in values.items():
        words += ["--set", f"fit.{key}={value}"]
    # Without its T1w no visit can be prepared, so that scoring, too, leaves nothing for ANTs.
    words += ["--set", 'preparation.reference=["T1w"]']
    for text in ("network.width=16", "fit.patch=[24,24,24]", "fit.batch=1"):
        words += ["--set", text]
    return [*words, "--set", "evaluation.bootstrap=100"]
