"""From catalogs to the JSON of ``GET state``: which objects there are, where, and who holds them.

Pure: values in, JSON out. What the store of this host says about this host is the truth about it; the cluster's catalog adds
the other nodes, and may lag some milliseconds behind. Partitions of a dataset are not shown: the dataset is, with the bytes,
the nodes and the holders of all of them.
"""

from __future__ import annotations

import dataclasses
import socket
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from ...objects import Holder, NodeInfo, ObjectId, ObjectInfo, Replica, to_json
from .host import HostState
from .link import ClusterState

__all__ = ["fold_datasets", "merge", "state_json"]

_MEMBER_TAG = "dataset"


def merge(host: HostState, node_name: str, cluster: Sequence[ObjectInfo]) -> list[ObjectInfo]:
    """Return every object once, with all its replicas, newest first.

    Parameters
    ----------
    host : HostState
    node_name : str
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
        here = info.replicas or (Replica(host.node, node_name, "memory", info.nbytes),)
        here = tuple(dataclasses.replace(r, node=host.node, node_name=node_name) for r in here)
        names = info.names if remote is None else tuple(dict.fromkeys((*info.names, *remote.names)))
        merged.append(
            dataclasses.replace(info, names=names, name=names[0] if names else None, replicas=here + elsewhere)
        )
    for info in known.values():
        # The cluster may not have heard yet that this host has dropped its replica.
        replicas = tuple(replica for replica in info.replicas if replica.node != host.node)
        if replicas:
            merged.append(dataclasses.replace(info, replicas=replicas))
    return sorted(merged, key=lambda info: (info.created, info.id), reverse=True)


def fold_datasets(infos: Iterable[ObjectInfo], holders: Iterable[Holder]) -> tuple[list[ObjectInfo], list[Holder]]:
    """Hide the partitions of datasets, and add their bytes, replicas and holders to the datasets."""
    shown: list[ObjectInfo] = []
    members: dict[str, list[ObjectInfo]] = defaultdict(list)
    for info in infos:
        (members[info.tags[_MEMBER_TAG]] if _MEMBER_TAG in info.tags else shown).append(info)
    owner: dict[ObjectId, ObjectInfo] = {}
    for at, info in enumerate(shown):
        if info.kind != "dataset":
            continue
        parts = [part for name in (*info.names, info.id) for part in members.get(name, ())]
        shown[at] = _folded(info, parts)
        owner.update({part.id: info for part in parts})
    folded = [
        dataclasses.replace(holder, object=owner[holder.object].id, name=owner[holder.object].name)
        if holder.object in owner
        else holder
        for holder in holders
    ]
    return shown, folded


def _folded(dataset: ObjectInfo, parts: Sequence[ObjectInfo]) -> ObjectInfo:
    by_node: dict[str, list[Replica]] = defaultdict(list)
    for part in parts:
        for replica in part.replicas:
            by_node[replica.node].append(replica)
    replicas = tuple(
        Replica(node, of_node[0].node_name, _state({r.state for r in of_node}), sum(r.nbytes for r in of_node))
        for node, of_node in sorted(by_node.items(), key=lambda item: item[1][0].node_name)
    )
    return dataclasses.replace(
        dataset,
        nbytes=dataset.nbytes + sum(part.nbytes for part in parts),
        shared_nbytes=dataset.shared_nbytes + sum(part.shared_nbytes for part in parts),
        last_used=max([dataset.last_used, *(part.last_used for part in parts)]),
        replicas=replicas or dataset.replicas,
    )


def _state(states: set[str]) -> str:
    return next(state for state in ("memory", "cached", "disk") if state in states or state == "disk")


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
    name = next((node.name for node in nodes if node.id == host.node), socket.gethostname())
    infos, holders = fold_datasets(merge(host, name, cluster.objects), host.holders)
    holders_of: dict[ObjectId | None, list[Holder]] = defaultdict(list)
    for holder in _once(holders):
        holders_of[holder.object].append(holder)
    return {
        "version": version,
        "store": _store_json(host),
        "error": None if host.error is None else {"kind": host.error[0], "message": host.error[1]},
        "cluster": {"state": cluster.state, "address": cluster.address, "message": cluster.message},
        "nodes": to_json(nodes),
        "objects": [{**to_json(info), "holders": to_json(holders_of.get(info.id, []))} for info in infos[:limit]],
        "operations": list(cluster.operations),
        "truncated": max(0, len(infos) - limit),
    }


def _store_json(host: HostState) -> dict[str, Any] | None:
    if host.memory is None:
        return None
    memory = {**to_json(host.memory), "used": host.memory.used}
    return {"directory": host.directory, "node": host.node, "memory": memory}


def _local_node(host: HostState) -> NodeInfo:
    assert host.node is not None and host.memory is not None
    return NodeInfo(host.node, socket.gethostname(), "", (), host.memory.capacity, host.memory.used, "local")


def _once(holders: Iterable[Holder]) -> list[Holder]:
    """Add up what one process holds of one object, as of the partitions of a dataset."""
    found: dict[tuple[int, ObjectId | None], Holder] = {}
    for holder in holders:
        known = found.get((holder.pid, holder.object))
        if known is not None:
            since, nbytes = min(known.since, holder.since), known.nbytes + holder.nbytes
            holder = dataclasses.replace(known, since=since, nbytes=nbytes)
        found[holder.pid, holder.object] = holder
    return list(found.values())
