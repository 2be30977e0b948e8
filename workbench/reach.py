"""Which segments a value keeps mapped: a walk over what it refers to, without copying, pickling or changing anything.

NumPy and Arrow say where their memory lies, and an address tells the segment. Everything else is taken apart by asking the garbage collector what it
refers to, which works for frames, series, indices, lists, dicts and objects of the user's own classes alike, without any library's
internals. The walk ends at modules, classes and functions' globals, at the machinery of Jupyter and Dask (from where everything can be reached),
and when its time is over; then it knows less, but nothing wrong.

Covers values. Which variables and outputs there are is in ``jupyter/causes.py``, and for scripts in ``script_causes.py``.
"""

from __future__ import annotations

import collections
import datetime as dt
import functools
import gc
import itertools
import sys
import time
import types
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np

__all__ = ["Reach"]

_MOST_ELEMENTS: Final = 1000
"""Of a container; a longer one is judged by its first ones."""
_LOOK_AT_CLOCK_EVERY: Final = 8

_PLAIN: Final = frozenset(
    {
        *(
            int,
            float,
            complex,
            bool,
            str,
            bytes,
            bytearray,
            range,
            slice,
            type(None),
            type(...),
            type(NotImplemented),
            object,
        ),
        *(type, types.ModuleType, types.CodeType, types.FrameType),
        *(
            types.GetSetDescriptorType,
            types.MemberDescriptorType,
            types.MappingProxyType,
            property,
            staticmethod,
            classmethod,
        ),
        *(weakref.ReferenceType, weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet),
        *(dt.datetime, dt.date, dt.time, dt.timedelta, dt.timezone),
    }
)
"""Types of values that hold no memory of a store, or lead away from the value."""
_MACHINERY: Final = frozenset(
    [
        "IPython",
        "ipykernel",
        "ipywidgets",
        "comm",
        "traitlets",
        "zmq",
        "tornado",
        "jupyter_client",
        "asyncio",
        "logging",
        "threading",
        "_thread",
        "multiprocessing",
        "distributed",
        "workbench",
        "weakref",
        "importlib",
        "_frozen_importlib",
        "re",
        "_io",
        "io",
        "contextvars",
    ]
)
"""Packages whose objects are not looked into."""


class Reach:
    """Finds the segments that values keep mapped.

    Parameters
    ----------
    locate : callable
        Takes an address; returns the number of the segment that is mapped there, or None.
    seconds : float
        How much of the processor's time all walks together may take.
    barriers : iterable of object
        What no walk goes through: the namespace whose variables are looked at, for example.
    """

    def __init__(self, locate: Callable[[int], int | None], seconds: float, barriers: Iterable[object] = ()) -> None:
        self._locate = locate
        self._deadline = time.thread_time() + seconds
        self._steps = 0
        self._barriers = frozenset(map(id, barriers))
        # For this walk only, so that no class is kept.
        self._kinds: dict[type, Callable[[Any], _Apart]] = {}
        self.complete = True

    def segments(self, *values: Any) -> set[int]:
        """Return the segments that any of the values keeps mapped."""
        found: set[int] = set()
        waiting = [value for value in values if type(value) not in _PLAIN]
        # By id, so that nothing is compared; the values stay alive as long as their ids are remembered.
        seen: dict[int, Any] = {}
        while waiting:
            value = waiting.pop()
            cls = type(value)
            if cls in _PLAIN or id(value) in seen or id(value) in self._barriers:
                continue
            self._steps += 1
            if self._steps % _LOOK_AT_CLOCK_EVERY == 0 and time.thread_time() > self._deadline:
                self.complete = False
                break
            seen[id(value)] = value
            take_apart = self._kinds.get(cls)
            if take_apart is None:
                take_apart = self._kinds[cls] = _kind(cls)
            addresses, parts = take_apart(value)
            for address in addresses:
                segment = self._locate(address)
                if segment is not None:
                    found.add(segment)
            waiting.extend(parts)
        return found


_Apart = tuple[Iterable[int], Iterable[Any]]
"""Addresses of a value's own memory, and the values that it refers to."""


