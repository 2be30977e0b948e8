from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.codecs.layout import Laid, arrow_addresses, assert_same_arrow, relay
from workbench.codecs import encode

pytestmark = pytest.mark.usefixtures("either_way")

N = 2000
numbers = list(range(N))
words = [None if n % 5 == 0 else f"some text of row {n}" for n in numbers]

ARRAYS: dict[str, pa.Array] = {
    "int": pa.array(numbers),
    "nulls": pa.array([None if n % 3 == 0 else n for n in numbers], pa.int16()),
    "float": pa.array([n / 3 for n in numbers]),
    "half": pa.array(np.arange(N).astype("f2")),
    "bool": pa.array([n % 3 == 0 for n in range(8 * N)]),
    "string": pa.array(words),
    "large string": pa.array(words, pa.large_string()),
    "string view": pa.array(words, pa.string_view()),
    "binary": pa.array([b"x" * (n % 5) for n in numbers]),
    "binary view": pa.array([b"x" * (n % 50) for n in numbers], pa.binary_view()),
    "fixed binary": pa.array([b"abc"] * N, pa.binary(3)),
    "decimal": pa.array([decimal.Decimal(n) / 4 for n in numbers], pa.decimal128(12, 2)),
    "decimal256": pa.array([decimal.Decimal(n) for n in numbers], pa.decimal256(50, 2)),
    "timestamp": pa.array([dt.datetime(2013, 1, 1)] * N, pa.timestamp("ns", "Europe/Paris")),  # noqa: DTZ001
    "date": pa.array([dt.date(2013, 1, 1)] * N),
    "time": pa.array([dt.time(1, 2)] * N),
    "duration": pa.array(numbers, pa.duration("ms")),
    "interval": pa.array([(1, 2, 3)] * N, pa.month_day_nano_interval()),
    "list": pa.array([[n, None] if n % 3 else None for n in numbers]),
    "large list": pa.array([[n] for n in numbers], pa.large_list(pa.int64())),
    "list view": pa.array([[n, n + 1] for n in numbers], pa.list_view(pa.int64())),
    "fixed list": pa.array([[1, 2]] * N, pa.list_(pa.int32(), 2)),
    "struct": pa.array([{"x": n, "y": str(n)} for n in numbers]),
    "map": pa.array([[("k", n)] for n in numbers], pa.map_(pa.string(), pa.int64())),
    "dictionary": pa.array(words).dictionary_encode(),
    "dictionary of nested": pa.DictionaryArray.from_arrays(
        pa.array([0, 1] * 1000, pa.int8()), pa.array([["a"], ["b"]])
    ),
    "run ends": pa.RunEndEncodedArray.from_arrays(list(range(1, N + 1)), numbers),
    "sparse union": pa.UnionArray.from_sparse(pa.array([0, 1] * 1000, pa.int8()), [pa.array(numbers), pa.array(words)]),
    "dense union": pa.UnionArray.from_dense(
        pa.array([0] * N, pa.int8()), pa.array(numbers, pa.int32()), [pa.array(numbers), pa.array(["x"])]
    ),
    "null": pa.nulls(N),
    "uuid": pa.array([b"0123456789abcdef"] * N, pa.uuid()),
    "opaque": pa.ExtensionArray.from_storage(pa.opaque(pa.int64(), "kind", "vendor"), pa.array(numbers)),
    "tensor": pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.int32(), (2, 2)), pa.array([[1, 2, 3, 4]] * N, pa.list_(pa.int32(), 4))
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_every_type_comes_back_exactly(name: str) -> None:
    """An array of each type comes back: whole, sliced, empty, in chunks, in a batch and in a table with metadata."""
    array = ARRAYS[name]
    schema = pa.schema([pa.field("x", array.type, metadata={"unit": "m"})], metadata={"source": "test"})
    chunked = pa.chunked_array([array.slice(0, 10), array.slice(10, 0), array.slice(10)], array.type)
    values = [
        array,
        array.slice(7, 100),
        array.slice(0, 0),
        chunked,
        chunked.slice(5, 20),
        pa.chunked_array([], array.type),
        pa.record_batch([array], schema=schema),
        pa.record_batch([array], schema=schema).slice(3, 9),
        pa.table([chunked], schema=schema),
        pa.table([chunked], schema=schema).slice(1, 11),
        pa.table([chunked], schema=schema).slice(0, 0),
    ]
    for value in values:
        assert_same_arrow(relay(value), value)


