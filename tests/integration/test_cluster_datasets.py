from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import distributed
import numpy as np
import pandas as pd
import pytest
from distributed import get_worker

import workbench as wb
from tests.integration.clusters import places, until
from tests.processes import run
from workbench import progress
from workbench.collections import persisting
from workbench.local_cluster import LocalCluster

ROWS, PARTS = 2000, 6


pytestmark = pytest.mark.usefixtures("connected")


def part(number: int) -> pd.DataFrame:
    """One partition: numbers, text, times, categories and missing values."""
    index = pd.RangeIndex(number * ROWS, (number + 1) * ROWS, name="row")
    return pd.DataFrame(
        {
            "x": np.arange(ROWS) + number * 0.5,
            "name": pd.Series([f"carrier {row % 7}" for row in range(ROWS)], index=index, dtype="string[pyarrow]"),
            "when": pd.date_range("2013-01-01", periods=ROWS, freq="h", tz="America/New_York").to_numpy(),
            "kind": pd.Categorical(["a", "b"] * (ROWS // 2)),
            "maybe": pd.array([1, None] * (ROWS // 2), dtype="Int64"),
        },
        index=index,
    )


def frame(divisions: Any = None) -> dd.DataFrame:
    """A lazy frame whose partitions are made by the workers."""
    made: dd.DataFrame = dd.from_map(part, range(PARTS), meta=part(0).iloc[:0], divisions=divisions)
    return made


DIVISIONS = (*range(0, PARTS * ROWS, ROWS), PARTS * ROWS - 1)


def parts_by_node() -> dict[str, int]:
    """How many partitions each node has."""
    found: dict[str, int] = {}
    for info in wb.ls(parts=True):
        if "partition" in info.tags:
            for replica in info.replicas:
                found[replica.node_name] = found.get(replica.node_name, 0) + 1
    return found


@pytest.mark.parametrize("divisions", [None, DIVISIONS], ids=["unknown divisions", "known divisions"])
def test_what_is_opened_equals_what_was_persisted(divisions: Any) -> None:
    """The same divisions, meta, order, index and dtypes, whatever they are; and the same results."""
    original = frame(divisions)
    returned = original.persist_shared("flights")
    opened = wb.open("flights")
    assert isinstance(opened, dd.DataFrame)
    assert opened.divisions == original.divisions == returned.divisions
    assert opened.npartitions == PARTS
    pd.testing.assert_frame_equal(opened._meta, original._meta)
    whole = pd.concat([part(number) for number in range(PARTS)])
    pd.testing.assert_frame_equal(opened.compute(), whole)
    pd.testing.assert_frame_equal(returned.compute(), whole)
    pd.testing.assert_frame_equal(opened.get_partition(4).compute(), part(4))
    assert opened.x.sum().compute() == whole.x.sum()
    expected = whole[whole.x > 100].groupby("name").x.mean()
    pd.testing.assert_series_equal(opened[opened.x > 100].groupby("name").x.mean().compute().sort_index(), expected)


def test_a_series_is_a_dataset_too() -> None:
    """A Series comes back as one."""
    frame().name.persist_shared("names")
    opened = wb.open("names")
    assert isinstance(opened, dd.Series)
    pd.testing.assert_series_equal(opened.compute(), pd.concat([part(number).name for number in range(PARTS)]))


def test_opening_is_lazy_and_a_dataset_is_one_object_in_listings() -> None:
    """A listing shows the dataset with the bytes of its partitions; opening moves nothing."""
    frame().persist_shared("flights")
    [listed] = wb.ls()
    assert (listed.name, listed.kind, listed.type, listed.shape) == (
        "flights",
        "dataset",
        "dask.dataframe.DataFrame",
        (PARTS * ROWS, 5),
    )
    assert listed.nbytes > PARTS * ROWS * 30
    before = parts_by_node()
    wb.open("flights")
    assert parts_by_node() == before
    assert sum(before.values()) == PARTS


def _where(block: pd.DataFrame, store: str) -> pd.DataFrame:
    """Say whether this task's partition is mapped from the store of its own host."""
    address = block["x"].to_numpy().__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, _, high = line.split()[0].partition("-")
        if int(low, 16) <= address < int(high, 16):
            mapped = line.split(maxsplit=5)[-1].startswith(os.environ["WORKBENCH_DIR"] + "/")
            return pd.DataFrame({"mapped": [mapped], "worker": [get_worker().address], "store": [store]})
    return pd.DataFrame({"mapped": [False], "worker": [get_worker().address], "store": [store]})


def test_tasks_run_where_the_partitions_are_and_map_them() -> None:
    """Each partition is mapped by a worker of a node that has it; a query makes no replica and copies nothing."""
    frame().persist_shared("flights")
    before = parts_by_node()
    meta = pd.DataFrame({"mapped": [True], "worker": ["x"], "store": ["x"]}).iloc[:0]
    opened = wb.open("flights")
    found = opened[opened.x > -1].map_partitions(lambda block: block, meta=opened._meta).x.sum().compute()
    assert found == pd.concat([part(number) for number in range(PARTS)]).x.sum()
    rows = opened.map_partitions(_where, "s", meta=meta).compute()
    assert rows.mapped.all()
    assert parts_by_node() == before
    counts = rows.worker.value_counts().to_dict()
    by_address = {node.name: counts.get(node.address, 0) for node in wb.nodes()}
    assert {name: number for name, number in by_address.items() if number} == before


def test_a_dataset_outlives_the_client_that_persisted_it(lasting_cluster: LocalCluster, tmp_path: Path) -> None:
    """Another process opens it by name when the first client has gone: same divisions, same meta, nothing computed again."""
    counter = tmp_path / "computed"
    first = f"""
        import numpy as np, pandas as pd, dask.dataframe as dd, workbench as wb

        def make(number):
            with open({str(counter)!r}, "a") as file:
                file.write("x")
            return pd.DataFrame({{"x": np.arange(1000) + number}}, index=range(number * 1000, number * 1000 + 1000))

        client = wb.connect()
        frame = dd.from_map(make, range(4), meta=pd.DataFrame({{"x": [1]}}).iloc[:0], divisions=(0, 1000, 2000, 3000, 3999))
        frame.persist_shared("numbers")
    """
    done = run(first, lasting_cluster.directories[0])
    assert done.returncode == 0, done.stderr
    assert counter.read_text() == "xxxx"
    second = """
        import workbench as wb
        client = wb.connect()
        frame = wb.open("numbers")
        print(frame.divisions, frame.x.dtype, frame.x.sum().compute(), len(frame.loc[500:2499].compute()))
    """
    done = run(second, lasting_cluster.directories[1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(0, 1000, 2000, 3000, 3999) int64 2004000 2000"
    assert counter.read_text() == "xxxx"


def test_a_name_that_is_persisted_again_is_the_new_dataset_and_the_old_one_goes() -> None:
    """Rebinding a dataset's name deletes the old one's partitions on all nodes."""
    frame().persist_shared("flights")
    old = {info.id for info in wb.ls(parts=True)}
    frame(DIVISIONS).persist_shared("flights")
    until(lambda: not old & {info.id for info in wb.ls(parts=True)}, "the old dataset goes")
    assert wb.open("flights").divisions == DIVISIONS
    assert sum(parts_by_node().values()) == PARTS
    assert len(wb.open("flights")) == PARTS * ROWS


def test_a_dataset_is_renamed_on_every_node() -> None:
    """It is opened by its new name, and nobody has the old one any more."""
    frame().persist_shared("flights")
    assert wb.rename("flights", "journeys").name == "journeys"
    assert len(wb.open("journeys")) == PARTS * ROWS
    until(lambda: not wb.exists("flights"), "the old name is gone")
    wb.delete("journeys")


def test_deleting_a_dataset_deletes_its_partitions() -> None:
    """No partition is left behind on any node."""
    frame().persist_shared("flights")
    wb.delete("flights")
    assert wb.ls(parts=True) == []
    with pytest.raises(wb.ObjectNotFoundError):
        wb.open("flights")


def test_a_dataset_moves_and_replicates_as_a_whole() -> None:
    """What the panel does with a dataset, it does with all of its partitions."""
    frame().persist_shared("flights", replicas=2)
    assert parts_by_node() == {"node-1": PARTS, "node-2": PARTS}
    assert places("flights") == {"node-1", "node-2"}
    wb.move("flights", to="node-2").wait()
    assert parts_by_node() == {"node-2": PARTS}
    assert len(wb.open("flights")) == PARTS * ROWS
    assert parts_by_node() == {"node-2": PARTS}


def test_without_a_name_only_the_returned_collection_has_it() -> None:
    """A dataset needs no name to be used."""
    returned = frame().persist_shared()
    assert len(returned) == PARTS * ROWS
    [listed] = wb.ls()
    assert listed.name is None
    assert len(wb.open(listed.ref)) == PARTS * ROWS


def test_a_dataset_that_does_not_fit_leaves_nothing(lasting_cluster: LocalCluster) -> None:
    """When a node is full, the error says so, the name is not bound, and the partitions that fitted are deleted."""

    def large(number: int) -> pd.DataFrame:
        return pd.DataFrame({"x": np.full(10_000_000, number)})

    too_large = dd.from_map(large, range(8), meta=pd.DataFrame({"x": [1]}).iloc[:0])
    frame().persist_shared("flights")
    before = {info.id for info in wb.ls(parts=True)}
    with pytest.raises(wb.StoreFullError):
        too_large.persist_shared("flights")
    until(lambda: {info.id for info in wb.ls(parts=True)} == before, "what fitted is deleted")
    assert len(wb.open("flights")) == PARTS * ROWS


def test_without_a_cluster_a_dataset_is_in_this_hosts_store(memory_directory: Path) -> None:
    """The same works with Dask's threads and one store, and the old partitions go when the name is bound again."""
    previous = wb.use_session(wb.Session(memory_directory / "alone"))
    try:
        with ThreadPoolExecutor(2) as pool, dask.config.set(scheduler="threads", pool=pool):
            for _ in range(2):
                frame().persist_shared("flights")
            pd.testing.assert_frame_equal(wb.open("flights").compute(), pd.concat([part(n) for n in range(PARTS)]))
            assert len(wb.ls(parts=True)) == PARTS + 1
            wb.delete("flights")
            assert wb.ls(parts=True) == []
            with pytest.raises(wb.ClusterError, match="Keeping 2 replicas needs a cluster"):
                frame().persist_shared("flights", replicas=2)
    finally:
        mine = wb.use_session(previous)
        assert mine is not None
        mine.close()


def test_bad_input_is_refused() -> None:
    """Names that cannot be, objects that are no datasets, impossible numbers: nothing is computed."""
    wb.put(1, "number")
    with pytest.raises(TypeError, match="'number' is int, not a dataset: get it with wb.get"):
        wb.open("number")
    with pytest.raises(wb.ObjectNotFoundError, match="Did you mean 'number'"):
        wb.open("numbr")
    with pytest.raises(TypeError, match="not int"):
        wb.open(3)  # type: ignore[arg-type]
    untouched = dd.from_map(_never, range(2), meta=part(0).iloc[:0])
    with pytest.raises(wb.NameConflictError):
        untouched.persist_shared("")
    with pytest.raises(TypeError):
        untouched.persist_shared(3)
    with pytest.raises(ValueError, match="replicas is 0"):
        untouched.persist_shared("x", replicas=0)
    with pytest.raises(
        wb.ClusterError, match="3 replicas need 3 running nodes; the cluster has 2 .*Nothing was changed"
    ):
        untouched.persist_shared("x", replicas=3)


def _never(number: int) -> pd.DataFrame:
    raise AssertionError(number)


def test_a_failing_partition_is_the_users_own_error() -> None:
    """What the user's code raises arrives as it is, and no dataset is made."""

    def fails(number: int) -> pd.DataFrame:
        if number == 2:
            raise ZeroDivisionError("my own mistake")
        return part(number)

    with pytest.raises(ZeroDivisionError, match="my own mistake"):
        dd.from_map(fails, range(4), meta=part(0).iloc[:0]).persist_shared("flights")
    until(lambda: not wb.ls(parts=True), "nothing is left")


def test_who_waits_sees_the_partitions_come_and_ctrl_c_stops_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar counts what nodes have put; Ctrl-C while it is seen stops the tasks, and nothing of the dataset is left."""

    class Impatient:
        def show(self, work: progress.Work) -> None:
            seen.append((work.done, work.total))
            if work.done > 0:
                raise KeyboardInterrupt

        def end(self, work: progress.Work, *, failed: bool) -> None:
            assert failed

    def slow(number: int) -> pd.DataFrame:
        time.sleep(0.2)
        return part(number)

    seen: list[tuple[int, int]] = []
    for name, seconds in (("PATIENCE", 0.0), ("_TURN", 0.0)):
        monkeypatch.setattr(progress, name, seconds)
    monkeypatch.setattr(persisting, "_TURN", 0.1)
    previous = progress.show_with(Impatient())
    try:
        with pytest.raises(KeyboardInterrupt):
            dd.from_map(slow, range(100), meta=part(0).iloc[:0]).persist_shared("slow")
    finally:
        progress.show_with(previous)
    assert 0 < seen[-1][0] < seen[-1][1] == 100
    client = distributed.get_client()
    until(lambda: not any(client.processing().values()), "no task runs any more")
    until(lambda: not wb.ls(parts=True), "nothing is left")


def test_a_dataset_that_has_lost_a_partition_says_so() -> None:
    """It is neither gone nor replaced, and to open it again would not help."""
    frame().persist_shared("flights")
    opened = wb.open("flights")
    wb.delete(next(info.id for info in wb.ls(parts=True) if info.tags.get("partition") == "1"))
    for compute in (opened.compute, wb.open("flights").compute):
        with pytest.raises(
            wb.ObjectNotFoundError,
            match=f"has {PARTS} partitions, of which .* have {PARTS - 1}.* compute the dataset anew",
        ):
            compute()
