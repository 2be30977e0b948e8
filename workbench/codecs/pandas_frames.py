"""pandas frames, series, indexes and extension arrays, through pandas' own pickling.

pandas pickles its objects exactly, and the arrays within them reach :mod:`workbench.codecs.numpy_arrays`. This module
adds what pandas' pickling lacks here:

- Arrow-backed columns go to their Arrow buffers (pandas would copy them together first) and keep their chunks.
- Frames and series are noted, for ``copy_on_write.py``.
- The blocks of a frame copy their arrays when these have gaps; here the arrays go to their own reducer as they are.
- Small indexes of labels (the columns) and dtypes are pickled apart and parsed once per process: half the time of
  decoding a frame went there.

Uses public constructors only. Loaded only when a pandas object passes through. Read next: ``copy_on_write.py``.
"""

from __future__ import annotations

import datetime as dt
import pickle
import zoneinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.internals import create_dataframe_from_blocks  # type: ignore[import-not-found]  # the stubs are behind

from workbench.codecs.describing import describe_pandas as describe
from workbench.codecs.header_compiler import always_the_same

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.codecs.pickling import EncodingPickler
    from workbench.codecs.registry import Reducer

__all__ = ["describe", "reducer_for"]

_SMALL_INDEX = 256
"""Labels; longer indexes go out of band."""

_LABEL_DTYPES = frozenset("iufb")


@lru_cache(maxsize=512)
def _parsed(content: bytes) -> Any:
    return pickle.loads(content)  # noqa: S301  part of a header that is trusted already


def restore_labels(content: bytes) -> pd.Index[Any]:  # named in headers
    """Return an index of its own around labels that are parsed once per process.

    A view, because an index can be renamed in place.
    """
    index: pd.Index[Any] = _parsed(content).view()
    return index


@always_the_same
def restore_dtype(content: bytes) -> Any:  # named in headers
    """Return an immutable dtype, parsed once per process."""
    return _parsed(content)


def restore_range(start: int, stop: int, step: int, name: Any) -> pd.RangeIndex:  # named in headers
    """Build a range index."""
    return pd.RangeIndex.from_range(range(start, stop, step), name=name)


def restore_arrow_backed(values: pa.ChunkedArray, dtype: Any) -> Any:  # named in headers
    """Build an Arrow-backed extension array on `values`, without a copy; `dtype` is None for an ``ArrowDtype``."""
    if dtype is None:
        return pd.arrays.ArrowExtensionArray(values)
    return pd.arrays.ArrowStringArray(values, dtype=dtype)  # type: ignore[call-arg]  # the stubs are behind


@always_the_same
@lru_cache(maxsize=4096)
def restore_positions(start: int, stop: int, step: int) -> np.ndarray[Any, Any]:  # named in headers
    """Return the positions of the columns that one array of a frame holds: the same array each time, as pandas never writes to it."""
    return np.arange(start, stop, step)


def restore_frame(
    blocks: list[tuple[Any, np.ndarray[Any, Any]]], index: pd.Index[Any], columns: pd.Index[Any]
) -> pd.DataFrame:  # named in headers
    """Build a frame from its arrays, each with the positions of its columns."""
    frame: pd.DataFrame = create_dataframe_from_blocks(blocks, index, columns)
    return frame


def _blocks(frame: pd.DataFrame) -> list[tuple[Any, Any]] | None:
    """Return the arrays of a frame with the positions of their columns, as its own pickling tells them.

    What that consists of is pandas' own business: None if it is not what it was in the versions that this was tried with.
    """
    state: Any = frame.__reduce_ex__(5)
    try:
        _, (blocks, (columns, index)) = state[2]["_mgr"].__reduce_ex__(5)
        arrays: list[tuple[Any, Any]] = [(values, where) for _, (values, where, _) in map(_reduced, blocks)]
        width = sum(len(range(len(columns))[where]) if isinstance(where, slice) else len(where) for _, where in arrays)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError):
        return None
    complete = columns is frame.columns and index is frame.index and width == len(columns)
    return arrays if complete else None


def _reduced(value: Any) -> Any:
    return value.__reduce__()


def _reduce_frame(frame: Any, pickler: EncodingPickler) -> Any:
    pickler.frames.append(frame)
    if type(frame) is not pd.DataFrame or frame.attrs or not frame.flags.allows_duplicate_labels:
        return NotImplemented
    blocks = _blocks(frame)
    if blocks is None:
        return NotImplemented
    return restore_frame, ([(values, _Positions(where)) for values, where in blocks], frame.index, frame.columns)


