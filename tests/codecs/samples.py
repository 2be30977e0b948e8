"""Columns of every dtype that pandas ships, and indexes of every class."""

from __future__ import annotations

import datetime as dt
import decimal
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.tseries.offsets import BDay

N = 1000
numbers: Any = np.arange(N)
stamps = pd.date_range("2013-01-01", periods=N, freq="h")
words = [f"word {n} wide enough to matter" if n % 7 else None for n in range(N)]
gaps = [None if n % 5 == 0 else n for n in range(N)]


def arrow(values: Any, kind: pa.DataType | None = None) -> Any:
    """Return a pandas array of an ``ArrowDtype``."""
    return pd.arrays.ArrowExtensionArray(pa.array(values, kind))


COLUMNS: dict[str, Any] = {
    **{code: numbers.astype(code) for code in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "c8", "c16")},
    "bool": numbers % 3 == 0,
    "datetime s": stamps.as_unit("s"),
    "datetime ns": stamps.as_unit("ns").insert(0, pd.NaT)[:N],
    "zoneinfo": stamps.tz_localize("UTC").tz_convert(zoneinfo.ZoneInfo("America/New_York")),
    "fixed zone": stamps.tz_localize(dt.timezone(dt.timedelta(hours=2))),
    "timedelta": pd.to_timedelta(numbers, unit="s"),
    "str": pd.array(words, dtype="str"),
    "string": pd.array(words, dtype="string"),
    "string python": pd.array(words, dtype=pd.StringDtype("python")),
    "str python": pd.array(words, dtype=pd.StringDtype("python", na_value=np.nan)),
    "category": pd.Categorical(["red", "green", "blue", "red"] * (N // 4), ["red", "green", "blue"], ordered=True),
    "category of numbers": pd.Categorical(numbers // 2),
    "category of dates": pd.Categorical(stamps),
    "category of objects": pd.Categorical.from_codes(numbers % 2, pd.Index([1, "x"], dtype=object)),
    **{name: pd.array(gaps, dtype=name) for name in ("Int8", "UInt16", "Int64", "UInt64", "Float32", "Float64")
       if name != "Int8"},
    "Int8": pd.array([None, 1, -1, 100] * (N // 4), dtype="Int8"),
    "boolean": pd.array([True, None, False, True] * (N // 4), dtype="boolean"),
    "period": pd.period_range("2013-01", periods=N, freq="M"),
    "period of days": pd.PeriodIndex(["2013-01-01", None] * (N // 2), freq="D"),
    "interval": pd.arrays.IntervalArray.from_breaks(np.arange(N + 1), closed="left"),
    "interval of times": pd.interval_range(pd.Timestamp("2013-01-01"), periods=N, freq="h").array,
    "sparse": pd.arrays.SparseArray(np.where(numbers % 10, 0.0, numbers), fill_value=0.0),
    "sparse ints": pd.arrays.SparseArray(np.where(numbers % 10, 0, numbers)),
    "object": pd.Series([{"a": 1}, None, "x", 2.5] * (N // 4), dtype=object),
    "arrow int": arrow(gaps, pa.int32()),
    "arrow bool": arrow([None, True, False, True] * (N // 4)),
    "arrow string": arrow(words, pa.string()),
    "arrow binary": arrow([None if word is None else word.encode() for word in words]),
    "arrow decimal": arrow([decimal.Decimal(n) / 100 for n in range(N)], pa.decimal128(12, 2)),
    "arrow list": arrow([[n, None] if n % 3 else None for n in range(N)]),
    "arrow struct": arrow([{"x": n, "y": str(n)} for n in range(N)]),
    "arrow dictionary": pd.arrays.ArrowExtensionArray(pa.array(words).dictionary_encode()),
    "arrow timestamp": arrow(list(stamps), pa.timestamp("us", "Europe/Paris")),
    "arrow duration": arrow(gaps, pa.duration("ms")),
    "arrow date": arrow([dt.date(2013, 1, 1)] * N, pa.date32()),
    "arrow time": arrow([dt.time(12, 30)] * N, pa.time64("us")),
    "arrow map": arrow([[("k", n)] for n in range(N)], pa.map_(pa.string(), pa.int64())),
    "arrow null": arrow([None] * N, pa.null()),
    "arrow of two chunks": pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(gaps[:300]), pa.array(gaps[300:])])),
    "str of two chunks": pd.concat([pd.Series(words[:300], dtype="str"), pd.Series(words[300:], dtype="str")]).array,
}  # fmt: skip

INDEXES = {
    "range": pd.RangeIndex(5, 50, 3, name="range"),
    "integers": pd.Index(numbers, name="n"),
    "small integers": pd.Index(np.array([3, 1, 2], dtype="i2")),
    "floats": pd.Index(numbers / 3),
    "booleans": pd.Index([True, False]),
    "strings": pd.Index([f"label {n}" for n in range(N)], name="words"),
    "few strings": pd.Index(["a", None, "c"], name=7),
    "nullable strings": pd.Index(["a", None], dtype="string"),
    "objects": pd.Index([1, "a", None], dtype=object),
    "nullable": pd.Index(pd.array([1, None, 3], dtype="Int64")),
    "arrow": pd.Index(arrow(gaps)),
    "named by a tuple": pd.Index(["a"], name=("x", 1)),
    "dates": stamps,
    "dates of a business": pd.date_range("2013", periods=N, freq=BDay(2), name="day"),
    "dates of a zone": stamps.tz_localize("Asia/Tokyo"),
    "timedeltas": pd.timedelta_range("1s", periods=N, freq="5s"),
    "periods": pd.period_range("2013", periods=N, freq="W-WED"),
    "intervals": pd.interval_range(0, N, closed="both"),
    "categories": pd.CategoricalIndex(["b", "a", "b"] * 300, categories=["b", "a", "z"], ordered=True),
    "levels": pd.MultiIndex.from_product([["a", "b"], stamps[:300], [1.5, 2.5]], names=["l", None, ("t", 1)]),
    "unused levels": pd.MultiIndex.from_product([list("abc"), range(100)])[:20],
    "levels with gaps": pd.MultiIndex.from_arrays([["a", None], [pd.NaT, pd.Timestamp("2013")]]),
    "empty": pd.Index([], dtype="i8"),
}  # fmt: skip


def mixed() -> pd.DataFrame:
    """Return a frame with one column for each way in which pandas stores numbers, times and text."""
    n500 = np.arange(500)
    return pd.DataFrame(
        {
            "i": n500,
            "i2": n500 * 2,
            "f": np.where(n500 % 9, n500 / 3, np.nan),
            "b": n500 % 2 == 0,
            "t": pd.date_range("2013", periods=500, freq="h"),
            "z": pd.date_range("2013", periods=500, freq="h", tz="America/New_York"),
            "c": pd.Categorical([f"value {n % 100} of a hundred" for n in range(500)]),
            "s": pd.array([f"text {n}" for n in range(500)], dtype="str"),
            "n": pd.array([None if n % 7 == 0 else n for n in range(500)], dtype="Int64"),
            "p": pd.period_range("2013", periods=500, freq="D"),
            "v": pd.arrays.IntervalArray.from_breaks(np.arange(501.0)),
            "o": [{"n": n} for n in range(500)],
        }
    )
