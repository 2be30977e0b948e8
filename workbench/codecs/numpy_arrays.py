"""NumPy arrays: any dtype, any memory order, their bytes in one buffer that the decoded array shows in place.

NumPy's own pickling sends only C- and F-contiguous arrays of plain dtypes out of band; here every dtype without Python
objects goes (dates, structures, big-endian, zero-dimensional), in any dense order of axes. An array with gaps is copied
once, in its own order (``copy(order="K")``), unless it lies in shared memory: then the buffer is the range that it
covers there, gaps included, and nothing is copied. Nor is it when it is large and consists of long rows, as the blocks of a part of a
frame do: the writer brings the rows together. Object arrays and `StringDType` keep NumPy's own pickling.

A plain array that is put by itself does not meet the pickler at all: its header is one letter and a few cached bytes.
Read next: ``pickling.py``.
"""

from __future__ import annotations

import math
import pickle
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.codecs.describing import describe_array as describe
from workbench.objects import Description, Encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.codecs.pickling import EncodingPickler, IsShared
    from workbench.codecs.registry import Reducer

__all__ = ["ARRAY_TAG", "decode_array", "describe", "encode_array", "reducer_for", "restore_array"]

ARRAY_TAG = ord("A")
"""First byte of the header of a plain array."""

INLINE_NBYTES = 256
"""Arrays up to this size inside of other objects travel in the header: a buffer of their own would cost more."""

REFER_FROM_NBYTES = 16 << 10
"""Parts of shared arrays that are smaller are copied: they would keep a whole segment, and what lies between them, for little."""

_ROWS_FROM_NBYTES = 1 << 20
_ROW_NBYTES = 64 << 10
"""Where a row ends, the writer begins a new copy, which costs about as much as copying a few KiB."""

_EMPTY = memoryview(b"")
_LAST_PLAIN_NUM = 23  # numpy's type numbers of built-in dtypes end with float16 (NPY_HALF)
_OBJECT_NUM = 17  # NPY_OBJECT


def is_plain(dtype: np.dtype[Any]) -> bool:
    """Tell whether `dtype` is wholly told by ``dtype.str``: built in, no fields, no metadata, no Python objects."""
    num = dtype.num
    return num <= _LAST_PLAIN_NUM and num != _OBJECT_NUM and dtype.names is None and dtype.metadata is None


def dense_axes(array: np.ndarray[Any, Any]) -> tuple[int, ...] | None:
    """Return the order of axes in which `array` lies densely in memory, or None when it has gaps or goes backwards."""
    if array.flags.c_contiguous:
        return tuple(range(array.ndim))
    axes = tuple(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))
    return axes if array.transpose(axes).flags.c_contiguous else None


def raw_bytes(array: np.ndarray[Any, Any], axes: tuple[int, ...]) -> memoryview:
    """Return the bytes of a dense `array` as they lie in memory; nothing is copied.

    The detour by ``uint8`` is for the dtypes that have no buffer protocol (dates, and structures of dates).
    """
    if array.nbytes == 0:
        return _EMPTY
    if array.ndim > 1 and not array.flags.c_contiguous:
        array = array.transpose(axes)
    view: memoryview = array.reshape(-1).view(np.uint8).data
    return view


def covered_bytes(array: np.ndarray[Any, Any]) -> tuple[memoryview, int]:
    """Return all memory between the first and the last byte of `array`, and where in it the first element lies."""
    low, high = np.lib.array_utils.byte_bounds(array)
    lowest = array[tuple(slice(-1, None) if stride < 0 else slice(0, 1) for stride in array.strides)]
    # A view of an array keeps all of that array's memory, so what lies between two of its bytes is there to be read.
    covered = np.lib.stride_tricks.as_strided(lowest.reshape(-1).view(np.uint8), (high - low,), (1,), writeable=False)
    return covered.data, array.__array_interface__["data"][0] - low


def dense_strides(array: np.ndarray[Any, Any], axes: Sequence[int]) -> tuple[int, ...] | None:
    """Return the strides that `array` has without its gaps, in this order of axes; None for C order."""
    strides, stride = [0] * array.ndim, array.itemsize
    for axis in reversed(axes):
        strides[axis] = stride
        stride *= array.shape[axis]
    long = [axis for axis in axes if array.shape[axis] > 1]
    return None if long == sorted(long) else tuple(strides)


