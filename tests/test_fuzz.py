"""Files of strangers, mutilated: each is read, or refused by an error that names the file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from bids_fixtures import make_dataset, make_prepared, make_synthetic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bids_synth.bids.derivatives.dataset import open_output
from bids_synth.bids.derivatives.prepared import MANIFEST, find_prepared, write_prepared
from bids_synth.bids.derivatives.synthetic import is_current, write_synthetic, written_synthetic
from bids_synth.bids.raw.filters import Filters, read_filters
from bids_synth.bids.raw.traits import read_traits
from bids_synth.cli.run_file import _words
from bids_synth.core.split import Split, read_split
from bids_synth.core.visit import Visit
from bids_synth.errors import BidsSynthError, ModelError, RecipeError, UsageError, VisitError
from bids_synth.learn.model.model import _read_card
from bids_synth.pipeline.discover import dataset_name
from bids_synth.prepare.checks import read_scan
from bids_synth.recipe.recipe import Recipe, load_recipe, recipe_names
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume, write_volume

FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(FEW, max_examples=200)
ODD = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\t", b"\r", b'"', b"'", b"= ", b"# ", b",",
    b"[" * 3000, b"{" * 3000, b"9" * 5000, b"-1", b"1e999", b"NaN", b"Infinity", b"null", b"true",
    b"[]", b"{}", b"../../x", b"\\ud800", b"\\u0000", b"\x1b[2J", b"0x", b"a" * 70000,
)  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from([10**30, -(10**30), "../../x", "\ud800", "\x1b[2J", "sub-01", "T1w", "*"]),
)  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@st.composite
def mutilated(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes of a valid file, cut, overwritten or with something odd in between."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([0, 1, 1, 4, 40, len(data)]))
        data[start : start + length] = draw(st.sampled_from(ODD) | st.binary(max_size=8))
    return bytes(data)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values of nested data lie."""
    inner = data.items() if isinstance(data, dict) else enumerate(data)
    nested = [(k, v) for k, v in inner if isinstance(v, dict | list)]
    keys = [*data] if isinstance(data, dict) else [*range(len(data))]
    return [(*path, k) for k in keys] + [p for k, v in nested for p in places(v, (*path, k))]


@st.composite
def altered(draw: st.DrawFn, whole: dict[str, Any], values: st.SearchStrategy[Any] = JSON) -> Any:
    """Valid data with some of its values replaced, lost or added."""
    data = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(0, 3))):
        known = places(data)
        if not known:
            break
        *way, last = draw(st.sampled_from(known))
        holder = data
        for key in way:
            holder = holder[key]
        kind = draw(st.sampled_from(["replace", "replace", "lose", "add"]))
        if kind == "lose":
            del holder[last]
        elif kind == "add" and isinstance(holder, dict):
            holder[draw(st.text(max_size=8))] = draw(values)
        else:
            holder[last] = draw(values)
    return data


def survives(read: Callable[[], Any], kind: type[BidsSynthError], path: Path) -> Any:
    """What is read; or None after an error of this kind that names the file."""
    try:
        return read()
    except kind as error:
        told = str(error)
    assert path.name in told
    assert "Traceback" not in told
    return None


def writes(path: Path, data: Any) -> Path:
    """JSON as Python writes it: with NaN, and with what is no Unicode text."""
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


RECIPES = [load_recipe(name).to_toml().encode() for name in recipe_names()]
RECIPE = load_recipe("impute").model_dump(mode="json")
WITHOUT_NONE = JSON.filter(
    lambda v: "null" not in json.dumps(v) and "\\ud800" not in json.dumps(v)
)


@MANY
@given(content=st.sampled_from(RECIPES).flatmap(mutilated) | st.binary(max_size=60))
def test_a_mutilated_recipe(content, tmp_path):
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    recipe = survives(lambda: load_recipe(path), RecipeError, path)
    assert recipe is None or usable(recipe, tmp_path)


