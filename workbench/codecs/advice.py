"""What a column of Python objects could be converted to, so that it is shared instead of pickled.

Covers a guess from the first values: it is shown to a user, and nothing is converted here. Read next: ``describing.py``.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

import numpy as np

__all__ = ["conversion"]

_LOOKED_AT: Final = 100
"""Values from the beginning, of which the first that is not missing is what is judged by."""
_DEEPEST: Final = 5
_ARROW: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    ((bool, np.bool_), "pa.bool_()"),
    ((int, np.integer), "pa.int64()"),
    ((float, np.floating), "pa.float64()"),
    (str, "pa.string()"),
    (bytes, "pa.binary()"),
    ((dt.datetime, np.datetime64), "pa.timestamp('us')"),
    (dt.date, "pa.date32()"),
    (dt.time, "pa.time64('us')"),
    (decimal.Decimal, "pa.decimal128(38, 9)"),
)
"""Types of values, the first that fits, with their Arrow types."""
_PANDAS: Final = {
    "pa.string()": "'str'",
    "pa.bool_()": "'boolean'",
    "pa.int64()": "'Int64'",
    "pa.float64()": "'Float64'",
}


def conversion(values: Iterable[Any]) -> str:
    """Return how to convert values to what can be shared (``astype(...)``), or nothing if there is no way that is known.

    Parameters
    ----------
    values : iterable
        Of the column; the first ones are looked at.
    """
    arrow = _arrow_type(_first(values), 0)
    if arrow is None:
        return ""
    return f"astype({_PANDAS.get(arrow, f'pd.ArrowDtype({arrow})')})"


def _arrow_type(value: Any, depth: int) -> str | None:
    for kinds, name in _ARROW:
        if isinstance(value, kinds):
            return name
    if depth < _DEEPEST and isinstance(value, (list, tuple, np.ndarray)):
        inner = _arrow_type(_first(value), depth + 1)
        return f"pa.list_({inner or '...'})"
    return "pa.struct(...)" if isinstance(value, dict) else None


def _first(values: Iterable[Any]) -> Any:
    for value in islice(values, _LOOKED_AT):
        is_missing = (
            value is None
            or type(value).__name__ in {"NAType", "NaTType"}
            or (isinstance(value, float) and math.isnan(value))
        )
        if not is_missing:
            return value
    return None
