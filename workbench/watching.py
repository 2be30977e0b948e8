"""Watching a store: what happens to its objects, as events in a loop.

Covers turning what the catalog noted into events, and waiting; the catalog's side is ``store/history.py``. A watcher looks 50 times a second, at one row, and
only reads more when that row has changed. It sees what any process does, and holds no lock and no lease.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final, Self

from workbench.objects import Event, ObjectId
from workbench.store import Store
from workbench.store.history import News

__all__ = ["Watch"]

_INTERVAL: Final = 0.02
"""Seconds between two looks; one takes about ten microseconds."""
_WHAT: Final = {"spilled": "spill", "restored": "restore", "kept": "keep", "tagged": "tag"}
"""What the catalog notes, and what it is called in an event."""


class Watch:
    """An iterator over what happens from now on; see :meth:`Session.watch`.

    Parameters
    ----------
    store : Store
    pattern : str
    timeout : float, optional
    """

    def __init__(self, store: Store, pattern: str = "*", *, timeout: float | None = None) -> None:
        self._store = store
        self._pattern = pattern
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._closed = threading.Event()
        self._events: deque[Event] = deque()
        self._names: dict[ObjectId, tuple[str, ...]] = {}
        self._holder: dict[str, ObjectId] = {}
        everything = store.news(None)
        assert everything is not None  # to who knows nothing, everything is new
        self._version = everything.version
        for object_id, names in everything.objects.items():
            self._take(names, object_id, {})

    def __repr__(self) -> str:
        return f"<Watch {self._pattern!r}: for event in it: ...>"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        while not self._events:
            news = None if self._closed.is_set() else self._store.news(self._version)
            if news is not None:
                self._version = news.version
                self._events.extend(self._understand(news))
                continue
            left = _INTERVAL if self._deadline is None else min(_INTERVAL, self._deadline - time.monotonic())
            if left <= 0 or self._closed.wait(left):
                raise StopIteration
        return self._events.popleft()

    def close(self) -> None:
        """End the loop, from any thread."""
        self._closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _understand(self, news: News) -> Iterator[Event]:
        """Yield the events that lead from what was known to what is there now.

        What is gone comes first: who keeps a table of names by these events has the right one after the last of them.
        """
        gone = [(object_id, name) for object_id, what, name in news.noted if what == "removed"]
        if news.whole:
            gone += [(object_id, None) for object_id in self._names if object_id not in news.objects]
        renamed: dict[ObjectId, tuple[str, ...]] = {}
        for object_id, name in gone:
            yield from self._forget(object_id, name, renamed)
        # Who is gone may have taken names from others before, by a binding of which only the fact is noted.
        named_and_gone = {object_id for object_id, what, _ in news.noted if what == "named"} - news.states.keys()
        now = self._names_now() if named_and_gone else {}
        now |= news.objects | {object_id: state.names for object_id, state in news.states.items()}
        for object_id, names in now.items():
            before = self._names.get(object_id)
            self._take(names, object_id, renamed)
            if before is None:
                yield from self._event("put", object_id, names)
            elif names != before:
                renamed.setdefault(object_id, before)
        for object_id, before in renamed.items():
            if object_id in self._names and self._names[object_id] != before:
                yield from self._event("name", object_id, self._names[object_id], before)
        for object_id, what, name in news.noted:
            if what == "conflict" and object_id in news.states and name is not None:
                yield from self._event("conflict", object_id, (name,), now=self._names[object_id])
        done = {
            (object_id, what): None for object_id, what, _ in news.noted if what not in ("removed", "named", "conflict")
        }
        for object_id, what in done:
            if object_id in news.states:
                called = (
                    ("pin" if news.states[object_id].pinned else "unpin") if what == "pinned" else _WHAT.get(what, what)
                )
                yield from self._event(called, object_id, self._names[object_id])

    def _forget(
        self, object_id: ObjectId, name: str | None, renamed: dict[ObjectId, tuple[str, ...]]
    ) -> Iterator[Event]:
        known = self._names.get(object_id)
        if known is None and name is not None:
            # It came and went between two looks, and took this name from whoever had it.
            self._take((name,), object_id, renamed)
            known = (name,)
        for each in known or ():
            if self._holder.get(each) == object_id:
                del self._holder[each]
        self._names.pop(object_id, None)
        yield from self._event("delete", object_id, known or ())

    def _names_now(self) -> dict[ObjectId, tuple[str, ...]]:
        """Return the names of all objects that are known, and still there."""
        everything = self._store.news(None)
        assert everything is not None  # as above
        return {object_id: names for object_id, names in everything.objects.items() if object_id in self._names}

    def _take(self, names: tuple[str, ...], object_id: ObjectId, renamed: dict[ObjectId, tuple[str, ...]]) -> None:
        """Note an object's names; who had one of them before, and is still there, has lost it."""
        for name in names:
            loser = self._holder.get(name)
            if loser is not None and loser != object_id and name in self._names.get(loser, ()):
                renamed.setdefault(loser, self._names[loser])
                self._names[loser] = tuple(other for other in self._names[loser] if other != name)
            self._holder[name] = object_id
        for name in self._names.get(object_id, ()):
            if name not in names and self._holder.get(name) == object_id:
                del self._holder[name]
        self._names[object_id] = names

    def _event(
        self,
        what: str,
        object_id: ObjectId,
        names: tuple[str, ...],
        before: tuple[str, ...] = (),
        now: tuple[str, ...] | None = None,
    ) -> Iterator[Event]:
        if self._pattern == "*" or any(fnmatchcase(name, self._pattern) for name in (*names, *before)):
            yield Event(what, object_id, names[0] if names else None, names if now is None else now, time.time())
