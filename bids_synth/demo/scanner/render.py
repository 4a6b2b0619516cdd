"""Render: a participant's head as the quantities that images are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_synth.demo.head.anatomy import Template, compose
from bids_synth.demo.head.appearance import weights
from bids_synth.demo.head.individual import Individual
from bids_synth.demo.head.shapes import Array
from bids_synth.demo.head.tissue import TISSUES
from bids_synth.demo.scanner.sequence import SEQUENCES
from bids_synth.spatial.grid import Grid

SEGMENTS = {
    1: ("GM", "grey matter", ("grey", "striatum", "thalamus", "pallidum", "cerebellum")),
    2: ("WM", "white matter and brainstem", ("white", "brainstem")),
    3: ("CSF", "cerebrospinal fluid", ("csf",)),
    4: ("B", "bone", ("bone", "marrow")),
    5: ("ST", "soft tissue", ("fat", "skin", "muscle", "eye", "blood")),
    7: ("L", "lesion", ("lesion",)),
}
"""Label in a discrete segmentation -> BIDS abbreviation, name, tissues."""


@dataclass(frozen=True, eq=False)
class Head:
    """A participant's head on the box grid: quantities that mix linearly."""

    box: Grid
    stack: Array
    """(I, J, K, P): the columns of every modality, then the segments, then the outline."""
    columns: dict[str, slice]
    """Modality, group of sequences, `segments` or `outline` -> its columns."""

    def part(self, name: str) -> Array:
        """The columns of one name, contiguous."""
        return np.ascontiguousarray(self.stack[..., self.columns[name]])


def render(template: Template, individual: Individual, modalities: Sequence[str]) -> Head:
    """The head of a participant as the quantities that the modalities need."""
    rows: list[npt.NDArray[np.float64]] = []
    columns: dict[str, slice] = {}
    start = 0
    for name in modalities:
        group = SEQUENCES[name].group or name
        if group in columns:
            columns[name] = columns[group]
            continue
        part = weights(name, individual)
        columns[name] = columns[group] = slice(start, start + len(part))
        rows.append(np.pad(part, ((0, 0), (0, 1))))
        start += len(part)
    rows += [_segment_rows(), np.eye(1, len(TISSUES) + 1, len(TISSUES))]
    columns["segments"] = slice(start, start + len(SEGMENTS))
    columns["outline"] = slice(start + len(SEGMENTS), start + len(SEGMENTS) + 1)
    matrix = np.concatenate(rows).astype(np.float32)
    stack = np.empty((*template.grid.shape, len(matrix)), np.float32)
    stack[:] = matrix[:, TISSUES.index("air")]
    for slab, inside, fractions in compose(template, individual.form):
        stack[slab].reshape(-1, len(matrix))[inside] = (matrix @ fractions).T
    return Head(template.grid, stack, columns)


def _segment_rows() -> npt.NDArray[np.float64]:
    rows = np.zeros((len(SEGMENTS), len(TISSUES) + 1))
    for row, (_, _, tissues) in enumerate(SEGMENTS.values()):
        rows[row, [TISSUES.index(tissue) for tissue in tissues]] = 1
    return rows
