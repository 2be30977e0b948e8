"""The codecs that come with the workbench keep the contract that they ask of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from pandas.testing import assert_frame_equal

from workbench.testing import CodecTests

NUMBERS = np.arange(200_000, dtype=np.float64)
WORDS = [f"word {n}" for n in range(20_000)]


class TestArrays(CodecTests):
    """NumPy arrays of several shapes, dtypes and orders."""

    kind = "array"
    samples: ClassVar[dict[str, Callable[[], Any]]] = {
        "empty": lambda: np.empty((0, 3)),
        "scalar": lambda: np.array(5),
        "large": NUMBERS.copy,
        "slice": lambda: NUMBERS[100:5100:2],
        "Fortran order": lambda: np.asfortranarray(NUMBERS.reshape(400, 500)),
        "dates": lambda: np.arange("2013-01-01", "2014-01-01", dtype="datetime64[h]"),
        "records": lambda: np.array([(1, 2.5), (3, 4.5)] * 1000, dtype=[("a", "i4"), ("b", "f8")]),
    }

    def assert_same(self, actual: Any, expected: Any) -> None:
        """Type, dtype, shape, order and bits."""
        assert type(actual) is type(expected)
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        assert actual.flags.fnc == expected.flags.fnc
        assert actual.tobytes() == expected.tobytes()

    def memory(self, value: Any) -> Iterable[np.ndarray[Any, Any]]:
        """All of it."""
        return [value]


class TestFrames(CodecTests):
    """pandas' frames: a block each of numbers, dates, strings in Arrow."""

    kind = "dataframe"
    samples: ClassVar[dict[str, Callable[[], Any]]] = {
        "empty": pd.DataFrame,
        "numbers": lambda: pd.DataFrame({"x": NUMBERS.copy(), "y": NUMBERS.copy()}),
        "mixed": lambda: pd.DataFrame(
            {"n": np.arange(20_000), "t": pd.date_range("2013", periods=20_000, freq="min"), "s": WORDS},
            index=pd.RangeIndex(10, 20_010, name="row"),
        ),
        "slice": lambda: pd.DataFrame({"x": NUMBERS.copy()})[50:1050],
    }

    def assert_same(self, actual: Any, expected: Any) -> None:
        """As pandas compares them, without tolerance."""
        assert_frame_equal(actual, expected, check_exact=True, check_freq=True, check_flags=True)

    def memory(self, value: Any) -> Iterable[memoryview | np.ndarray[Any, Any]]:
        """The blocks that are NumPy's, and Arrow's buffers of strings."""
        for name in value:
            if isinstance(value[name].dtype, np.dtype):
                yield value[name].to_numpy()
            else:
                for chunk in value[name].array.__arrow_array__().chunks:
                    yield from (memoryview(buffer) for buffer in chunk.buffers() if buffer is not None)

    def assign(self, value: Any) -> None:
        """Assign as users do."""
        if len(value):
            value.iloc[0, 0] = 12345


class TestTables(CodecTests):
    """Arrow tables, also in chunks and cut."""

    kind = "table"
    samples: ClassVar[dict[str, Callable[[], Any]]] = {
        "empty": lambda: pa.table({"x": pa.array([], pa.int64())}),
        "numbers and words": lambda: pa.table({"x": pa.array(NUMBERS[:20_000]), "s": pa.array(WORDS)}),
        "chunks": lambda: pa.concat_tables([pa.table({"x": NUMBERS[:1000]}), pa.table({"x": NUMBERS[1000:3000]})]),
        "slice": lambda: pa.table({"x": NUMBERS.copy(), "s": WORDS * 10}).slice(64, 1000),
    }

    def assert_same(self, actual: Any, expected: Any) -> None:
        """Schema with metadata, chunks, values."""
        assert actual.schema.equals(expected.schema, check_metadata=True)
        assert actual.equals(expected)
        actual.validate(full=True)

    def memory(self, value: Any) -> Iterable[memoryview]:
        """What the values of each chunk lie in, cut to its rows where they have a width."""
        for column in value.columns:
            for chunk in column.chunks:
                if pa.types.is_primitive(chunk.type):
                    width = chunk.type.bit_width // 8
                    start = chunk.offset * width
                    yield memoryview(chunk.buffers()[1])[start : start + len(chunk) * width]
                else:
                    yield memoryview(chunk.buffers()[2])[slice(*_bounds(chunk))]

    def assign(self, value: Any) -> None:
        """There is no way to."""


class TestPolars(CodecTests):
    """Polars' frames."""

    kind = "polars"
    more_nbytes = 1 << 20  # of strings
    samples: ClassVar[dict[str, Callable[[], Any]]] = {
        "empty": lambda: pl.DataFrame({"x": pl.Series([], dtype=pl.Int32)}),
        "numbers": lambda: pl.DataFrame({"x": NUMBERS.copy(), "y": np.arange(len(NUMBERS))}),
        "words": lambda: pl.DataFrame({"s": WORDS, "c": pl.Series(WORDS, dtype=pl.Categorical)}),
    }

    def assert_same(self, actual: Any, expected: Any) -> None:
        """Schema and values."""
        assert actual.schema == expected.schema
        assert actual.equals(expected)

    def memory(self, value: Any) -> Iterable[np.ndarray[Any, Any]]:
        """The numbers: strings are views with buffers of their own."""
        return [column.to_numpy(allow_copy=False) for column in value if column.dtype.is_numeric() and len(column)]

    def assign(self, value: Any) -> None:
        """As users do."""
        if len(value):
            value[0, 0] = value[1, 0]


def _bounds(chunk: pa.Array) -> tuple[int, int]:
    offsets = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    return int(offsets[0]), int(offsets[-1])
