"""Saving and loading where a cluster is: what lies on other nodes is fetched for it, and stays where it was."""

from __future__ import annotations

from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.integration.clusters import places, until

pytestmark = pytest.mark.usefixtures("connected")


def test_object_of_another_node_is_saved_and_loaded_here(tmp_path: Path) -> None:
    """It is saved from where it is, without a replica left behind; what is loaded is an object of this host."""
    here, there = (node.name for node in wb.nodes())
    array = np.arange(300_000.0)
    wb.put(array, "x")
    wb.move("x", to=there).wait()
    wb.save("x", tmp_path / "x.wb")
    until(lambda: places("x") == {there}, "the replica that saving needed goes")
    wb.delete("x")
    wb.load(tmp_path / "x.wb")
    until(lambda: places("x") == {here}, "the loaded object is announced")
    np.testing.assert_array_equal(wb.get("x"), array)


def test_dataset_of_all_nodes_is_saved_whole_and_loaded_again(tmp_path: Path) -> None:
    """Its partitions are on two nodes before, and on this host after it was deleted and loaded; workers can compute on it."""
    there = wb.nodes()[1].name
    frame = pd.DataFrame({"x": np.arange(60_000.0), "y": np.arange(60_000) % 7})
    dd.from_pandas(frame, npartitions=6).persist_shared("data")
    for info in [info for info in wb.ls(parts=True) if "partition" in info.tags][:3]:
        wb.move(info.id, to=there).wait()
    held = {info.id: {replica.node_name for replica in info.replicas} for info in wb.ls(parts=True)}
    wb.save("data", tmp_path / "data.wb")

    def unchanged() -> bool:
        return held == {info.id: {replica.node_name for replica in info.replicas} for info in wb.ls(parts=True)}

    until(unchanged, "every replica is where it was")
    wb.delete("data")
    wb.load(tmp_path / "data.wb")
    pd.testing.assert_frame_equal(wb.open("data").compute(), frame)
    assert len(wb.ls()) == 1
