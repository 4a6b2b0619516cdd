"""Tissue: what each part of the head is made of, by magnetic field, drawn per participant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_synth.errors import UsageError

Values = npt.NDArray[np.float64]

COLUMNS = ("pd", "t1_3t", "t1_15t", "t2", "r2prime", "hu", "suv", "cbf", "cbv", "oef")
"""Proton density (water 1), T1 and T2 in s, reversible R2' not due to blood in 1/s, HU,
SUV of 11C-PBR28 at 60-90 min in a high-affinity binder, CBF in ml/100g/min, CBV in %, OEF."""

# Relaxation: Wansapura 1999, Stanisz 2005, Bojorquez 2017; HU: usual ranges of head CT;
# SUV: ratios between regions as in Lois 2018, rounded; CBF, CBV, OEF: ranges of mqBOLD.
_TABLE: dict[str, tuple[float, ...]] = {
    "air": (0.0, 1.0, 1.0, 1.0, 0.0, -1000.0, 0.0, 0.0, 0.0, 0.0),
    "grey": (0.82, 1.40, 1.10, 0.098, 0.0, 38.0, 1.50, 46.0, 3.8, 0.37),
    "white": (0.70, 0.85, 0.65, 0.074, 0.0, 28.0, 1.05, 17.0, 2.0, 0.35),
    "csf": (1.00, 4.00, 4.00, 1.600, 0.0, 7.0, 0.20, 0.0, 0.0, 0.0),
    "striatum": (0.81, 1.28, 1.00, 0.084, 0.0, 39.0, 1.45, 45.0, 3.7, 0.36),
    "thalamus": (0.78, 1.15, 0.92, 0.084, 0.0, 37.0, 1.80, 48.0, 3.9, 0.37),
    "pallidum": (0.74, 1.02, 0.80, 0.062, 0.0, 42.0, 1.50, 34.0, 3.0, 0.36),
    "brainstem": (0.73, 1.02, 0.80, 0.080, 0.0, 31.0, 1.75, 32.0, 3.0, 0.36),
    "cerebellum": (0.83, 1.35, 1.06, 0.096, 0.0, 38.0, 1.62, 44.0, 4.1, 0.37),
    "lesion": (0.86, 1.55, 1.30, 0.170, 0.0, 22.0, 1.40, 11.0, 1.5, 0.33),
    "bone": (0.12, 0.30, 0.25, 0.0006, 0.0, 1500.0, 0.55, 0.0, 0.0, 0.0),
    "marrow": (0.42, 0.45, 0.37, 0.060, 25.0, 420.0, 1.20, 0.0, 0.0, 0.0),
    "fat": (0.62, 0.42, 0.32, 0.085, 8.0, -95.0, 0.25, 0.0, 0.0, 0.0),
    "skin": (0.68, 0.95, 0.75, 0.035, 10.0, 45.0, 0.45, 0.0, 0.0, 0.0),
    "muscle": (0.75, 1.30, 1.00, 0.034, 8.0, 55.0, 0.50, 0.0, 0.0, 0.0),
    "eye": (0.98, 3.90, 3.80, 1.200, 0.0, 12.0, 0.15, 0.0, 0.0, 0.0),
    "blood": (0.85, 1.65, 1.45, 0.050, 12.0, 50.0, 1.30, 0.0, 0.0, 0.0),
}
TISSUES = tuple(_TABLE)
BRAIN = ("grey", "white", "striatum", "thalamus", "pallidum", "brainstem", "cerebellum", "lesion")
"""Tissues that make the brain parenchyma."""

SPREAD = {
    "pd": 0.01,
    "t1": 0.03,
    "t2": 0.03,
    "r2prime": 0.1,
    "hu": 0.03,
    "suv": 0.06,
    "cbf": 0.06,
    "cbv": 0.06,
    "oef": 0.04,
}
"""SD between participants of each tissue's value, as a share of it."""
GENOTYPE = {"HAB": 1.0, "MAB": 0.72, "LAB": 0.42}
"""Uptake of 11C-PBR28 by binding affinity (rs6971 C/C, C/T, T/T), relative to C/C."""


@dataclass(frozen=True, eq=False)
class Tissues:
    """One participant's values, each an array over `TISSUES`."""

    pd: Values
    """Proton density, water 1."""
    t1: Values
    """s."""
    t2: Values
    """s."""
    r2prime: Values
    """1/s, besides what deoxygenated blood adds."""
    hu: Values
    """HU."""
    suv: Values
    """SUV of 11C-PBR28."""
    cbf: Values
    """ml/100g/min."""
    cbv: Values
    """%."""
    oef: Values
    """Oxygen extraction fraction, 0 to 1."""


def column(name: str) -> Values:
    """The literature values of one property, over `TISSUES`."""
    place = COLUMNS.index(name)
    return np.array([row[place] for row in _TABLE.values()])


def mean_tissues(field: float, genotype: str = "HAB") -> Tissues:
    """Literature values at 1.5 or 3 T; UsageError for another field or genotype."""
    t1 = {3.0: "t1_3t", 1.5: "t1_15t"}.get(field)
    if t1 is None or genotype not in GENOTYPE:
        message = (
            f"tissues are known at 1.5 and 3 T and for {list(GENOTYPE)}, got {field}, {genotype}"
        )
        raise UsageError(message)
    names = ("pd", t1, *COLUMNS[3:])
    pd, t1_values, t2, r2prime, hu, suv, cbf, cbv, oef = (column(n) for n in names)
    return Tissues(pd, t1_values, t2, r2prime, hu, suv * GENOTYPE[genotype], cbf, cbv, oef)


def draw_tissues(rng: np.random.Generator, field: float, genotype: str) -> Tissues:
    """Literature values times a participant's own deviation, half of it shared by all tissues."""
    mean = mean_tissues(field, genotype)
    drawn = {}
    for name, spread in SPREAD.items():
        shared, own = rng.standard_normal(), rng.standard_normal(len(TISSUES))
        factor = 1 + spread * np.clip(0.7 * shared + 0.7 * own, -2, 2)
        drawn[name] = getattr(mean, name) * factor
    drawn["hu"][0] = -1000.0
    drawn["pd"][TISSUES.index("csf")] = 1.0
    return Tissues(**drawn)
