from __future__ import annotations

import datetime as dt
import decimal
import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from workbench.codecs import describe, encode
from workbench.objects import Description

frame = pd.DataFrame({"x": [1, 2], "s": pd.array(["a", "b"], dtype="str")})

CASES: list[tuple[Any, Description]] = [
    (np.zeros((2, 3), "f4"), Description("array", "numpy.ndarray", (2, 3), {"": "float32"})),
    (np.float64(1), Description("object", "numpy.float64")),
    (np.ma.MaskedArray([1]), Description("array", "numpy.ma.MaskedArray", (1,), {"": "int64"})),
    (frame, Description("dataframe", "pandas.DataFrame", (2, 2), {"x": "int64", "s": "str"})),
    (frame["s"], Description("series", "pandas.Series", (2,), {"": "str"})),
    (frame.index, Description("index", "pandas.RangeIndex", (2,), {"": "int64"})),
    (
        pd.MultiIndex.from_product([[1], pd.array(["a"], dtype="str")], names=["n", None]),
        Description("index", "pandas.MultiIndex", (1,), {"n": "int64", "None": "str"}),
    ),
    (pd.Categorical(["a"]), Description("array", "pandas.Categorical", (1,), {"": "category"})),
    (pd.Timestamp("2013"), Description("object", "pandas.Timestamp")),
    (pa.table({"a": [1], "b": ["x"]}), Description("table", "pyarrow.Table", (1, 2), {"a": "int64", "b": "string"})),
    (pa.record_batch({"a": [1]}), Description("batch", "pyarrow.RecordBatch", (1, 1), {"a": "int64"})),
    (pa.array([1]), Description("array", "pyarrow.Int64Array", (1,), {"": "int64"})),
    (pa.chunked_array([[1], [2]]), Description("array", "pyarrow.ChunkedArray", (2,), {"": "int64"})),
    (pl.DataFrame({"a": [1]}), Description("polars", "polars.DataFrame", (1, 1), {"a": "Int64"})),
    (pl.Series([1.5]), Description("polars", "polars.Series", (1,), {"": "Float64"})),
    ({"a": 1}, Description("object", "dict")),
    (None, Description("object", "NoneType")),
    (CASES_TYPE := type("Odd", (), {}), Description("object", "type")),
]


@pytest.mark.parametrize(("value", "expected"), CASES, ids=lambda value: getattr(value, "type", type(value).__name__))
def test_every_kind_is_described(value: Any, expected: Description) -> None:
    """Kind, public type name, shape and dtypes are told for each kind of object, and encode tells the same."""
    assert describe(value) == expected
    if value is not CASES_TYPE:
        assert encode(value).description == expected


def test_columns_of_python_objects_are_named() -> None:
    """Notes name each column and index that has to be pickled, and what to do."""
    rows = pd.Index(["i"], dtype=object, name="row")
    value = pd.DataFrame({"a": [1], "texts": pd.Series(["x"], dtype=object, index=rows)}, index=rows)
    column, index = describe(value).notes
    assert "column 'texts' is dtype object: pickled, copied by each reader" in column
    assert "astype('str')" in column
    assert "the index 'row' is dtype object" in index
    assert "the series is dtype object" in describe(value["texts"]).notes[0]
    assert "Python objects" in describe(pd.Series(["a"], dtype=pd.StringDtype("python"))).notes[0]
    assert describe(pd.MultiIndex.from_arrays([[1], pd.Index(["a"], dtype=object)], names=["a", "b"])).notes


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ([None, "a"], "astype('str')"),
        ([None, True], "astype('boolean')"),
        ([1, None], "astype('Int64')"),
        ([float("nan"), 1.5], "astype('Float64')"),
        ([[1, 2], [3]], "astype(pd.ArrowDtype(pa.list_(pa.int64())))"),
        ([np.array([1.5]), None], "astype(pd.ArrowDtype(pa.list_(pa.float64())))"),
        ([[["a"], []]], "astype(pd.ArrowDtype(pa.list_(pa.list_(pa.string()))))"),
        ([dt.date(2024, 1, 1)], "astype(pd.ArrowDtype(pa.date32()))"),
        ([decimal.Decimal("1.5")], "astype(pd.ArrowDtype(pa.decimal128(38, 9)))"),
        ([b"a"], "astype(pd.ArrowDtype(pa.binary()))"),
        ([1, 2.5, None], "astype('Float64')"),
        ([1, float("nan")], "astype('Int64')"),
        ([[], [1, 2.5], None], "astype(pd.ArrowDtype(pa.list_(pa.float64())))"),
        ([np.datetime64("2024-01-01T00:00")], "astype(pd.ArrowDtype(pa.timestamp('us')))"),
    ],
)
def test_the_advice_for_python_objects_works(values: list[Any], advice: str) -> None:
    """What a column is advised to be converted to fits its values, and leaves nothing to be pickled."""
    series = pd.Series(values, dtype=object)
    (note,) = describe(series.to_frame("c")).notes
    assert note.endswith(f"convert it with {advice} to share it")
    converted = eval(f"series.{advice}", {"series": series, "pd": pd, "pa": pa})
    assert describe(converted).notes == () and len(converted) == len(series)


