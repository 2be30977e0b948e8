"""The ranges of one transfer: which are still to be asked for, which are under way and with whom, which are there.

Covers the book that several threads keep together; moving bytes is ``lines.py``'s, and who is asked ``transfer.py``'s.

========  ======================================================  ================================================================
state     who may change it                                       what happens when a taker fails
========  ======================================================  ================================================================
todo      any taker: it becomes `taken`                           nothing
taken     its takers: it becomes `there`, or `todo` again         its other taker goes on, or it is `todo` again
there     nobody                                                  nothing: what has arrived is not asked for again
========  ======================================================  ================================================================

A taker that has nothing left to do for a second takes what others have been asked for long: a source that is slow, or stopped, does not hold up the
end. Both then write the same bytes to the same place.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

HELP_AFTER: Final = 1.0
"""Seconds for which a taker without work waits before it takes what another one has taken."""


class Range(NamedTuple):
    """A range of an image, in bytes."""

    offset: int
    nbytes: int


@dataclass(slots=True)
class _Taken:
    since: float
    takers: set[Any] = field(default_factory=set)


class Ranges:
    """The ranges of one image.

    Parameters
    ----------
    nbytes : int
        Of the image.
    step : int
        Bytes of one range; the last one may be shorter.
    """

    def __init__(self, nbytes: int, step: int) -> None:
        self._changed = threading.Condition()
        self._todo = deque(Range(offset, min(step, nbytes - offset)) for offset in range(0, nbytes, step))
        self._taken: dict[Range, _Taken] = {}
        self._missing = len(self._todo)
        self._over = False
        self.arrived_nbytes = 0

    @property
    def is_complete(self) -> bool:
        """Tell whether all of them are there."""
        return self._missing == 0

    @property
    def is_over(self) -> bool:
        """Tell whether none will be given any more: all of them are there, or nobody wants them."""
        return self._over or self.is_complete

    def take(self, taker: Any, *, wait: float = 0.0) -> Range | None:
        """Return a range that the taker should ask for now; None: there is none, or all of them are there.

        Parameters
        ----------
        taker : object
            Who will call :meth:`arrived` or :meth:`fail`.
        wait : float
            Seconds to wait for one: others may fail.
        """
        begun = time.monotonic()
        with self._changed:
            while not self.is_complete and not self._over:
                now = time.monotonic()
                if self._todo:
                    found = self._todo.popleft()
                    self._taken[found] = _Taken(now, {taker})
                    return found
                if now - begun >= HELP_AFTER and (late := self._latest(taker)) is not None:
                    self._taken[late].takers.add(taker)
                    return late
                left = begun + wait - now
                if left <= 0:
                    return None
                self._changed.wait(min(left, HELP_AFTER / 4))
        return None

    def _latest(self, taker: Any) -> Range | None:
        """Return what has been taken for longest by one other taker, or None."""
        late = [
            (taken.since, range_)
            for range_, taken in self._taken.items()
            if len(taken.takers) == 1 and taker not in taken.takers
        ]
        return min(late)[1] if late else None

    def arrived(self, range_: Range) -> bool:
        """Note that a range is there; return whether it was not before."""
        with self._changed:
            if self._taken.pop(range_, None) is None:
                return False
            self._missing -= 1
            self.arrived_nbytes += range_.nbytes
            self._changed.notify_all()
            return True

    def fail(self, taker: Any) -> None:
        """Note that a taker will not get what it has taken: others may, first of all."""
        with self._changed:
            for range_, taken in list(self._taken.items()):
                taken.takers.discard(taker)
                if not taken.takers:
                    del self._taken[range_]
                    self._todo.appendleft(range_)
            self._changed.notify_all()

    def stop(self) -> None:
        """Give no more ranges to anybody."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
