"""ITK text transforms: the one place where RAS+ meets LPS+."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_synth.errors import VisitError
from bids_synth.spatial.grid import Affine
from bids_synth.spatial.volume import write_text

LPS: Affine = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS+ mm <-> LPS+ mm; its own inverse."""


def itk_text(matrix: Affine) -> str:
    """A 4x4 map of RAS+ points as an ITK text transform (LPS+, centre at the origin).

    >>> print(itk_text(np.eye(4)).splitlines()[2])
    Transform: AffineTransform_double_3_3
    """
    lps = LPS @ np.asarray(matrix, dtype=np.float64) @ LPS
    parameters = " ".join(repr(float(x)) for x in [*lps[:3, :3].ravel(), *lps[:3, 3]])
    return (
        "#Insight Transform File V1.0\n#Transform 0\n"
        "Transform: AffineTransform_double_3_3\n"
        f"Parameters: {parameters}\nFixedParameters: 0 0 0\n"
    )


def parse_itk(text: str) -> Affine:
    """The inverse of `itk_text`, for any single linear ITK transform with 12 parameters.

    y = M (x - c) + c + t, with the centre c in FixedParameters (ITK MatrixOffsetTransformBase).
    Raises ValueError for anything else.
    """
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    numbers = np.array(fields.get("Parameters", "").split(), dtype=np.float64)
    centre = np.array(fields.get("FixedParameters", "").split(), dtype=np.float64)
    if text.count("Transform:") != 1 or numbers.size != 12 or centre.size != 3:
        message = "expected one linear ITK text transform with 12 parameters and a centre"
        raise ValueError(message)
    lps = np.eye(4)
    lps[:3, :3] = numbers[:9].reshape(3, 3)
    lps[:3, 3] = numbers[9:] + centre - lps[:3, :3] @ centre
    return np.asarray(LPS @ lps @ LPS)


def write_itk(matrix: Affine, path: Path) -> Path:
    """Write a 4x4 map of RAS+ points as ITK text."""
    return write_text(itk_text(matrix), path)


def read_itk(path: Path) -> Affine:
    """Read an ITK text transform as a 4x4 map of RAS+ points; VisitError names the file."""
    try:
        return parse_itk(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{path}: is not a linear ITK text transform ({error}); delete it and run again"
        raise VisitError(message) from error
