"""The pickler that sends every type to its adapter, and the way back.

An object is pickled by protocol 5 as ``(object, frames)``: the list names, by pickle's memo, the pandas frames and series
within the object (``copy_on_write.py`` says why). Buffers go out of band, so the stream is small; where it is not (columns of Python objects), it becomes the first buffer itself and is unpickled
where it lies. The first byte of a header tells the form: ``A`` a plain array, ``S`` a stream in the first buffer, and
``0x80`` a pickle.

cloudpickle takes over where pickle fails, and where pickle would store a class or function of ``__main__`` by its name:
the other notebook's ``__main__`` has no such name. Read next: one of the adapters, ``numpy_arrays.py`` for a start.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from workbench.codecs import copy_on_write, replay
from workbench.codecs.culprits import why_not_decoded, why_not_encoded
from workbench.codecs.describing import pickled_note
from workbench.codecs.numpy_arrays import ARRAY_TAG, INLINE_NBYTES, decode_array, encode_array
from workbench.codecs.registry import Reducer, describe, reducer_of, reducers
from workbench.errors import CodecError
from workbench.objects import Encoded

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["EncodingPickler", "IsShared", "decode", "encode", "pickled_nbytes"]

IsShared: TypeAlias = "Callable[[int, int], bool]"
"""Tells of an address and a number of bytes whether that memory lies wholly in mapped segments of one store."""

STREAM_TAG = ord("S")
PICKLE_TAG = 0x80
MAX_HEADER_NBYTES = 64 * 1024
PROTOCOL = 5


class ByValueNeeded(Exception):  # noqa: N818  not an error: it only ends the first attempt
    """A class or function of ``__main__`` was met: only its value, not its name, means anything elsewhere."""


def _refuse_main(value: Any, pickler: EncodingPickler) -> Any:
    if not pickler.by_value and getattr(value, "__module__", None) == "__main__":
        raise ByValueNeeded
    return NotImplemented


def _resolve(cls: type) -> Reducer | None:
    if issubclass(cls, (type, FunctionType)):
        reducers[cls] = _refuse_main
        return _refuse_main
    return reducer_of(cls)


class EncodingPickler:
    """What both picklers share: where buffers and notes go, and which reducer a type has.

    Third-party reducers may use `is_shared`; the rest is for the adapters of this package.

    Attributes
    ----------
    buffers : list of memoryview
        Out-of-band buffers, in order.
    frames : list
        pandas frames and series that passed through.
    arrow_buffers : dict
        Arrow buffers that passed through, by address and size.
    is_shared : callable or None
        Tells of an address and a number of bytes whether that memory is shared already. What is must not be copied: the
        store refers to it.
    rows : dict or None
        Buffers of two dimensions, with what stands for each in the pickle, by its id; None where the writer wants flat ones only.
    """

    by_value = False

    def _start(self, is_shared: IsShared | None, in_rows: bool) -> Callable[[pickle.PickleBuffer], bool]:
        """Begin with empty notes, and return the callback for buffers.

        The callback does not refer to the pickler: in a cycle with it, the objects that passed through would live on
        until the next garbage collection.
        """
        buffers: list[memoryview] = []
        self.buffers = buffers
        self.frames: list[Any] = []
        self.is_shared = is_shared
        rows: dict[int, tuple[pickle.PickleBuffer, memoryview]] | None = {} if in_rows else None
        self.rows = rows
        self.arrow_buffers: dict[tuple[int, int], pa.Buffer] = {}

        def take(buffer: pickle.PickleBuffer) -> bool:
            """Keep `buffer` out of band; return True for one so small that it goes in band."""
            if rows is not None and id(buffer) in rows:
                buffers.append(rows[id(buffer)][1])
                return False
            raw = buffer.raw()
            if raw.nbytes <= INLINE_NBYTES:
                return True
            # An array between the two, into which the garbage collector does not look: before Python 3.12.3 it crashes on a memoryview that others
            # view (github.com/python/cpython/issues/77894), and the traceback of a put that failed may be garbage in a cycle.
            buffers.append(np.asarray(raw).data)
            return False

        return take

    def out_of_band(self, data: memoryview) -> pickle.PickleBuffer:
        """Return what stands for `data` in a reduced value."""
        if data.ndim == 1:
            return pickle.PickleBuffer(np.asarray(data))  # type: ignore[arg-type]  # typed as a buffer from Python 3.12 on
        # Pickle takes contiguous memory only. The first row stands for all of them, and comes back to `take` as the same object.
        stands_for_it = pickle.PickleBuffer(np.asarray(data)[0])
        if self.rows is not None:
            self.rows[id(stands_for_it)] = stands_for_it, data
        return stands_for_it

    def reduce(self, value: Any) -> Any:
        """Return how the adapter of its library reduces `value`, or NotImplemented."""
        cls = type(value)
        try:
            reducer = reducers[cls]
        except KeyError:
            reducer = _resolve(cls)
        return NotImplemented if reducer is None else reducer(value, self)


class _NamePickler(EncodingPickler, pickle.Pickler):
    """Pickles by name whatever has one."""

    def __init__(self, file: io.BytesIO, is_shared: IsShared | None, in_rows: bool) -> None:
        super().__init__(file, PROTOCOL, buffer_callback=self._start(is_shared, in_rows))

    def reducer_override(self, value: Any) -> Any:
        """Return how `value` is reduced, or NotImplemented (called by pickle)."""
        return self.reduce(value)


class _Pickler(Protocol):
    buffers: list[memoryview]
    frames: list[Any]

    def dump(self, value: Any, /) -> None: ...


_MakePickler: TypeAlias = "Callable[[io.BytesIO, IsShared | None, bool], _Pickler]"


@cache
def _cloud_pickler() -> _MakePickler:
    import cloudpickle

    class CloudPickler(EncodingPickler, cloudpickle.Pickler):
        """Pickles by value what has no name elsewhere."""

        by_value = True

        def __init__(self, file: io.BytesIO, is_shared: IsShared | None, in_rows: bool) -> None:
            super().__init__(file, PROTOCOL, buffer_callback=self._start(is_shared, in_rows))

        def reducer_override(self, value: Any) -> Any:
            reduced = self.reduce(value)
            if reduced is not NotImplemented:
                return reduced
            if isinstance(value, io.TextIOWrapper) and value not in (sys.stdout, sys.stderr):
                # cloudpickle would take what can be read from here on along, and make a file of it that is in memory only.
                raise TypeError("it is an open file: share what is in it, as with open(path).read()")
            return super().reducer_override(value)

    return CloudPickler


def _dump(
    value: Any, make: _MakePickler, is_shared: IsShared | None, in_rows: bool
) -> tuple[memoryview, list[memoryview]]:
    stream = io.BytesIO()
    pickler = make(stream, is_shared, in_rows)
    pickler.dump((value, pickler.frames))
    return stream.getbuffer(), pickler.buffers


def _wants_by_value() -> bool:
    """Tell whether the user registered modules whose classes must travel by value."""
    cloudpickle = sys.modules.get("cloudpickle")
    return cloudpickle is not None and bool(cloudpickle.list_registry_pickle_by_value())


def dump(
    value: Any, is_shared: IsShared | None = None, *, in_rows: bool = False
) -> tuple[memoryview, list[memoryview]]:
    """Pickle `value`, by cloudpickle where it must be.

    Returns
    -------
    stream : memoryview
    buffers : list of memoryview

    Raises
    ------
    Exception
        Whatever the object's own pickling raises.
    """
    if not _wants_by_value():
        try:
            return _dump(value, _NamePickler, is_shared, in_rows)
        except (ByValueNeeded, pickle.PicklingError, AttributeError, TypeError):
            pass  # cloudpickle knows more types; where it does not either, its error is the one to tell
    return _dump(value, _cloud_pickler(), is_shared, in_rows)


def encode(value: Any, *, is_shared: IsShared | None = None, in_rows: bool = False) -> Encoded:
    """Turn an object into a description, a header and buffers.

    Parameters
    ----------
    value : object
        Anything that pickle or cloudpickle can carry.
    is_shared : callable, optional
        Takes an address and a number of bytes; tells whether that memory lies wholly in mapped segments of one store. What
        does is not copied, even where it has gaps (unless it is small): the buffer is then all that the value covers there. Such a buffer can
        be longer than what the value shows, and two of them can overlap.
    in_rows : bool
        The writer can bring together what lies in rows: then an array with gaps that is large and consists of long contiguous rows
        is not copied either, but given as a buffer of two dimensions.

    Returns
    -------
    Encoded
        Its buffers are views of the memory of `value` wherever that is dense: nothing is copied.

    Raises
    ------
    CodecError
        When it cannot be pickled; the message names the part that is to blame.
    """
    if type(value) is np.ndarray:
        encoded = encode_array(value, is_shared, in_rows=in_rows)
        if encoded is not None:
            return encoded
    try:
        stream, buffers = dump(value, is_shared, in_rows=in_rows)
    except (MemoryError, CodecError):
        raise
    except Exception as error:  # a foreign __reduce__ may raise anything
        raise CodecError(why_not_encoded(value, error, dump)) from error
    if stream.nbytes > MAX_HEADER_NBYTES:
        description = pickled_note(describe(value), stream)
        return Encoded(description, bytes([STREAM_TAG]), (stream, *buffers))
    return Encoded(describe(value), bytes(stream), tuple(buffers))


def pickled_nbytes(header: bytes, buffers: Sequence[memoryview]) -> int:
    """Return how many bytes of an encoded object each reader copies, because they are a pickle; what is small is in the header, and does not count."""
    return buffers[0].nbytes if header[0] == STREAM_TAG else 0


def decode(header: bytes, buffers: Sequence[memoryview]) -> Any:
    """Build the object again around `buffers`.

    Parameters
    ----------
    header : bytes
    buffers : sequence of memoryview
        As :func:`encode` gave them. Arrays and tables use them where they lie, for as long as they live.

    Returns
    -------
    object
        For the user: equal to what was encoded. Arrays are read-only; pandas copies the columns that it writes to.

    Raises
    ------
    CodecError
        When the bytes cannot be decoded here; the message names what is missing.
    """
    tag = header[0]
    if tag == ARRAY_TAG:
        return decode_array(header, buffers)
    views = [buffer if buffer.readonly else buffer.toreadonly() for buffer in buffers]
    stream: bytes | memoryview = header
    if tag == STREAM_TAG:
        stream = views.pop(0)
    elif tag != PICKLE_TAG:
        raise CodecError(f"this object was encoded in a form {chr(tag)!r} that is not known here: update workbench")
    try:
        value, frames = replay.load(stream, views)
    except MemoryError:
        raise
    except Exception as error:  # a foreign __setstate__ may raise anything
        raise CodecError(why_not_decoded(error)) from error
    if frames:
        copy_on_write.protect(frames)
    return value
