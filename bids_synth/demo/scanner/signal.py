"""Signal: what a magnetic resonance sequence measures of a tissue; times in s, flip in degrees."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def spin_echo(pd: Values, t1: Values, t2: Values, *, tr: float, te: float) -> Values:
    """PD (1 - exp(-TR/T1)) exp(-TE/T2), with TE much shorter than TR.

    >>> float(spin_echo(np.array([0.8]), np.array([1.0]), np.array([0.1]), tr=1e9, te=0.0)[0])
    0.8
    """
    return np.asarray(pd * (1 - np.exp(-tr / t1)) * np.exp(-te / t2))


def inversion_recovery(
    pd: Values, t1: Values, t2: Values, *, tr: float, te: float, ti: float
) -> Values:
    """PD (1 - 2 exp(-TI/T1) + exp(-TR/T1)) exp(-TE/T2), signed.

    A scanner stores the magnitude of what the tissues of a voxel give together.
    """
    longitudinal = 1 - 2 * np.exp(-ti / t1) + np.exp(-tr / t1)
    return np.asarray(pd * longitudinal * np.exp(-te / t2))


def nulling_time(t1: float, tr: float) -> float:
    """Inversion time in s at which a tissue gives no signal.

    >>> round(nulling_time(4.0, 1e9) / 4.0, 4)
    0.6931
    """
    return float(t1 * np.log(2 / (1 + np.exp(-tr / t1))))


def mprage(
    pd: Values,
    t1: Values,
    t2star: Values,
    *,
    tr: float,
    te: float,
    ti: float,
    flip: float,
    spacing: float,
    pulses: int,
) -> Values:
    """Magnetisation-prepared gradient echo in its steady state, signed, at the readout's centre.

    `pulses` of `flip` every `spacing` s, centred `ti` after a perfect inversion, repeated every
    `tr`; during the readout the magnetisation relaxes to the spoiled steady state with its own
    shorter time constant (Deichmann 2000). With `flip` -> 0 it is `inversion_recovery` at
    TE -> 0, times sin(flip).
    """
    angle, readout = np.radians(flip), spacing * pulses
    before, after = ti - readout / 2, tr - ti - readout / 2
    fast = 1 / (1 / t1 - np.log(np.cos(angle)) / spacing)
    floor = (1 - np.exp(-spacing / t1)) / (1 - np.cos(angle) * np.exp(-spacing / t1))
    wait, half, rest = np.exp(-before / t1), np.exp(-readout / 2 / fast), np.exp(-after / t1)
    # With m the magnetisation just before an inversion, every interval maps it linearly:
    # start = 1 - wait - wait m, end = floor + (start - floor) half^2, m = 1 - rest + rest end.
    m = (1 - rest + rest * (floor * (1 - half**2) + (1 - wait) * half**2)) / (
        1 + rest * wait * half**2
    )
    centre = floor + (1 - wait - wait * m - floor) * half
    return np.asarray(pd * np.sin(angle) * centre * np.exp(-te / t2star))
