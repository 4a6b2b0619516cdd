"""ITK affine: the text file of a linear transform, read as a RAS+ mm matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_synth.errors import VisitError
from bids_synth.grid import Affine

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK counts to the left and to the back; everything here counts to the right and the front."""


def read_itk_affine(path: Path) -> Affine:
    """4x4 matrix, RAS+ mm -> RAS+ mm, of an ITK text file with one affine of 12 parameters.

    ITK writes y = A (x - c) + c + t in LPS, A by rows, then t; c are the fixed parameters.
    Raises VisitError where the file is something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read as an ITK text transform ({error}); prepare again"
        raise VisitError(message) from error
    values = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    try:
        numbers = np.array(values["Parameters"].split(), dtype=np.float64)
        centre = np.array(values["FixedParameters"].split(), dtype=np.float64)
        matrix, shift = numbers[:9].reshape(3, 3), numbers[9:12].reshape(3)
        affine = np.eye(4)
        affine[:3, :3] = matrix
        affine[:3, 3] = shift + centre - matrix @ centre
        single = text.count("Transform:") == 1 and len(numbers) == 12
    except (KeyError, ValueError):
        single = False
    if not single:
        message = f"{path}: expected an ITK text file with one affine of 12 parameters"
        raise VisitError(message)
    result: Affine = LPS @ affine @ LPS
    return result
