"""``wb.LocalCluster``: the cluster of several nodes on this machine, connected with this process's session.

Covers the connection only; the nodes and their stores are ``cluster/local.py``'s.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from workbench.cluster import local
from workbench.current import current_session

__all__ = ["LocalCluster"]


class LocalCluster(local.LocalCluster):
    """A Dask cluster with several nodes on this machine, each with a store and worker processes of its own.

    The current session is connected with it, so ``wb.nodes()``, ``wb.move`` and so on work at once. (A cluster with
    ``asynchronous=True`` leaves that to ``wb.connect``.)

    Parameters
    ----------
    nodes : int
        How many nodes. The first one is the current session's own store; the others have sibling directories, which are removed,
        with what is in them, when the cluster is closed.
    workers_per_node : int
        Worker processes of each.
    capacity : int or str, optional
        Bytes that each node's store may use while the cluster runs, or text such as ``"2 GiB"``. By default the first one keeps its
        own, and each of the others gets that divided by the number of nodes, since all of them lie in the memory of one machine.
    directory : path, optional
        The first node's store, if it shall not be the session's.
    **kwargs
        What ``distributed.LocalCluster`` takes: ``memory_limit``, ``threads_per_worker``, ``security``, ``dashboard_address``, ...

    Raises
    ------
    StoreError
        If a store cannot be made.
    ClusterError
        If the nodes do not come up.

    Examples
    --------
    >>> with wb.LocalCluster(nodes=2) as cluster, Client(cluster) as client:  # doctest: +SKIP
    ...     wb.nodes()
    """

    def __init__(
        self,
        nodes: int = 2,
        workers_per_node: int = 1,
        capacity: int | str | None = None,
        *,
        directory: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        directory = current_session().store.directory if directory is None else directory
        super().__init__(nodes, workers_per_node, capacity, directory=directory, **kwargs)
        if not self.asynchronous:
            try:
                current_session().connect(self)
            except BaseException:
                self.close()
                raise

    def close(self, timeout: float | None = None) -> Any:
        """Stop the processes and remove the stores that this cluster made; never the session's own. What was only in those is named in a warning."""
        current_session().leave(self.scheduler_address)
        lost = "" if self.asynchronous or self.status.name != "running" else self.sync(self.ending_objects)
        closed = super().close(timeout)
        if lost:
            warnings.warn(lost, stacklevel=2)
        return closed
