"""What a session is before it does anything: an open store and, when connected, a cluster.

Covers opening, closing and letting go, also of a cluster that has gone; the verbs are in the other modules of this package.

A session that is connected looks before each use whether the connection is still open, which costs nothing. If it is closed, and nothing listens where the
scheduler was, the session says so once, as a warning, and goes on with this host's store alone. A cluster that is only slow keeps its connection, and
its session; one that starts anew at the same address is waited for as long as Dask's client tries.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Self, Unpack

from workbench import connection, finding
from workbench.blame import users_level
from workbench.config import StoreOptions
from workbench.errors import StoreError
from workbench.objects import Key, ObjectInfo
from workbench.store import Store, default_directory
from workbench.store.directory import CATALOG, namespace_directories

if TYPE_CHECKING:
    from workbench.cluster.client import ClusterClient


class Opened:
    """One process's view of its host's store; see :class:`Session`.

    Attributes
    ----------
    store : Store
    is_new : bool
        There was no store in the directory before.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        namespace: str | None = None,
        capacity: int | str | None = None,
        create: bool = True,
        **options: Unpack[StoreOptions],
    ) -> None:
        if namespace is not None:
            if not isinstance(namespace, str):
                raise TypeError(f"A namespace is a name, not {type(namespace).__name__}.")
            if directory is not None:
                raise ValueError("Give a session a directory or a namespace, not both.")
        place = default_directory(namespace) if directory is None else Path(directory).expanduser()
        self.is_new = not os.path.exists(place / CATALOG)  # noqa: PTH110  # a path that cannot be looked into has no store either
        self._check_is_there(namespace, create=create)
        self.store = Store.open(place, capacity=capacity, create=create, **options)
        self._cluster: ClusterClient | None = None

    def __repr__(self) -> str:
        cluster = f", cluster {self._cluster.address}" if self._cluster else ""
        return f"<Session {self.store.directory}{', a new store' if self.is_new else ''}{cluster}>"

    def _check_is_there(self, namespace: str | None, *, create: bool) -> None:
        if create or namespace is None or not self.is_new:
            return
        names = ", ".join(sorted(namespace_directories())) or "none"
        raise StoreError(f"There is no store {namespace!r}. Those that there are: {names}.")

    @property
    def cluster(self) -> ClusterClient | None:
        """The cluster that this session is connected with, if any. One that has gone is forgotten, with a warning."""
        found = self._cluster
        if found is not None and (why := found.why_gone()) is not None:
            self.leave()
            warnings.warn(
                f"The cluster that this session was connected with has gone: {why}. The session goes on with the store of this host alone; "
                "wb.connect() finds a new cluster.",
                stacklevel=users_level(),
            )
            return None
        return found

    @cluster.setter
    def cluster(self, cluster: ClusterClient | None) -> None:
        self._cluster = cluster

    def leave(self, address: str | None = None) -> None:
        """Go on without a cluster: with none at all, or none whose scheduler is at `address`. The cluster goes on."""
        found = self._cluster
        if found is not None and address in (None, found.address):
            self._cluster = None
            found.close()

    def close(self) -> None:
        """Close the store and leave the cluster; objects that were got stay valid."""
        self.leave()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _resolve(self, key: Key) -> ObjectInfo:
        return finding.resolve(self.store, self.cluster, key)

    def _visited(self) -> ClusterClient | None:
        """Return the cluster if this process's store is none of its nodes, so that objects must be sent to one; else None."""
        cluster = self.cluster
        if cluster is None or cluster.has_node(self.store.id):
            return None
        # A scheduler that has started anew may not have heard of this host yet. An object that went elsewhere now would leave an older one of its name here.
        found = connection.read(self.store.directory)
        return None if found is not None and found.scheduler == cluster.address else cluster
