"""Synthesise the brain images that a BIDS dataset lacks, and say how far to trust them.

In Python, without a dataset: `load` a model, `score` an image.
"""

import os
from importlib import import_module
from typing import Any

# Before any module can import nipype, which would ask a server for its newest version.
os.environ.setdefault("NO_ET", "1")

__version__ = "0.1.0"
_IN_API = ("load", "score")


def __getattr__(name: str) -> Any:
    """What needs torch and ANTs is imported when it is asked for."""
    if name in _IN_API:
        return getattr(import_module("bids_synth.api"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted({*globals(), *_IN_API})
