"""What each version of the state changed, so that who knows one version is sent what is new since then and nothing else.

Pure: rows of text in, rows of text out. A row is an object as JSON, which is made once and sent often. Bounded: of the rows that went, the last
few thousand are remembered; who asks for an older version gets everything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, KeysView, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Board", "Delta"]

_REMEMBERED: Final = 10_000
"""Rows that went."""


@dataclass(frozen=True, slots=True)
class Delta:
    """Rows that came or changed, oldest change first, and ids of those that went; `full`: the rows are all there are, newest first, and nothing went."""

    full: bool
    rows: list[str]
    removed: list[str]


class Board:
    """All rows, each with the version that it is of.

    Parameters
    ----------
    boot : str
        Tells the versions of this board from those of others.
    remembered : int
    """

    def __init__(self, boot: str, remembered: int = _REMEMBERED) -> None:
        self._boot = boot
        self._remembered = remembered
        self._count = 0
        self._rows: OrderedDict[str, tuple[int, float, str]] = OrderedDict()  # in the order of their last change
        self._gone: OrderedDict[str, int] = OrderedDict()
        self._floor = 0
        self._rest = ""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def ids(self) -> KeysView[str]:
        """The ids of all rows."""
        return self._rows.keys()

    def text(self, id_: str) -> str | None:
        """Return a row, or None if there is none of this id."""
        found = self._rows.get(id_)
        return None if found is None else found[2]

    @property
    def version(self) -> str:
        """Differs from all before it when anything has changed."""
        return f"{self._boot}-{self._count}"

    def update(self, changed: Mapping[str, tuple[float, str]], removed: Iterable[str], rest: str = "") -> bool:
        """Take over what is new; return whether anything is.

        Parameters
        ----------
        changed : mapping of str to tuple
            For an id, where the row belongs (greater is newer), and the row.
        removed : iterable of str
        rest : str
            Stands for all that is not in rows: when it is another, there is a new version.
        """
        news = {id_: row for id_, row in changed.items() if self._row(id_) != row}
        gone = [id_ for id_ in dict.fromkeys(removed) if id_ in self._rows and id_ not in news]
        if not news and not gone and rest == self._rest:
            return False
        self._count += 1
        self._rest = rest
        for id_, (place, text) in news.items():
            self._rows[id_] = self._count, place, text
            self._rows.move_to_end(id_)
            self._gone.pop(id_, None)
        for id_ in gone:
            del self._rows[id_]
            self._gone[id_] = self._count
        while len(self._gone) > self._remembered:
            self._floor = self._gone.popitem(last=False)[1]
        return True

    def has_reached(self, version: str) -> bool:
        """Tell whether a version is one of this board, and not a later one."""
        return 0 <= self._number(version) <= self._count

    def _number(self, version: str) -> int:
        boot, _, text = version.rpartition("-")
        return int(text) if boot == self._boot and text.isascii() and text.isdecimal() and len(text) < 20 else -1

    def _row(self, id_: str) -> tuple[float, str] | None:
        found = self._rows.get(id_)
        return None if found is None else found[1:]

    def since(self, version: str | None) -> Delta:
        """Return what changed since a version; everything, if it is not one of this board or too old."""
        count = -1 if version is None else self._number(version)
        if not self._floor <= count <= self._count:
            rows = sorted(self._rows.items(), key=lambda item: (item[1][1], item[0]), reverse=True)
            return Delta(True, [text for _, (_, _, text) in rows], [])
        return Delta(
            False, _newer(self._rows, count), [id_ for id_, at in reversed(self._gone.items()) if at > count][::-1]
        )


def _newer(rows: OrderedDict[str, tuple[int, float, str]], count: int) -> list[str]:
    found = []
    for at, _, text in reversed(rows.values()):
        if at <= count:
            break
        found.append(text)
    return found[::-1]
