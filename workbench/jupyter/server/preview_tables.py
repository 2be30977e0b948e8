"""What a preview shows of a decoded object: a page of its cells as text, and what is in each column.

Runs in the process for previews only. Covers frames, series, indexes, arrays, Arrow and Polars tables, sparse matrices and datasets, all of which become
columns that pandas understands (``preview_grids.py``); anything else is shown as its own text.
"""

from __future__ import annotations

import itertools
import math
import pprint
from typing import Any, Final

import numpy as np
import pandas as pd

from workbench.jupyter.server.preview_grids import Grid, grid_of, pieces_of
from workbench.jupyter.server.preview_pictures import is_picture, png
from workbench.jupyter.server.problems import NotPossibleError
from workbench.session import Session

__all__ = ["Shown", "page", "summary"]

_SAMPLE: Final = 200_000
"""Rows that a summary looks at; of more, every n-th."""
_LONGEST: Final = 500
"""Characters of a cell."""
_TEXT: Final = 20_000
"""Characters of an object that is shown as text."""
_BINS: Final = 20
_TOP: Final = 10


class Shown:
    """The object that is shown, and the store it is from.

    Parameters
    ----------
    directory : str
        Of the store.
    """

    def __init__(self, directory: str) -> None:
        self._session = Session(directory, create=False)
        self._session.store.set_process("server", "preview of the Jupyter server")
        self._id: str | None = None
        self._value: Any = None
        self._grid: Grid | None = None

    def let_go(self) -> None:
        """Forget the object."""
        self._id, self._value, self._grid = None, None, None

    def answer(self, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Return the answer to a question as JSON and, of an image, its bytes."""
        if question["id"] != self._id:
            self.let_go()
            pieces = pieces_of(self._session, question["id"])
            self._value = pieces if pieces is not None else self._session.get(question["id"])
            self._grid = pieces if pieces is not None else grid_of(self._value)
            # Partitions come and go: a dataset is looked at anew each time.
            self._id = question["id"] if pieces is None else None
        if question["what"] == "image":
            return {}, png(self._value)
        if question["what"] == "summary":
            return summary(self._grid, *question["columns"]), b""
        found = page(self._grid, self._value, tuple(question["rows"]), tuple(question["columns"]))
        if self._grid is not None and self._grid.absent:
            # The server, which knows the other nodes, says where these are.
            found["absent"] = self._grid.absent
        return found, b""


def page(grid: Grid | None, value: Any, rows: tuple[int, int], columns: tuple[int, int]) -> dict[str, Any]:
    """Return some cells of an object, or the object as text where it has none."""
    if grid is None:
        text = _text_of(value)
        empty: dict[str, Any] = {"columns": [], "index": [], "rows": []}
        return {"kind": "text", "total_rows": 0, "total_columns": 0, **empty, "text": text}
    start, stop = (min(end, grid.rows) for end in rows)
    cstart, cstop = (min(end, len(grid.names)) for end in columns)
    found = [cells(grid.column(number, start, stop, 1)) for number in range(cstart, cstop)]
    answer = {
        "kind": "image" if is_picture(value) else grid.kind,
        "total_rows": grid.rows,
        "total_columns": len(grid.names),
        "columns": [{"name": grid.names[number], "dtype": grid.dtypes[number]} for number in range(cstart, cstop)],
        "index": [cell or "" for cell in cells(grid.index(start, stop))],
        "rows": [list(row) for row in zip(*found, strict=True)] if found else [[] for _ in range(start, stop)],
    }
    return {**answer, "text": grid.note} if grid.note else answer


def summary(grid: Grid | None, cstart: int, cstop: int) -> dict[str, Any]:
    """Return what is in some columns."""
    if grid is None:
        raise NotPossibleError("This object has no columns, so there is no summary of them.")
    looked_at, columns = grid.rows, []
    for number in range(cstart, min(cstop, len(grid.names))):
        sample = grid.sample(number, _SAMPLE)
        looked_at = len(sample)
        columns.append({"name": grid.names[number], "dtype": grid.dtypes[number], **_column(sample)})
    return {"rows": looked_at, "sampled": looked_at < grid.rows, "columns": columns}


# -- cells -------------------------------------------------------------------------------------------------------------


def cells(series: pd.Series[Any]) -> list[str | None]:
    """Return values as text, None for missing ones."""
    # The numbers of pandas' and NumPy's own types show themselves as short as they can; as Python's floats they would not.
    short = isinstance(series.dtype, np.dtype) and series.dtype.kind == "f"
    values = list(series.to_numpy()) if short else series.tolist()
    return [None if null else cell(value) for value, null in zip(values, series.isna(), strict=True)]


def cell(value: Any) -> str:
    """Return a value as a text that is not too long."""
    try:
        text = value if isinstance(value, str) else str(value)
        text = text[:_LONGEST] + "…" if len(text) > _LONGEST else text
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    except Exception:  # noqa: BLE001  # the __str__ of somebody's class
        return f"<{type(value).__name__}>"
    return text


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, (bytes, bytearray)):
        text = repr(bytes(value[:_TEXT]))
    elif isinstance(value, (dict, list, tuple, set, frozenset)):
        few = (
            dict(itertools.islice(value.items(), 200))
            if isinstance(value, dict)
            else list(itertools.islice(value, 200))
        )
        left = len(value) - len(few)
        text = pprint.pformat(few, width=100, sort_dicts=False) + (f"\n… and {left} more" if left else "")
    else:
        text = repr(value)
    text = text if len(text) <= _TEXT else text[:_TEXT] + "…"
    return text.encode(errors="replace").decode()


# -- summaries ---------------------------------------------------------------------------------------------------------


def _column(series: pd.Series[Any]) -> dict[str, Any]:
    valid = series.dropna()
    found: dict[str, Any] = {
        "nulls": len(series) - len(valid),
        **dict.fromkeys(("min", "max", "mean", "histogram", "top")),
    }
    if not len(valid):
        return found
    kind = _kind(valid)
    if kind in ("number", "time"):
        found["min"], found["max"], found["mean"] = (_measure(valid, measure) for measure in ("min", "max", "mean"))
        found["histogram"] = _histogram(_numbers(valid, kind))
        return found
    if kind == "text":
        found["min"], found["max"] = _measure(valid, "min"), _measure(valid, "max")
    found["top"] = _top(valid)
    return found


def _kind(series: pd.Series[Any]) -> str:
    dtype = series.dtype
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
        return "other"
    if pd.api.types.is_numeric_dtype(dtype):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return "time"
    return "text" if pd.api.types.is_string_dtype(dtype) else "other"


def _measure(series: pd.Series[Any], measure: str) -> str | None:
    try:
        found = getattr(series, measure)()
    except (TypeError, ValueError, ArithmeticError, NotImplementedError):
        return None
    if measure == "mean" and isinstance(found, float):
        return f"{found:.6g}"
    return None if found is None or found is pd.NaT else cell(found)


def _numbers(series: pd.Series[Any], kind: str) -> Any:
    try:
        if kind == "time":
            times = pd.to_datetime(series, utc=True).to_numpy(dtype="datetime64[ns]")
            return times.astype("int64") / 1e9
        return series.to_numpy(dtype="float64")
    except (TypeError, ValueError, OverflowError):
        return np.empty(0)


def _histogram(numbers: Any) -> dict[str, Any] | None:
    finite = numbers[np.isfinite(numbers)]
    if not finite.size or not math.isfinite(float(finite.max()) - float(finite.min())):
        return None
    try:
        counts, edges = np.histogram(finite, bins=_BINS)
    except ValueError:  # numbers so close to each other that there is no room for edges between them
        return None
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _top(series: pd.Series[Any]) -> list[list[Any]] | None:
    try:
        counts = series.value_counts().head(_TOP)
    except (TypeError, ValueError, NotImplementedError):  # what cannot be compared cannot be counted
        return None
    return [[cell(value), int(count)] for value, count in counts.items()]
