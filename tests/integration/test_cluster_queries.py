"""Queries on datasets of a real cluster give what they give on the original, where the partitions are; frames and arrays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.dataframe.utils import assert_eq
from distributed import Client, get_worker

import workbench as wb
from tests.flights import flights
from tests.integration.clusters import until
from workbench.cluster.client import ClusterClient
from workbench.local_cluster import LocalCluster

PARTS = 6
pytestmark = pytest.mark.usefixtures("connected")


@pytest.fixture(scope="module")
def january() -> pd.DataFrame:
    """The first flights of the year, with real gaps, times and text."""
    return flights().head(20_000)


@pytest.fixture
def client() -> Client:
    """The client of the test's session."""
    cluster = wb.current_session().cluster
    assert cluster is not None
    return cluster.client


@pytest.fixture
def original(january: pd.DataFrame) -> Any:
    """The flights as a lazy frame that is a dataset, too."""
    frame = dd.from_pandas(january, npartitions=PARTS)
    frame.persist_shared("flights")
    return frame


def partitions() -> dict[str, set[str]]:
    """Which nodes have each partition."""
    found = {
        info.id: {replica.node_name for replica in info.replicas}
        for info in wb.ls(parts=True)
        if info.tags.get("partition")
    }
    return {str(key): value for key, value in found.items()}


def test_queries_give_what_they_give_on_the_original(
    january: pd.DataFrame, original: Any, client: Client, tmp_path: Path
) -> None:
    """Groupby, merge, shuffle, repartition, selections and Parquet files: values, order, divisions and dtypes."""
    opened = wb.open("flights")
    before = partitions()
    holidays = pd.DataFrame({"day": [1, 20], "called": ["New Year", "Martin Luther King"]})

    def queries(frame: Any) -> Iterator[Any]:
        yield frame
        yield frame[["dep_delay", "carrier"]]
        yield frame.distance
        yield frame.loc[2000:7000]
        yield frame[frame.dep_delay > 60].arr_delay
        yield frame.groupby("dest").dep_delay.mean()
        yield frame.repartition(npartitions=2)
        yield frame.merge(holidays, on="day")[["distance", "called"]]
        yield frame.dest.value_counts()

    for ours, theirs in zip(queries(opened), queries(original), strict=True):
        assert ours.divisions == theirs.divisions
        with dask.config.set({"dataframe.shuffle.method": "tasks"}):
            expected = theirs.compute(scheduler="sync")
        assert_eq(ours, expected, scheduler=client)
    shuffled = opened.shuffle("dest").map_partitions(lambda part: part.dest.drop_duplicates(), meta=("dest", object))
    assert sorted(shuffled.compute(scheduler=client)) == sorted(january.dest.unique())
    opened.to_parquet(tmp_path / "ours")
    original.to_parquet(tmp_path / "theirs", compute_kwargs={"scheduler": "sync"})
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "ours"), pd.read_parquet(tmp_path / "theirs"))
    assert partitions() == before


def _worker(block: pd.DataFrame) -> pd.DataFrame:
    """Say on which node this task runs, and whether its partition is mapped from that node's store."""
    plugin: Any = get_worker().plugins["workbench"]
    address = block["dep_delay"].to_numpy().ctypes.data
    mapped = False
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, _, high = line.split()[0].partition("-")
        if int(low, 16) <= address < int(high, 16):
            mapped = line.split(maxsplit=5)[-1].startswith(f"{plugin.store.directory}/")
    return pd.DataFrame({"node": [plugin.store.id], "mapped": [mapped]})


@pytest.mark.parametrize("replicas", [1, 2])
def test_partitions_are_read_where_they_are(january: pd.DataFrame, replicas: int) -> None:
    """At least 95% of the reads of an idle cluster map a local replica, of several any; measured over 120 reads."""
    dd.from_pandas(january, npartitions=24).persist_shared("flights", replicas=replicas)
    before = partitions()
    assert {len(nodes) for nodes in before.values()} == {replicas}
    opened = wb.open("flights")
    meta = pd.DataFrame({"node": ["x"], "mapped": [True]}).iloc[:0]
    reads = [
        frame.map_partitions(_worker, meta=meta).compute()
        for frame in (
            opened,
            opened[["dep_delay"]],
            opened.loc[1:20_000],
            opened[opened.distance > -1],
            opened.partitions[::-1],
        )
    ]
    rows = pd.concat(reads)
    assert len(rows) == 120
    # The filtered frame is made by the task, so it is no mapped memory; that nothing was fetched for it, the replicas tell.
    assert pd.concat([*reads[:3], reads[4]]).mapped.mean() >= 0.95
    fetched = sum(len(nodes - before[key]) for key, nodes in partitions().items())
    assert fetched <= 0.05 * len(rows)
    assert rows.node.nunique() == 2


def test_another_client_reads_mapped_partitions(original: Any, lasting_cluster: LocalCluster) -> None:
    """It has neither the graph nor the futures of the first one."""
    meta = pd.DataFrame({"node": ["x"], "mapped": [True]}).iloc[:0]
    with Client(lasting_cluster, set_as_default=False) as other:
        rows = other.compute(wb.open("flights").map_partitions(_worker, meta=meta), sync=True)
    assert rows.mapped.all()


def _overwrite(name: str, seconds: float) -> int:
    end, number = time.monotonic() + seconds, 0
    with wb.Session() as session:
        while time.monotonic() < end:
            session.put(np.full(300_000, number), name)
            number += 1
            time.sleep(0.02)
    return number


