"""From catalogs to the JSON of ``GET state``: which objects there are, where, and who holds them.

Pure: values in, JSON out. What the store of this host says about this host is the truth about it; the cluster's catalog adds
the other nodes, and may lag some milliseconds behind. Partitions of a dataset are not shown: the dataset is, with the bytes,
the nodes and the holders of all of them.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from workbench.jupyter.server.host import HostState
from workbench.jupyter.server.link import ClusterState
from workbench.objects import Holder, NodeInfo, ObjectId, ObjectInfo, Replica, fold_datasets, to_json
from workbench.store import node_name

__all__ = ["holders_of_datasets", "merge", "state_json"]


def merge(host: HostState, here: str, cluster: Sequence[ObjectInfo]) -> list[ObjectInfo]:
    """Return every object once, with all its replicas, newest first.

    Parameters
    ----------
    host : HostState
    here : str
        What this host is called.
    cluster : sequence of ObjectInfo
        What the cluster knows; empty without one.
    """
    if host.node is None:
        return sorted(cluster, key=lambda info: (info.created, info.id), reverse=True)
    known = {info.id: info for info in cluster}
    merged = []
    for info in host.objects:
        remote = known.pop(info.id, None)
        elsewhere = () if remote is None else tuple(r for r in remote.replicas if r.node != host.node)
        local = info.replicas or (Replica(host.node, here, "memory", info.nbytes),)
        local = tuple(dataclasses.replace(r, node=host.node, node_name=here) for r in local)
        names = info.names if remote is None else tuple(dict.fromkeys((*info.names, *remote.names)))
        merged.append(
            dataclasses.replace(info, names=names, name=names[0] if names else None, replicas=local + elsewhere)
        )
    for info in known.values():
        # The cluster may not have heard yet that this host has dropped its replica.
        replicas = tuple(replica for replica in info.replicas if replica.node != host.node)
        if replicas:
            merged.append(dataclasses.replace(info, replicas=replicas))
    return sorted(merged, key=lambda info: (info.created, info.id), reverse=True)


def holders_of_datasets(infos: Iterable[ObjectInfo], holders: Iterable[Holder]) -> list[Holder]:
    """Say of each holder of a partition that it holds the dataset; add up what one process holds of one object."""
    infos = list(infos)
    datasets: dict[str, ObjectInfo] = {info.id: info for info in infos if info.kind == "dataset"}
    owners = {info.id: datasets[owner] for info in infos if (owner := info.tags.get("dataset")) in datasets}
    found: dict[tuple[int, ObjectId | None, str | None], Holder] = {}
    for lease in holders:
        dataset = None if lease.object is None else owners.get(lease.object)
        holder = lease
        if dataset is not None:
            holder = dataclasses.replace(lease, object=dataset.id, name=dataset.name)
        # Deleted objects have no id, but each has the name that it had.
        key = holder.pid, holder.object, holder.name
        found[key] = _add(found[key], holder) if key in found else holder
    return list(found.values())


def _add(first: Holder, second: Holder) -> Holder:
    causes = dict.fromkeys(cause for cause in (first.cause, second.cause) if cause)
    return dataclasses.replace(
        first,
        since=min(first.since, second.since),
        nbytes=first.nbytes + second.nbytes,
        shared_nbytes=first.shared_nbytes + second.shared_nbytes,
        cause="; ".join(causes),
    )


def state_json(version: str, host: HostState, cluster: ClusterState, limit: int) -> dict[str, Any]:
    """Return the body of ``GET state``.

    Parameters
    ----------
    version : str
    host : HostState
    cluster : ClusterState
    limit : int
        How many objects are listed at most.
    """
    nodes = list(cluster.nodes)
    if host.node is not None and all(node.id != host.node for node in nodes):
        nodes.insert(0, _local_node(host))
    name = next((node.name for node in nodes if node.id == host.node), node_name())
    everything = merge(host, name, cluster.objects)
    infos = fold_datasets(everything)
    holders_of: dict[ObjectId | None, list[Holder]] = defaultdict(list)
    for holder in holders_of_datasets(everything, host.holders):
        holders_of[holder.object].append(holder)
    return {
        "version": version,
        "store": _store_json(host),
        "error": None if host.error is None else {"kind": host.error[0], "message": host.error[1]},
        "cluster": {"state": cluster.state, "address": cluster.address, "message": cluster.message},
        "nodes": to_json(nodes),
        "objects": [{**to_json(info), "holders": to_json(holders_of.get(info.id, []))} for info in infos[:limit]],
        "deleted": to_json(holders_of.get(None, [])),
        "operations": list(cluster.operations),
        "truncated": max(0, max(len(infos), cluster.total) - limit),
    }


def _store_json(host: HostState) -> dict[str, Any] | None:
    if host.memory is None:
        return None
    memory = {**to_json(host.memory), "used": host.memory.used}
    return {"directory": host.directory, "node": host.node, "memory": memory}


def _local_node(host: HostState) -> NodeInfo:
    assert host.node is not None
    assert host.memory is not None
    return NodeInfo.local(host.node, node_name(), host.memory)
