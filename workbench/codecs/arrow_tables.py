"""Arrow arrays, chunked arrays, batches and tables: their buffers out of band, their chunks as they were.

Arrow's own pickling does this already, with one trap: a slice brings all of its parent along. So an array whose
buffers are clearly larger than what it shows is copied down to that first, unless its buffers are shared memory: then
the slice refers to all of them, and its offset says where it begins. A buffer that several arrays refer to (the
dictionary of many chunks) is written once. Schemas, scalars and types keep Arrow's own pickling.

Loaded only when an Arrow object passes through. Read next: ``pickling.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from workbench.codecs import numpy_arrays
from workbench.codecs.describing import describe_arrow as describe
from workbench.codecs.numpy_arrays import INLINE_NBYTES

if TYPE_CHECKING:
    from workbench.codecs.pickling import EncodingPickler, IsShared
    from workbench.codecs.registry import Reducer

__all__ = ["compact", "describe", "reducer_for"]

_SLACK_NBYTES = 1024


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _compact_views(array: pa.Array) -> pa.Array:
    """Cut down a string view array, whose parent shows in its 16-byte views only.

    Arrow reports (and would write) all the text of the parent for it, so the text is gathered by a cast there and back.
    """
    views = array.buffers()[1]
    if views is None or views.size <= 16 * len(array) + _SLACK_NBYTES:
        return array
    plain = pa.large_string() if pa.types.is_string_view(array.type) else pa.large_binary()
    return array.cast(plain).cast(array.type)


def compact(array: pa.Array) -> pa.Array:
    """Return `array`, or an equal one without the rest of its parent when that is clearly larger."""
    if isinstance(array, pa.ExtensionArray):
        storage = compact(array.storage)
        return array if storage is array.storage else pa.ExtensionArray.from_storage(array.type, storage)
    if _is_view(array.type):
        return _compact_views(array)
    shown = array.nbytes
    if array.get_total_buffer_size() <= shown + shown // 8 + _SLACK_NBYTES:
        return array
    return pa.concat_arrays([array])


def is_shared_array(array: pa.Array, is_shared: IsShared) -> bool:
    """Tell whether every buffer of `array` that is not tiny is shared, and any is."""
    if isinstance(array, pa.ExtensionArray):
        return is_shared_array(array.storage, is_shared)
    if isinstance(array, pa.DictionaryArray) and is_shared_array(array.dictionary, is_shared):
        array = array.indices
    buffers = [buffer for buffer in array.buffers() if buffer is not None and buffer.size > INLINE_NBYTES]
    return bool(buffers) and all(is_shared(buffer.address, buffer.size) for buffer in buffers)


def _reduce_array(array: pa.Array, pickler: EncodingPickler) -> Any:
    shared = pickler.is_shared
    if shared is None or array.nbytes < numpy_arrays.REFER_FROM_NBYTES or not is_shared_array(array, shared):
        array = compact(array)
    return array.__reduce_ex__(5)


def _same(value: Any) -> Any:  # named in headers
    return value


def _reduce_buffer(buffer: pa.Buffer, pickler: EncodingPickler) -> Any:
    """Refer to the first buffer with the same memory; Arrow makes a new Python object for each mention of one."""
    first = pickler.arrow_buffers.setdefault((buffer.address, buffer.size), buffer)
    return NotImplemented if first is buffer else (_same, (first,))


def reducer_for(cls: type) -> Reducer | None:
    """Return what reduces instances of `cls`, or None where Arrow's own pickling serves."""
    if issubclass(cls, pa.Array):
        return _reduce_array
    if issubclass(cls, pa.Buffer):
        return _reduce_buffer
    return None
