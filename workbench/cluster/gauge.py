"""How the bytes of a node's store are divided, measured often enough for people and seldom enough to cost nothing.

Covers when to measure; what the parts are is :class:`~workbench.objects.Memory`'s, and ``announcer.py`` tells the scheduler. What is deleted and still mapped becomes
free when a process lets go of it, which no commit tells of, and to find out takes a look into /proc: in a container, into each process of it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from workbench.store import Store

_CHANGING: Final = 0.25
"""Seconds between two measurements while the store changes: a bar that moves four times a second is up to date for people."""
_IDLE: Final = 2.0
"""Seconds between two measurements of a store that does not change."""
_SHARE: Final = 0.02
"""Part of a processor that measuring may take; where it takes long, it is done less often."""


class Gauge:
    """Measures one store from time to time.

    Parameters
    ----------
    store : Store

    Attributes
    ----------
    parts : dict of str to int
        Bytes that are ``pooled``, ``writing``, ``held``, ``spilled`` and ``cached``, as of the last measurement; empty before the first.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version: bytes | None = None
        self._next = 0.0
        self._next_idle = 0.0
        self.parts: dict[str, int] = {}

    async def look(self, version: bytes | None) -> bool:
        """Measure if it is time to; return whether anything is different now.

        Parameters
        ----------
        version : bytes, optional
            What the store's catalog says of itself, read before; see :meth:`Store.data_version <workbench.store.Store.data_version>`.
        """
        began = time.monotonic()
        if began < (self._next_idle if version == self._version else self._next):
            return False
        memory = await asyncio.to_thread(self._store.memory)
        ended = time.monotonic()
        pause = (ended - began) / _SHARE
        self._version, self._next, self._next_idle = version, ended + max(_CHANGING, pause), ended + max(_IDLE, pause)
        before, self.parts = (
            self.parts,
            {
                "pooled": memory.pooled,
                "writing": memory.writing,
                "held": memory.deleted,
                "spilled": memory.spilled,
                "cached": memory.cached,
            },
        )
        return self.parts != before