def _kind(cls: type) -> Callable[[Any], _Apart]:
    """Return what takes values of a type apart.

    By the type alone: isinstance would ask a proxy for its __class__, which may run anybody's code.
    """
    for base in cls.__mro__[:-1]:
        apart = _KINDS.get(base)
        if apart is not None:
            return apart if cls is base else functools.partial(_derived, apart)
    package = str(cls.__module__).partition(".")[0]
    if package in _LIBRARIES and package in sys.modules:
        return _LIBRARIES[package]
    if issubclass(cls, type) or package in _MACHINERY:
        return _nothing
    return _object


def _derived(apart: Callable[[Any], _Apart], value: Any) -> _Apart:
    # What is derived from a container or an array may have attributes.
    addresses, parts = apart(value)
    return addresses, (*parts, *_attributes(value))


def _nothing(_value: Any) -> _Apart:
    return (), ()


def _object(value: Any) -> _Apart:
    return (), gc.get_referents(value)


def _attributes(value: Any) -> Iterable[Any]:
    try:
        return dict.values(object.__getattribute__(value, "__dict__"))
    except (AttributeError, TypeError):
        return ()


def _array(value: np.ndarray[Any, Any]) -> _Apart:
    addresses = (value.__array_interface__["data"][0],) if value.size else ()
    return addresses, value.flat[:_MOST_ELEMENTS].tolist() if value.dtype == object else ()


def _view(value: memoryview) -> _Apart:
    return (), () if value.obj is None else (value.obj,)


def _function(value: types.FunctionType) -> _Apart:
    # Not its globals: they are the notebook's, or a module's.
    return (), (*(value.__closure__ or ()), *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())


def _error(value: BaseException) -> _Apart:
    return (), (*value.args, value.__traceback__, value.__cause__, value.__context__, *_attributes(value))


def _traceback(value: types.TracebackType) -> _Apart:
    frame = value.tb_frame
    # Not f_locals, which makes a dict that stays with the frame; and what a module has as its globals is not the frame's.
    own = [part for part in gc.get_referents(frame) if part is not frame.f_globals and part is not frame.f_builtins]
    return (), (*own, value.tb_next)


def _bound(value: types.BuiltinFunctionType) -> _Apart:
    return (), (value.__self__,)


def _first(iterate: Callable[[Any], Iterable[Any]]) -> Callable[[Any], _Apart]:
    return lambda value: ((), list(itertools.islice(iterate(value), _MOST_ELEMENTS)))


_KINDS: Final[dict[type, Callable[[Any], _Apart]]] = {
    np.ndarray: _array,
    memoryview: _view,
    types.FunctionType: _function,
    types.BuiltinFunctionType: _bound,
    types.TracebackType: _traceback,
    BaseException: _error,
    dict: _first(dict.values),
    list: _first(list.__iter__),
    tuple: _first(tuple.__iter__),
    set: _first(set.__iter__),
    frozenset: _first(frozenset.__iter__),
    collections.deque: _first(collections.deque.__iter__),
}


def _arrow(value: Any) -> _Apart:
    pa = sys.modules["pyarrow"]
    if isinstance(value, pa.Buffer):
        return (value.address,), ()
    if isinstance(value, pa.ExtensionArray):
        return (), (value.storage,)
    if isinstance(value, pa.DictionaryArray):
        return (), (value.indices, value.dictionary)
    if isinstance(value, pa.Array):
        return [buffer.address for buffer in value.buffers() if buffer is not None and buffer.size], ()
    if isinstance(value, pa.ChunkedArray):
        return (), itertools.islice(value.iterchunks(), _MOST_ELEMENTS)
    return (), value.columns if isinstance(value, (pa.Table, pa.RecordBatch)) else ()


def _polars(value: Any) -> _Apart:
    pl = sys.modules["polars"]
    if isinstance(value, pl.DataFrame):
        return (), value.get_columns()
    if not isinstance(value, pl.Series):
        return (), ()
    kind = value.dtype
    if kind in (pl.Object, pl.Decimal):
        return (), ()
    if value.n_chunks() > 1:
        # Arrow would get a copy of them in one piece.
        return (), value.get_chunks()
    try:
        # Categories as their numbers, because the way of their texts to Arrow would be a copy.
        if kind in (pl.Categorical, pl.Enum) or kind.is_nested():
            value = value.to_physical()
        return (), (value.to_arrow(compat_level=pl.CompatLevel.newest()),)
    except (pl.exceptions.PolarsError, TypeError, ValueError, NotImplementedError):
        return (), ()


_LIBRARIES: Final[dict[str, Callable[[Any], _Apart]]] = {"pyarrow": _arrow, "polars": _polars}
