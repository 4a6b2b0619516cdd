"""Placement: areas in closed form, and the template's own brain turned over."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_synth.evaluate.trust.verdict import judge
from bids_synth.prepare.brain.placement import cut_area, uprightness
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.resample import resample
from bids_synth.spatial.template import template_mask
from bids_synth.spatial.volume import Volume


def coarse_brain() -> Volume:
    whole = template_mask()
    return resample(whole, whole.grid.with_spacing(4.0), order=0)


def turned(mask: Volume, axes: tuple[int, ...]) -> Volume:
    """The same voxels under a header that turns them over."""
    affine = mask.grid.affine.copy()
    for axis in axes:
        affine[axis] *= -1
    return Volume(mask.array, Grid(mask.grid.shape, affine))


def tilted(mask: Volume, degrees: float, size: float) -> Volume:
    """Nodding by some degrees, and another size of head."""
    c, s = size * np.cos(np.radians(degrees)), size * np.sin(np.radians(degrees))
    nod = np.array([[size, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1.0]])
    return Volume(mask.array, Grid(mask.grid.shape, nod @ mask.grid.affine))


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(*[st.integers(6, 14)] * 3), st.tuples(*[st.floats(0.5, 6)] * 3),
    st.integers(0, 2), st.booleans(), st.integers(1, 5),
)  # fmt: skip
def test_the_area_is_that_of_the_face_that_is_touched(shape, spacing, axis, far, side):
    array = np.zeros(shape, np.uint8)
    inner = [slice(1, 1 + min(side, n - 2)) for n in shape]
    array[tuple(inner)] = 1
    mask = Volume(array, Grid(shape, np.diag([*spacing, 1.0])))
    assert cut_area(mask) == 0
    inner[axis] = slice(1, None) if far else slice(0, 1 + min(side, shape[axis] - 2))
    array[tuple(inner)] = 1
    others = [k for k in range(3) if k != axis]
    wanted = np.prod([min(side, shape[k] - 2) * spacing[k] for k in others]) / 100
    assert cut_area(mask) == pytest.approx(wanted)


@settings(max_examples=12, deadline=None)
@given(st.floats(-20, 20), st.floats(0.8, 1.2))
def test_a_brain_is_upright_however_it_nods_and_whatever_its_size(degrees, size):
    brain = tilted(coarse_brain(), degrees, size)
    assert uprightness(brain) > 0.02
    for axes in ((2,), (1,), (1, 2)):
        assert uprightness(turned(brain, axes)) < 0


def test_left_and_right_are_not_told_apart_and_nothing_gives_no_number():
    brain = coarse_brain()
    assert uprightness(turned(brain, (0,))) == pytest.approx(uprightness(brain), abs=0.03)
    assert np.isnan(uprightness(brain.with_array(np.zeros_like(brain.array))))


def test_the_verdict_asks_for_a_look():
    assert judge({"cut": 3.0, "upright": 0.08}, {}).level == "pass"
    half = judge({"cut": 140.0}, {})
    assert half.level == "review"
    assert "140 cm2" in half.reasons[0]
    assert judge({"upright": -0.05}, {}).level == "review"
