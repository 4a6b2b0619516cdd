"""Images in memory: as the program makes them of files, in any orientation, leaving nothing."""

from __future__ import annotations

import doctest
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from prepare_phantom import make_scan, truth_mask

import bids_synth
from bids_synth import api
from bids_synth.cli.main import run_command
from bids_synth.errors import ModelError, UsageError, VisitError
from bids_synth.measure.protocols.masked3d import masked3d
from bids_synth.spatial.volume import write_volume


def head(modality: str = "T1w", **options: object) -> nib.Nifti1Image:
    volume = make_scan(modality, spacing=4.0, **options)
    return nib.Nifti1Image(volume.array, volume.grid.affine)


def as_codes(image: nib.Nifti1Image, codes: str) -> nib.Nifti1Image:
    """The same head with its voxels in another order."""
    wanted = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
    return image.as_reoriented(wanted)


@pytest.fixture(scope="module")
def model() -> api.LoadedModel:
    return bids_synth.load()


@pytest.fixture(scope="module")
def made(model: api.LoadedModel) -> api.Synthesis:
    return model.synthesize({"T1w": head()}, "T2w")


@pytest.mark.slow
def test_it_makes_what_the_command_line_makes(made: api.Synthesis, tmp_path: Path) -> None:
    scan = tmp_path / "bids/sub-01/anat/sub-01_T1w.nii.gz"
    write_volume(make_scan("T1w", spacing=4.0), scan)
    about = tmp_path / "bids/dataset_description.json"
    about.write_text('{"Name": "One", "BIDSVersion": "1.10.0"}')
    words = [tmp_path / "bids", tmp_path / "out", "participant", "--modalities", "T1w", "T2w"]
    more = ["-w", tmp_path / "work", "--device", "cpu", "--skip-bids-validation"]
    assert run_command([str(w) for w in (*words, *more)]) == 0
    (written,) = (tmp_path / "out").rglob("*desc-synth_T2w.nii.gz")
    (doubt,) = (tmp_path / "out").rglob("*uncertainty*.nii.gz")
    file = nib.load(written)
    np.testing.assert_allclose(made.image.affine, file.affine, atol=1e-4)
    np.testing.assert_allclose(made.image.get_fdata(), file.get_fdata(), atol=2e-3)
    assert made.doubt is not None
    np.testing.assert_allclose(made.doubt.get_fdata(), nib.load(doubt).get_fdata(), atol=2e-3)
    assert made.verdict.level in written.with_name(
        written.name.replace(".nii.gz", ".json")
    ).read_text("utf-8")


@pytest.mark.slow
def test_the_orientation_of_the_voxels_does_not_matter(
    model: api.LoadedModel, made: api.Synthesis
) -> None:
    turned = model.synthesize({"T1w": as_codes(head(), "PSL")}, "T2w")
    assert nib.aff2axcodes(turned.image.affine) == tuple("PSL")
    back = as_codes(turned.image, "".join(nib.aff2axcodes(made.image.affine)))
    np.testing.assert_allclose(back.affine, made.image.affine, atol=1e-4)
    inside = truth_mask(4.0).array > 0
    difference = np.abs(back.get_fdata() - made.image.get_fdata())[inside]
    assert np.percentile(difference, 99) < 0.02, "white matter is at 1"
    assert turned.verdict.level == made.verdict.level


@pytest.mark.slow
def test_files_and_masks_are_taken_and_nothing_is_left(
    model: api.LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    path = write_volume(make_scan("T1w", spacing=4.0, stripped=False), tmp_path / "scan.nii.gz")
    brain = truth_mask(4.0)
    mask = nib.Nifti1Image(brain.array, brain.grid.affine)
    found = model.prepare({"T1w": path, "T2w": head("T2w")}, mask=mask)
    assert set(found.images) == {"T1w", "T2w"}
    assert {i.shape for i in found.images.values()} == {found.mask.shape}
    outside = found.mask.get_fdata() == 0
    for scaled in found.scaled.values():
        inside = scaled.get_fdata()[~outside]
        assert not scaled.get_fdata()[outside].any()
        assert 0.2 < float(np.median(inside)) < 3, "white matter is at 1"
    assert set(found.scaled) == set(found.images)
    ml = float(found.mask.get_fdata().sum()) * abs(np.linalg.det(found.mask.affine[:3, :3]))
    assert ml == pytest.approx(float(brain.array.sum()) * 64, rel=0.02)
    assert not list((tmp_path / "tmp").iterdir())


def test_what_cannot_be_made_is_told_all_at_once(model: api.LoadedModel) -> None:
    with pytest.raises(UsageError, match=r"not ct; .* does not know bold; it knows T1w, T2w"):
        model.synthesize({"T1w": head(), "bold": head()}, "ct")
    with pytest.raises(UsageError, match="leave it out"):
        model.synthesize({"T1w": head(), "T2w": head("T2w")}, "T2w")
    with pytest.raises(UsageError, match="1 or more of"):
        model.synthesize({}, "T2w")
    with pytest.raises(ModelError, match="any-contrast"):
        bids_synth.load("no-such-model")


def test_an_image_that_is_no_volume_is_refused(model: api.LoadedModel) -> None:
    movie = nib.Nifti1Image(np.ones((8, 8, 8, 3), np.float32), np.eye(4))
    with pytest.raises(VisitError, match=r"T1w.*(4|3D)"):
        model.synthesize({"T1w": movie}, "T2w")


def test_scores_are_those_of_the_protocol() -> None:
    one, other, mask = make_scan("T1w", spacing=4.0), make_scan("T1w", spacing=4.0, seed=5), None
    mask = truth_mask(4.0)
    images = [nib.Nifti1Image(v.array, v.grid.affine) for v in (other, one, mask)]
    wanted = masked3d(one, other, mask)
    found = bids_synth.score(*images)
    assert found
    assert found == {name: pytest.approx(wanted[name]) for name in found}
    with pytest.raises(UsageError, match="masked3d"):
        bids_synth.score(*images, protocol="best")
    movie = nib.Nifti1Image(np.ones((8, 8, 8, 3), np.float32), np.eye(4))
    with pytest.raises(VisitError, match="3D"):
        bids_synth.score(movie, *images[1:])


def test_the_examples_of_its_pages_hold() -> None:
    assert doctest.testmod(api).failed == 0
    assert {"load", "score"} <= {*dir(bids_synth)}
    with pytest.raises(AttributeError, match="no attribute"):
        bids_synth.nothing  # noqa: B018
