"""Spilled objects in a cluster: still a replica of their node, read and copied from where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from tests.integration.clusters import running_cluster

pytestmark = pytest.mark.usefixtures("own_store", "workbench_directory")


def test_spilled_object_is_a_replica_like_any_other(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session says that it is on disk, another node gets it from there, and restoring says so, too."""
    monkeypatch.setenv("WORKBENCH_SPILL_DIRECTORY", str(tmp_path / "spill"))
    monkeypatch.setenv("WORKBENCH_RESTORE_AFTER", "never")
    with running_cluster(home) as cluster:
        wb.connect(cluster)
        array = np.arange(100_000.0)
        wb.put(array, "array")
        wb.spill("array")
        assert [replica.state for replica in wb.info("array").replicas] == ["disk"]
        assert [replica.state for info in wb.ls() for replica in info.replicas] == ["disk"]
        wb.replicate("array", to="node-2").wait()
        assert sorted(replica.state for replica in wb.where("array")) == ["disk", "memory"]
        assert np.array_equal(wb.get("array"), array)
        wb.restore("array")
        assert [replica.state for replica in wb.where("array")] == ["memory", "memory"]
