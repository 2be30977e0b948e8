"""Collections of all kinds come back as Dask computes them; what is no collection of partitions is refused before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.delayed import delayed
from scipy import sparse

import workbench as wb
from workbench.collections import persist_shared
from workbench.errors import CodecError
from workbench.lazy import LazyWarning

pytestmark = pytest.mark.usefixtures("store")


class Labelled(pd.DataFrame):
    """A subclass with a constructor of its own, as GeoPandas has one."""

    @property
    def _constructor(self) -> type[Labelled]:
        return Labelled


class Duck:
    """An array of another library, as CuPy or sparse has one: it has a shape, and the codecs know nothing of it."""

    def __init__(self, values: Any) -> None:
        self.data = np.asarray(values)

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    dtype = property(lambda self: self.data.dtype)

    def __len__(self) -> int:
        return len(self.data)

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Duck:
        return Duck(getattr(function, method)(*[getattr(each, "data", each) for each in inputs], **options))

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Duck:
        return Duck(function([np.asarray(part.data) for part in args[0]], *args[1:], **options))


class Unshareable(np.ndarray):
    """An array that no pickler takes, as one whose memory is a device's."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("it lies elsewhere")


def _unshareable(block: Any) -> Unshareable:
    return np.asarray(block).view(Unshareable)


def _labelled(number: int) -> Labelled:
    return Labelled({"x": [number, number]})


KINDS: dict[str, Callable[[], Any]] = {
    "masked": lambda: da.ma.masked_greater(da.arange(10, chunks=5), 5),
    "sparse": lambda: da.from_array(np.eye(8), chunks=4).map_blocks(sparse.csr_array),
    "another library's": lambda: da.ones((4, 6), chunks=(2, 3)).map_blocks(Duck, meta=Duck(np.empty((0, 0)))),
    "objects": lambda: da.from_array(np.array([1, "a", None, {}], dtype=object), chunks=2),
    "structures": lambda: da.from_array(np.zeros(4, dtype=[("a", "i4"), ("b", "f8")]), chunks=2),
    "no dimensions": lambda: da.arange(10, chunks=5).sum(),
    "unknown chunks": lambda: (numbers := da.arange(10, chunks=5))[numbers > 3],
    "dates": lambda: da.from_array(np.arange("2020-01", "2020-05", dtype="M8[M]"), chunks=2),
    "column of objects": lambda: dd.from_pandas(
        pd.DataFrame({"x": pd.Series([[1], [2], None, {}], dtype=object)}), npartitions=2
    ),
    "subclass": lambda: dd.from_map(_labelled, [0, 1], meta=_labelled(0).iloc[:0]),
    "index": lambda: dd.from_pandas(pd.DataFrame({"x": [1, 2]}), npartitions=1).index,
    "no rows": lambda: dd.from_pandas(pd.DataFrame({"x": [1, 2]}), npartitions=1).query("x > 5"),
}


def _assert_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected)
    elif isinstance(expected, pd.Index):
        pd.testing.assert_index_equal(found, expected)
    elif isinstance(expected, np.ma.MaskedArray):
        np.testing.assert_array_equal(found.mask, expected.mask)
        np.testing.assert_array_equal(found.data, expected.data)
    elif isinstance(expected, Duck):
        np.testing.assert_array_equal(found.data, expected.data)
    elif sparse.issparse(expected):
        np.testing.assert_array_equal(found.toarray(), expected.toarray())
    else:
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back_as_dask_computes_it(kind: str) -> None:
    """Opened and computed, and got at once, it is of the type, the dtypes and the values that computing the original gives."""
    with dask.config.set(scheduler="sync"):
        collection = KINDS[kind]()
        expected = collection.compute()
        collection.persist_shared("kind")
        opened = wb.open("kind").compute()
        for found in (opened, wb.get("kind")):
            _assert_same(found, expected)


@pytest.mark.parametrize("value", [db.from_sequence([1, 2]), delayed(int)(3), pd.DataFrame({"x": [1]}), 3])
def test_what_is_no_collection_of_partitions_is_refused(value: Any) -> None:
    """The error says what there is for it instead."""
    with pytest.raises(
        TypeError, match=rf"A {type(value).__name__} cannot be persisted as a dataset: .* wb.put\(value, name\)"
    ):
        persist_shared(value, "x")
    assert not wb.exists("x")


@pytest.mark.parametrize("value", [dd.from_pandas(pd.DataFrame({"x": [1]})).x.mean(), delayed(int)(3), delayed(pd).x])
def test_what_computes_to_one_value_has_a_method_that_says_so(value: Any) -> None:
    """A Scalar and a Delayed would look for the name in what they compute to; nothing is computed, and nothing is silent."""
    with pytest.raises(
        TypeError, match=rf"A {type(value).__name__} cannot be persisted as a dataset: .* wb.put\(x.compute\(\), name\)"
    ):
        value.persist_shared("x")
    with pytest.warns(LazyWarning, match=r"To share the data: wb.put\(.*\.compute\(\)"):
        wb.put(value, "how to")


def test_partitions_that_cannot_be_shared_are_refused_before_anything_is_computed() -> None:
    """The meta tells of what class they are."""
    computed: list[int] = []

    def block(values: Any) -> Any:
        computed.append(1)
        return _unshareable(values)

    meta = _unshareable(np.empty((0, 0)))
    array = da.ones((4, 4), chunks=2).map_blocks(block, meta=meta)
    with pytest.raises(CodecError, match=r"nothing was computed: its partitions are of .*Unshareable.*map_blocks"):
        array.persist_shared("x")
    assert not computed
    assert not wb.exists("x")


def test_partitions_of_which_the_meta_tells_nothing_leave_nothing() -> None:
    """What only the data shows is an error of the task that computes it; what was put by others is deleted."""
    array = da.ones((4, 4), chunks=2).map_blocks(
        lambda block, block_id: _unshareable(block) if block_id == (1, 1) else block, meta=np.empty((0, 0))
    )
    with dask.config.set(scheduler="sync"), pytest.raises(CodecError, match="it lies elsewhere"):
        array.persist_shared("x")
    assert not wb.ls(parts=True)


def test_blocks_that_have_not_the_dimensions_of_the_array_are_named() -> None:
    """Dask believes what the meta says until somebody computes."""
    array = da.ones((4, 4), chunks=2).map_blocks(lambda block: block[0], meta=np.empty((0, 0)))
    with dask.config.set(scheduler="sync"), pytest.raises(ValueError, match=r"Block \(0, 0\) .* not 2 dimensions"):
        array.persist_shared("x")
    assert not wb.ls(parts=True)
