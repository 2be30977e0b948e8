"""Values that lie in shared memory already are encoded by reference to it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.codecs import test_polars_frames
from tests.codecs.layout import Laid, assert_same_array, assert_same_arrow, assert_same_pandas
from tests.codecs.samples import COLUMNS, INDEXES, mixed, words
from workbench.codecs import decode, encode, numpy_arrays

pytestmark = pytest.mark.usefixtures("either_way")

IN_BAND = 256
OBJECTS = {"string python", "str python", "object"}


@pytest.fixture(autouse=True)
def small_parts_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let parts of small samples be referred to as if they were large."""
    monkeypatch.setattr(numpy_arrays, "REFER_FROM_NBYTES", IN_BAND + 1)


def private_buffers(value: Any, laid: Laid) -> list[int]:
    """Return the sizes of the buffers of `value` that do not lie in the memory of `laid`."""
    encoded = encode(value, is_shared=laid.holds)
    assert len(encoded.header) < 8000 or "object" in str(encoded.description.dtypes)
    addresses = [(np.frombuffer(buffer, np.uint8).ctypes.data, buffer.nbytes) for buffer in encoded.buffers]
    return [nbytes for address, nbytes in addresses if not laid.holds(address, nbytes)]


ARRAYS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda a: a,
    "rows": lambda a: a[3:20],
    "every second row": lambda a: a[::2],
    "backwards": lambda a: a[::-1],
    "backwards in two axes": lambda a: a[::-2, 30:2:-3],
    "a column": lambda a: a[:, 3],
    "columns": lambda a: a[:, 3:9],
    "a window": lambda a: a[5:20, 7:30],
    "transposed": lambda a: a.T,
    "transposed columns": lambda a: a[:, 3:9].T,
    "reshaped": lambda a: a.reshape(20, 10, 20),
    "axes in another order": lambda a: a.reshape(20, 10, 20).transpose(1, 2, 0),
    "axes in another order, with gaps": lambda a: a.reshape(20, 10, 20).transpose(1, 2, 0)[::3, 1:, ::-1],
    "broadcast": lambda a: np.broadcast_to(a[0], (50, a.shape[1])),
    "repeated elements": lambda a: np.lib.stride_tricks.sliding_window_view(a[0], 5),
    "bytes": lambda a: a.view(np.uint8)[:, ::2],
    "dates": lambda a: a.view("M8[ns]")[:, ::2],
    "a field": lambda a: a.view([("x", "i4"), ("y", "f4")])["y"],
    "fields": lambda a: a.view([("x", "i4"), ("y", "f4")])[:, ::2],
    "real parts": lambda a: a.view(np.complex128).real,
}  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS)
def test_views_of_a_shared_array_are_not_copied(name: str) -> None:
    """Slices, columns, reversed and broadcast views refer to the memory that they show, by themselves and in a list."""
    laid = Laid(np.arange(4000, dtype="i8").reshape(100, 40))
    view = ARRAYS[name](laid.decode())
    for value in (view, [view]):
        assert private_buffers(value, laid) == []
        moved = Laid(value, is_shared=laid.holds)
        result = moved.decode()
        result = result[0] if isinstance(value, list) else result
        assert result.dtype == view.dtype
        assert result.shape == view.shape
        assert [*result.strides] == [*view.strides]
        assert result.tobytes() == view.tobytes()
        assert not result.flags.writeable


@pytest.mark.parametrize("name", ARRAYS)
def test_views_of_private_arrays_leave_the_rest_behind(name: str) -> None:
    """The same views of an array that is not shared are encoded as what they show, without gaps."""
    array = np.arange(4000, dtype="i8").reshape(100, 40)
    view = ARRAYS[name](array)
    for value in (view, [view]):
        assert sum(buffer.nbytes for buffer in encode(value, is_shared=lambda *_: False).buffers) == view.nbytes
        assert sum(buffer.nbytes for buffer in encode(value).buffers) == view.nbytes


