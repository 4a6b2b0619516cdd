"""A mask of lesions lies in the space of the T1w, whatever the reference of a preparation is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from learn_toys import make_visit

from bids_synth.evaluate.lesions import lesions_on_native
from bids_synth.spatial.itk import write_itk
from bids_synth.spatial.volume import Volume, write_volume


@pytest.fixture
def visit(tmp_path):
    """A visit, the mask of one lesion, and the lesion as an array."""
    prepared = make_visit(tmp_path, "a")
    drawn = np.zeros(prepared.native.shape, np.uint8)
    drawn[10:13, 12:15, 9:12] = 1
    path = write_volume(Volume(drawn, prepared.native), tmp_path / "lesion.nii.gz")
    return prepared, path, drawn > 0


def test_with_the_t1w_as_reference_it_lies_as_drawn(visit):
    prepared, path, drawn = visit
    assert (lesions_on_native(path, prepared) == drawn).all()
    assert lesions_on_native(None, prepared) is None


def test_with_another_reference_it_follows_the_registration(visit, tmp_path):
    """A point of the T2w lies two voxels further in the T1w: the lesion, two voxels before."""
    prepared, path, drawn = visit
    shift = np.eye(4)
    shift[0, 3] = 2 * prepared.native.spacing[0]
    transform = write_itk(shift, tmp_path / "shift.txt")
    other = replace(prepared, reference="T2w", transforms={"T1w": transform})
    assert (lesions_on_native(path, other) == np.roll(drawn, -2, axis=0)).all()


def test_without_a_registration_nobody_knows_how_it_lies(visit):
    prepared, path, _ = visit
    assert lesions_on_native(path, replace(prepared, reference="T2w", transforms={})) is None