def as_rows(array: np.ndarray[Any, Any]) -> tuple[memoryview, tuple[int, ...] | None] | None:
    """Return a large array with gaps as the rows between them, and its strides without them; None if it is not so.

    The rows are one buffer of two dimensions, each contiguous, at equal distances.
    """
    if array.nbytes < _ROWS_FROM_NBYTES:
        return None
    axes = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    long = [(array.strides[axis], array.shape[axis]) for axis in axes if array.shape[axis] > 1]
    row = array.itemsize
    while long and long[-1][0] == row:
        row *= long.pop()[1]
    step, count = long.pop() if long else (0, 0)
    while long and long[-1][0] == step * count:
        count *= long.pop()[1]
    if long or step <= 0 or row < _ROW_NBYTES:
        return None
    first = array[(slice(0, 1),) * array.ndim].reshape(-1).view(np.uint8)
    rows = np.lib.stride_tricks.as_strided(first, (count, row), (step, 1), writeable=False)
    return rows.data, dense_strides(array, axes)


def flatten(
    array: np.ndarray[Any, Any], is_shared: IsShared | None = None, *, in_rows: bool = False
) -> tuple[memoryview, tuple[int, ...] | None, int | None]:
    """Return the bytes of `array`, its strides (None for C order), and its offset (None for a dense array).

    The offset tells where in the bytes the first element lies, when they are all that an array with gaps covers in shared
    memory. Such an array elsewhere is copied (unless it is taken in rows), and keeps its order of axes then.
    """
    if array.flags.c_contiguous:
        return raw_bytes(array, ()), None, None
    axes = dense_axes(array)
    if axes is None:
        if is_shared is not None and array.nbytes >= REFER_FROM_NBYTES:
            low, high = np.lib.array_utils.byte_bounds(array)
            if is_shared(low, high - low):
                data, offset = covered_bytes(array)
                return data, array.strides, offset
        rows = as_rows(array) if in_rows else None
        if rows is not None:
            return *rows, None
        array = array.copy(order="K")
        axes = dense_axes(array) or ()
    return raw_bytes(array, axes), None if array.flags.c_contiguous else array.strides, None


def restore_array(
    buffer: Any, dtype: np.dtype[Any] | str, shape: tuple[int, ...], strides: tuple[int, ...] | None = None
) -> np.ndarray[Any, Any]:
    """Show `buffer` as an array; named in headers, so its name and arguments never change."""
    if len(buffer) == 0:
        empty = np.zeros(shape, dtype)
        empty.flags.writeable = False
        return empty
    # By frombuffer, which holds the buffer; np.ndarray() would go past a memoryview to the mapping, and hold nothing in it.
    flat = np.frombuffer(buffer, dtype)
    if strides is not None:
        return np.ndarray(shape, flat.dtype, flat, 0, strides)
    return flat if len(shape) == 1 else flat.reshape(shape)


def restore_strided(
    buffer: Any, dtype: np.dtype[Any] | str, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> np.ndarray[Any, Any]:
    """Show an array with gaps, whose first element lies at `offset`; named in headers, so it never changes."""
    return np.ndarray(shape, dtype, np.frombuffer(buffer, np.uint8), offset, strides)


@lru_cache(maxsize=1024)
def _plain_parts(
    dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...] | None, offset: int | None
) -> tuple[Description, bytes]:
    layout = (shape, strides) if offset is None else (shape, strides, offset)
    header = bytes([ARRAY_TAG]) + pickle.dumps((dtype.str, *layout), 5)
    return Description("array", "numpy.ndarray", shape, {"": str(dtype)}), header


@lru_cache(maxsize=1024)
def _parse_plain(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...], tuple[int, ...] | None, int | None, int]:
    dtype, shape, strides, *offset = pickle.loads(memoryview(header)[1:])  # noqa: S301  a store is its user's own (mode 0700)
    dtype = np.dtype(dtype)
    return dtype, shape, strides, offset[0] if offset else None, dtype.itemsize * math.prod(shape)


