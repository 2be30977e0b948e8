from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.codecs.layout import Laid, assert_same_pandas, pandas_addresses, relay
from tests.codecs.samples import COLUMNS, INDEXES, N, numbers, words
from workbench.codecs import encode

pytestmark = pytest.mark.usefixtures("either_way")

PICKLED = {"string python", "str python", "object"}
"""Columns of Python objects: they cannot lie in shared memory."""


@pytest.mark.parametrize("name", COLUMNS)
def test_every_dtype_comes_back_exactly(name: str) -> None:
    """A column of each dtype comes back exactly: as a frame, as a series, as an array and, sliced, without its gaps."""
    column = COLUMNS[name]
    frame = pd.DataFrame({"before": numbers, name: column, "after": numbers})
    series = pd.Series(column, index=pd.RangeIndex(10, 10 + 2 * N, 2), name=("a", 1))
    for value in (frame, series, frame[[name]], frame.iloc[::3], series.iloc[5:900], series.iloc[:0], frame.iloc[:0]):
        assert_same_pandas(relay(value), value)
    array = relay([series.array])[0]
    assert_same_pandas(pd.Series(array), pd.Series(series.array))


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in PICKLED])
def test_every_column_lies_in_the_given_memory(name: str) -> None:
    """Every byte of every column that is not made of Python objects is used where it lies."""
    laid = Laid(pd.DataFrame({"one": numbers, name: COLUMNS[name], "two": numbers}))
    frame = laid.decode()
    addresses = [each for column in frame for each in pandas_addresses(frame[column].array) if each[1] > 256]
    assert addresses or name == "arrow null"
    assert all(laid.holds(*each) for each in addresses)


def test_frame_of_all_dtypes_is_one_encoding() -> None:
    """A frame of all these columns at once comes back exactly."""
    frame = pd.DataFrame(COLUMNS)
    assert_same_pandas(relay(frame), frame)


@pytest.mark.parametrize("name", INDEXES)
def test_every_index_comes_back_exactly(name: str) -> None:
    """Each class of index comes back with class, names, dtype and frequency, by itself, for rows and for columns."""
    index = INDEXES[name]
    frame = pd.DataFrame(np.arange(len(index) * 2.0).reshape(-1, 2), index=index)
    for value in (index, frame, frame.T, frame[0], [index, index][0]):
        assert_same_pandas(relay(value), value)


@pytest.mark.parametrize("name", ["integers", "floats", "strings", "dates", "categories", "levels"])
def test_indexes_serve_lookups_on_read_only_memory(name: str) -> None:
    """A decoded index finds labels, sorts and joins."""
    index = INDEXES[name]
    result = relay(index)
    assert result.get_indexer_for(index[:5]).tolist() == index.get_indexer_for(index[:5]).tolist()
    assert result.is_unique == index.is_unique
    assert_same_pandas(result.sort_values(), index.sort_values())
    assert_same_pandas(result.unique(), index.unique())


def test_attributes_and_flags_are_kept() -> None:
    """Attributes, flags and a name that is not a string survive."""
    frame = pd.DataFrame({"x": numbers}).set_flags(allows_duplicate_labels=False)
    frame.attrs = {"source": {"unit": "m"}, "array": [1, 2]}
    assert_same_pandas(relay(frame), frame)
    assert not relay(frame).flags.allows_duplicate_labels
    series = frame["x"].rename(3.5)
    assert_same_pandas(relay(series), series)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(),
        pd.DataFrame(index=range(3)),
        pd.DataFrame(columns=["a", "b"]),
        pd.DataFrame({"a": [1]}),
        pd.DataFrame(np.zeros((3, 2)), columns=["same", "same"]),
        pd.DataFrame(np.zeros((3, 3)), columns=[1, "a", None]),
        pd.DataFrame(np.arange(4000).reshape(1000, 4)).T,
        pd.DataFrame(np.arange(4000).reshape(1000, 4), columns=list("abcd"))[["d", "b"]],
        pd.DataFrame(np.arange(4000).reshape(1000, 4)).iloc[::-2, ::2],
        pd.DataFrame({n: [n] for n in range(3000)}),
    ],
    ids=lambda frame: "x".join(map(str, frame.shape)),
)
def test_odd_shapes_come_back(frame: pd.DataFrame) -> None:
    """Empty, transposed, sliced, wide and doubly labelled frames come back exactly."""
    assert_same_pandas(relay(frame), frame)


def test_index_names_of_one_decoded_frame_are_its_own() -> None:
    """Labels are parsed once per process, and yet renaming the columns of one decoded frame leaves the next alone."""
    laid = Laid(pd.DataFrame({"a": numbers, "b": numbers}))
    first, second = laid.decode(), laid.decode()
    first.columns.name = "changed"
    first["c"] = 1
    assert second.columns.name is None
    assert list(second) == ["a", "b"]
    assert laid.decode().columns.name is None


def test_arrow_backed_columns_are_not_copied_by_put() -> None:
    """Encoding a string column takes its Arrow buffers as they are and allocates next to nothing."""
    series = pd.Series([f"text number {n}" for n in range(200_000)], dtype="str")
    encode(series)
    addresses = {address for address, _ in pandas_addresses(series.array)}
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        encoded = encode(series)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pa.total_allocated_bytes() == before
    assert peak < 1 << 16
    assert {np.frombuffer(buffer, "u1").ctypes.data for buffer in encoded.buffers} <= addresses


def test_slice_of_a_string_column_leaves_its_parent() -> None:
    """Ten rows of a long string column are encoded as ten rows."""
    series = pd.Series([f"text number {n}" for n in range(100_000)], dtype="str")
    assert encode(series.iloc[5000:5010]).nbytes < 10_000
    assert encode(series.to_frame().tail(10)).nbytes < 10_000


def test_containers_share_buffers() -> None:
    """Frames inside of containers lie in the given memory, and one object that is there twice stays one."""
    frame = pd.DataFrame({"x": numbers, "s": pd.array(words, dtype="str")})
    laid = Laid({"a": frame, "b": [frame, (frame["x"], numbers)]})
    result = laid.decode()
    assert result["a"] is result["b"][0]
    assert_same_pandas(result["a"], frame)
    for column in (*(result["a"][name] for name in frame), result["b"][1][0]):
        assert all(laid.holds(*each) for each in pandas_addresses(column.array) if each[1] > 256)


class Labelled(pd.DataFrame):
    """A subclass with an attribute of its own."""

    _metadata = ["label"]  # noqa: RUF012  pandas' own way

    @property
    def _constructor(self) -> type[Labelled]:
        return Labelled


def test_subclasses_of_frames_keep_class_and_attributes() -> None:
    """A subclass of DataFrame comes back as itself, with its attributes."""
    frame = Labelled({"x": numbers})
    frame.label = "mine"  # type: ignore[attr-defined]
    result = relay(frame)
    assert type(result) is Labelled
    assert result.label == "mine"
    assert_same_pandas(pd.DataFrame(result), pd.DataFrame(frame))