def test_a_name_that_is_overwritten_elsewhere_can_be_got_at_any_time(client: Client) -> None:
    """Between looking the name up and bringing its object here, another node gives it to the next object: that one is the answer."""
    [there] = [node.address for node in wb.nodes() if node.name == "node-2"]
    writing = client.submit(_overwrite, "x", 3.0, workers=[there], pure=False)
    until(lambda: wb.exists("x"), "it was put")
    seen = []
    while not writing.done():
        value = wb.get("x")
        assert (value == value[0]).all()
        seen.append(int(value[0]))
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    until(lambda: wb.get("x")[0] == writing.result() - 1, "the last one is seen")


def test_a_dataset_that_is_overwritten_is_never_mixed(january: pd.DataFrame, original: Any) -> None:
    """Who opened the old one reads the old one, or is told its name; what was got before stays."""
    old = wb.open("flights")
    first = wb.get("flights")
    dd.from_pandas(january.assign(distance=-1.0), npartitions=3).persist_shared("flights")
    until(lambda: len(wb.ls(parts=True)) == 4, "the old partitions go")
    with pytest.raises(
        wb.ObjectNotFoundError, match=r"The dataset 'flights' that was opened here is gone.*wb.open\('flights'\)"
    ):
        old.distance.sum().compute()
    assert wb.open("flights").distance.sum().compute() == -len(january)
    assert first.distance.sum() == january.distance.sum()


def test_a_dataset_is_got_as_a_whole(january: pd.DataFrame, original: Any) -> None:
    """wb.get gives what computing gives, and brings what other nodes have."""
    pd.testing.assert_frame_equal(wb.get("flights"), original.compute())


def test_without_the_cluster_the_error_names_dataset_nodes_and_the_next_step(
    original: Any, lasting_cluster: LocalCluster
) -> None:
    """Opening works wherever the manifest is; computing says what is missing: not connected, and connected with what has ended."""
    session = wb.current_session()
    here = len(session.store.ls(dataset=wb.info("flights").id))
    assert 0 < here < PARTS
    connected, session.cluster = session.cluster, None
    try:
        has = rf"'flights' has {PARTS} partitions, of which this host's store, .*, has {here}; they were put on node-1, node-2. Connect"
        with pytest.raises(wb.ObjectNotFoundError, match=has):
            wb.open("flights").compute(scheduler="sync")
        with Client(lasting_cluster, set_as_default=False) as gone:
            session.cluster = ClusterClient(gone)
        with pytest.raises(wb.ObjectNotFoundError, match=has), pytest.warns(UserWarning, match="has gone"):
            wb.open("flights").compute(scheduler="sync")
    finally:
        session.cluster = connected


ARRAYS: dict[str, Any] = {
    "two dimensions": lambda: da.arange(6000, chunks=700).reshape(60, 100).rechunk((25, 40)).astype("float32"),
    "Fortran order": lambda: da.ones((300, 40), chunks=(100, 40)).map_blocks(np.asfortranarray) * np.arange(40),
    "no dimension": lambda: da.from_array(np.array(3.5)),
    "empty blocks": lambda: da.zeros((0, 4), chunks=(0, 2)),
    "times": lambda: da.from_array(np.arange(5000).astype("M8[ns]"), chunks=1200),
}


@pytest.mark.parametrize("which", ARRAYS)
def test_an_array_is_a_dataset(which: str) -> None:
    """Chunks, dtype, values and memory order of each block are kept, in listings it is a Dask Array, and opening is lazy."""
    array = ARRAYS[which]()
    returned = array.persist_shared("array")
    opened = wb.open("array")
    assert isinstance(opened, da.Array)
    assert (
        (opened.chunks, opened.dtype, opened.shape)
        == (array.chunks, array.dtype, array.shape)
        == (returned.chunks, returned.dtype, returned.shape)
    )
    values = array.compute()
    np.testing.assert_array_equal(opened.compute(), values)
    np.testing.assert_array_equal(wb.get("array"), values)
    np.testing.assert_array_equal(
        (opened[..., :30] + 1 if opened.ndim and opened.dtype.kind != "M" else opened).compute(),
        values[..., :30] + 1 if values.ndim and values.dtype.kind != "M" else values,
    )
    [listed] = wb.ls()
    assert (listed.kind, listed.type, listed.shape, listed.dtypes) == (
        "dataset",
        "dask.array.Array",
        array.shape,
        {"": str(array.dtype)},
    )
    assert opened.nbytes == array.nbytes


def test_arrays_whose_chunks_are_not_known_and_of_other_classes() -> None:
    """Sizes that Dask does not know are known once the blocks are there; masked arrays stay masked."""
    array = da.arange(1000, chunks=300)
    array[array % 3 == 0].persist_shared("thirds")
    assert wb.open("thirds").chunks == ((100, 100, 100, 34),)
    assert wb.open("thirds").sum().compute() == sum(range(0, 1000, 3))
    masked = da.ma.masked_equal(da.arange(10, chunks=4), 3)
    masked.persist_shared("masked")
    assert isinstance(wb.open("masked")._meta, np.ma.MaskedArray)
    assert wb.open("masked").compute().mask.tolist() == masked.compute().mask.tolist()
    assert wb.get("masked").sum() == 42


def test_an_array_moves_is_saved_and_is_loaded(tmp_path: Path) -> None:
    """What is done with a dataset of frames is done with one of arrays."""
    array = da.random.default_rng(1).normal(size=(400, 50), chunks=(100, 25))
    values = array.persist_shared("array").compute()
    assert len(partitions()) == 8
    wb.move("array", to="node-2").wait()
    np.testing.assert_array_equal(wb.open("array").compute(), values)
    assert set.union(*partitions().values()) == {"node-2"}
    wb.save("array", str(tmp_path / "array.wb"))
    wb.delete("array")
    wb.load(str(tmp_path / "array.wb"))
    np.testing.assert_array_equal(wb.open("array").compute(), values)
