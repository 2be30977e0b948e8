"""The verbs of a session about a cluster: connect, and bring objects to other nodes.

Read next: ``cluster/client.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

from workbench import connection, finding
from workbench.arguments import check_number, check_seconds
from workbench.errors import UNCHANGED, ClusterError, TransferError, WorkbenchError
from workbench.listing import Listing
from workbench.objects import Key, NodeInfo, Place, Ref, Replica, name_drained, node_text
from workbench.session.opened import Opened

if TYPE_CHECKING:
    from distributed import Client

    from workbench.cluster.client import ClusterClient
    from workbench.cluster.operations import Operation, Operations
    from workbench.cluster.plans import Plan


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
        self.leave()
        self.cluster = cluster
        return cluster.client

    def _require_cluster(self, what: str) -> ClusterClient:
        cluster = self.cluster
        if cluster is None:
            address = connection.runs_here(self.store.directory)
            raise ClusterError(
                f"{what} needs a cluster, and this session is not connected with one. "
                + (
                    f"One runs on this host, at {address}: wb.connect() joins it."
                    if address is not None
                    else "Connect with wb.connect(client), or start one on this machine with wb.LocalCluster(nodes=2)."
                )
            )
        return cluster

    def require_nodes(self, n: int) -> None:
        """Refuse a wish for more replicas than there are running nodes, before anything is done for it.

        Raises
        ------
        ClusterError
            This session is not connected, or there are fewer nodes.
        """
        cluster = self._require_cluster(f"Keeping {n} replicas")
        nodes = cluster.nodes()
        running = [node.name for node in nodes if node.state == "running"]
        if len(running) < n:
            raise ClusterError(
                f"{n} replicas need {n} running nodes; the cluster has {len(running)} ({', '.join(running) or 'none'}). Nothing was changed."
                f"{name_drained(nodes)} Ask for fewer."
            )

    def make_replicas(self, ref: Ref, n: int) -> None:
        """Make the replicas of what was just shared.

        Raises
        ------
        TransferError
            Some could not be made. Whatever kept them from it, the object is there: so it is no :class:`StoreFullError`, after which nothing would have changed.
        """
        title = f"{'The dataset' if ref.kind == 'dataset' else 'Object'} {ref.name or ref.id!r}"
        later = "Those that are missing are made when that can be done."
        try:
            self.replicate(ref, n=n).wait()
        except WorkbenchError as error:
            why = str(error).replace(f" {UNCHANGED}", "")
            raise TransferError(
                f"{title} is shared, but not all of its {n} replicas could be made: {why} {later}"
            ) from error
        except BaseException as error:  # Ctrl-C
            error.add_note(f"{title} is shared. {later}")
            raise

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
        cluster = self.cluster
        if cluster is not None:
            return Listing(cluster.nodes(), of=NodeInfo)
        return Listing([finding.here(self.store)], of=NodeInfo, hint=connection.hint(self.store.directory))

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

    @overload
    def move(self, key: Key, to: Place, *, dry_run: Literal[False] = ...) -> Operation: ...
    @overload
    def move(self, key: Key, to: Place, *, dry_run: bool) -> Operation | Plan: ...
    def move(self, key: Key, to: Place, *, dry_run: bool = False) -> Operation | Plan:
        """Move an object to a node: replicate it there, then drop its other replicas. A dataset moves with its partitions.

        Parameters
        ----------
        key : str or Ref
            A partition of a dataset has an id of its own, and moves like any object.
        to : str or NodeInfo
            The node, or its name or id.
        dry_run : bool
            Only tell what would be done, what the destination would evict or spill for it, and what is refused, and why.

        Returns
        -------
        Operation, or Plan
            The operation goes on by itself; ``wait()`` waits for its end, ``cancel()`` stops it. A notebook shows its progress. A dry run returns the plan.

        Raises
        ------
        ClusterError
            This session is not connected, or the cluster does not answer, or the node is drained.
        ObjectNotFoundError
        NodeNotFoundError
            The message lists the nodes.
        """
        cluster = self._require_cluster("Moving an object")
        return cluster.move(self._resolve(key).id, node_text(to), dry_run=dry_run)

    @overload
    def replicate(
        self, key: Key, n: int | None = ..., *, to: Place | Iterable[Place] | None = ..., dry_run: Literal[False] = ...
    ) -> Operation: ...
    @overload
    def replicate(
        self, key: Key, n: int | None = ..., *, to: Place | Iterable[Place] | None = ..., dry_run: bool
    ) -> Operation | Plan: ...
    def replicate(
        self, key: Key, n: int | None = None, *, to: Place | Iterable[Place] | None = None, dry_run: bool = False
    ) -> Operation | Plan:
        """Make more replicas of an object; of a dataset, of all its partitions.

        Parameters
        ----------
        key : str or Ref
        n : int, optional
            How many nodes shall have it. The number is remembered with the object (its tag ``replicas``), and kept up when a node is lost for longer
            than the setting ``workbench.replica-grace``.
        to : str, NodeInfo or iterable of these, optional
            The nodes that shall have it, or their names or ids.
        dry_run : bool
            As for :meth:`move`.

        Returns
        -------
        Operation, or Plan
            As for :meth:`move`.

        Raises
        ------
        ClusterError
            This session is not connected, or the cluster does not answer, or the node is drained.
        ObjectNotFoundError
        NodeNotFoundError
            The message lists the nodes.
        """
        if (n is None) == (to is None):
            raise TypeError("replicate takes either n (how many nodes) or to (which nodes).")
        if n is not None:
            n = check_number("n", n, 1, "nodes")
        cluster = self._require_cluster("Replicating an object")
        places = [to] if isinstance(to, (str, NodeInfo, Replica)) else to
        nodes = None if places is None else [node_text(place) for place in places]
        return cluster.replicate(self._resolve(key).id, to=nodes, n=n, dry_run=dry_run)

    def drop(self, key: Key, node: Place, *, force: bool = False, dry_run: bool = False) -> Operation | Plan:
        """Remove the replica on one node, of a dataset its partitions there; the last one only with `force`. It is done when this returns.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.
        node : str or NodeInfo
            The node, or its name or id.
        force : bool
            Also if nobody else has the object, which is then gone.
        dry_run : bool
            As for :meth:`move`.

        Returns
        -------
        Operation, or Plan
            The operation, which has ended; a dry run returns the plan.

        Raises
        ------
        ClusterError
            This session is not connected, or the cluster does not answer, or the node is drained.
        ObjectNotFoundError
        NodeNotFoundError
            The message lists the nodes.
        LastReplicaError
            No other node has it that stays (the others are lost or drained), and `force` is not given.
        """
        cluster = self._require_cluster("Dropping a replica")
        return cluster.drop(self._resolve(key).id, node_text(node), force=force, dry_run=dry_run)

    @overload
    def drain(self, node: Place, *, dry_run: Literal[False] = ...) -> Operation: ...
    @overload
    def drain(self, node: Place, *, dry_run: bool) -> Operation | Plan: ...
    def drain(self, node: Place, *, dry_run: bool = False) -> Operation | Plan:
        """Empty a node before its host goes away: afterwards nothing is only there.

        The node gets no replicas any more, and what is put there later is copied elsewhere, too. Its own replicas stay, so its readers go on. The
        operation fails, and names them, if objects cannot be copied. Cancelling it, or :meth:`undrain`, gives the node back. Its store remembers that it is
        drained, for a scheduler that starts anew; that of a ``wb.LocalCluster`` only as long as the cluster lasts.

        Parameters
        ----------
        node : str or NodeInfo
            The node, or its name or id.
        dry_run : bool
            As for :meth:`move`.

        Returns
        -------
        Operation, or Plan
            As for :meth:`move`.

        Raises
        ------
        ClusterError
            This session is not connected, or the cluster does not answer.
        NodeNotFoundError
            The message lists the nodes.
        TransferError
            The node is lost.
        """
        return self._require_cluster("Draining a node").drain(node_text(node), dry_run=dry_run)

    def undrain(self, node: Place) -> None:
        """Give a drained node back: it gets replicas again, and what was copied elsewhere because of it is dropped there.

        Parameters
        ----------
        node : str or NodeInfo
            The node, or its name or id.

        Raises
        ------
        ClusterError
            This session is not connected, or the cluster does not answer.
        NodeNotFoundError
            The message lists the nodes.
        """
        self._require_cluster("Giving a node back").undrain(node_text(node))

    @overload
    def rebalance(self, *, dry_run: Literal[False] = ...) -> Operation: ...
    @overload
    def rebalance(self, *, dry_run: bool) -> Operation | Plan: ...
    def rebalance(self, *, dry_run: bool = False) -> Operation | Plan:
        """Even out how full the nodes are. What is pinned stays, and what somebody has mapped, unless it is small.

        Parameters
        ----------
        dry_run : bool
            As for :meth:`move`.

        Returns
        -------
        Operation, or Plan
            As for :meth:`move`.

        Raises
        ------
        ClusterError
            This session is not connected, or the cluster does not answer.
        """
        return self._require_cluster("Evening out nodes").rebalance(dry_run=dry_run)

    def operations(self) -> Operations:
        """List the operations of the cluster that run or ended not long ago, newest first, whoever began them.

        Returns
        -------
        Operations
            A sequence of :class:`Operation` that shows itself as a table.

        Raises
        ------
        ClusterError
            This session is not connected, or the cluster does not answer.
        """
        return self._require_cluster("Listing operations").operations()
