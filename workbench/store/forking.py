"""What a fork means for open stores: nothing of SQLite is open across it, and the child gets locks and files of its own.

Covers only the hooks (``os.fork``, multiprocessing's ``fork`` start method; not subprocess, which runs no Python in the child). What each
part does is its own business. A store that cannot be opened again, because its directory is gone, stays closed, and the others
do not suffer from it.

A fork takes turns with whoever opens or closes a store in another thread: a connection that nobody takes care of yet, or no longer, would be open across it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import weakref
from typing import Protocol

from workbench.errors import WorkbenchError

logger = logging.getLogger("workbench.store")


class Forkable(Protocol):
    """What takes part in a fork."""

    def suspend(self) -> None:
        """Before the fork: wait for what runs in other threads, and let go of what must not be inherited."""

    def resume(self) -> None:
        """After it, in the parent."""

    def resume_in_child(self) -> None:
        """After it, in the child."""


_open: weakref.WeakSet[Forkable] = weakref.WeakSet()
_suspended: list[Forkable] = []
_registered = False
# Reentrant: a store may be opened in the middle of opening or closing another one, by a finalizer for example.
_turn = threading.RLock()


def turn() -> threading.RLock:
    """Return the lock to hold while a store is opened and watched, or forgotten and closed: nobody forks meanwhile."""
    global _registered  # noqa: PLW0603  # hooks cannot be removed, so they are registered once
    with _turn:
        if not _registered:
            os.register_at_fork(before=_suspend, after_in_parent=_resume, after_in_child=_resume_in_child)
            _registered = True
    return _turn


def watch(store: Forkable) -> None:
    """Take care of a store from now on; under :func:`turn`."""
    _open.add(store)


def forget(store: Forkable) -> None:
    """Take care of it no longer: it is closed; under :func:`turn`."""
    _open.discard(store)


def _suspend() -> None:
    _turn.acquire()
    for store in list(_open):
        store.suspend()
        _suspended.append(store)


def _resume() -> None:
    try:
        for store in _taken():
            try:
                store.resume()
            except (WorkbenchError, OSError) as error:
                logger.warning("%r could not be opened again after a fork: %s", store, error)
                forget(store)
    finally:
        with contextlib.suppress(RuntimeError):  # Ctrl-C came while it was waited for
            _turn.release()


def _resume_in_child() -> None:
    global _turn  # noqa: PLW0603  # of the thread that forked, which the child does not know by its number
    _turn = threading.RLock()
    for store in _taken():
        try:
            store.resume_in_child()
        except (WorkbenchError, OSError) as error:
            logger.warning("%r could not be opened in a forked process: %s", store, error)
            forget(store)


def _taken() -> list[Forkable]:
    taken = _suspended.copy()
    _suspended.clear()
    return taken
