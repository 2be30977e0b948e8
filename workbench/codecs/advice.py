"""What a column of Python objects could be converted to, so that it is shared instead of pickled.

Covers a guess from the first values: it is shown to a user, and nothing is converted here. Read next: ``describing.py``.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any, Final

import numpy as np

from workbench.codecs.culprits import type_name

__all__ = ["advice"]

_LOOKED_AT: Final = 100
"""Values from the beginning, and elements of each, that are judged by."""
_DEEPEST: Final = 5
_LIST: Final = "lists"
_DICT: Final = "dicts"
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
    ((list, tuple, np.ndarray), _LIST),
    (dict, _DICT),
)
"""Types of values, the first that fits, with their Arrow types."""
_PANDAS: Final = {
    "pa.string()": "'str'",
    "pa.bool_()": "'boolean'",
    "pa.int64()": "'Int64'",
    "pa.float64()": "'Float64'",
}


_LARGEST_INT: Final = 2**63
_LARGEST_DECIMAL: Final = decimal.Decimal(10) ** 29


def advice(values: Iterable[Any]) -> str:
    """Return what to do with values so that they can be shared, or why nothing can be done, to end a note with; nothing if no way is known.

    Parameters
    ----------
    values : iterable
        Of the column; the first ones are looked at, and what is advised is possible for all of these.
    """
    looked_at = _present(values)
    kinds = _kinds(looked_at)
    if len(kinds) > 1:
        types = sorted({type_name(type(value)).removeprefix("builtins.") for value in looked_at})
        return f"; its values are of several types ({', '.join(types[:3])}{', ...' if len(types) > 3 else ''}), which no dtype can share"
    if kinds == {_DICT}:
        return "; its values are dicts: pd.json_normalize makes columns of them, which can be shared"
    arrow = _arrow_type(looked_at, 0)
    return f"; convert it with astype({_PANDAS.get(arrow, f'pd.ArrowDtype({arrow})')}) to share it" if arrow else ""


def _arrow_type(values: list[Any], depth: int) -> str:
    kinds = _kinds(values)
    if len(kinds) != 1:
        return ""
    kind = kinds.pop()
    if kind == _LIST and depth < _DEEPEST:
        inner = _arrow_type(list(chain.from_iterable(map(_present, values))), depth + 1)
        return f"pa.list_({inner})" if inner else ""
    return "" if kind in {"", _LIST, _DICT} or any(map(_is_outside, values)) else kind


def _kinds(values: Iterable[Any]) -> set[str]:
    """Return what the values are: Arrow types, lists, dicts or, empty, something else. Numbers with and without a fraction are of one kind."""
    kinds = {next((name for types, name in _ARROW if isinstance(value, types)), "") for value in values}
    return kinds - {"pa.int64()"} if kinds == {"pa.int64()", "pa.float64()"} else kinds


def _is_outside(value: Any) -> bool:
    """Tell whether a value is one that its Arrow type cannot have."""
    if isinstance(value, int):
        return not -_LARGEST_INT <= value < _LARGEST_INT
    if isinstance(value, np.uint64):
        return int(value) >= _LARGEST_INT
    if isinstance(value, decimal.Decimal):
        return not value.is_finite() or abs(value) >= _LARGEST_DECIMAL or value != round(value, 9)
    return getattr(value, "tzinfo", None) is not None


def _present(values: Iterable[Any]) -> list[Any]:
    """Return those of the first values that are not missing."""
    if isinstance(values, np.ndarray) and values.ndim == 0:
        return []
    return [value for value in islice(values, _LOOKED_AT) if not _is_missing(value)]


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, float) and math.isnan(value)
