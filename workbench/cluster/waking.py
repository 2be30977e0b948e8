"""When a worker looks at its host's store: at once when somebody commits, and from time to time anyway.

Covers waiting; what is looked for is ``announcer.py``'s. After a quiet time a put is noticed within a millisecond or two; where puts follow each other, or
the kernel notices nothing, looks are :data:`INTERVAL` apart, and a look at a store that did not change is a few microseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from workbench.store import Store

INTERVAL: Final = 0.02
"""Seconds between two looks, also where nothing is noticed; and between two announcements, so that many small puts are told together."""
_MOMENT: Final = 0.001
"""Seconds from a notice until the commit that it is about is visible."""


class Waking:
    """Waits for commits to one store; a context manager.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._notices = store.notices()
        self._noticed = asyncio.Event()
        self._next = 0.0

    def __enter__(self) -> Self:
        if self._notices is not None:
            asyncio.get_running_loop().add_reader(self._notices.fileno(), self._notice)
        return self

    def __exit__(self, *error: object) -> None:
        if self._notices is not None:
            asyncio.get_running_loop().remove_reader(self._notices.fileno())
            self._notices.close()
            self._notices = None

    def _notice(self) -> None:
        if self._notices is not None:
            self._notices.clear()
            self._noticed.set()

    def begin(self) -> None:
        """Say that a look begins: it sees what was noticed before."""
        self._noticed.clear()

    def saw(self) -> None:
        """Say that the look had something to see: the next one is :data:`INTERVAL` away, whatever is noticed."""
        self._next = asyncio.get_running_loop().time() + INTERVAL

    async def wait(self, seconds: float = INTERVAL) -> None:
        """Wait until something is noticed, or some seconds."""
        with contextlib.suppress(TimeoutError):
            # Not wait_for, which in Python 3.11 forgets that it was cancelled where something is noticed in the same moment: a worker would never end.
            async with asyncio.timeout(seconds):
                await self._noticed.wait()
            loop = asyncio.get_running_loop()
            await asyncio.sleep(max(_MOMENT, self._next - loop.time()))
