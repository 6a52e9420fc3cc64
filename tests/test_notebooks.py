"""Notebooks: committed without outputs, and each runs from top to bottom in a fresh kernel."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
TIMEOUT = 300  # seconds a cell, on a busy machine
RUN_SELDOM = {
    "07_monitor",
    "10_network",
}  # a quarter of a minute of a core each, which the suite does not have


def read(path):
    return nbformat.read(path, as_version=4)


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_committed_without_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, (
                f"cell {number} of {path.name}: run nbstripout on it"
            )
    assert "widgets" not in notebook.metadata


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.thorough] if path.stem in RUN_SELDOM else [])
        for path in NOTEBOOKS
    ],
    ids=lambda path: path.stem,
)
def test_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    """Every cell runs, every assertion in a cell holds, and figures are drawn."""
    notebook = read(path)
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    NotebookClient(
        notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in shown), "no figure was drawn"
