"""Datasets of frames in one store, without a cluster: what a query reads, and what it does not."""

from __future__ import annotations

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.cluster.resolving import references
from workbench.collections.manifest import VERSION, Manifest
from workbench.collections.partitions import select
from workbench.current import current_session
from workbench.errors import CodecError, ObjectNotFoundError
from workbench.objects import new_object_id
from workbench.store import Store

pytestmark = pytest.mark.usefixtures("store")

TEXT = pd.array([f"text {n}" for n in range(100)], dtype="string[pyarrow]")  # as Dask makes it of any text
FRAME = pd.DataFrame(
    {
        "a": np.arange(100.0),
        "b": np.arange(100),
        "c": pd.Categorical(["x", "y"] * 50),
        "d": TEXT,
    },
    index=pd.RangeIndex(100, name="row"),
)


@pytest.fixture
def opened() -> dd.DataFrame:
    """Four partitions of 25 rows."""
    with dask.config.set(scheduler="sync"):
        dd.from_pandas(FRAME, npartitions=4).persist_shared("frame")
    frame: dd.DataFrame = wb.open("frame")
    return frame


@pytest.mark.parametrize("columns", [["a"], ["b", "c"], ["d", "a"], ["a", "c", "d"], []])
def test_selected_columns_are_not_copied(columns: list[str]) -> None:
    """The selection is pandas' own, on the same memory."""
    chosen = select(FRAME, columns)
    pd.testing.assert_frame_equal(chosen, FRAME[columns])
    for name in {"a", "b"} & set(columns):
        assert np.shares_memory(chosen[name].to_numpy(), FRAME[name].to_numpy())


def test_a_query_asks_for_the_columns_that_it_needs(opened: dd.DataFrame) -> None:
    """The tasks that map partitions are told which, and the result is the same."""
    query = opened[opened.b > 10].a
    mapping = [task for task in query.optimize(fuse=False).__dask_graph__().values() if list(references(task))]
    assert len(mapping) == 4
    assert all(set(task.kwargs["columns"]) == {"a", "b"} for task in mapping)
    pd.testing.assert_series_equal(query.compute(scheduler="sync"), FRAME[FRAME.b > 10].a)


def test_partitions_that_divisions_exclude_are_not_read(opened: dd.DataFrame) -> None:
    """A selection of rows by the index maps two of four partitions."""
    query = opened.loc[30:60]
    graph = query.optimize().__dask_graph__()
    assert len({found for task in graph.values() for found in references(task)}) == 2
    pd.testing.assert_frame_equal(query.compute(scheduler="sync"), FRAME.loc[30:60])


def test_columns_of_one_name_are_kept(store: Store) -> None:
    """What the query planner cannot name is opened as a whole."""
    twice = FRAME[["a", "b"]].set_axis(["x", "x"], axis=1)
    made = dd.from_map(lambda part: twice.iloc[part : part + 50], [0, 50], meta=twice.iloc[:0])
    with dask.config.set(scheduler="sync"):
        made.persist_shared("twice")
        pd.testing.assert_frame_equal(wb.open("twice").compute(), twice)


def test_a_part_that_is_missing_is_said_with_the_name(opened: dd.DataFrame, store: Store) -> None:
    """Not the partition's id: the dataset, how much of it is here, where it was put, and what to do."""
    part = store.ls(dataset=store.info("frame").id)[0]
    store.delete(part.id)
    with pytest.raises(
        ObjectNotFoundError,
        match="'frame' has 4 partitions, of which this host's store, .*, has 3; they were put on .*wb.connect",
    ):
        opened.compute(scheduler="sync")
    wb.delete("frame")
    with pytest.raises(
        ObjectNotFoundError, match=r"'frame' that was opened here is gone.*Open it again with wb.open\('frame'\)"
    ):
        opened.compute(scheduler="sync")


def test_a_single_partition_is_got_without_a_copy() -> None:
    """Of several, one frame is made that equals what was persisted."""
    with dask.config.set(scheduler="sync"):
        large = pd.concat([FRAME] * 100, ignore_index=True)
        dd.from_pandas(large, npartitions=1).persist_shared("one")
        dd.from_pandas(large, npartitions=3).persist_shared("three")
    values = wb.get("one")["a"].to_numpy()
    assert current_session().store.is_shared(values.ctypes.data, values.nbytes)
    for name in ("one", "three"):
        pd.testing.assert_frame_equal(wb.get(name), large)
    [together] = wb.current_session().get_many(["three"])
    pd.testing.assert_frame_equal(together, large)


def test_manifests_of_other_versions(store: Store) -> None:
    """One that lacks what came later is opened; one of a later version is refused with the reason."""
    with dask.config.set(scheduler="sync"):
        dd.from_pandas(FRAME, npartitions=1).persist_shared("frame")
    [part] = store.ls(dataset=store.info("frame").id)
    old = Manifest(new_object_id(), FRAME.iloc[:0], (0, 99), (part.ref,), (100,))
    for late in ("chunks", "nodes", "version"):
        del vars(old)[late]
    store.put(old.encode(), "old", id=old.id, tags=old.tags)
    # The partition is tagged as another dataset's.
    with pytest.warns(UserWarning, match="Of the dataset 'old', 0 of 1 partitions are in reach"):
        pd.testing.assert_frame_equal(wb.open("old").compute(scheduler="sync"), FRAME)
    new = Manifest(new_object_id(), FRAME.iloc[:0], (0, 99), (part.ref,), (100,), version=VERSION + 1)
    store.put(new.encode(), "new", id=new.id, tags=new.tags)
    with pytest.raises(CodecError, match="made by a later version of the workbench"):
        wb.open("new")