@MANY
@given(data=altered(RECIPE, WITHOUT_NONE))
def test_a_recipe_with_odd_values(data, tmp_path):
    path = tmp_path / "r.toml"
    try:
        path.write_text(tomli_w.dumps(data), encoding="utf-8")
    except (TypeError, ValueError):
        return  # TOML cannot say it.
    recipe = survives(lambda: load_recipe(path), RecipeError, path)
    assert recipe is None or usable(recipe, tmp_path)


def usable(recipe: Recipe, folder: Path) -> bool:
    """A recipe that was accepted can be written and read back."""
    (folder / "again.toml").write_text(recipe.to_toml(), encoding="utf-8")
    return load_recipe(folder / "again.toml").digest() == recipe.digest()


CARD = {
    "format": 1, "name": "m", "version": "0.1", "created": "2026", "dataset": "d", "tracer": "",
    "recipe": "0" * 64, "fit": "0" * 64, "network": {"sources": 2, "blocks": [1, 1]},
    "scales": {"T1w": {"offset": 0.0, "gain": 1.0, "log": False}},
    "weights": [{"file": "w", "sha256": "0" * 64, "fold": 0, "member": 0, "score": 1, "epoch": 0}],
    "baselines": [{"file": "b", "sha256": "0" * 64}], "salt": "s", "training": ["a"],
    "validation": ["b"], "ranges": {"x": {"mean": 0.0, "sd": 1.0, "count": 1}}, "libraries": {},
}  # fmt: skip


@MANY
@given(data=altered(CARD))
def test_a_card_with_odd_values(data, tmp_path):
    path = writes(tmp_path / "model.json", data)
    card = survives(lambda: _read_card(tmp_path), ModelError, path)
    assert card is None or json.dumps(card.model_dump(mode="json"))


@FEW
@given(content=mutilated(json.dumps(CARD).encode()) | st.binary(max_size=60))
def test_a_mutilated_card(content, tmp_path):
    (tmp_path / "model.json").write_bytes(content)
    survives(lambda: _read_card(tmp_path), ModelError, tmp_path / "model.json")


FILTER = {"t1w": {"session": ["A", None], "run": 1, "acquisition": "*"}, "bold": {"task": "rest"}}


@MANY
@given(data=altered(FILTER) | JSON)
def test_a_filter_file_with_odd_values(data, tmp_path):
    path = writes(tmp_path / "filter.json", data)
    found = survives(lambda: read_filters(path), UsageError, path)
    assert found is None or isinstance(found, Filters)


@FEW
@given(content=mutilated(json.dumps(FILTER).encode()))
def test_a_mutilated_filter_file(content, tmp_path):
    path = tmp_path / "filter.json"
    path.write_bytes(content)
    survives(lambda: read_filters(path), UsageError, path)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """A visit as an earlier run wrote it, the sidecars of its mask and of its synthetic image."""
    place = tmp_path_factory.mktemp("output")
    dataset = make_dataset(place / "bids")
    made = make_prepared(place / "work", dataset, Visit("01", None, {}), {"T1w": {}})
    written = write_prepared(made, place / "out", dataset=dataset)
    options = {"dataset": dataset, "model": {"Name": "m"}}
    synthetic = make_synthetic("T2w", ("T1w",))
    image = write_synthetic(synthetic, written, place / "out", **options)[0]
    sidecars = [p.with_name(p.name.replace(".nii.gz", ".json")) for p in (written.mask, image)]
    return place, made, sidecars, [s.read_text() for s in sidecars]


@FEW
@given(data=st.data())
def test_sidecars_of_an_earlier_run(data, output):
    place, made, sidecars, texts = output
    try:
        for path, text in zip(sidecars, texts, strict=True):
            if data.draw(st.booleans()):
                writes(path, data.draw(altered(json.loads(text))))
            else:
                path.write_bytes(data.draw(mutilated(text.encode())))
        found = find_prepared(made.visit, place / "out", key=made.key)
        assert found is None or found.label == made.label
        image = written_synthetic(made.visit, "T1w", "T2w", place / "out")
        assert image is None or is_current(image[1], key=made.key, model={}) in (True, False)
    finally:
        for path, text in zip(sidecars, texts, strict=True):
            path.write_text(text)