@pytest.mark.parametrize("name", [name for name in ARRAYS if name != "null"])
def test_every_buffer_lies_in_the_given_memory(name: str) -> None:
    """Every buffer is used where it lies, and its bytes were taken from the source without a copy."""
    array = ARRAYS[name]
    laid = Laid(pa.table({"a": array}))
    own = {address for address, _ in arrow_addresses(array)}
    addresses = [each for each in arrow_addresses(laid.decode()) if each[1] > 256]
    assert addresses
    assert all(laid.holds(*each) for each in addresses)
    assert {np.frombuffer(buffer, "u1").ctypes.data for buffer in encode(array).buffers} <= own


@pytest.mark.parametrize("name", [name for name in ARRAYS if name not in {"dictionary of nested", "dense union"}])
def test_slice_leaves_its_parent(name: str) -> None:
    """Ten rows are encoded as ten rows (and a dictionary, which is common to all), whatever they were cut from."""
    array = ARRAYS[name]
    part = array.slice(100, 10)
    dictionary = array.dictionary.nbytes if isinstance(array, pa.DictionaryArray) else 0
    assert encode(part).nbytes < 3000 + dictionary
    assert encode(pa.table({"x": part})).nbytes < 3000 + dictionary
    assert encode(pa.table({"x": array}).slice(100, 10)).nbytes < 3000 + dictionary


def test_dictionary_of_many_chunks_is_written_once() -> None:
    """Chunks that share a dictionary bring it along once, and share it again."""
    array = pa.array([f"a word that is long {n}" for n in range(N)]).dictionary_encode()
    chunked = pa.chunked_array([array.slice(n, 20) for n in range(0, N, 20)])
    laid = Laid(chunked)
    assert sum(buffer.nbytes for buffer in laid.buffers) < 2 * array.dictionary.nbytes
    assert_same_arrow(laid.decode(), chunked)


def test_odd_tables_come_back() -> None:
    """Tables without columns or rows, with repeated names and with columns of different chunks come back."""
    several: list[Any] = [
        pa.table({}),
        pa.table({"a": pa.array([], pa.int64())}),
        pa.table([pa.array([1]), pa.array([2])], names=["x", "x"]),
        pa.table({"a": pa.chunked_array([[1, 2], [3]]), "b": pa.chunked_array([[1.5], [2.5, 3.5]])}),
        pa.record_batch({"a": [1]}),
    ]
    for value in several:
        assert_same_arrow(relay(value), value)


def test_scalars_schemas_and_types_come_back() -> None:
    """Arrow values without buffers of their own are pickled."""
    schema = pa.schema([("a", pa.dictionary(pa.int8(), pa.string())), ("b", pa.list_(pa.int8()))], metadata={"k": "v"})
    assert relay(schema).equals(schema, check_metadata=True)
    assert relay(pa.scalar(5, pa.int8())) == pa.scalar(5, pa.int8())
    assert relay([pa.int8(), pa.timestamp("ns", "UTC")]) == [pa.int8(), pa.timestamp("ns", "UTC")]


def test_memory_is_let_go_with_the_last_array() -> None:
    """An array of a decoded table keeps the memory mapped, and nothing else does."""
    laid = Laid(pa.table({"x": numbers, "s": words}))
    array = laid.decode()["s"].chunk(0).slice(5, 3)
    laid.release()
    assert laid.mapped
    assert array.to_pylist() == words[5:8]
    del array
    assert not laid.mapped
