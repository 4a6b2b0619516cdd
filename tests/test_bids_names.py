"""Names: a round trip, BIDS's own order of entities, and pybids as reader and writer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from bids.layout import BIDSLayout, BIDSLayoutIndexer
from bidsschematools.schema import load_schema
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bids_synth.bids.names import ENTITIES, Name, derivative_path, parse_name, pybids_grammar

LABELS = st.text("abcXYZ0189", min_size=1, max_size=6)
OTHERS = [key for key in ENTITIES if key not in ("sub", "ses")]
NAMES = st.builds(
    Name,
    participant=LABELS,
    session=st.none() | LABELS,
    datatype=st.sampled_from(["anat", "ct", "pet", "perf"]),
    suffix=st.sampled_from(["T1w", "T2w", "mask", "xfm", "uncertainty", "cmro2"]),
    extension=st.sampled_from([".nii.gz", ".nii", ".json", ".txt"]),
    entities=st.dictionaries(st.sampled_from(OTHERS), LABELS, max_size=6),
)


@given(NAMES)
def test_a_name_survives_the_round_trip(name):
    assert parse_name(name.path) == name


@given(NAMES, st.randoms())
def test_the_order_in_which_entities_are_given_does_not_matter(name, random):
    shuffled = list(name.entities.items())
    random.shuffle(shuffled)
    assert replace(name, entities=dict(shuffled)).path == name.path


def test_entities_are_in_the_order_of_the_bids_schema():
    schema = load_schema()
    official = [schema.objects.entities[entity].name for entity in schema.rules.entities]
    shared = [key for key in ENTITIES if key in official]
    assert len(shared) > 25
    assert shared == [key for key in official if key in shared]


@settings(max_examples=5, deadline=None, phases=[Phase.generate])
@given(st.lists(NAMES, min_size=5, max_size=10))
def test_pybids_reads_the_same_entities_and_writes_the_same_paths(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("names")
    names = [replace(name, entities={**name.entities, "run": "02"}) for name in names]
    for name in names:
        (root / name.path).parent.mkdir(parents=True, exist_ok=True)
        (root / name.path).write_text("x")
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False)
    layout = BIDSLayout(root, validate=False, config=[pybids_grammar()], indexer=indexer)
    for name in names:
        expected = {ENTITIES[key]: label for key, label in name.entities.items()} | {
            "subject": name.participant,
            "datatype": name.datatype,
            "suffix": name.suffix,
            "extension": name.extension,
        }
        if name.session is not None:
            expected["session"] = name.session
        found = layout.get_file(str(root / name.path)).get_entities()
        assert {key: str(value) for key, value in found.items()} == expected
        built = layout.build_path(expected, validate=False, absolute_paths=False)
        assert PurePosixPath(built) == name.path


@pytest.mark.parametrize(
    "path",
    [
        "README",
        "sub-01/anat/T1w.nii.gz",
        "sub-01/anat/sub-01_T1w",
        "sub-01/anat/sub-01_x-1_T1w.nii",
    ],
)
def test_what_is_no_bids_name_is_refused(path):
    with pytest.raises(ValueError, match=Path(path).name):
        parse_name(path)


def test_labels_and_entities_that_bids_forbids_are_refused():
    with pytest.raises(ValueError, match="no BIDS label"):
        derivative_path("01", None, "anat", "T2w", entities={"desc": "synth-2"})
    with pytest.raises(ValueError, match="no BIDS label"):
        derivative_path("../01", None, "anat", "T2w", entities={})
    with pytest.raises(ValueError, match="stat"):
        derivative_path("01", None, "anat", "T2w", entities={"stat": "std"})
