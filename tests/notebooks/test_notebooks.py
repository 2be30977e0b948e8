"""Every notebook runs from top to bottom, with a cluster and without one, on real data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import workbench as wb
from tests.processes import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=["alone", "cluster"])
def cluster(request: pytest.FixtureRequest, store_directory: Path) -> Iterator[str]:
    """Run a cluster of two nodes beside the notebook, or none."""
    if request.param == "alone":
        yield "alone"
        return
    with wb.LocalCluster(nodes=2, directory=store_directory, dashboard_address=":0"):
        yield "cluster"


def run(path: Path) -> Any:
    """Execute a notebook in a kernel of its own and return it with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    return notebook


def text_of(cell: Any) -> str:
    """Return what a cell printed and showed, as text."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", [])]
    return "\n".join(texts)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, cluster: str, store_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cell fails, and what the notebook shared it has deleted."""
    monkeypatch.setenv("WORKBENCH_DEMO_ROWS", "700000")
    notebook = run(path)
    cells = {cell["id"]: text_of(cell) for cell in notebook.cells}
    assert not any("Traceback" in text or "WARNING" in text for text in cells.values())
    with wb.Session(store_directory) as session:
        assert session.ls() == []
    if path.stem.startswith("01"):
        placed = next(text_of(cell) for cell in notebook.cells if 'wb.where("flights")' in cell.source)
        assert ("node-1" in placed and "node-2" in placed) == (cluster == "cluster"), placed
        assert any("copy" in text and "share" in text for text in cells.values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_clean(path: Path) -> None:
    """A notebook in the repository has no outputs, no counts and no machine in it, and names its kernel."""
    content = json.loads(path.read_text())
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, cell["id"]
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    assert "/home/" not in path.read_text()
