"""The notebook runs from its first cell to its last, and is kept without what it printed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from conftest import REAL

nbformat = pytest.importorskip("nbformat", reason="pip install 'bids_synth[test]'")
nbclient = pytest.importorskip("nbclient", reason="pip install 'bids_synth[test]'")
pytest.importorskip("ipykernel", reason="pip install 'bids_synth[test]'")
ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "first_image.ipynb"
SCAN = REAL / "head" / "sub-02" / "anat" / "sub-02_T1w.nii.gz"


def notebook() -> Any:
    return nbformat.read(PAGE, as_version=4)


def run(page: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Execute all cells in a folder of their own; a fault of a cell is raised."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path.rstrip(os.pathsep))
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR", "TMPDIR"):
        (folder / variable).mkdir()
        monkeypatch.setenv(variable, str(folder / variable))
    client = nbclient.NotebookClient(
        page, timeout=900, resources={"metadata": {"path": str(folder)}}
    )
    return client.execute()


def printed(page: Any) -> str:
    outputs = [o for cell in page.cells for o in cell.get("outputs", ())]
    return "".join(o.text for o in outputs if o.get("name") == "stdout")


def pictures(page: Any) -> int:
    outputs = [o for cell in page.cells for o in cell.get("outputs", ())]
    return sum("image/png" in o.get("data", {}) for o in outputs)


def test_it_is_kept_without_outputs() -> None:
    page = notebook()
    nbformat.validate(page)
    code = [cell for cell in page.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    three = next(cell.source for cell in code if "synthesize" in cell.source)
    assert len([line for line in three.splitlines() if line]) == 3


@pytest.mark.slow
def test_it_runs_on_a_drawn_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = run(notebook(), tmp_path, monkeypatch)
    assert printed(page).split()[0] in ("pass", "review", "fail")
    assert pictures(page) == 1


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.skipif(not SCAN.is_file(), reason="no real scans beside the checkout")
def test_it_runs_on_a_real_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = notebook()
    (cell,) = (c for c in page.cells if "own = None" in c.source)
    cell.source = cell.source.replace("own = None", f"own = {str(SCAN)!r}")
    page = run(page, tmp_path, monkeypatch)
    assert printed(page).split()[0] in ("pass", "review")
    assert pictures(page) == 1