class _Positions:
    """Where the columns of an array are, on the way to :func:`restore_positions`."""

    def __init__(self, where: Any) -> None:
        self.where = where

    def __reduce__(self) -> Any:
        if isinstance(self.where, slice):
            return restore_positions, (self.where.start, self.where.stop, self.where.step)
        return np.asarray, (self.where,)


def _note_series(series: Any, pickler: EncodingPickler) -> Any:
    pickler.frames.append(series)
    return NotImplemented


def _reduce_index(index: pd.Index[Any], _pickler: EncodingPickler) -> Any:
    labels = _label_bytes(index)
    return NotImplemented if labels is None else (restore_labels, (labels,))


def _label_bytes(index: pd.Index[Any]) -> bytes | None:
    """Return the pickle of a short index of plain labels, or None where its arrays should go their own way."""
    if type(index) is not pd.Index or len(index) > _SMALL_INDEX or not isinstance(index.name, (str, int, type(None))):
        return None
    dtype: Any = index.dtype
    if not (isinstance(dtype, pd.StringDtype) or (dtype.kind in _LABEL_DTYPES and not hasattr(dtype, "na_value"))):
        return None
    return pickle.dumps(index, 5)


def _reduce_range(index: pd.RangeIndex, _pickler: EncodingPickler) -> Any:
    return restore_range, (index.start, index.stop, index.step, index.name)


def _reduce_dtype(dtype: Any, _pickler: EncodingPickler) -> Any:
    return restore_dtype, (pickle.dumps(dtype, 5),)


def _reduce_time_zone_dtype(dtype: pd.DatetimeTZDtype, pickler: EncodingPickler) -> Any:
    if isinstance(dtype.tz, (zoneinfo.ZoneInfo, dt.timezone)):
        return _reduce_dtype(dtype, pickler)
    return NotImplemented


def _reduce_arrow_backed(array: Any, _pickler: EncodingPickler) -> Any:
    dtype = array.dtype
    return restore_arrow_backed, (array.__arrow_array__(), None if isinstance(dtype, pd.ArrowDtype) else dtype)


def _copies_when_pickled(cls: type) -> bool:
    """Tell whether a class of pandas makes its arrays contiguous in ``__reduce_ex__``, apart from its ``__reduce__``."""
    defines = next(base for base in cls.__mro__ if "__reduce_ex__" in vars(base))
    return defines.__module__.partition(".")[0] == "pandas" and "__reduce__" in vars(defines)


def _reduce_as_it_is(value: Any, _pickler: EncodingPickler) -> Any:
    return value.__reduce__()


_EXACT: dict[type, Reducer | None] = {
    pd.RangeIndex: _reduce_range,
    pd.DatetimeTZDtype: _reduce_time_zone_dtype,
    pd.StringDtype: _reduce_dtype,
    pd.PeriodDtype: _reduce_dtype,
    pd.BooleanDtype: _reduce_dtype,
    **dict.fromkeys((pd.Int8Dtype, pd.Int16Dtype, pd.Int32Dtype, pd.Int64Dtype), _reduce_dtype),
    **dict.fromkeys((pd.UInt8Dtype, pd.UInt16Dtype, pd.UInt32Dtype, pd.UInt64Dtype), _reduce_dtype),
    **dict.fromkeys((pd.Float32Dtype, pd.Float64Dtype), _reduce_dtype),
    pd.arrays.ArrowStringArray: _reduce_arrow_backed,
    pd.arrays.ArrowExtensionArray: _reduce_arrow_backed,
}


_BASES: list[tuple[type, Reducer]] = [
    (pd.DataFrame, _reduce_frame),
    (pd.Series, _note_series),
    (pd.Index, _reduce_index),
]


def reducer_for(cls: type) -> Reducer | None:
    """Return what reduces instances of `cls`, or None where pandas' own pickling serves."""
    if cls in _EXACT:
        return _EXACT[cls]
    for base, reducer in _BASES:
        if issubclass(cls, base):
            return reducer
    copies = not issubclass(cls, pd.api.extensions.ExtensionArray) and _copies_when_pickled(cls)
    return _reduce_as_it_is if copies else None
