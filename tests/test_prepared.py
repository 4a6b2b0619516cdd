"""Prepared: one codec for the work directory and the output, and arrays that are read once."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from bids_fixtures import NATIVE, PREPARED, make_dataset, make_prepared, mask

from bids_synth.bids.derivatives.prepared import MANIFEST, find_prepared, write_prepared
from bids_synth.core import visit as visit_module
from bids_synth.core.manifest import files_of, from_manifest, to_manifest
from bids_synth.core.units import Conversion
from bids_synth.core.visit import Visit
from bids_synth.prepare.workflow.outcome import read_outcome
from bids_synth.spatial.volume import json_text, sha256_of, write_volume

OLD = {
    "Key": "abc123",
    "Reference": "T1w",
    "Native": {"Shape": list(NATIVE.shape), "Affine": NATIVE.affine.tolist()},
    "Grid": {"Shape": list(PREPARED.shape), "Affine": PREPARED.affine.tolist()},
    "Scales": {
        "T1w": {"offset": 0.25, "gain": 3.0, "log": False},
        "PDw": {"offset": 0.25, "gain": 3.0},
    },
    "Quality": {"mask_volume": 1234.5, "template_correlation": 0.9, "registration_PDw": None},
    "Stripped": False,
    "Images": ["T1w", "PDw"],
    "Transforms": ["PDw"],
}
"""What the first version wrote into the sidecar of the mask, but its files."""


@pytest.fixture
def made(tmp_path):
    dataset = make_dataset(tmp_path / "raw")
    return make_prepared(tmp_path / "w", dataset, Visit("01", None, {}), {"T1w": {}, "PDw": {}})


def same(one, other):
    assert one.native.matches(other.native, tolerance=0)
    assert one.grid.matches(other.grid, tolerance=0)
    assert replace(one, native=other.native, grid=other.grid) == other


def test_a_prepared_visit_survives_its_manifest(made, tmp_path):
    known = replace(
        made,
        coverage={"PDw": made.mask},
        conversions={"PDw": Conversion("ms", 0.001, "s")},
        notes=("one",),
        contents={"T1w": "f" * 64},
    )
    text = json.dumps(to_manifest(known, tmp_path / "w" / "deep" / "er"))
    same(from_manifest(json.loads(text), made.visit, tmp_path / "w" / "deep" / "er"), known)


def test_a_work_directory_may_move(made, tmp_path):
    folder = tmp_path / "w" / "prepared"
    folder.mkdir()
    (folder / "prepared.json").write_text(json_text(to_manifest(made, folder)), encoding="utf-8")
    shutil.move(tmp_path / "w", tmp_path / "elsewhere")
    found = read_outcome(tmp_path / "elsewhere/prepared/prepared.json", made.visit, made.key)
    assert found is not None
    assert all(path.is_file() for path in files_of(found).values())
    assert read_outcome(tmp_path / "elsewhere/prepared/prepared.json", made.visit, "x") is None
    assert read_outcome(tmp_path / "nowhere.json", made.visit, made.key) is None


def test_what_the_first_version_wrote_is_read(made, tmp_path):
    output = tmp_path / "out"
    placed = write_prepared(made, output, dataset=tmp_path / "raw")
    files = files_of(placed)
    old = OLD | {
        "Files": {name: path.relative_to(output).as_posix() for name, path in files.items()},
        "SHA256": {name: sha256_of(path) for name, path in files.items() if name != "mask"},
    }
    sidecar = placed.mask.with_name(placed.mask.name.replace(".nii.gz", ".json"))
    content = json.loads(sidecar.read_text("utf-8")) | {MANIFEST: old}
    sidecar.write_text(json.dumps(content), encoding="utf-8")
    found = find_prepared(made.visit, output, key="abc123")
    assert found is not None
    assert np.isnan(found.quality["registration_PDw"])
    same(replace(found, quality=placed.quality), placed)


def test_arrays_are_read_once_and_again_when_the_file_has_changed(made, monkeypatch):
    read = []

    def counted(path, **options):
        read.append(path)
        return real(path, **options)

    real = visit_module.read_volume
    monkeypatch.setattr(visit_module, "read_volume", counted)
    first = made.image("PDw").array
    assert made.image("PDw").array is first
    assert read == [made.images["PDw"]]
    write_volume(made.image("T1w"), made.images["PDw"])
    os.utime(made.images["PDw"], ns=(1, 1))
    np.testing.assert_array_equal(made.image("PDw").array, made.image("T1w").array)


def test_shared_arrays_are_for_reading(made):
    for array in (made.image("T1w").array, made.mask_image.array, made.native_mask_image.array):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0, 0] = 1


def test_a_mask_lies_on_its_grid_to_the_last_digit(made):
    assert made.mask_image.grid is made.grid
    assert made.native_mask_image.grid is made.native
    np.testing.assert_array_equal(made.mask_image.array, mask(PREPARED).array)
    write_volume(mask(NATIVE), made.mask)
    with pytest.raises(ValueError, match="expected a volume on"):
        _ = made.mask_image
