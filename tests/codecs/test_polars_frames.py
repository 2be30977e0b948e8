from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal, assert_series_equal

from tests.codecs.layout import Laid, arrow_addresses, relay
from workbench.codecs import encode

pytestmark = pytest.mark.usefixtures("either_way")

N = 1000
numbers = np.arange(N)

COLUMNS: dict[str, pl.Series] = {
    "int": pl.Series(numbers),
    "float": pl.Series(numbers / 3),
    "bool": pl.Series(numbers % 3 == 0).extend(pl.Series([True] * 4 * N)),
    "int8": pl.Series(numbers % 100, dtype=pl.Int8),
    "uint64": pl.Series(numbers, dtype=pl.UInt64),
    "nulls": pl.Series([None if n % 3 == 0 else n for n in range(4 * N)]),
    "text": pl.Series([None if n % 3 == 0 else f"long enough a text of row {n}" for n in range(N)]),
    "short text": pl.Series([str(n) for n in range(N)]),
    "date": pl.Series([dt.date(2013, 1, 1)] * N),
    "datetime": pl.Series([dt.datetime(2013, 1, 1)] * N),  # noqa: DTZ001  naive on purpose
    "zone": pl.Series([dt.datetime(2013, 1, 1)] * N).dt.replace_time_zone("America/New_York"),  # noqa: DTZ001
    "duration": pl.Series(numbers).cast(pl.Duration("ms")),
    "time": pl.Series([dt.time(1, 2)] * N),
    "decimal": pl.Series([decimal.Decimal("1.23")] * N, dtype=pl.Decimal(20, 2)),
    "list": pl.Series([[n, n + 1] for n in range(N)]),
    "array": pl.Series([[1, 2]] * N, dtype=pl.Array(pl.Int32, 2)),
    "struct": pl.Series([{"x": n, "y": str(n)} for n in range(N)]),
    "binary": pl.Series([b"some bytes that are not inline"] * N),
    "chunks": pl.concat([pl.Series(numbers), pl.Series(numbers)], rechunk=False),
}
COPIED: dict[str, pl.Series] = {
    "categorical": pl.Series(["a", "b"] * (N // 2), dtype=pl.Categorical),
    "enum": pl.Series(["a", "b"] * (N // 2), dtype=pl.Enum(["b", "a"])),
    "int128": pl.Series(numbers, dtype=pl.Int128),
    "null": pl.Series([None] * N),
}


@pytest.mark.parametrize("name", [*COLUMNS, *COPIED])
def test_every_dtype_comes_back_exactly(name: str) -> None:
    """A column of each dtype comes back with schema, values and chunks, as a frame, a series, sliced and empty."""
    series = {**COLUMNS, **COPIED}[name].alias("x")
    frame = pl.DataFrame([series])
    for value in (frame, frame.slice(5, 70), frame.head(0)):
        result = relay(value)
        assert type(result) is pl.DataFrame
        assert result.schema == value.schema
        assert_frame_equal(result, value, check_exact=True, categorical_as_str=False)
    result = relay([series])[0]
    assert_series_equal(result, series, check_exact=True)
    if name not in COPIED:
        assert result.n_chunks() == series.n_chunks()


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_lies_in_the_given_memory(name: str) -> None:
    """Every buffer of a column that Arrow knows is used where it lies."""
    laid = Laid(pl.DataFrame({name: COLUMNS[name]}))
    table = laid.decode().to_arrow(compat_level=pl.CompatLevel.newest())
    addresses = [each for each in arrow_addresses(table) if each[1] > 256]
    assert addresses
    assert all(laid.holds(*each) for each in addresses)


@pytest.mark.parametrize("name", COPIED)
def test_columns_that_are_copied_are_told(name: str) -> None:
    """The description says which columns each reader copies."""
    description = encode(pl.DataFrame({name: COPIED[name]})).description
    assert bool(description.notes) == (name != "null")


def test_encoding_copies_nothing() -> None:
    """The buffers of an encoded frame are Polars' own."""
    frame = pl.DataFrame({name: COLUMNS[name] for name in ("int", "float", "text")})
    own = {address for address, _ in arrow_addresses(frame.to_arrow(compat_level=pl.CompatLevel.newest()))}
    assert {np.frombuffer(buffer, "u1").ctypes.data for buffer in encode(frame).buffers} <= own


def test_slice_leaves_its_parent() -> None:
    """Ten rows of a long frame are encoded as ten rows, long texts too."""
    frame = pl.DataFrame({"x": range(100_000), "s": [f"a text that is long enough {n}" for n in range(100_000)]})
    assert encode(frame.slice(500, 10)).nbytes < 10_000


WRITES = {
    "a cell": 'df[0, "int"] = 5',
    "a series": 'df["float"][0] = 1.0',
    "a column": 'df.replace_column(0, pl.Series("int", [0] * df.height))',
    "scatter": 'df["int"].scatter([0, 1], [7, 8])',
    "sort": 'df["int"].sort(descending=True, in_place=True)',
    "extend": "df.extend(df.clone())",
    "append": 'df["int"].append(pl.Series([1]))',
    "shrink": "df.shrink_to_fit(in_place=True)",
    "expressions": 'df.with_columns(pl.col("int") + 1, pl.col("float").clip(0, 5), ~pl.col("flag"))',
    "arithmetic": 'df["int"] + 1, -df["float"], df["float"].cum_sum(), df["float"].fill_nan(0)',
    "NumPy": 'df["int"].to_numpy(writable=True)[0] = 9',
}


@pytest.mark.parametrize("name", WRITES)
def test_writing_leaves_the_shared_bytes(name: str) -> None:
    """Writing to a decoded frame works and does not touch the memory it came from (which is read-only)."""
    laid = Laid(pl.DataFrame({"int": numbers, "float": numbers / 2, "flag": numbers % 2 == 0}))
    exec(WRITES[name], {"df": laid.decode(), "pl": pl})
    assert laid.unchanged()


def test_sortedness_and_containers() -> None:
    """What Polars knows about order survives, also for frames inside of containers."""
    value: dict[str, Any] = {
        "up": pl.DataFrame({"x": numbers}).sort("x"),
        "down": pl.Series(numbers).sort(descending=True),
    }
    result = relay(value)
    assert result["up"]["x"].flags["SORTED_ASC"]
    assert result["down"].flags["SORTED_DESC"]


def test_lazy_and_empty_frames() -> None:
    """Lazy frames and frames without columns come back."""
    lazy = pl.DataFrame({"x": numbers}).lazy().select(pl.col("x") * 2)
    assert relay(lazy).collect().equals(lazy.collect())
    assert relay(pl.DataFrame()).shape == (0, 0)
    assert encode(lazy).description.kind == "polars"


def test_memory_is_let_go_with_the_last_series() -> None:
    """A series of a decoded frame keeps the memory mapped, and nothing else does."""
    laid = Laid(pl.DataFrame({"x": numbers, "y": numbers}))
    series = laid.decode()["x"]
    laid.release()
    assert laid.mapped
    assert series[5] == 5
    del series
    assert not laid.mapped
