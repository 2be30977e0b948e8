"""The orders in which the scheduler's catalog is read: by age, by kind, by node and by name, a page at a time.

Covers indexes, cursors and pages; what is in them is ``catalog.py``'s. A page costs the same beside a million objects as beside a hundred: it reads a
range of a sorted list. Filters that no index answers (a pattern without plain text at its beginning) are tried object by object, at most
:data:`SCAN` of them for one page, which then is short, or even empty, and says where the next one goes on.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from sortedcontainers import SortedList

from workbench.cluster.records import Aged, Entry
from workbench.objects import ObjectId, is_object_id

if TYPE_CHECKING:
    ByAge: TypeAlias = SortedList  # of Entry
    Fits: TypeAlias = Callable[[Entry], bool]

PAGE: Final = 500
"""Objects of a page at most: a page of a cluster's messages takes some ten milliseconds of the scheduler's event loop."""
SCAN: Final = 20_000
"""Objects that are looked at for one page at most."""
_FEW: Final = 2000
"""Names with the prefix of a pattern, up to which all of them are looked at for a page by age."""

Order = Literal["created", "name"]


def by_age() -> ByAge:
    """Return an empty list of objects that keeps them in the order of their age."""
    return SortedList()


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the objects that a listing shows. `after` is the cursor for the next page, or None: there is none."""

    entries: tuple[Entry, ...]
    after: str | None


class Pattern:
    """A shell pattern for names; ``*`` also fits objects that have none."""

    def __init__(self, pattern: str) -> None:
        self.all = pattern == "*"
        self.prefix = re.split(r"[*?[]", pattern, maxsplit=1)[0]
        self.exact = self.prefix == pattern
        self._match = re.compile(fnmatch.translate(pattern)).match

    def fits(self, entry: Entry) -> bool:
        """Tell whether an object has a name that fits."""
        return self.all or any(self._match(name) for name in entry.names)

    def matches(self, name: str) -> bool:
        """Tell whether a name fits."""
        return self._match(name) is not None


def newest_first(index: ByAge, after: str | None) -> Iterator[Entry]:
    """Yield the objects of an index that are older than a cursor, the newest first."""
    if after is None:
        everything: Iterator[Entry] = reversed(index)
        return everything
    found: Iterator[Entry] = index.irange(None, _mark(after), inclusive=(True, False), reverse=True)
    return found


def page_by_age(found: Iterable[Entry], fits: Fits, limit: int) -> Page:
    """Return the first objects that fit, of those that are yielded by age."""
    entries: list[Entry] = []
    last: Entry | None = None
    for looked, entry in enumerate(found):
        if len(entries) == limit or looked == SCAN:
            return Page(tuple(entries), None if last is None else _cursor(last))
        last = entry
        if fits(entry):
            entries.append(entry)
    return Page(tuple(entries), None)


class NameIndex:
    """All names, sorted."""

    def __init__(self) -> None:
        self._names: Any = SortedList()

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str) -> None:
        """Add a name that was not there."""
        self._names.add(name)

    def remove(self, name: str) -> None:
        """Remove a name."""
        self._names.discard(name)

    def near(self, text: str, count: int = 200) -> list[str]:
        """Return the names around the place where `text` would be."""
        place = self._names.bisect_left(text)
        return list(self._names[max(0, place - count) : place + count])

    def few_with(self, pattern: Pattern) -> list[str] | None:
        """Return the names that a pattern can fit, or None if they are many."""
        if pattern.exact:
            return [pattern.prefix] if pattern.prefix in self._names else []
        if not pattern.prefix:
            return list(self._names) if len(self._names) <= _FEW else None
        found = list(islice(self._from(pattern.prefix, None), _FEW + 1))
        return found if len(found) <= _FEW else None

    def page(
        self, pattern: Pattern, entry_of: Callable[[str], Entry], fits: Fits, limit: int, after: str | None
    ) -> Page:
        """Return the first objects by name; one that has several fitting names is where the first of them is."""
        entries: list[Entry] = []
        last: str | None = None
        for looked, name in enumerate(self._from(pattern.prefix, after)):
            if len(entries) == limit or looked == SCAN:
                return Page(tuple(entries), last)
            last = name
            if not pattern.matches(name):
                continue
            entry = entry_of(name)
            if fits(entry) and name == next(each for each in entry.names if pattern.matches(each)):
                entries.append(entry)
        return Page(tuple(entries), None)

    def _from(self, prefix: str, after: str | None) -> Iterator[str]:
        start = prefix if after is None else after
        for name in self._names.irange(start, None, inclusive=(after is None, True)):
            if not name.startswith(prefix):
                return
            yield name


def _cursor(entry: Entry) -> str:
    return f"{entry.created!r}/{entry.id}"


def _mark(cursor: str) -> Aged:
    moment, _, object_id = cursor.partition("/")
    if not is_object_id(object_id):
        raise ValueError(f"{cursor[:80]!r} is not where a page of a listing ended.")
    return Aged(float(moment), ObjectId(object_id))
