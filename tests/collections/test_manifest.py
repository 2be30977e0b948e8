from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench import codecs
from workbench.collections.manifest import Manifest
from workbench.collections.opening import collection
from workbench.collections.partitions import Source, load, put
from workbench.current import current_session
from workbench.errors import ObjectNotFoundError
from workbench.objects import ObjectId, Ref, is_object_id, new_object_id, partition_id
from workbench.session import Session
from workbench.store import Store

FRAME = pd.DataFrame({"x": np.arange(10.0), "s": pd.Categorical(["a", "b"] * 5)}, index=pd.Index(range(10), name="row"))


def manifest(*partitions: Ref) -> Manifest:
    """A manifest of frames like `FRAME`."""
    count = len(partitions)
    return Manifest(new_object_id(), FRAME.iloc[:0], (None,) * (count + 1), partitions, (10,) * count)


def test_a_manifest_survives_its_encoding(store: Store) -> None:
    """What is read is what was put; its description says what a listing shows."""
    put = manifest(Ref(new_object_id(), None, "dataframe", 1000), Ref(new_object_id(), None, "dataframe", 24))
    ref = store.put(put.encode(), "flights", id=put.id)
    record = store.read(ref)
    got = codecs.decode(record.header, record.buffers)
    assert (got.id, got.divisions, got.partitions, got.rows) == (put.id, put.divisions, put.partitions, put.rows)
    pd.testing.assert_frame_equal(got.meta, put.meta)
    assert repr(got) == "<Dataset of 2 partitions, 20 rows, 1.0 KiB; open it with wb.open(...)>"
    info = store.info("flights")
    assert (info.kind, info.type, info.shape) == ("dataset", "dask.dataframe.DataFrame", (20, 2))
    assert info.dtypes == {"x": "float64", "s": "category"}


def test_partitions_have_ids_of_their_own_and_the_same_each_time() -> None:
    """A task that runs twice puts its partition once."""
    dataset = new_object_id()
    ids = {partition_id(dataset, index) for index in range(1000)}
    assert len(ids) == 1000
    assert all(is_object_id(one) for one in ids)
    assert partition_id(dataset, 7) == partition_id(ObjectId(str(dataset)), 7)
    assert partition_id(new_object_id(), 7) not in ids


def test_a_partition_that_is_put_twice_is_there_once(store: Store) -> None:
    """The second run of a task finds what the first one left."""
    dataset = new_object_id()
    placed = [put(FRAME, 3, dataset) for _ in range(2)]
    assert placed[0] == placed[1]
    [info] = current_session().store.ls()
    assert (info.id, info.name, info.tags) == (partition_id(dataset, 3), None, {"dataset": dataset, "partition": "3"})
    pd.testing.assert_frame_equal(load(info.ref, Source(dataset)), FRAME)
    assert placed[0].ref == info.ref
    assert placed[0].shape == FRAME.shape


def test_a_partition_that_is_gone_is_an_error(store: Store) -> None:
    """Who computes on a dataset that was deleted meanwhile is told so."""
    with pytest.raises(ObjectNotFoundError):
        load(Ref(new_object_id()), Source(new_object_id()))
    with pytest.raises(ObjectNotFoundError, match="has no partitions"):
        collection(manifest())


def test_object_columns_are_not_converted_on_opening(store: Store) -> None:
    """A dataset has the dtypes that it was put with, whatever Dask would like text to be."""
    frame = pd.DataFrame({"o": pd.Series(["a", 1, None], dtype=object)})
    with Session(store.directory) as session:
        ref = session.put(frame)
        made = Manifest(new_object_id(), frame.iloc[:0], (None, None), (ref,), (3,))
        pd.testing.assert_frame_equal(collection(made).compute(scheduler="sync"), frame)