def test_what_nothing_fits_gets_no_advice() -> None:
    """Values of other classes, and columns that are empty, are said to be pickled, no more."""
    unfit: list[list[Any]] = [[object()], [None], [], [2**70], [[]], [[1, "a"]], [decimal.Decimal("1e30")]]
    for values in unfit:
        (note,) = describe(pd.DataFrame({"c": pd.Series(values, dtype=object)})).notes
        assert note == "column 'c' is dtype object: pickled, copied by each reader"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1, "a", None], "its values are of several types (int, str), which no dtype can share"),
        ([True, 1], "its values are of several types (bool, int), which no dtype can share"),
        ([object(), "a"], "its values are of several types (object, str), which no dtype can share"),
        ([{"a": 1}, None], "its values are dicts: pd.json_normalize makes columns of them, which can be shared"),
    ],
)
def test_what_cannot_be_converted_is_said_to_be_so(values: list[Any], reason: str) -> None:
    """Values of several types, and dicts, get a reason instead of a conversion that raises."""
    (note,) = describe(pd.DataFrame({"c": pd.Series(values, dtype=object)})).notes
    assert note == f"column 'c' is dtype object: pickled, copied by each reader; {reason}"


def test_labels_become_text_and_stay_apart() -> None:
    """Labels of any type become text; repeated ones stay apart; levels are written as tuples."""
    value = pd.DataFrame(np.zeros((1, 3)), columns=[1, "x", "x"])
    assert describe(value).dtypes == {"1": "float64", "x": "float64", "x (column 2)": "float64"}
    value.columns = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)])
    assert list(describe(value).dtypes) == ["('a', 1)", "('a', 2)", "('b', 1)"]


def test_very_wide_frames_are_cut_short() -> None:
    """The dtypes of more than a thousand columns are cut, and a note says so; so are many notes."""
    description = describe(pd.DataFrame(np.zeros((1, 2500))))
    assert len(description.dtypes) == 1000
    assert description.notes == ("dtypes lists the first 1,000 of 2,500 columns",)
    notes = describe(pd.DataFrame(np.full((1, 300), None), dtype=object)).notes
    assert len(notes) == 21
    assert notes[-1] == "280 more columns are pickled too"


def test_rows_are_never_looked_at() -> None:
    """Describing a hundred million rows costs what describing ten costs: nothing is computed from them."""
    value = pd.DataFrame({"x": np.broadcast_to(np.float64(1), 100_000_000)}, copy=False)
    assert describe(value).shape == (100_000_000, 1)


def test_what_is_pickled_is_said_of_any_object() -> None:
    """Of what is large and comes along in the pickle a note says how much it is; of what is shared, or small, none does."""
    for value in (b"x" * 300_000, {"a": [b"y" * 300_000], "b": np.zeros(100_000)}):
        (note,) = encode(value).description.notes
        assert re.fullmatch(r"293\.\d KiB of it are pickled, copied by each reader", note)
    frame = pd.DataFrame({"a": pd.Series([bytes(100) for _ in range(3000)], dtype=object)})
    (note,) = encode(frame).description.notes
    assert note.startswith("column 'a' is dtype object: pickled")
    values: tuple[object, ...] = (b"x" * 1000, np.zeros(100_000), {"b": np.zeros(100_000)}, [1, 2])
    for small in values:
        assert encode(small).description.notes == ()
