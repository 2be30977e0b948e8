"""Every notebook runs from top to bottom on real data, beside a cluster or with one of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import workbench as wb
from tests.processes import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


BESIDE_A_CLUSTER = {"02-dask-and-persist-shared"}
"""Notebooks that find a cluster, as beside `make demo`; the others find none, and start one if they need it."""


@pytest.fixture
def cluster(request: pytest.FixtureRequest, store_directory: Path) -> Iterator[None]:
    """Run a cluster of two nodes beside a notebook that shall find one."""
    if request.getfixturevalue("path").stem not in BESIDE_A_CLUSTER:
        yield
        return
    with wb.LocalCluster(nodes=2, directory=store_directory, dashboard_address=":0"):
        yield


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


SAID = {
    "01-share-a-dataframe": ["copy", "share", "longest delay in the second kernel: 600.0", "no objects"],
    "02-dask-and-persist-shared": ["12 partitions, lazy: DataFrame", "node-1", "node-2", "'dest': 'HNL'"],
    "03-move-and-replicate": [
        r"replicate flights \(dry run\): 1",
        r"node-2  memory .*\n.*node-1  cached",
        "flights' on node-2 is the last one",
        "node-2  drained",
        r"moved to node-2",
    ],
    "04-memory-who-holds-what": [
        "variables mine, late",
        r"flights \(deleted\)",
        r"Out\[\d+\], _ ",
        r"Cleared Out\[\d+\]",
        r"wb.unpin\('numbers'\)",
        r"\(disk\)",
        "read from the disk: 49999995000000.0",
    ],
}
"""What a reader of each notebook sees, as it tells."""


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(
    path: Path, cluster: None, store_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cell fails, what it shows is what its text says, and what the notebook shared it has deleted."""
    del cluster
    monkeypatch.setenv("WORKBENCH_DEMO_ROWS", "336776")
    monkeypatch.setenv("WORKBENCH_SPILL_DIRECTORY", str(tmp_path))
    notebook = run(path)
    shown = "\n".join(text_of(cell) for cell in notebook.cells)
    assert "Traceback" not in shown and "WARNING" not in shown
    for said in SAID[path.stem]:
        assert re.search(said, shown), (said, shown)
    with wb.Session(store_directory) as session:
        assert session.ls() == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_clean(path: Path) -> None:
    """A notebook in the repository has no outputs, no counts and no machine in it, and names its kernel."""
    content = json.loads(path.read_text())
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, cell["id"]
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    assert "/home/" not in path.read_text()
