"""Density: the PDw of a participant who has none, from how three other contrasts mix tissues.

No real PDw teaches the model that comes with the package. What a voxel is made of can be read
from T1w, T2w and FLAIR together, and what these tissues give in a PDw is physics. Signals are
mixed, not times: a mean of relaxation times would give fluid and cortex a rim.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from bids_synth.core.tissue.levels import TissueLevels
from bids_synth.demo.scanner.signal import spin_echo

Floats = npt.NDArray[np.float64]
CONTRASTS = ("T1w", "T2w", "FLAIR")
TIMES = {
    "white": (0.70, 0.65, 0.075),
    "grey": (0.82, 1.05, 0.095),
    "fluid": (1.00, 4.00, 2.000),
    "lesion": (0.88, 1.20, 0.150),
}
"""Proton density, T1 and T2 in s at 1.5 T (Deoni 2005, doi:10.1002/mrm.20314; Stanisz 2005,
doi:10.1002/mrm.20605); lesions and oedema have more water, longer times."""
PDW = {"tr": 3.5, "te": 0.025}
"""A spin echo as it is common, s."""
LESION = {"T1w": 0.65, "T2w": 1.9, "FLAIR": 1.6}
"""Brightness against white matter of what is none of the three tissues."""
NOISE = {"T1w": 0.05, "T2w": 0.15, "FLAIR": 0.10}
"""By how much images differ where tissue does not, white matter 1."""
STEPS = 10
"""Steps of a share from 0 to 1."""
NEIGHBOURS = 4


def density_image(
    images: Mapping[str, npt.NDArray[np.float32]],
    levels: Mapping[str, TissueLevels],
    inside: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float32]:
    """A PDw (I, J, K), white matter 1 and 0 outside, of images whose unit is that of `levels`."""
    mixes = shares()
    pure = np.array([_tissues(levels[m], m) for m in CONTRASTS])  # (contrasts, tissues)
    noise = np.array([NOISE[m] for m in CONTRASTS])
    tree = KDTree(mixes @ pure.T / noise)
    seen = np.stack([images[m][inside] / levels[m].white for m in CONTRASTS], axis=1)
    far, places = tree.query(seen / noise, k=NEIGHBOURS)
    weights = 1 / (far + 1e-2)
    given = (mixes @ pure_density())[places]
    result = np.zeros(inside.shape, np.float32)
    result[inside] = (given * weights).sum(axis=1) / weights.sum(axis=1)
    return result


def pure_density() -> Floats:
    """(tissues,) the PDw of every tissue, white matter 1."""
    pd, t1, t2 = np.array(list(TIMES.values())).T
    signal = spin_echo(pd, t1, t2, **PDW)
    return np.asarray(signal / signal[0])


def shares() -> Floats:
    """(mixes, tissues) all mixtures of the tissues in steps of a tenth."""
    counts = product(range(STEPS + 1), repeat=len(TIMES) - 1)
    kept = [(*c, STEPS - sum(c)) for c in counts if sum(c) <= STEPS]
    return np.array(kept, np.float64) / STEPS


def _tissues(levels: TissueLevels, contrast: str) -> list[float]:
    """Brightness of the tissues, in the order of `TIMES`, white matter 1."""
    own = [value / levels.white for value in (levels.white, levels.grey, levels.fluid)]
    return [*own, LESION[contrast]]
