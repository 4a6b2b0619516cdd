"""Extras: packages that only a part of the program needs, as pyproject.toml lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from types import MappingProxyType

from bids_synth.errors import UsageError

EXTRAS: Mapping[str, Sequence[str]] = MappingProxyType(
    {"fit": ("lightning", "optuna", "tensorboard")}
)
"""Extra -> packages that it brings."""


def require_extra(extra: str, *, what: str) -> None:
    """Raise UsageError, with the command that installs them, where packages of an extra lack.

    >>> require_extra("fit", what="group")
    """
    if absent := [package for package in EXTRAS[extra] if not _is_there(package)]:
        message = (
            f"{what} needs {', '.join(absent)}, not installed here; "
            f"run pip install 'bids_synth[{extra}]'"
        )
        raise UsageError(message)


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ImportError:
        return False