def test_range_that_is_asked_for_is_the_one_that_is_referred_to() -> None:
    """What is_shared is asked about is exactly the range between the first and the last byte of the view."""
    array = np.arange(4000, dtype="i8").reshape(100, 40)
    asked = []

    def is_shared(address: int, nbytes: int) -> bool:
        asked.append((address, nbytes))
        return True

    view = array[10:90:3, 35:4:-2]
    (buffer,) = encode(view, is_shared=is_shared).buffers
    low, high = np.lib.array_utils.byte_bounds(view)
    assert asked == [(low, high - low)]
    assert (np.frombuffer(buffer, np.uint8).ctypes.data, buffer.nbytes) == (low, high - low)


def test_small_parts_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rows of something large are encoded as themselves: referring to megabytes for them would not pay."""
    monkeypatch.undo()
    array = Laid(np.arange(1_000_000))
    frame = Laid(pd.DataFrame({name: np.arange(100_000.0) for name in "abcd"}))
    text = Laid(pd.DataFrame({"s": pd.array([f"number {n}" for n in range(100_000)], dtype="str")}))
    for part, laid in (
        (array.decode()[::1000], array),
        (frame.decode().head(100), frame),
        (text.decode().iloc[5000:5100], text),
    ):
        encoded = encode(part, is_shared=laid.holds)
        assert encoded.nbytes < 10_000
        assert private_buffers(part, laid) == [buffer.nbytes for buffer in encoded.buffers]
    assert private_buffers(array.decode()[::100], array) == []
    assert private_buffers(frame.decode().iloc[:5000], frame) == []
    assert private_buffers(text.decode().iloc[:5000], text) == []


def test_headers_of_arrays_without_an_offset_are_what_they_were() -> None:
    """Arrays that were encoded before there were offsets decode, with and without strides."""
    import pickle

    array = np.arange(12.0).reshape(3, 4)
    for strides, order in ((None, "C"), ((8, 24), "F")):
        header = b"A" + pickle.dumps(("<f8", (3, 4), strides), 5)
        laid = array.ravel(order).view(np.uint8).data  # type: ignore[arg-type]
        assert_same_array(decode(header, [laid]), np.asarray(array, order=order))  # type: ignore[call-overload]


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in OBJECTS])
def test_fetched_frame_that_is_put_again_lies_where_it_lay(name: str) -> None:
    """Every buffer of a decoded frame, series or index of each dtype is in the memory that it was decoded from."""
    column = pd.Series(COLUMNS[name], name="x")
    for value in (
        column,
        column.to_frame(),
        pd.DataFrame({"a": column, "b": column, "c": column.copy()}),
        {"frames": [column.to_frame()], "array": column.array},
    ):
        laid = Laid(value)
        assert private_buffers(laid.decode(), laid) == []


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in OBJECTS and "sparse" not in name])
def test_parts_of_a_fetched_frame_are_not_copied(name: str) -> None:
    """Rows, columns and renamed copies of a decoded frame refer to its memory, and decode to the same elsewhere."""
    column = pd.Series(COLUMNS[name])
    laid = Laid(pd.DataFrame({"a": column, "b": column.copy(), "c": column.copy()}))
    frame = laid.decode()
    parts = (
        frame.iloc[100:900],
        frame["b"].iloc[:500],
        frame[["a", "c"]],
        frame.rename(columns=str.upper),
        frame.copy(deep=False),
    )
    for part in parts:
        assert private_buffers(part, laid) == []
        assert_same_pandas(Laid(part, is_shared=laid.holds).decode(), part)


@pytest.mark.parametrize("name", ["integers", "floats", "dates", "timedeltas", "dates of a zone"])
def test_steps_through_fetched_numbers_are_not_copied(name: str) -> None:
    """Every third row, and rows in reverse, refer to the memory of the whole: in frames, series and indexes."""
    index = INDEXES[name]
    series = pd.Series(np.arange(len(index)), index)
    laid = Laid(pd.DataFrame({"x": series, "y": series / 2, "z": series / 3}))
    frame = laid.decode()
    for part in (frame.iloc[::3], frame["y"].iloc[::-1], frame.iloc[::-2].index):
        assert private_buffers(part, laid) == []
        assert_same_pandas(Laid(part, is_shared=laid.holds).decode(), part)


@pytest.mark.parametrize("name", [name for name in INDEXES if name != "objects"])
def test_fetched_index_that_is_put_again_lies_where_it_lay(name: str) -> None:
    """An index of each class refers to its memory, by itself and as rows of a frame."""
    index = INDEXES[name]
    for value in (index, pd.DataFrame({"x": np.arange(len(index))}, index=index)):
        laid = Laid(value)
        assert private_buffers(laid.decode(), laid) == []


def test_new_column_is_all_that_is_private() -> None:
    """A decoded frame with one new column has one buffer of its own."""
    frame = mixed().drop(columns="o")
    laid = Laid(frame)
    assert private_buffers(laid.decode().assign(new=np.arange(500.0)), laid) == [4000]
    assert private_buffers({"old": laid.decode(), "new": np.arange(100.0)}, laid) == [800]


def test_blocks_with_gaps_are_copied_once() -> None:
    """Rows of a frame that is not shared are copied once on their way, not once more by pandas."""
    frame = pd.DataFrame(np.zeros((300_000, 4)))
    rows = frame.iloc[:200_000]
    encode(rows)
    tracemalloc.start()
    try:
        encoded = encode(rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert encoded.nbytes > 6_400_000
    assert peak < 6_400_000 + 100_000
    assert_same_pandas(Laid(rows).decode(), rows)


ARROW: dict[str, pa.Array] = {
    "integers": pa.array([None if n % 5 == 0 else n for n in range(4000)]),
    "text": pa.array([None if word is None else 4 * word for word in words]),
    "text views": pa.array(words).cast(pa.string_view()),
    "booleans": pa.array([n % 3 == 0 for n in range(40_000)]),
    "lists": pa.array([list(range(n % 10)) for n in range(1000)]),
    "structures": pa.array([{"x": n, "y": str(n)} for n in range(1000)]),
    "dictionary": pa.array([f"word {n % 300}" for n in range(10_000)]).dictionary_encode(),
    "decimals": pa.array(range(1000)).cast(pa.decimal128(30, 2)),
}


@pytest.mark.parametrize("name", ARROW)
def test_slices_of_shared_arrow_data_are_not_copied(name: str) -> None:
    """Slices of arrays, tables and batches refer to the buffers of the whole, and decode to the same elsewhere."""
    array = ARROW[name]
    laid = Laid(pa.table({"x": array, "y": pa.chunked_array([array[:100], array[100:]])}))
    table = laid.decode()
    parts = (
        table,
        table.slice(33, 500),
        table["x"].slice(7),
        table["x"].chunk(0)[300:900],
        table.select(["y"]),
        table.slice(5, 20).to_batches()[0],
    )
    for part in parts:
        assert private_buffers(part, laid) == []
        assert_same_arrow(Laid(part, is_shared=laid.holds).decode(), part)
    assert private_buffers(table.append_column("z", pa.array(np.arange(array.__len__()))), laid) == [8 * len(array)]


@pytest.mark.parametrize("name", ARROW)
def test_slices_of_private_arrow_data_leave_the_rest_behind(name: str) -> None:
    """Where the memory is not shared, ten rows are encoded as ten rows."""
    assert encode(ARROW[name][50:60], is_shared=lambda *_: False).nbytes < max(encode(ARROW[name]).nbytes / 2, 6000)


@pytest.mark.parametrize("name", test_polars_frames.COLUMNS)
def test_parts_of_a_fetched_polars_frame_are_not_copied(name: str) -> None:
    """A Polars frame, its slices and columns refer to the memory that they were decoded from."""
    series = test_polars_frames.COLUMNS[name]
    laid = Laid(pl.DataFrame({"x": series, "y": series}))
    frame = laid.decode()
    for part in (
        frame,
        frame.slice(101, 501),
        frame["x"],
        frame.select("y"),
        frame.rename({"x": "z"}),
        [frame["x"].slice(5)],
    ):
        assert private_buffers(part, laid) == []
        moved = Laid(part, is_shared=laid.holds).decode()
        assert (
            moved[0].equals(part[0], null_equal=True) if isinstance(part, list) else moved.equals(part, null_equal=True)
        )
    if series.n_chunks() == 1:  # Polars copies chunks together before it adds a column
        assert private_buffers(frame.with_columns(new=pl.Series(np.arange(frame.height))), laid) == [8 * frame.height]
