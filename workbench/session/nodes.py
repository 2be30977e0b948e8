"""The verbs of a session about a cluster: connect, and bring objects to other nodes.

Read next: ``cluster/client.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from workbench import finding
from workbench.arguments import check_number, check_seconds
from workbench.errors import ClusterError
from workbench.listing import Listing
from workbench.objects import Key, NodeInfo, Replica
from workbench.session.opened import Opened

if TYPE_CHECKING:
    from distributed import Client

    from workbench.cluster.client import ClusterClient
    from workbench.cluster.operations import Operation


class Spanning(Opened):
    """Connects with a cluster; finds, moves and replicates objects there."""

    def connect(self, where: Any = None, *, security: Any = None, timeout: float | None = None) -> Client:
        """Connect to a Dask cluster, so that objects of its nodes can be listed, got, moved and replicated.

        Parameters
        ----------
        where : distributed.Client, cluster or str, optional
            A client, anything with a ``scheduler_address``, an address, or None: the cluster found on this host.
        security : distributed.Security, optional
            Certificates for a cluster with TLS; those of the cluster object `where`, else those that Dask's configuration names.
        timeout : float, optional
            Seconds until a scheduler that does not answer is an error; the setting ``workbench.connect-timeout``.

        Returns
        -------
        distributed.Client

        Raises
        ------
        ClusterError
            No cluster is found or answers, or a worker lacks the workbench's plugin.
        """
        check_seconds("timeout", timeout)
        from workbench.cluster import connect

        cluster = connect(where, self.store, security=security, timeout=timeout)
        if self.cluster is not None:
            self.cluster.close()
        self.cluster = cluster
        return cluster.client

    def _require_cluster(self, what: str) -> ClusterClient:
        if self.cluster is None:
            raise ClusterError(
                f"{what} needs a cluster, and this session is not connected to one. Connect with wb.connect(client), "
                "or start one on this machine with wb.LocalCluster(nodes=2)."
            )
        return self.cluster

    def nodes(self) -> Listing[NodeInfo]:
        """List the nodes of the cluster that this session is connected with; without one, this host.

        Returns
        -------
        Listing of NodeInfo

        Raises
        ------
        ClusterError
            The cluster does not answer any more.
        """
        return Listing([finding.here(self.store)] if self.cluster is None else self.cluster.nodes(), of=NodeInfo)

    def where(self, key: Key) -> Listing[Replica]:
        """List the replicas of an object: on which node, in memory or on disk, how many bytes.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.

        Returns
        -------
        Listing of Replica

        Raises
        ------
        ObjectNotFoundError
        """
        return Listing(finding.describe(self.store, self.cluster, key).replicas, of=Replica)

    def move(self, key: Key, to: str) -> Operation:
        """Move an object to a node: replicate it there, then drop its other replicas.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.
        to : str
            Name or id of the node.

        Returns
        -------
        Operation
            It goes on by itself; ``wait()`` waits for its end, ``cancel()`` stops it. A notebook shows its progress.

        Raises
        ------
        ClusterError
            This session is not connected, or the cluster does not answer.
        ObjectNotFoundError
        NodeNotFoundError
            The message lists the nodes.
        """
        cluster = self._require_cluster("Moving an object")
        return cluster.move(self._resolve(key).id, to)

    def replicate(self, key: Key, n: int | None = None, *, to: str | Iterable[str] | None = None) -> Operation:
        """Make more replicas of an object.

        Parameters
        ----------
        key : str or Ref
        n : int, optional
            How many nodes shall have it.
        to : str or iterable of str, optional
            Names or ids of nodes that shall have it.

        Returns
        -------
        Operation
            As for :meth:`move`.

        Raises
        ------
        ClusterError
            This session is not connected, or the cluster does not answer.
        ObjectNotFoundError
        NodeNotFoundError
            The message lists the nodes.
        """
        if (n is None) == (to is None):
            raise TypeError("replicate takes either n (how many nodes) or to (which nodes).")
        if n is not None:
            n = check_number("n", n, 1, "nodes")
        cluster = self._require_cluster("Replicating an object")
        nodes: Sequence[str] | None = [to] if isinstance(to, str) else None if to is None else list(to)
        return cluster.replicate(self._resolve(key).id, to=nodes, n=n)

    def drop(self, key: Key, node: str, *, force: bool = False) -> None:
        """Remove the replica on one node; the last one only with `force`.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.
        node : str
            Name or id of the node.
        force : bool
            Also if nobody else has the object, which is then gone.

        Raises
        ------
        ClusterError
            This session is not connected, or the cluster does not answer.
        ObjectNotFoundError
        NodeNotFoundError
            The message lists the nodes.
        LastReplicaError
            It is the last one, and `force` is not given.
        """
        cluster = self._require_cluster("Dropping a replica")
        cluster.drop(self._resolve(key).id, node, force=force)
