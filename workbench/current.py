"""The current session of this process, which the module functions ``wb.put``, ``wb.get`` and so on act on.

Covers which one it is, and when it is opened: by the first verb, never by ``import workbench``. A task on a Dask worker has the store and the
cluster of its worker. Read next: ``session/``.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from workbench.blame import users_level
from workbench.errors import ClusterError
from workbench.session import Session

__all__ = ["active_session", "current_session", "use", "use_session"]

_current: Session | None = None
_opened_here: Session | None = None
"""The session that this module has opened, and may therefore close."""
_lock = threading.RLock()
"""Of the thread that opens the first session; reentrant, because a finalizer may ask for it meanwhile."""
_clusters: dict[Path, tuple[str, Any]] = {}
"""Address and certificates of the cluster with which a store was connected that this process has left for another one."""


def _reset_after_fork() -> None:
    global _lock  # noqa: PLW0603  # a thread that is not in the child may have had it
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_reset_after_fork)


def current_session() -> Session:
    """Return the session that the module functions act on; the first call opens it."""
    global _current  # noqa: PLW0603  # one current session for each process
    if (found := _current) is not None:
        return found
    with _lock:
        if _current is None:
            _current = _open()
        return _current


def _open(**where: Any) -> Session:
    global _opened_here  # noqa: PLW0603  # as above
    _opened_here = (None if where else _worker_session()) or Session(**where)
    return _opened_here


def use(
    namespace: str | None = None,
    *,
    directory: str | os.PathLike[str] | None = None,
    capacity: int | str | None = None,
    create: bool = True,
) -> Session:
    """Go on with another store of this user, which is made if it is not there yet. The session that is returned says so if it was.

    The store of a namespace lies beside that without a name: ``/dev/shm/workbench-1000-experiment``, or beside the directory that the
    settings say (``WORKBENCH_DIR``).

    The store that was used before stays as it is; its objects that this process has got stay valid. A connection with a cluster ends with it, and is
    made again when this process comes back to the store.

    Parameters
    ----------
    namespace : str, optional
        Name of the store; None: the one that the settings say (``WORKBENCH_NAMESPACE``), ``"default"``: that without a name.
    directory : path, optional
        Instead of a namespace.
    capacity : int or str, optional
        Bytes, or text such as ``"2 GiB"``.
    create : bool
        False: a store that is not there is an error.

    Returns
    -------
    Session
        The current session from now on.

    Raises
    ------
    StoreError
        It cannot be a namespace's name, or the store cannot be opened, or is not there. The current session stays what it was.
    """
    previous, ours = _current, _opened_here
    session = _open(namespace=namespace, directory=directory, capacity=capacity, create=create)
    use_session(session)
    if previous is not None and previous is ours:
        if (cluster := previous.cluster) is not None and (found := cluster.whereabouts) is not None:
            _clusters[previous.store.directory] = found
        previous.close()
    _connect_again(session)
    return session


def _connect_again(session: Session) -> None:
    known = _clusters.pop(session.store.directory, None)
    if known is None or session.cluster is not None:
        return
    address, security = known
    try:
        session.connect(address, security=security)
    except ClusterError as error:
        warnings.warn(
            f"The cluster that this store was connected with is not there any more: {error} The session goes on with the store of this host alone.",
            stacklevel=users_level(),
        )


def active_session() -> Session | None:
    """Return the current session if there is one; opens none."""
    return _current


def use_session(session: Session | None) -> Session | None:
    """Make a session the current one, which the module functions act on.

    Parameters
    ----------
    session : Session, optional
        None: the next verb opens one, as the settings say.

    Returns
    -------
    Session or None
        The one that was current before; it stays open, and is yours to close.
    """
    global _current
    if session is not None and not isinstance(session, Session):
        raise TypeError(
            f"use_session takes a wb.Session or None, not {type(session).__name__}. For a namespace: wb.use(name)."
        )
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
