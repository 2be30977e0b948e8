"""The current session of this process, which the module functions ``wb.put``, ``wb.get`` and so on act on.

Covers which one it is, and when it is opened: by the first verb, never by ``import workbench``. A task on a Dask worker has the store and the
cluster of its worker. Read next: ``session.py``.
"""

from __future__ import annotations

import sys

from workbench.session import Session

__all__ = ["active_session", "current_session", "use_session"]

_current: Session | None = None


def current_session() -> Session:
    """Return the session that the module functions act on; the first call opens it."""
    global _current  # noqa: PLW0603  # one current session for each process
    if _current is None:
        _current = _worker_session() or Session()
    return _current


def active_session() -> Session | None:
    """Return the current session if there is one; opens none."""
    return _current


def use_session(session: Session | None) -> Session | None:
    """Make `session` the current one; return the one it replaces, which stays open."""
    global _current
    previous, _current = _current, session
    return previous


def _worker_session() -> Session | None:
    """Return a session on the store and the cluster of the Dask worker that this process is, or None."""
    module = sys.modules.get("workbench.cluster.worker_plugin")
    plugin = None if module is None else module.current()
    if plugin is None:
        return None
    session = Session(plugin.store.directory)
    session.store.set_process("worker", str(plugin.worker_name))
    session.cluster = plugin.client
    return session