def test_the_sidecars_are_found_when_they_are_whole(output):
    place, made, _, texts = output
    assert find_prepared(made.visit, place / "out", key=made.key) is not None
    assert written_synthetic(made.visit, "T1w", "T2w", place / "out") is not None
    assert MANIFEST in texts[0]


DESCRIPTION = {"Name": "d", "BIDSVersion": "1.10.0", "DatasetDOI": "doi:1", "DatasetLinks": {},
               "DatasetType": "derivative", "GeneratedBy": [{"Name": "bids_synth"}]}  # fmt: skip


@FEW
@given(raw=altered(DESCRIPTION) | JSON, ours=altered(DESCRIPTION) | JSON)
def test_descriptions_of_datasets(raw, ours, tmp_path):
    for name, data in (("bids", raw), ("out", ours)):
        (tmp_path / name).mkdir(exist_ok=True)
        path = writes(tmp_path / name / "dataset_description.json", data)
    name = dataset_name(tmp_path / "bids")
    assert name.isprintable()
    options = {"dataset": tmp_path / "bids", "version": "1", "derivatives": {}}
    survives(lambda: open_output(tmp_path / "out", **options), UsageError, path.parent)
    assert isinstance(json.loads(path.read_text()), type(ours) | dict)


TABLE = (
    b"participant_id\tpart\tage\nsub-01\ttraining\t30\nsub-02\tvalidation\tn/a\nsub-03\ttest\t\n"
)


@MANY
@given(content=mutilated(TABLE) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace")))
def test_tables_of_participants(content, tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_bytes(content)
    traits, notes = read_traits(tmp_path)
    assert all(isinstance(v, str) for row in traits.values() for v in row.values())
    assert all(path.name in note for note in notes)
    split = survives(lambda: read_split(path), UsageError, path)
    assert split is None or isinstance(split, Split)


RUN = {"execution": {"participant_label": ["01"]}, "workflow": {"set": ["fit.steps=2"]},
       "seeds": {"random_seed": 1}, "run": {"analysis_level": "group"}}  # fmt: skip


@FEW
@given(data=altered(RUN, WITHOUT_NONE), content=mutilated(tomli_w.dumps(RUN).encode()))
def test_a_run_file(data, content, tmp_path):
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    survives(lambda: _words(path, "group"), UsageError, path)
    try:
        path.write_text(tomli_w.dumps(data), encoding="utf-8")
    except (TypeError, ValueError):
        return  # TOML cannot say it.
    words = survives(lambda: _words(path, "group"), UsageError, path)
    assert words is None or all(isinstance(word, str) for word in words)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    grid = Grid((20, 24, 18), np.diag([8.0, 8.0, 8.0, 1.0]))
    values = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
    path = write_volume(Volume(values, grid), tmp_path_factory.mktemp("scan") / "a_T1w.nii")
    return path.read_bytes()


@MANY
@given(data=st.data())
def test_the_header_of_an_image(data, scan, tmp_path):
    """Some bytes of the header are others; now and then the file ends early."""
    whole = bytearray(scan)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, 351))
        odd = data.draw(
            st.binary(min_size=1, max_size=4) | st.sampled_from([b"\x7f\x7f", b"\xff"])
        )
        whole[place : place + len(odd)] = odd
    whole = whole[: data.draw(st.sampled_from([len(whole)] * 3 + [0, 100, 348, 352, 2000]))]
    path = tmp_path / data.draw(st.sampled_from(["a_T1w.nii", "a_T1w.nii.gz"]))
    path.write_bytes(gzip.compress(whole, 1) if path.suffix == ".gz" else whole)
    volume = survives(lambda: read_scan(path, "T1w"), VisitError, path)
    assert volume is None or np.isfinite(volume.array).all()


def test_the_scan_is_read_when_it_is_whole(scan, tmp_path):
    path = tmp_path / "a_T1w.nii"
    path.write_bytes(scan)
    assert read_scan(path, "T1w").array.shape == (20, 24, 18)
