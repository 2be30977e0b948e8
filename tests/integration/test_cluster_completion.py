"""Completion in a shell beside a running cluster: nodes, and what other nodes have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from tests.integration.clusters import places, until
from tests.processes import completions
from workbench.local_cluster import LocalCluster


@pytest.mark.usefixtures("connected")
def test_a_shell_is_offered_what_the_cluster_has(workbench_directory: Path, lasting_cluster: LocalCluster) -> None:
    """Names of nodes, and of objects that are elsewhere only; not for verbs about this host, nor with ``--local``."""
    wb.put(1, "flights here")
    wb.move(wb.put(np.zeros(1000), "flights[there]"), to="node-2").wait()
    until(lambda: places("flights[there]") == {"node-2"}, "it was moved")
    wb.put(1, "trains")

    def offered(words: str) -> list[str]:
        return [word.replace("\\", "") for word in completions(workbench_directory, f"workbench {words}")]

    assert offered("move trains --to ") == offered("undrain node") == ["node-1", "node-2"]
    assert offered("drop trains node-2") == ["node-2"]
    assert offered("where fl") == ["flights here", "flights[there]"]
    assert offered("where flights[") == ["flights[there]"]
    assert offered("where --local fl") == offered("pin fl") == ["flights here"]
    assert offered(f"ls --scheduler {lasting_cluster.scheduler_address} --node ") == ["node-1", "node-2"]
    assert offered("ls --scheduler nonsense --node ") == []
