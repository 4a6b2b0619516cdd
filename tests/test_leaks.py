"""The guard against leaks: a model knows the scans that it has seen by what they hold."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learn_toys import make_visit, minus_error, prepare_toys, toy_recipe, toy_split
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from bids_synth.core.fingerprint import fingerprint, fingerprints
from bids_synth.core.settings import Settings
from bids_synth.core.split import Fold, Split
from bids_synth.core.visit import Prepared
from bids_synth.evaluate.leaks import Guard, leak, strangers
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.model.card import Card, Origin, hash_label, hash_scan
from bids_synth.learn.model.model import Model, load_model
from bids_synth.pipeline.visit.reports import score_tables
from bids_synth.pipeline.visit.synthesize import VisitSynthesis
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume, read_volume, write_volume

AXES = ("RAS", "LPS", "PSR", "ILA", "SAL")


def copied(path: Path, folder: Path, axes: str = "LPS", dtype: str = "float32") -> Path:
    """The same scan as another tool would store it, under another name."""
    image = nib.load(path)
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(axes))
    turned = image.as_reoriented(turn)
    data = np.asarray(turned.dataobj, dtype=dtype)
    other = nib.Nifti1Image(data, turned.affine)
    other.header["descrip"] = b"anonymised"
    folder.mkdir(parents=True, exist_ok=True)
    plain = folder / "scan.nii"
    other.to_filename(plain)
    packed = folder / "other-name.nii.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes(), 1))
    return packed


@given(
    seed=st.integers(0, 999),
    axes=st.sampled_from(AXES),
    slope=st.sampled_from([0.1, 1.0, 3.7]),
    dtype=st.sampled_from(["int16", "float32", "float64"]),
)
def test_storage_type_and_scaling_do_not_change_a_fingerprint(seed, axes, slope, dtype):
    rng = np.random.default_rng(seed)
    affine = np.diag([2.0, 1.0, 3.0, 1.0])
    raw = rng.integers(-30, 900, (7, 6, 5)).astype(np.int16)
    image = nib.Nifti1Image(raw, affine)
    turned = image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(axes)))
    stored = (np.asarray(turned.dataobj).astype(dtype) * np.asarray(1, dtype)).astype(np.float32)
    scaled = stored * np.float32(slope) + np.float32(12)
    one = Volume(raw.astype(np.float32), Grid((7, 6, 5), affine))
    other = Volume(scaled, Grid(scaled.shape, turned.affine))
    assert fingerprint(one) == fingerprint(other)
    array = one.array.copy()
    array[tuple(rng.integers(0, 5, 3))] += 2000
    assert fingerprint(one) != fingerprint(one.with_array(array))


def card(name: str = "impute", dataset: str = "mine", **changes: object) -> Card:
    salt = f"salt of {name} {dataset}"
    data = {
        "name": name, "version": "0", "created": "now", "dataset": dataset, "recipe": "0" * 64,
        "fit": "0" * 64, "network": {}, "scales": {}, "baselines": [], "salt": salt,
        "training": [hash_label(salt, "01")], "validation": [hash_label(salt, "02")],
        "ranges": {}, "libraries": {},
        "weights": [{"file": "w", "sha256": "0" * 64, "fold": 0, "member": 0, "score": 1.0,
                     "epoch": 0}],
        "scans": [hash_scan(salt, content) for content in ("t1 of 01", "t2 of 01", "t1 of 02")],
    }  # fmt: skip
    return Card.model_validate(data | changes)


def test_one_scan_of_that_content_is_enough_whatever_the_names() -> None:
    for participant, dataset in (("01", "mine"), ("X7", "renamed"), ("01", "renamed")):
        told = leak(card(), dataset, participant, ["new scan", "t2 of 01"])
        assert told is not None
        assert "content" in told
    assert leak(card(), "renamed", "X7", ["t1 of 02"]) is not None, "it selected the weights"


def test_strangers_may_be_scored() -> None:
    assert leak(card(), "others", "01", ["t1 of another"]) is None
    assert leak(card(), "mine", "03", ["t1 of 03"]) is None
    assert leak(card(), "mine", "01", ["a later session"]) is not None, "the same person"


def test_an_older_model_is_known_by_name_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = card(scans=[])
    Guard(old, "mine")
    assert "only by name" in caplog.text
    told = leak(old, "mine", "01", ["t1 of 01"])
    assert told is not None
    assert "by name only" in told
    assert leak(old, "renamed", "X7", ["t1 of 01"]) is None
    text = old.model_dump_json(exclude={"scans", "ancestors"})
    assert Card.model_validate_json(text) == old


def test_what_the_start_has_seen_is_seen_and_so_on() -> None:
    first = card("first", "theirs")
    second = card("second", scans=[], ancestors=first.origins())
    third = card("third", "today", scans=["0" * 64], ancestors=second.origins())
    assert [origin.name for origin in third.origins()] == ["third", "second", "first"]
    told = leak(third, "renamed", "X7", ["t1 of 02"])
    assert told is not None
    assert "first" in told
    assert "second" in (leak(third, "mine", "01", []) or "")
    assert leak(third, "renamed", "X7", ["t1 of another"]) is None
    assert isinstance(third.ancestors[0], Origin)


class House:
    """Toys, a model of three of them, and a copy of one in another guise."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.recipe = toy_recipe(steps=2, steps_per_epoch=2)
        self.people = {p: make_visit(place / "p", p, shape=(20, 20, 20)) for p in "abez"}
        self.model = self.fit("first", toy_split(training="ab", validation="e"))

    def fit(self, name: str, split: Split, start: Path | None = None) -> Model:
        return fit_model(
            self.recipe, list(self.people.values()), split, minus_error,
            folder=self.place / "models" / name, work=self.place / "work", seed=1, device="cpu",
            quiet=True, init_from=start, dataset="mine",
        )  # fmt: skip

    def disguised(self, person: str, folder: Path) -> Prepared:
        """One scan of a participant among scans of a stranger, all under other names."""
        other = make_visit(folder, "q", shape=(20, 20, 20))
        path = copied(self.people[person].visit.scans["PDw"].path, folder / "copy")
        scans = {**other.visit.scans, "PDw": replace(other.visit.scans["PDw"], path=path)}
        return replace(other, visit=replace(other.visit, participant="X7", scans=scans))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("leaks"))


