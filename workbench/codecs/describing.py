"""What an object is, told from its types and labels alone: never a cost that grows with the rows (of columns of Python objects the first values are looked at).

The kinds and fields are those of :class:`workbench.objects.Description`. Each adapter has one of these functions as its
``describe``; None means that the value is none of those that it knows. Read next: ``registry.py``, which asks them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from workbench.codecs.advice import advice
from workbench.codecs.culprits import type_name
from workbench.objects import Description, format_nbytes

__all__ = [
    "describe_array",
    "describe_arrow",
    "describe_pandas",
    "describe_polars",
    "describe_scipy",
    "describe_torch",
    "pickled_note",
]

_MAX_COLUMNS = 1000
_MAX_NOTES = 20
_LOOKED_AT = 65536
"""Bytes at the beginning and the end of a pickle that are looked at for what it consists of."""


def _by_column(columns: Iterable[tuple[Any, Any]], width: int) -> tuple[dict[str, str], list[str]]:
    """Return dtypes by label (repeated labels get a number) and a note when there are too many columns."""
    dtypes: dict[str, str] = {}
    for position, (column, dtype) in enumerate(columns):
        if position == _MAX_COLUMNS:
            return dtypes, [f"dtypes lists the first {_MAX_COLUMNS:,} of {width:,} columns"]
        label = str(column)
        if label in dtypes:
            label = f"{label} (column {position})"
        dtypes[label] = _dtype_name(dtype)
    return dtypes, []


@lru_cache(maxsize=256)
def _numpy_name(dtype: np.dtype[Any]) -> str:
    return str(dtype)  # 10 microseconds


def _dtype_name(dtype: Any) -> str:
    return _numpy_name(dtype) if isinstance(dtype, np.dtype) else str(dtype)


def describe_array(value: Any) -> Description | None:
    """Describe a NumPy array."""
    if not isinstance(value, np.ndarray):
        return None
    notes = []
    if value.dtype.hasobject:
        notes.append(f"dtype {value.dtype}: pickled, copied by each reader")
    if isinstance(value, np.memmap):
        notes.append("a memmap comes back as a plain array")
    return Description("array", type_name(type(value)), value.shape, {"": str(value.dtype)}, tuple(notes))


def _is_pickled(dtype: Any) -> bool:
    """Tell whether a pandas column of this dtype is made of Python objects."""
    return dtype.hasobject if isinstance(dtype, np.dtype) else getattr(dtype, "storage", None) == "python"


def _pickled_note(what: str, dtype: Any, values: Iterable[Any]) -> str:
    kind, how = "string in Python objects", "; convert it with astype('str') to share it"
    if str(dtype) == "object":
        kind, how = "object", advice(values)
    return f"{what} is dtype {kind}: pickled, copied by each reader{how}"


def _column_notes(frame: Any, columns: Iterable[tuple[Any, Any]]) -> list[str]:
    pickled = [(at, label, dtype) for at, (label, dtype) in enumerate(columns) if _is_pickled(dtype)]
    notes = [
        _pickled_note(f"column {str(label)!r}", dtype, frame.iloc[:, at]) for at, label, dtype in pickled[:_MAX_NOTES]
    ]
    if len(pickled) > _MAX_NOTES:
        notes.append(f"{len(pickled) - _MAX_NOTES:,} more columns are pickled too")
    return notes


def describe_pandas(value: Any) -> Description | None:
    """Describe a frame, series, index or extension array of pandas."""
    import pandas as pd

    name = type_name(type(value))
    if isinstance(value, pd.DataFrame):
        columns = list(zip(value.columns, value.dtypes, strict=True))
        dtypes, notes = _by_column(columns, len(columns))
        notes += [*_column_notes(value, columns), *_index_notes(value.index)]
        return Description("dataframe", name, value.shape, dtypes, tuple(notes))
    if isinstance(value, pd.MultiIndex):
        levels = ((label, level.dtype) for label, level in zip(value.names, value.levels, strict=True))
        dtypes, notes = _by_column(levels, value.nlevels)
        return Description("index", name, value.shape, dtypes, (*notes, *_index_notes(value)))
    dtypes = {"": str(getattr(value, "dtype", ""))}
    if isinstance(value, pd.Series):
        notes = [_pickled_note("the series", value.dtype, value)] if _is_pickled(value.dtype) else []
        return Description("series", name, value.shape, dtypes, (*notes, *_index_notes(value.index)))
    if isinstance(value, pd.Index):
        return Description("index", name, value.shape, dtypes, tuple(_index_notes(value)))
    if isinstance(value, pd.api.extensions.ExtensionArray):
        notes = [_pickled_note("the array", value.dtype, value)] if _is_pickled(value.dtype) else []
        return Description("array", name, tuple(value.shape), dtypes, tuple(notes))
    return None


def _index_notes(index: Any) -> list[str]:
    if index.nlevels > 1:
        return [note for level in index.levels for note in _index_notes(level)]
    if not _is_pickled(index.dtype) or len(index) == 0:
        return []
    return [_pickled_note("the index" if index.name is None else f"the index {index.name!r}", index.dtype, index)]


def describe_arrow(value: Any) -> Description | None:
    """Describe an Arrow table, batch or array."""
    import pyarrow as pa

    name = type_name(type(value))
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        kind = "table" if isinstance(value, pa.Table) else "batch"
        dtypes, notes = _by_column(((field.name, field.type) for field in value.schema), value.num_columns)
        return Description(kind, name, (value.num_rows, value.num_columns), dtypes, tuple(notes))
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return Description("array", name, (len(value),), {"": str(value.type)})
    return None


def describe_polars(value: Any) -> Description | None:
    """Describe a frame or series of Polars."""
    import polars as pl

    from workbench.codecs.polars_frames import survives_arrow

    name = type_name(type(value))
    if isinstance(value, pl.LazyFrame):
        return Description("polars", name)
    if isinstance(value, pl.DataFrame):
        frame = value
        dtypes, notes = _by_column(value.schema.items(), value.width)
    elif isinstance(value, pl.Series):
        frame = value.to_frame()
        dtypes, notes = {"": str(value.dtype)}, []
    else:
        return None
    if not survives_arrow(frame):
        notes.append("Arrow does not know all these dtypes: Polars pickles them, copied by each reader")
    for column, dtype in frame.schema.items():
        if isinstance(dtype, (pl.Categorical, pl.Enum)):
            notes.append(
                f"column {column!r} is dtype {dtype.base_type().__name__}: Polars copies its codes in each reader"
            )
    return Description("polars", name, value.shape, dtypes, tuple(notes))


def describe_scipy(value: Any) -> Description | None:
    """Describe a sparse array or matrix of SciPy."""
    import scipy.sparse

    if not scipy.sparse.issparse(value):
        return None
    notes = (f"{value.format} format: pickled, copied by each reader",) if value.format in {"dok", "lil"} else ()
    return Description("sparse", type_name(type(value)), tuple(value.shape), {"": str(value.dtype)}, notes)


_TENSORS = "share tensor.numpy(): torch.from_numpy(wb.get(...)) copies nothing, and is only to be read"


def describe_torch(value: Any) -> Description | None:
    """Describe a tensor of PyTorch."""
    import torch

    if not isinstance(value, torch.Tensor):
        return None
    note = f"a tensor is pickled, copied by each reader; {_TENSORS}"
    return Description("object", type_name(type(value)), tuple(value.shape), {"": str(value.dtype)}, (note,))


def pickled_note(description: Description, stream: memoryview) -> Description:
    """Return the description of an object of which so much is pickled, with a note that says so, unless one does already."""
    if any("pickled" in note for note in description.notes):
        return description
    ends = bytes(stream[:_LOOKED_AT]) + bytes(stream[-_LOOKED_AT:])
    advice = f"; of tensors, {_TENSORS}" if b"torch._utils" in ends else ""
    note = f"{format_nbytes(stream.nbytes)} of it are pickled, copied by each reader{advice}"
    return dataclasses.replace(description, notes=(*description.notes, note))
