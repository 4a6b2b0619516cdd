"""Debug: let a fault leave nipype as it was raised, with the frames that led to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nipype.interfaces.base import BaseInterface


@contextmanager
def faults_as_raised() -> Iterator[None]:
    """Within it, a step of a serial workflow raises its own exception.

    nipype asks every interface to swallow exceptions and tells of them as text, in which a
    debugger finds no frame.
    """
    original = BaseInterface.run

    def run(self: Any, cwd: str | None = None, **options: Any) -> Any:
        return original(self, cwd=cwd, **(options | {"ignore_exception": False}))

    BaseInterface.run = run
    try:
        yield
    finally:
        BaseInterface.run = original