def test_the_folder_knows_the_scans_that_taught_and_selected_and_no_others(house: House) -> None:
    found = load_model(house.model.folder).card
    for person, known in (("a", True), ("b", True), ("e", True), ("z", False)):
        for content in fingerprints(house.people[person]).values():
            assert (leak(found, "renamed", "X7", [content]) is not None) == known
    text = (house.model.folder / "model.json").read_text()
    assert fingerprints(house.people["a"])["T1w"] not in text, "nobody can tell without the scan"


def test_the_preparation_hands_the_fingerprint_on(house: House) -> None:
    prepared = replace(house.people["a"], contents={"T1w": "known"})
    assert fingerprints(prepared)["T1w"] == "known"
    scan = prepared.visit.scans["T2w"].path
    assert fingerprints(prepared)["T2w"] == fingerprint(read_volume(scan))


@pytest.mark.parametrize("person", ["a", "e"])
def test_a_copy_in_another_guise_is_not_scored_and_named(
    house: House, tmp_path: Path, person: str, caplog: pytest.LogCaptureFixture
) -> None:
    result, table = evaluated(house, tmp_path, house.disguised(person, tmp_path / "q"))
    assert result.rows is None
    for told in (table, caplog.text, "\n".join(result.lines)):
        assert "sub-q: is not scored" in told.replace("sub-X7", "sub-q")


def test_a_dataset_of_others_is_scored(house: House, tmp_path: Path) -> None:
    result, table = evaluated(house, tmp_path, make_visit(tmp_path / "q", "q", shape=(20, 20, 20)))
    assert result.rows is not None
    assert set(result.rows["target"]) == {"T1w", "T2w", "PDw"}
    assert "not scored" not in table


def evaluated(house: House, place: Path, prepared: Prepared):
    (place / "out" / "logs").mkdir(parents=True)
    (place / "renamed").mkdir()
    settings = Settings(
        dataset=place / "renamed", output=place / "out", level="participant",
        work=place / "work", device="cpu", evaluate=True, run_id="run",
    )  # fmt: skip
    synthesis = VisitSynthesis(house.model.folder, house.recipe, settings, [prepared.visit])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bids_synth.pipeline.visit.withheld.prepare_reduced", prepare_toys)
        result = synthesis.synthesize(prepared)
    return result, "\n".join(score_tables([result], synthesis.notes, house.recipe, settings))


def test_a_participant_is_known_by_any_of_its_sessions(house: House, tmp_path: Path) -> None:
    known = replace(house.people["a"].visit, participant="X7", session="1")
    later = make_visit(tmp_path, "X7", session="2", shape=(20, 20, 20))
    guard = Guard(house.model.card, "renamed", [known, later.visit])
    assert guard.reason(later) is not None
    assert Guard(house.model.card, "renamed", [later.visit]).reason(later) is None


def test_a_fit_that_goes_on_from_a_model_leaves_out_those_that_it_has_seen(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    split = Split(frozenset("az"), (Fold(frozenset("b"), frozenset("e")),))
    second = house.fit("second", split, start=house.model.folder)
    held_out = [house.people["z"], house.people["a"]]
    kept, (line,) = strangers(held_out, second.card, "renamed")
    assert [p.label for p in kept] == ["sub-z"]
    assert "first" in line
    assert "sub-a: is not scored" in line
    assert line in caplog.text


def test_scans_that_differ_have_other_fingerprints(house: House, tmp_path: Path) -> None:
    every = [one for p in house.people.values() for one in fingerprints(p).values()]
    assert len(set(every)) == len(every) == 12
    volume = read_volume(house.people["a"].visit.scans["T1w"].path)
    scan = write_volume(volume.with_array(volume.array[::-1].copy()), tmp_path / "mirror.nii.gz")
    assert fingerprint(read_volume(scan)) not in every
