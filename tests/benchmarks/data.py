"""What is put and got: arrays and DataFrames of the usual kinds, of a wished size.

Covers making them quickly; NumPy and pandas only, because the neighbours make the same data in environments of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

ROW_NBYTES = 82
"""Bytes of a row of :func:`wide_frame` in memory, more or less."""


def array(nbytes: int) -> npt.NDArray[np.float64]:
    """Random numbers."""
    return np.random.default_rng(0).random(nbytes // 8)


def mixed_frame(rows: int) -> pd.DataFrame:
    """Ten columns of the usual kinds."""
    random = np.random.default_rng(0)
    times = pd.date_range("2013-01-01", periods=rows, freq="s")
    return pd.DataFrame(
        {
            "integer": random.integers(0, 1000, rows),
            "small": random.integers(0, 100, rows, dtype="int32"),
            "float": random.random(rows),
            "single": random.random(rows, dtype="float32"),
            "flag": random.random(rows) > 0.5,
            "time": times,
            "local": times.tz_localize("UTC").tz_convert("America/New_York"),
            "category": pd.Categorical.from_codes(random.integers(0, 5, rows, dtype="int8"), pd.Index(list("abcde"))),
            "string": _strings(random, rows, [str(number) for number in range(10_000)]),
            "nullable": pd.array(random.integers(0, 9, rows), dtype="Int64"),
        }
    )


def wide_frame(nbytes: int) -> pd.DataFrame:
    """Eleven columns, two of them strings, of `nbytes` bytes in all, more or less."""
    frame = mixed_frame(nbytes // ROW_NBYTES)
    words = [f"{'lorem ipsum dolor'[: number % 17]}{number}" for number in range(1000)]
    frame["words"] = _strings(np.random.default_rng(1), len(frame), words)
    return frame


def _strings(random: np.random.Generator, rows: int, words: list[str]) -> Any:
    # By position out of a short column: a million times faster than making each string.
    return pd.Series(words, dtype="str").take(random.integers(0, len(words), rows)).array
