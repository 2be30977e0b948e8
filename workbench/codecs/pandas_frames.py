"""pandas frames, series, indexes and extension arrays, through pandas' own pickling.

pandas pickles its objects exactly, and the arrays within them reach :mod:`workbench.codecs.numpy_arrays`. This module
adds what pandas' pickling lacks here:

- Arrow-backed columns go to their Arrow buffers (pandas would copy them together first) and keep their chunks.
- Frames and series, and the arrays that pandas may write to, are noted, for ``handouts.py``. Arrays of an index or of
  categories are not noted: pandas never writes to them, and its caches hold views of them for as long as they live.
- The blocks of a frame copy their arrays when these have gaps; here the arrays go to their own reducer as they are.
- Small indexes of labels (the columns) and dtypes are pickled apart and parsed once per process: half the time of
  decoding a frame went there.

Uses public constructors only. Loaded only when a pandas object passes through. Read next: ``handouts.py``.
"""

from __future__ import annotations

import datetime as dt
import pickle
import zoneinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from workbench.codecs.pickling import EncodingPickler, Reducer

__all__ = ["reducer_for"]

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


def restore_dtype(content: bytes) -> Any:  # named in headers
    """Return an immutable dtype, parsed once per process."""
    return _parsed(content)


def restore_range(start: int, stop: int, step: int, name: Any) -> pd.RangeIndex:  # named in headers
    """Build a range index."""
    return pd.RangeIndex(start, stop, step, name=name)


def restore_arrow_backed(values: pa.ChunkedArray, dtype: Any) -> Any:  # named in headers
    """Build an Arrow-backed extension array on `values`, without a copy; `dtype` is None for an ``ArrowDtype``."""
    if dtype is None:
        return pd.arrays.ArrowExtensionArray(values)
    return pd.arrays.ArrowStringArray(values, dtype=dtype)  # type: ignore[call-arg]  # the stubs are behind


def _note_frame(frame: Any, pickler: EncodingPickler) -> Any:
    pickler.frames.append(frame)
    return NotImplemented


def _reduce_index(index: pd.Index[Any], pickler: EncodingPickler) -> Any:
    labels = _label_bytes(index)
    if labels is not None:
        return restore_labels, (labels,)
    reduced = index.__reduce__()
    if not isinstance(reduced, tuple) or len(reduced) > 3:
        return NotImplemented
    pickler.index_depth += 1
    # The pickler asks for list items after everything else of this index: that is when the index is over.
    state = reduced[2] if len(reduced) == 3 else None
    return reduced[0], reduced[1], state, _leave_index(pickler)


def _leave_index(pickler: EncodingPickler) -> Iterator[Any]:
    pickler.index_depth -= 1
    yield from ()


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


def _note_extension_array(array: Any, pickler: EncodingPickler) -> Any:
    pickler.note_array(array)
    return NotImplemented


_EXACT: dict[type, Reducer] = {
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


def reducer_for(cls: type) -> Reducer | None:
    """Return what reduces instances of `cls`, or None where pandas' own pickling serves."""
    if cls in _EXACT:
        return _EXACT[cls]
    if issubclass(cls, (pd.DataFrame, pd.Series)):
        return _note_frame
    if issubclass(cls, pd.Index):
        return _reduce_index
    if issubclass(cls, pd.api.extensions.ExtensionArray):
        return _note_extension_array
    if _copies_when_pickled(cls):
        return _reduce_as_it_is
    return None
