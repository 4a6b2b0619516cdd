"""Derivatives: against the BIDS validator, against pybids, and back again."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bids.layout import BIDSLayout, BIDSLayoutIndexer
from bids_fixtures import NATIVE, make_dataset, make_prepared, make_synthetic, mask

from bids_synth.bids.derivatives.dataset import open_output
from bids_synth.bids.derivatives.file_names import OutputNames
from bids_synth.bids.derivatives.prepared import find_prepared, write_prepared
from bids_synth.bids.derivatives.synthetic import is_current, write_synthetic, written_synthetic
from bids_synth.bids.names import ENTITIES, parse_name, pybids_grammar
from bids_synth.bids.raw.query import query
from bids_synth.core.modality import MODALITIES
from bids_synth.core.synthetic import Check, Verdict
from bids_synth.core.visit import Scan, Visit
from bids_synth.errors import UsageError, VisitError
from bids_synth.recipe.recipe import load_recipe
from bids_synth.spatial.volume import read_volume

VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")
MODEL = {
    "Name": "impute",
    "Version": "0.1.0",
    "Recipe": "impute",
    "WeightsSHA256": "0" * 64,
    "TrainingDataset": "Tiny",
    "SourceModalities": ["T1w", "FLAIR"],
    "Members": 2,
}
VERDICT = Verdict(
    "review",
    ("the T1w is darker than those the model knows",),
    (Check("void_T1w", "largest hole", "9.0 ml", "at most 3.0 ml", "review"),),
    5.25,
)
TARGETS = ("T2w", "T1wGd", "ct", "pet", "cmro2", "cbf", "T2map")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """An output of two participants, one with sessions and runs, with every kind of target."""
    root = tmp_path_factory.mktemp("written")
    dataset = make_dataset(root / "raw")
    output = root / "out"
    open_output(output, dataset=dataset, version="0.1.0", derivatives={"masks": root / "masks"})
    prepared = {}
    for visit, scans in (
        (Visit("01", None, {}), {"T1w": {}, "FLAIR": {}, "pet": {"trc": "PBR28"}}),
        (Visit("02", "A", {}), {"T1w": {"acq": "x", "run": "1"}, "FLAIR": {"run": "2"}}),
        (Visit("03", None, {}), {"ct": {}, "pet": {"trc": "H2O"}}),
    ):
        made = make_prepared(root / "work", dataset, visit, scans)
        prepared[visit.label] = made = write_prepared(made, output, dataset=dataset)
        for target in TARGETS:
            synthetic = replace(make_synthetic(target, tuple(scans)), verdict=VERDICT)
            write_synthetic(synthetic, made, output, dataset=dataset, model=MODEL)
    (output / "sub-01" / "figures").mkdir()
    for path in ("sub-01/figures/sub-01_desc-synth_T2w.svg", "sub-01.html", "models/m/model.json"):
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        (output / path).write_text("x")
    return dataset, output, prepared


def test_the_validator_finds_no_error(written):
    _, output, _ = written
    run = subprocess.run(
        [VALIDATOR, output, "--format", "json"], capture_output=True, text=True, check=False
    )
    issues = json.loads(run.stdout)["issues"]["issues"]
    errors = [
        (issue["code"], issue.get("subCode"), issue.get("location"))
        for issue in issues
        if issue["severity"] == "error"
    ]
    assert errors == []
    assert run.returncode == 0


def test_the_validator_would_find_an_error(written, tmp_path):
    """The test above can fail: without .bidsignore there are errors."""
    _, output, _ = written
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", output, copy], check=True)
    (copy / ".bidsignore").unlink()
    run = subprocess.run([VALIDATOR, copy], capture_output=True, check=False)
    assert run.returncode != 0


@pytest.mark.parametrize("config", [["bids", "derivatives"], [pybids_grammar()]])
def test_pybids_finds_every_output_by_its_entities(written, config):
    _, output, _ = written
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False)
    layout = BIDSLayout(output, validate=False, config=config, indexer=indexer)
    files = [p for p in output.rglob("sub-*_*.*") if p.parent.name != "figures"]
    assert len(files) > 80
    for path in files:
        name = parse_name(path)
        entities = {ENTITIES[key]: label for key, label in name.entities.items()}
        if name.session:
            entities["session"] = name.session
        if name.datatype != "ct" or "derivatives" not in config:
            entities["datatype"] = name.datatype
        found = layout.get(
            subject=name.participant, suffix=name.suffix, extension=name.extension, **entities
        )
        assert str(path) in [f.path for f in found]
        others = [f.path for f in found if f.path != str(path)]
        assert all(len(parse_name(o).entities) > len(name.entities) for o in others)


def test_a_query_of_the_raw_dataset_finds_no_synthetic_image(written):
    dataset, _, prepared = written
    nested = dataset / "derivatives" / "bids_synth"
    open_output(nested, dataset=dataset, version="0.1.0", derivatives={})
    write_synthetic(
        make_synthetic("T2w", ("T1w",)),
        prepared["sub-01"],
        nested,
        dataset=dataset,
        model=MODEL,
    )
    assert BIDSLayout(dataset, validate=False).get(suffix="T2w") == []
    found = query(dataset, load_recipe("impute"))
    assert [set(v.scans) for v in found.visits] == [{"T1w", "FLAIR"}, {"T1w", "FLAIR"}]
    assert json.loads((nested / "dataset_description.json").read_text())["DatasetLinks"] == {
        "raw": "../.."
    }


def test_names_are_those_of_the_contract(written):
    _, output, _ = written
    for path in (
        "sub-01/anat/sub-01_space-T1w_desc-synth_T2w.nii.gz",
        "sub-01/anat/sub-01_space-T1w_desc-synthT2w_uncertainty.nii.gz",
        "sub-01/anat/sub-01_ce-gadolinium_space-T1w_desc-synth_T1w.nii.gz",
        "sub-01/pet/sub-01_trc-PBR28_space-T1w_desc-synth_pet.nii.gz",
        "sub-01/ct/sub-01_space-T1w_desc-synth_ct.nii.gz",
        "sub-01/perf/sub-01_space-T1w_desc-synth_cmro2.nii.gz",
        "sub-01/anat/sub-01_space-T1w_res-1p5mm_desc-preproc_FLAIR.nii.gz",
        "sub-01/anat/sub-01_space-T1w_desc-brain_mask.nii.gz",
        "sub-01/anat/sub-01_from-FLAIR_to-T1w_mode-image_xfm.txt",
        "sub-02/ses-A/anat/sub-02_ses-A_run-1_space-T1w_desc-synth_T2w.nii.gz",
        "sub-02/ses-A/anat/sub-02_ses-A_run-2_space-T1w_res-1p5mm_desc-preproc_FLAIR.nii.gz",
        "sub-03/anat/sub-03_space-ct_res-1p5mm_desc-brain_mask.nii.gz",
        "sub-03/anat/sub-03_space-ct_desc-synth_T2w.nii.gz",
    ):
        assert (output / path).is_file(), path


def test_every_image_has_its_sidecar_and_every_label_its_description(written):
    _, output, _ = written
    described = {
        line.split("\t")[0] for line in (output / "descriptions.tsv").read_text().splitlines()
    }
    images = list(output.rglob("*.nii.gz"))
    assert images
    for path in images:
        assert path.with_name(path.name[:-7] + ".json").is_file()
        assert "desc-" + parse_name(path).entities["desc"] in described


def test_no_two_modalities_share_a_file():
    scans = {m: Scan(m, Path("x.nii.gz"), {"sub": "01"}) for m in MODALITIES}
    names = OutputNames(Visit("01", None, scans), "T1w")
    for kind in (names.synthetic, names.uncertainty, names.transform):
        assert len({kind(m) for m in MODALITIES}) == len(MODALITIES)
    assert len({names.prepared(m, NATIVE) for m in MODALITIES}) == len(MODALITIES)


def test_the_sidecar_holds_the_contract(written):
    _, output, _ = written
    path = output / "sub-02/ses-A/anat/sub-02_ses-A_run-1_space-T1w_desc-synth_T2w"
    sidecar = json.loads(path.with_suffix(".json").read_text())
    raw = "bids:raw:sub-02/ses-A/anat/sub-02_ses-A_acq-x_run-1_T1w.nii.gz"
    assert raw in sidecar["Sources"]
    xfm = "bids::sub-02/ses-A/anat/sub-02_ses-A_run-1_from-FLAIR_to-T1w_mode-image_xfm.txt"
    assert xfm in sidecar["Sources"]
    assert sidecar["SpatialReference"] == raw
    assert sidecar["SkullStripped"] is True
    assert sidecar["Synthetic"] is True
    assert sidecar["Units"] == "arbitrary"
    assert sidecar["SynthesisModel"] == MODEL
    assert sidecar["QualityVerdict"] == {
        "Level": "review",
        "Reasons": list(VERDICT.reasons),
        "Strangeness": 5.25,
        "Checks": [
            {
                "Name": "void_T1w",
                "Description": "largest hole",
                "Value": "9.0 ml",
                "Expected": "at most 3.0 ml",
                "Result": "review",
            }
        ],
    }
    uncertainty = sidecar["Uncertainty"]
    spread = read_volume(output / uncertainty["Map"].removeprefix("bids::"))
    inside = spread.array[mask(NATIVE).array == 1]
    assert uncertainty["MeanInMask"] == pytest.approx(inside.mean(), rel=1e-6)
    assert uncertainty["Members"] == 2
    for uri in sidecar["Sources"]:
        root = output if uri.startswith("bids::") else written[0]
        assert (root / uri.split(":", 2)[2]).is_file()


def test_the_image_lies_on_the_native_grid_with_its_values(written):
    _, output, _ = written
    image = read_volume(output / "sub-01/ct/sub-01_space-T1w_desc-synth_ct.nii.gz", unit="HU")
    assert image.grid.matches(NATIVE)
    np.testing.assert_array_equal(image.array, make_synthetic("ct", ()).image.array)


def test_a_prepared_visit_is_found_again(written):
    _, output, prepared = written
    for made in prepared.values():
        found = find_prepared(made.visit, output, key=made.key)
        assert replace(found, native=made.native, grid=made.grid) == made
        assert found.native.matches(made.native, tolerance=0)
        assert found.grid.matches(made.grid, tolerance=0)
        assert found.images["T1w" if "T1w" in found.images else "ct"].is_relative_to(output)
        assert find_prepared(made.visit, output, key="another") is None


def test_a_prepared_visit_that_lacks_a_file_is_not_found(tmp_path):
    dataset = make_dataset(tmp_path / "raw")
    made = make_prepared(tmp_path / "w", dataset, Visit("01", None, {}), {"T1w": {}, "PDw": {}})
    placed = write_prepared(made, tmp_path / "out", dataset=dataset)
    files = [*placed.images.values(), *placed.transforms.values()]
    files += [placed.mask, placed.native_mask, placed.template]
    for path in files:
        content = path.read_bytes()
        path.unlink()
        assert find_prepared(placed.visit, tmp_path / "out", key=placed.key) is None
        path.write_bytes(content)
    assert find_prepared(placed.visit, tmp_path / "out", key=placed.key) is not None


def test_a_synthetic_image_is_found_again_and_known_to_be_current(written):
    _, output, prepared = written
    made = prepared["sub-02_ses-A"]
    path, sidecar = written_synthetic(made.visit, made, "T2w", output)
    assert path.name == "sub-02_ses-A_run-1_space-T1w_desc-synth_T2w.nii.gz"
    assert is_current(sidecar, key=made.key, model=MODEL)
    assert not is_current(sidecar, key="another", model=MODEL)
    assert not is_current(sidecar, key=made.key, model={**MODEL, "WeightsSHA256": "1" * 64})
    path, _ = written_synthetic(prepared["sub-01"].visit, "T1w", "pet", output)
    assert path.name == "sub-01_trc-PBR28_space-T1w_desc-synth_pet.nii.gz"
    path, _ = written_synthetic(prepared["sub-01"].visit, "T1w", "T1wGd", output)
    assert "ce-gadolinium" in path.name
    assert written_synthetic(made.visit, made, "PDw", output) is None


def test_a_model_that_names_a_tracer_names_the_image(tmp_path):
    dataset = make_dataset(tmp_path / "raw")
    made = make_prepared(tmp_path / "w", dataset, Visit("01", None, {}), {"T1w": {}})
    model = {**MODEL, "Tracer": "18FFDG"}
    image, *_ = write_synthetic(
        make_synthetic("pet", ("T1w",)),
        made,
        tmp_path / "out",
        dataset=dataset,
        model=model,
    )
    assert image.name == "sub-01_trc-18FFDG_space-T1w_desc-synth_pet.nii.gz"
    assert written_synthetic(made.visit, made, "pet", tmp_path / "out")[0] == image


def test_one_network_has_no_uncertainty_map(tmp_path):
    dataset = make_dataset(tmp_path / "raw")
    made = make_prepared(tmp_path / "w", dataset, Visit("01", None, {}), {"T1w": {}})
    files = write_synthetic(
        make_synthetic("T2w", ("T1w",), spread=False),
        made,
        tmp_path / "out",
        dataset=dataset,
        model=MODEL,
    )
    assert [f.name for f in files] == [
        "sub-01_space-T1w_desc-synth_T2w.nii.gz",
        "sub-01_space-T1w_desc-synth_T2w.json",
    ]
    assert json.loads(files[1].read_text())["Uncertainty"]["Map"] is None


def test_raw_data_are_never_touched(tmp_path):
    dataset = make_dataset(tmp_path / "raw")
    made = make_prepared(tmp_path / "w", dataset, Visit("01", None, {}), {"T1w": {}})
    synthetic = make_synthetic("T2w", ("T1w",))
    arguments = {"dataset": dataset, "model": MODEL}
    before = sorted(dataset.rglob("*"))
    for output in (dataset, dataset / "out", dataset / "sub-01" / "x"):
        with pytest.raises(VisitError, match="raw dataset"):
            write_synthetic(synthetic, made, output, **arguments)
        with pytest.raises(VisitError, match="raw dataset"):
            write_prepared(made, output, dataset=dataset)
        with pytest.raises(UsageError, match="raw dataset"):
            open_output(output, dataset=dataset, version="0.1.0", derivatives={})
    assert sorted(dataset.rglob("*")) == before


def test_a_raw_image_of_the_same_name_stops_the_writing(tmp_path):
    dataset = make_dataset(tmp_path / "raw")
    made = make_prepared(tmp_path / "w", dataset, Visit("01", None, {}), {"T1w": {}})
    (dataset / "sub-01/anat/sub-01_space-T1w_desc-synth_T2w.nii.gz").write_text("x")
    with pytest.raises(VisitError, match="desc-synth_T2w"):
        write_synthetic(
            make_synthetic("T2w", ("T1w",)),
            made,
            tmp_path / "out",
            dataset=dataset,
            model=MODEL,
        )


def test_units_never_mix(tmp_path):
    dataset = make_dataset(tmp_path / "raw")
    made = make_prepared(tmp_path / "w", dataset, Visit("01", None, {}), {"T1w": {}})
    synthetic = replace(make_synthetic("ct", ("T1w",)), modality="pet")
    with pytest.raises(ValueError, match="SUV"):
        write_synthetic(synthetic, made, tmp_path / "out", dataset=dataset, model=MODEL)


def test_opening_twice_changes_nothing_and_another_version_is_told(tmp_path, caplog):
    dataset = make_dataset(tmp_path / "raw")
    output = tmp_path / "out"
    open_output(output, dataset=dataset, version="0.1.0", derivatives={})
    (output / ".bidsignore").write_text("mine\n" + (output / ".bidsignore").read_text())
    stamps = {p: p.stat().st_mtime_ns for p in output.iterdir()}
    open_output(output, dataset=dataset, version="0.1.0", derivatives={})
    assert {p: p.stat().st_mtime_ns for p in output.iterdir()} == stamps
    assert not caplog.records
    open_output(output, dataset=dataset, version="0.2.0", derivatives={})
    assert "0.1.0" in caplog.text


def test_a_shared_file_that_cannot_be_written_is_a_warning(tmp_path, caplog, monkeypatch):
    dataset = make_dataset(tmp_path / "raw")

    def denied(text, path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("bids_synth.bids.derivatives.dataset.write_text", denied)
    with caplog.at_level(logging.WARNING):
        open_output(tmp_path / "out", dataset=dataset, version="0.1.0", derivatives={})
    assert "dataset_description.json: cannot be written (Permission denied)" in caplog.text


def test_a_raw_dataset_is_no_output(tmp_path):
    dataset = make_dataset(tmp_path / "raw")
    other = make_dataset(tmp_path / "other")
    description = json.loads((other / "dataset_description.json").read_text())
    (other / "dataset_description.json").write_text(
        json.dumps({**description, "DatasetType": "raw"})
    )
    with pytest.raises(UsageError, match="raw dataset"):
        open_output(other, dataset=dataset, version="0.1.0", derivatives={})


def test_a_prepared_visit_that_another_recipe_wrote_over_is_not_found(tmp_path):
    dataset = make_dataset(tmp_path / "raw")
    made = make_prepared(tmp_path / "w", dataset, Visit("01", None, {}), {"T1w": {}, "PDw": {}})
    placed = write_prepared(made, tmp_path / "out", dataset=dataset)
    image = placed.images["PDw"]
    image.write_bytes(image.read_bytes() + b" ")
    assert find_prepared(made.visit, tmp_path / "out", key=made.key) is None


def test_regions_do_not_share_files(tmp_path):
    dataset = make_dataset(tmp_path / "raw")
    made = make_prepared(tmp_path / "w", dataset, Visit("01", None, {}), {"T1w": {}})
    brain = write_prepared(made, tmp_path / "out", dataset=dataset)
    head = write_prepared(
        replace(made, key="1" * 64), tmp_path / "out", dataset=dataset, region="head"
    )
    assert brain.images["T1w"] != head.images["T1w"]
    assert find_prepared(made.visit, tmp_path / "out", key=brain.key) is not None
    assert find_prepared(made.visit, tmp_path / "out", key=head.key) is not None
