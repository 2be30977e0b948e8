"""What a session is before it does anything: an open store and, when connected, a cluster.

Covers opening, closing and letting go; the verbs are in the other modules of this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, Unpack

from workbench import codecs, finding
from workbench.config import StoreOptions
from workbench.objects import Key, ObjectInfo
from workbench.store import Store, default_directory

if TYPE_CHECKING:
    import os

    from workbench.cluster.client import ClusterClient


class Opened:
    """One process's view of its host's store; see :class:`Session`."""

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
            directory = default_directory(namespace)
        self.store = Store.open(directory, capacity=capacity, create=create, **options)
        self.cluster: ClusterClient | None = None
        self._handouts = codecs.HandOuts()

    def __repr__(self) -> str:
        cluster = f", cluster {self.cluster.address}" if self.cluster else ""
        return f"<Session {self.store.directory}{cluster}>"

    def close(self) -> None:
        """Close the store and leave the cluster; objects that were got stay valid."""
        if self.cluster is not None:
            self.cluster.close()
            self.cluster = None
        self._handouts.sweep()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def sweep(self) -> None:
        """Let go of shared frames that were kept for copy-on-write and that no variable refers to any more."""
        self._handouts.sweep()
        self.store.settle()

    def _resolve(self, key: Key) -> ObjectInfo:
        return finding.resolve(self.store, self.cluster, key)

    def _visited(self) -> ClusterClient | None:
        """Return the cluster if this process's store is none of its nodes, so that objects must be sent to one; else None."""
        return None if self.cluster is None or self.cluster.has_node(self.store.id) else self.cluster
