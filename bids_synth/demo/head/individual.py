"""Individual: everything that is drawn once per participant, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bids_synth.demo.head.anatomy import Form, Template
from bids_synth.demo.head.deformation import draw_deformation
from bids_synth.demo.head.tissue import Tissues, draw_tissues

SITES = {"north": 3.0, "south": 1.5}
"""Field in T of each site's scanner."""


@dataclass(frozen=True, eq=False)
class Individual:
    """One participant: a row of participants.tsv, a head and what it is made of."""

    age: int
    """Years."""
    sex: str
    """F or M."""
    site: str
    """A key of `SITES`."""
    genotype: str
    """Binding affinity by rs6971: HAB, MAB or LAB."""
    hct: float
    """Haematocrit in %."""
    o2sat: float
    """Arterial oxygen saturation in %."""
    form: Form
    """How the head differs from the template's."""
    tissues: Tissues
    """What it is made of."""

    @property
    def field(self) -> float:
        """Magnetic field in T."""
        return SITES[self.site]

    def later(self) -> Individual:
        """The same participant at a second session: larger ventricles, larger lesions."""
        lesions = self.form.lesions * np.array([1, 1, 1, 1.15])
        form = replace(self.form, ventricles=self.form.ventricles + 0.4, lesions=lesions)
        return replace(self, form=form)


def draw_individual(rng: np.random.Generator, template: Template, number: int) -> Individual:
    """Participant `number`, from 0; two sites in turn, lesions in two of three participants."""
    site = list(SITES)[number % len(SITES)]
    age, sex = int(rng.integers(21, 76)), "FM"[int(rng.integers(2))]
    genotype = str(rng.choice(["HAB", "MAB", "LAB"], p=[0.5, 0.4, 0.1]))
    hct = round(float(rng.normal(45.0 if sex == "M" else 41.0, 2.0)), 1)
    o2sat = round(float(np.clip(rng.normal(98.0, 0.7), 95.0, 99.5)), 1)
    form = draw_form(rng, template, age=age, lesions=0 if number % 3 == 2 else 12)
    tissues = draw_tissues(rng, SITES[site], genotype)
    return Individual(age, sex, site, genotype, hct, o2sat, form, tissues)


def draw_form(rng: np.random.Generator, template: Template, *, age: int, lesions: int) -> Form:
    """A head whose cortex thins and whose sulci and ventricles widen with age."""
    decades = (age - 45) / 10
    deformation = draw_deformation(rng, template.grid)
    cortex = 0.15 - 0.06 * decades + 0.15 * rng.standard_normal()
    sulci = 0.15 + 0.10 * decades + 0.15 * rng.standard_normal()
    wall = 0.3 + 0.35 * decades + 0.5 * rng.standard_normal()
    count = int(rng.integers(lesions // 2, 2 * lesions)) if lesions else 0
    sites = template.lesion_sites()
    centres = sites[rng.integers(len(sites), size=count)]
    radii = rng.gamma(6.0, 0.5, size=count).clip(1.5, 6.0)
    return Form(
        deformation,
        float(cortex),
        float(sulci),
        float(np.clip(wall, -0.8, 3.0)),
        np.column_stack([centres, radii]),
    )
