"""What must stay alive beside a decoded pandas object, and how to know when it no longer must.

pandas writes in place to a column that nobody else refers to. The columns of a decoded frame lie in read-only memory, so
``df.loc[0, "x"] = 1`` would fail. pandas' copy-on-write helps: while a second frame shares the column, pandas copies
the one block that is assigned to. So each decoded frame has a second one beside it, an *original* that no user ever
sees, made by ``copy(deep=False)``.

The original must live as long as anything the user took from the frame (``s = df["a"]; del df; s.iloc[0] = 1`` works),
and must then go, for it holds the lease. Python's reference counts tell: all views of an array refer to one, its root (NumPy sees
to that), and each root is counted against the references that the original itself has. Once nobody but the original refers to
any of them, nobody can again, so no lock is needed between looking and dropping.

Arrow-backed columns are not counted. pandas never writes to Arrow's memory, so they need no original, and they hold
their buffers by themselves.

When to look: when the handed-out frame dies, after a garbage collection, whenever the owner calls
:meth:`HandOuts.sweep` (a session does at each put, delete, spill, holders and memory), and now and then in a worker that has nothing to do. Read next: ``pandas_frames.py``, which notes frames and arrays.
"""

from __future__ import annotations

import gc
import threading
import time
import weakref
from sys import getrefcount
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Decoded", "HandOut", "HandOuts", "sweep_all"]

_ATTRIBUTE = "_workbench_goodbye"


class _Goodbye:
    """An attribute of each handed-out frame; it dies right after the frame's columns."""

    __slots__ = ("__weakref__",)


def _counts(watched: list[weakref.ref[Any]]) -> list[int]:
    # Only differences between results of this one function mean anything: how it calls is part of each count.
    counts = []
    for reference in watched:
        each = reference()
        counts.append(0 if each is None else getrefcount(each))
    return counts


def _count_of_nobody() -> int:
    held: set[int] = set()
    return _counts([weakref.ref(held)])[0] - 1


_NOBODY = _count_of_nobody()
"""What :func:`_counts` tells for an object that nothing else refers to."""


def _watch(arrays: list[Any]) -> list[weakref.ref[Any]]:
    watched = []
    for array in arrays:
        try:
            root = array.base if type(array) is np.ndarray and type(array.base) is np.ndarray else array
            watched.append(weakref.ref(root))
        except TypeError:  # an extension array of slots only; the arrays in it are watched all the same
            continue
    return watched


class HandOut:
    """The originals of one decoded object, and the counts that tell whether anyone uses it.

    Parameters
    ----------
    frames : list
        The decoded frames and series.
    arrays : list
        The arrays and extension arrays in them that pandas may write to. Emptied.
    """

    __slots__ = ("_alone", "_watched", "goodbye", "originals")

    def __init__(self, frames: list[Any], arrays: list[Any]) -> None:
        self._watched = _watch(arrays)
        arrays.clear()
        before = _counts(self._watched)
        self.originals: tuple[Any, ...] = tuple(frame.copy(deep=False) for frame in frames)
        after = _counts(self._watched)
        # What the originals refer to is the difference. Where there is none, either the originals share what holds the
        # array (an extension array, which is watched too), or they refer to it by views (their base is watched too).
        self._alone = [_NOBODY + new - old if new > old else new for old, new in zip(before, after)]  # noqa: B905  for speed
        goodbye = _Goodbye()
        for frame in frames:
            # Not pandas' own __setattr__, which would look for a column. The attribute is not copied or pickled.
            object.__setattr__(frame, _ATTRIBUTE, goodbye)
        self.goodbye = weakref.ref(goodbye)

    def in_use(self) -> bool:
        """Tell whether anybody but the originals refers to an array of the handed-out object."""
        return any(now > alone for now, alone in zip(_counts(self._watched), self._alone, strict=True))


class Decoded(NamedTuple):
    """A decoded object and what must be kept alive beside it.

    Attributes
    ----------
    value : object
        What the user gets.
    handout : HandOut or None
        To be given to :meth:`HandOuts.add`; None where the value needs nothing beside it.
    """

    value: Any
    handout: HandOut | None = None

    @property
    def kept(self) -> tuple[Any, ...]:
        """The originals that pandas' copy-on-write needs alive."""
        return () if self.handout is None else self.handout.originals


class HandOuts:
    """All hand-outs of one owner (a session); drops each when nobody uses its object any more.

    Thread-safe. Nothing here waits for a lock: it is also called by the garbage collector, anywhere. One that still has
    something to keep lives on when its owner is gone, so that frames of a closed session can be assigned to.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._again = False
        # By id; the weak reference is what calls when the handed-out frames die.
        self._handouts: dict[int, tuple[HandOut, weakref.ref[_Goodbye] | None]] = {}
        self._rest_until = 0.0
        _sweep_after_collections(self)

    def __len__(self) -> int:
        return len(self._handouts)

    def add(self, decoded: Decoded) -> None:
        """Keep what `decoded` needs, until nobody uses its value."""
        handout = decoded.handout
        if handout is None:
            return
        key, goodbye = id(handout), handout.goodbye()
        call = None if goodbye is None else weakref.ref(goodbye, lambda _: self._look([key]))
        self._handouts[key] = handout, call
        _not_empty.add(self)

    def sweep(self) -> int:
        """Drop the originals of every object that nobody uses any more.

        Returns
        -------
        int
            How many were dropped. Zero while another thread sweeps: that one looks again then.
        """
        return self._look(None)

    def _look(self, keys: list[int] | None) -> int:
        dropped = []
        self._again = True
        while self._again and self._lock.acquire(blocking=False):
            try:
                self._again = False
                for key in list(self._handouts) if keys is None else keys:
                    entry = self._handouts.get(key)
                    if entry is not None and not entry[0].in_use():
                        dropped.append(self._handouts.pop(key, None))
            finally:
                self._lock.release()
            keys = None  # whoever came meanwhile may have meant any of them
        if not self._handouts:
            _not_empty.discard(self)
        # The originals die here, outside of the lock, because their death may lead back to this function.
        return len(dropped)

    def sweep_sometimes(self) -> None:
        """Sweep, unless that would take more than some percent of all time."""
        start = time.monotonic()
        if self._handouts and start >= self._rest_until:
            self.sweep()
            now = time.monotonic()
            self._rest_until = now + _REST * (now - start)

    def clear(self) -> None:
        """Forget all originals: columns that users still hold become read-only."""
        self._handouts.clear()
        _not_empty.discard(self)


_REST = 20
"""A sweep after a collection is followed by this many times its duration without one."""

_not_empty: set[HandOuts] = set()


def sweep_all() -> None:
    """Sweep what this process has, unless that took much of its time lately; for a process that is idle, and so collects no garbage."""
    for handouts in _not_empty.copy():
        handouts.sweep_sometimes()


def _sweep_after_collections(handouts: HandOuts) -> None:
    """Let `handouts` sweep after each collection of the two older generations, as long as it lives."""
    weak = weakref.ref(handouts)

    def after_collection(phase: str, info: dict[str, int]) -> None:
        owner = weak()
        if owner is not None and phase == "stop" and info["generation"] > 0:
            owner.sweep_sometimes()

    gc.callbacks.append(after_collection)
    weakref.finalize(handouts, gc.callbacks.remove, after_collection).atexit = False
