"""Physics of the demo against closed forms and brute-force simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.demo.head.appearance import Blood, image
from bids_synth.demo.head.tissue import GENOTYPE, TISSUES, column, draw_tissues, mean_tissues
from bids_synth.demo.scanner.qmri import (
    arterial_oxygen,
    blood_frequency,
    oxygen_consumption,
    oxygen_extraction,
)
from bids_synth.demo.scanner.scanner import correlated, rician
from bids_synth.demo.scanner.sequence import SEQUENCES, choose
from bids_synth.demo.scanner.signal import inversion_recovery, mprage, nulling_time, spin_echo
from bids_synth.errors import UsageError

times = st.floats(0.05, 5.0)


def one(value):
    return np.array([value])


@given(pd=st.floats(0.1, 1.0), t1=times, t2=st.floats(0.01, 2.0))
def test_spin_echo_at_no_echo_time_and_full_recovery_is_proton_density(pd, t1, t2):
    assert spin_echo(one(pd), one(t1), one(t2), tr=200.0, te=0.0)[0] == pytest.approx(pd)
    half = spin_echo(one(pd), one(t1), one(t2), tr=t1 * np.log(2), te=t2 * np.log(2))
    assert half[0] == pytest.approx(pd / 4)


@given(t1=times, tr=st.floats(6.0, 15.0))
def test_inversion_recovery_is_null_at_the_nulling_time(t1, tr):
    ti = nulling_time(t1, tr)
    args = (one(1.0), one(t1), one(0.1))
    assert inversion_recovery(*args, tr=tr, te=0.1, ti=ti)[0] == pytest.approx(0, abs=1e-12)
    assert inversion_recovery(*args, tr=tr, te=0.1, ti=0.9 * ti)[0] < 0
    assert inversion_recovery(*args, tr=tr, te=0.1, ti=1.1 * ti)[0] > 0


def simulated_mprage(t1, *, tr, ti, flip, spacing, pulses):
    """Longitudinal magnetisation pulse by pulse until it repeats; M just before the middle."""
    m, e1 = 1.0, np.exp(-spacing / t1)
    rest = tr - ti - spacing * pulses / 2
    for _ in range(40):
        m = 1 + (-m - 1) * np.exp(-(ti - spacing * pulses / 2) / t1)
        for pulse in range(pulses):
            if pulse == pulses // 2:
                centre = m
            m = 1 + (m * np.cos(np.radians(flip)) - 1) * e1
        m = 1 + (m - 1) * np.exp(-rest / t1)
    return centre


@pytest.mark.parametrize("t1", [0.3, 0.65, 0.85, 1.4, 4.0])
def test_mprage_agrees_with_a_pulse_by_pulse_simulation(t1):
    settings = {"tr": 2.3, "ti": 0.9, "flip": 9.0, "spacing": 0.007, "pulses": 176}
    found = mprage(one(0.8), one(t1), one(0.05), te=0.0, **settings)[0]
    wanted = 0.8 * np.sin(np.radians(9.0)) * simulated_mprage(t1, **settings)
    assert found == pytest.approx(wanted, abs=2e-4)


def test_mprage_without_flip_is_inversion_recovery():
    t1 = np.array([0.5, 1.0, 4.0])
    pd, t2 = np.ones(3), np.full(3, 0.1)
    small = mprage(pd, t1, t2, tr=2.3, te=0.0, ti=0.9, flip=0.01, spacing=0.007, pulses=176)
    wanted = inversion_recovery(pd, t1, t2, tr=2.3, te=0.0, ti=0.9)
    # The readout's own pulses never invert: M before inversion is 1 - 2 E(TR) ... in steady state.
    m = (1 - np.exp(-2.3 / t1)) / (1 + np.exp(-2.3 / t1))
    steady = 1 - (1 + m) * np.exp(-0.9 / t1)
    np.testing.assert_allclose(small / np.sin(np.radians(0.01)), steady, rtol=1e-3)
    assert (np.sign(wanted) == np.sign(steady)).all()


def signals(modality, field):
    tissues = mean_tissues(field)
    settings = dict(SEQUENCES[modality].settings)
    if modality == "T1w":
        values = mprage(tissues.pd, tissues.t1, tissues.t2, **settings)
    elif modality == "FLAIR":
        values = inversion_recovery(tissues.pd, tissues.t1, tissues.t2, **settings)
    else:
        values = spin_echo(tissues.pd, tissues.t1, tissues.t2, **settings)
    return dict(zip(TISSUES, np.abs(values), strict=True))


@pytest.mark.parametrize("field", [1.5, 3.0])
def test_tissues_look_as_a_radiologist_expects(field):
    t1w, t2w = signals("T1w", field), signals("T2w", field)
    pdw, flair = signals("PDw", field), signals("FLAIR", field)
    assert t1w["fat"] > t1w["white"] > t1w["grey"] > 2 * t1w["csf"]
    assert t2w["csf"] > t2w["lesion"] > t2w["grey"] > 1.2 * t2w["white"]
    assert pdw["grey"] > 1.05 * pdw["white"]
    assert flair["lesion"] > 1.3 * flair["grey"] > 1.3 * flair["white"] > 6 * flair["csf"]
    assert max(t["bone"] for t in (t2w, pdw, flair)) < 0.01


def test_one_linear_map_cannot_turn_t1w_into_t2w():
    t1w, t2w = signals("T1w", 3.0), signals("T2w", 3.0)

    def slope(one, other):
        return (t2w[other] - t2w[one]) / (t1w[other] - t1w[one])

    assert slope("grey", "csf") / slope("white", "grey") > 1.8
    assert t2w["lesion"] / t2w["grey"] > 1.3
    assert t1w["lesion"] / t1w["grey"] == pytest.approx(0.93, abs=0.07)


positive = st.floats(0.5, 2.0)


@given(hct=st.floats(30, 55), o2sat=st.floats(85, 100), oef=st.floats(0.1, 0.9), cbf=positive)
def test_cmro2_gives_back_the_extraction_that_made_the_rates(hct, o2sat, oef, cbf):
    flow, volume = np.full((3, 3, 3), 45 * cbf), np.full((3, 3, 3), 3.5)
    rate = blood_frequency(hct) * oef * volume / 100
    t2 = np.full((3, 3, 3), 0.09)
    t2star = 1 / (1 / t2 + rate)
    found = oxygen_extraction(volume, t2, t2star, hct=hct)
    np.testing.assert_allclose(found, oef, rtol=1e-9)
    consumed = oxygen_consumption(flow, volume, t2, t2star, hct=hct, o2sat=o2sat)
    wanted = flow / 0.75 * oef * arterial_oxygen(hct, o2sat) / 100
    np.testing.assert_allclose(consumed, wanted, rtol=1e-9)


@given(hct=st.floats(30, 55))
def test_haematocrit_cancels_in_cmro2(hct):
    maps = [np.full(4, v) for v in (40.0, 3.5, 0.1, 1 / (10 + 3.0))]
    found = oxygen_consumption(*maps, hct=hct, o2sat=98.0)
    np.testing.assert_allclose(found, 3.215 * 40 * 3 / 3.5, rtol=2e-3)


def test_cmro2_is_nothing_where_no_blood_is_and_is_capped():
    cbv, t2 = np.array([0.0, 4.0, 4.0, 4.0, 4.0]), np.full(5, 0.1)
    t2star = np.array([0.01, 0.07, 0.07, 0.07, 0.0005])
    found = oxygen_extraction(cbv, t2, t2star, hct=42.0)
    assert found[0] == 0
    assert found[-1] == 1.0


def test_maps_are_in_the_units_of_bids():
    tissues = mean_tissues(3.0)
    grey = TISSUES.index("grey")
    reversible = blood_frequency(42) * tissues.oef[grey] * tissues.cbv[grey] / 100
    pd, t2 = tissues.pd[grey], tissues.t2[grey]
    parts = np.array([tissues.cbf[grey], tissues.cbv[grey], pd, pd / t2, pd * reversible])
    parts = np.tile(parts[:, None, None, None], (1, 2, 2, 2)).astype(np.float32)
    blood = Blood(42.0, 98.0)
    assert image("T2map", parts, blood)[0, 0, 0] == pytest.approx(0.098, rel=1e-5)
    assert 0.03 < image("T2starmap", parts, blood)[0, 0, 0] < 0.098
    assert 100 < image("cmro2", parts, blood)[0, 0, 0] < 220


def test_genotype_changes_uptake_only():
    high, low = mean_tissues(3.0, "HAB"), mean_tissues(3.0, "LAB")
    np.testing.assert_allclose(low.suv, GENOTYPE["LAB"] * high.suv)
    np.testing.assert_array_equal(low.t1, high.t1)
    suv = dict(zip(TISSUES, column("suv"), strict=True))
    assert suv["thalamus"] > suv["grey"] > suv["white"] > suv["csf"]


def test_drawn_tissues_stay_near_the_literature_and_keep_air():
    mean = mean_tissues(1.5, "MAB")
    for seed in range(20):
        drawn = draw_tissues(np.random.default_rng(seed), 1.5, "MAB")
        assert drawn.hu[0] == -1000
        np.testing.assert_allclose(drawn.t1, mean.t1, rtol=0.07)
        assert (drawn.pd <= 1.02).all()


def test_unknown_field_and_modality_are_refused():
    with pytest.raises(UsageError, match="7"):
        mean_tissues(7.0)
    with pytest.raises(UsageError, match=r"bold.*choose from T1w"):
        choose(["T1w", "bold"])
    assert choose(["ct", "T1w"]) == ("T1w", "ct")


def test_rician_noise_has_the_moments_of_theory():
    rng = np.random.default_rng(0)
    sigma, shape = 3.0, (60, 60, 60)
    air = rician(np.zeros(shape, np.float32), sigma, rng)
    assert air.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=5e-3)
    assert air.var() == pytest.approx((2 - np.pi / 2) * sigma**2, rel=1e-2)
    tissue = rician(np.full(shape, 10.0, np.float32), sigma, rng)
    assert (tissue**2).mean() == pytest.approx(100 + 2 * sigma**2, rel=5e-3)


def test_correlated_noise_is_smooth_and_of_unit_spread():
    noise = correlated((40, 40, 40), 1.5, np.random.default_rng(1))
    assert noise.std() == pytest.approx(1, abs=1e-3)
    neighbours = np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]
    assert neighbours == pytest.approx(np.exp(-1 / (4 * 1.5**2)), abs=0.03)