def encode_array(
    array: np.ndarray[Any, Any], is_shared: IsShared | None = None, *, in_rows: bool = False
) -> Encoded | None:
    """Encode a plain array by the short path.

    Parameters
    ----------
    array : numpy.ndarray
        Of exactly this type.
    is_shared, in_rows
        As for :func:`workbench.codecs.encode`.

    Returns
    -------
    Encoded or None
        None when the dtype is not plain: the pickler takes such arrays.
    """
    dtype = array.dtype
    if not is_plain(dtype):
        return None
    if array.flags.c_contiguous and array.nbytes:
        description, header = _plain_parts(dtype, array.shape, None, None)
        return Encoded(description, header, (array.reshape(-1).view(np.uint8).data,))
    data, strides, offset = flatten(array, is_shared, in_rows=in_rows)
    description, header = _plain_parts(dtype, array.shape, strides, offset)
    return Encoded(description, header, (data,) if data.nbytes else ())


def decode_array(header: bytes, buffers: Sequence[memoryview]) -> np.ndarray[Any, Any]:
    """Decode what :func:`encode_array` encoded: a read-only array on the buffer."""
    dtype, shape, strides, offset, nbytes = _parse_plain(header)
    if offset is not None and strides is not None:
        return restore_strided(buffers[0], dtype, shape, strides, offset)
    if not nbytes or strides is not None:
        return restore_array(buffers[0] if nbytes else _EMPTY, dtype, shape, strides)
    flat = np.frombuffer(buffers[0], dtype)
    return flat if len(shape) == 1 else flat.reshape(shape)


def reduce_array(array: np.ndarray[Any, Any], pickler: EncodingPickler) -> Any:
    """Reduce an array inside of another object; its bytes go out of band unless they are very few."""
    dtype = array.dtype
    if dtype.hasobject:
        return NotImplemented
    data, strides, offset = flatten(array, pickler.is_shared, in_rows=pickler.rows is not None)
    code = dtype.str if is_plain(dtype) else dtype
    content = bytes(data) if data.nbytes <= INLINE_NBYTES else pickler.out_of_band(data)
    if offset is not None:
        return restore_strided, (content, code, array.shape, strides, offset)
    if strides is None:
        return restore_array, (content, code, array.shape)
    return restore_array, (content, code, array.shape, strides)


def restore_view(base: np.ndarray[Any, Any], cls: type[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Show an array as one of NumPy's own subclasses; named in headers."""
    return base.view(cls)


def _reduce_subclass(array: np.ndarray[Any, Any], _pickler: EncodingPickler) -> Any:
    if array.dtype.hasobject:
        return NotImplemented
    return restore_view, (array.view(np.ndarray), type(array))


def _reduce_memmap(array: np.ndarray[Any, Any], _pickler: EncodingPickler) -> Any:
    """Reduce a memory map to its array: the decoded one does not lie in that file."""
    return restore_view, (array.view(np.ndarray), np.ndarray)


def restore_masked(
    data: np.ndarray[Any, Any], mask: Any, fill_value: Any, hard: bool
) -> np.ma.MaskedArray[Any, Any]:  # named in headers
    """Build a masked array on `data` and `mask` without copying either."""
    masked = np.ma.MaskedArray(data, mask=np.ma.nomask if mask is None else mask, copy=False, hard_mask=hard)
    if fill_value is not None:
        masked.fill_value = fill_value
    return masked


def _reduce_masked(array: np.ma.MaskedArray[Any, Any], _pickler: EncodingPickler) -> Any:
    if array.dtype.hasobject or array.baseclass is not np.ndarray:
        return NotImplemented
    mask = None if array.mask is np.ma.nomask else np.asarray(array.mask)
    # A fill value that nobody set stays unset, so that it follows a later change of dtype.
    fill_value = array.fill_value if vars(array).get("_fill_value") is not None else None
    return restore_masked, (np.asarray(array.data), mask, fill_value, array.hardmask)


_REDUCERS: dict[type, Reducer] = {
    np.ndarray: reduce_array,
    np.memmap: _reduce_memmap,
    np.recarray: _reduce_subclass,
    np.matrix: _reduce_subclass,
    np.ma.MaskedArray: _reduce_masked,
}


def reducer_for(cls: type) -> Reducer | None:
    """Return what reduces instances of `cls`, or None where NumPy's own pickling serves.

    Subclasses that others wrote have pickling of their own, which must be respected.
    """
    return _REDUCERS.get(cls)
