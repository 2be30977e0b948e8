"""The store of one host: put, read, name and delete encoded objects.

Covers what a store does for other stores (copies of objects, ``raw.py``) and for itself (looking after what dead processes left); the verbs of users are
in ``looking.py`` and ``changing.py``. It never encodes or decodes (``codecs``), and knows nothing of other hosts (``cluster``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from workbench.objects import Key
from workbench.store import damage
from workbench.store.changing import Changing
from workbench.store.processes import processes
from workbench.store.raw import Export, Import
from workbench.store.reclaim import reclaim
from workbench.store.trimming import trim

_DYING: Final = 0.2
"""Seconds that the doctor waits for writers who may be dying."""


class Store(Changing):
    """One host's segments and the catalog beside them. Open one with :meth:`open`.

    Safe to use from several threads, and after a fork in the child.
    """

    def export(self, key: Key) -> Export:
        """Open an object to read its bytes in ranges, for another node."""
        return Export(self, key)

    def keep(self, key: Key) -> None:
        """Make an ordinary replica of a cached one, which is then never dropped to make room; no effect on any other.

        Raises
        ------
        ObjectNotFoundError
            It is not here, maybe not any more.
        """
        self.residence.keep(key)

    def import_(self, meta: dict[str, Any], *, cached: bool = False, names: Sequence[str] = ()) -> Import:
        """Begin a replica of another node's object, `cached` if it may be dropped again; see :class:`~workbench.store.raw.Import`.

        Raises
        ------
        StoreFullError
            There is no room here; nothing was changed.
        TransferError
            The description is damaged.
        """
        return Import(self, meta, cached=cached, names=names)

    def settle(self) -> None:
        """Give up what Ctrl-C may have left open in this thread; after each cell of a notebook, for example."""
        self.catalog.settle()

    def doctor(self) -> list[str]:
        """Reclaim what dead processes left, and look for damage; return a sentence for each thing found.

        Nothing is removed from a store whose catalog is damaged: what it does not list may be an object.
        """
        broken = self.broken_catalog()
        return broken or self.reclaim() + self.damage()

    def broken_catalog(self) -> list[str]:
        """Return a sentence for each thing that is wrong with the catalog itself."""
        return damage.of_catalog(self.catalog)

    def damage(self) -> list[str]:
        """Return a sentence for each object that is damaged."""
        return damage.damage(self.catalog, self.directory)

    def reclaimed_at_opening(self) -> list[str]:
        """Return a sentence for each thing that dead processes had left when this process opened the store; once, as news."""
        said = [*self._parts.reclaimed]
        self._parts.reclaimed.clear()
        return said

    def give_back(self) -> int:
        """Give back the memory of what was deleted, and of the pool, that nobody maps; return how many bytes."""
        reclaim(self.catalog, self.directory)
        return self.allocator.free.release()

    def reclaim(self) -> list[str]:
        """Reclaim what dead processes left and what nobody needs; return a sentence for each thing."""
        self.writer.names.delete_expired()
        processes(self.directory)
        self.upkeep.give_back()
        found = reclaim(self.catalog, self.directory)
        # Whoever looks into /proc/<pid>/maps of a process keeps its memory, and so its locks, for a moment after its death.
        deadline = time.monotonic() + _DYING
        while self.catalog.row("SELECT 1 FROM segments WHERE state = 'writing'") and time.monotonic() < deadline:
            time.sleep(_DYING / 10)
            found += reclaim(self.catalog, self.directory)
        for segment, nbytes in trim(self.catalog, self.directory).items():
            found.append(f"Segment {segment} had {nbytes} bytes that no object refers to: given back.")
        return found
