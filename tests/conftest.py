"""What every test needs: threads that do not fight, and where the real scans are."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator

# Before torch is imported: workers that share two cores must neither spin nor oversubscribe.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ET", "1")

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: a change is judged by what it changed, not by a new draw.
settings.register_profile("shared", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("shared")

REAL = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no worker is left with one of them at the end.

    Goes with `--no-loadscope-reorder`, without which xdist begins with the files of most tests.
    """
    slow = Counter(i.path for i in items if i.get_closest_marker("slow") is not None)
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans beside the checkout; skips where it is not there."""
    if not REAL.is_dir():
        pytest.skip("the real scans are not beside this checkout")
    return REAL


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """No test, and no fixture of a module, leaves its handlers to the next.

    A run of the program sets up the package's log, and pytest reads a log twice that passes its
    records on after all.
    """
    _forget_handlers()
    yield
    _forget_handlers()


def _forget_handlers() -> None:
    log = logging.getLogger("bids_synth")
    log.handlers[:], log.propagate = [], True
    log.setLevel(logging.NOTSET)
