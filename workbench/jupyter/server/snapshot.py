"""From catalogs to JSON: what one object is, where it is and who holds it; what a node is.

Pure: values in, values or JSON out. What the store of this host says about this host is the truth about it; the cluster's catalog adds the other nodes, and
may lag some milliseconds behind. Which objects there are is in ``mirror.py``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from workbench.jupyter.server.host import HostState
from workbench.objects import Holder, NodeInfo, ObjectId, ObjectInfo, Replica, to_json
from workbench.store import node_name

__all__ = [
    "body",
    "dumps",
    "gather",
    "holder_json",
    "merge",
    "nodes_json",
    "object_json",
    "partition_count",
    "partition_json",
    "partition_number",
    "status_json",
]

_COLUMNS: Final = 50
"""Columns of an object in a list; all of them are in the answer about one object."""
_DOCUMENTS: Final = frozenset({".ipynb", ".md", ".py", ".qmd", ".Rmd"})
"""What kernels run: notebooks, and the texts that stand for notebooks."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dumps(value: Any) -> str:
    """Return JSON as compact text.

    A lone surrogate, which a name may contain and UTF-8 cannot carry, is escaped.
    """
    text = _encode(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def merge(local: ObjectInfo | None, remote: ObjectInfo | None, node: str | None, name: str) -> ObjectInfo | None:
    """Return an object with all its replicas, or None if there is none of them.

    Parameters
    ----------
    local : ObjectInfo or None
        What the store of this host knows.
    remote : ObjectInfo or None
        What the cluster knows.
    node : str or None
        Id of this host's store; None where there is none.
    name : str
        What this host is called.
    """
    if local is None or node is None:
        if remote is None:
            return None
        # The cluster may not have heard yet that this host has dropped its replica.
        replicas = tuple(replica for replica in remote.replicas if replica.node != node)
        return dataclasses.replace(remote, replicas=replicas) if replicas else None
    elsewhere = () if remote is None else tuple(replica for replica in remote.replicas if replica.node != node)
    mine = local.replicas or (Replica(node, name, "memory", local.nbytes),)
    mine = tuple(Replica(node, name, replica.state, replica.nbytes) for replica in mine)
    names = local.names if remote is None else tuple(dict.fromkeys((*local.names, *remote.names)))
    if names == local.names and mine + elsewhere == local.replicas:
        return local
    return dataclasses.replace(local, names=names, name=names[0] if names else None, replicas=mine + elsewhere)


def gather(leases: Iterable[Holder], dataset_of: Callable[[ObjectId], ObjectInfo | None]) -> list[Holder]:
    """Say of each holder of a partition that it holds the dataset; add up what one process holds of one object."""
    found: dict[tuple[int, ObjectId | None, str | None], Holder] = {}
    for lease in leases:
        dataset = None if lease.object is None else dataset_of(lease.object)
        holder = lease if dataset is None else dataclasses.replace(lease, object=dataset.id, name=dataset.name)
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


def object_json(info: ObjectInfo, holders: Sequence[Holder], root: str, *, whole: bool = False) -> dict[str, Any]:
    """Return an object with its holders; with the first columns only, unless it shall be whole."""
    dtypes = info.dtypes
    if not whole and len(dtypes) > _COLUMNS:
        dtypes = dict(list(dtypes.items())[:_COLUMNS])
    return {
        "id": info.id,
        "name": info.name,
        "names": info.names,
        "kind": info.kind,
        "type": info.type,
        "shape": info.shape,
        "dtypes": dtypes,
        "nbytes": info.nbytes,
        "shared_nbytes": info.shared_nbytes,
        "created": info.created,
        "last_used": info.last_used,
        "pinned": info.pinned,
        "ttl": info.ttl,
        "tags": info.tags,
        "notes": info.notes,
        "inline": info.inline,
        "replicas": [
            {"node": replica.node, "node_name": replica.node_name, "state": replica.state, "nbytes": replica.nbytes}
            for replica in info.replicas
        ],
        "holders": [holder_json(holder, root) for holder in holders],
    }


def holder_json(holder: Holder, root: str) -> dict[str, Any]:
    """Return a holder with the path of its notebook, which begins at `root`, the folder that the server shows, if it can."""
    return {**to_json(holder), "path": _path(holder, root)}


def _path(holder: Holder, root: str) -> str | None:
    path = PurePosixPath(holder.label)
    if holder.kind != "kernel" or path.suffix not in _DOCUMENTS:
        return None
    return str(path.relative_to(root)) if root and path.is_relative_to(root) else str(path)


def partition_number(info: ObjectInfo) -> int | None:
    """Return which partition of its dataset an object is; None if it does not tell."""
    text = info.tags.get("partition", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def partition_count(dataset: ObjectInfo, known: Collection[int]) -> int:
    """Return how many partitions a dataset has, as its manifest says or at least as many as are known."""
    text = dataset.tags.get("partitions", "")
    said = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    return max(said, max(known, default=-1) + 1)


def partition_json(index: int, info: ObjectInfo | None) -> dict[str, Any]:
    """Return a partition and which nodes have it."""
    if info is None:
        return {"id": None, "index": index, "nbytes": 0, "replicas": []}
    replicas = [{"node": replica.node, "state": replica.state} for replica in info.replicas]
    return {"id": info.id, "index": index, "nbytes": info.nbytes, "replicas": replicas}


def nodes_json(nodes: Sequence[NodeInfo], host: HostState) -> list[dict[str, Any]]:
    """Return all nodes, this host among them, each with where its bytes are, as far as that is known."""
    found = list(nodes)
    if host.node is not None and all(node.id != host.node for node in found):
        assert host.memory is not None
        found.insert(0, NodeInfo.local(host.node, node_name(), host.memory))
    return [_node_json(node, host) for node in found]


def _node_json(node: NodeInfo, host: HostState) -> dict[str, Any]:
    parts: dict[str, Any] = {"other": None, "free": max(0, node.capacity - node.used), **to_json(node)}
    if node.id == host.node and host.memory is not None:
        memory, room = host.memory, host.room
        free = memory.free if room is None else min(memory.free, room)
        parts |= {
            "used": memory.used,
            "capacity": memory.capacity,
            "sealed": memory.sealed,
            "pooled": memory.pooled,
            "held": memory.deleted,
            "writing": memory.writing,
            "spilled": memory.spilled,
            "cached": memory.cached,
            "other": memory.free - free,
            "free": free,
        }
    return parts


def status_json(host: HostState, nodes: list[dict[str, Any]], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is told of this host, beside what is told of all nodes."""
    error = None if host.error is None else {"kind": host.error[0], "message": host.error[1]}
    return {"store": _store_json(host), "error": error, "nodes": nodes, "operations": operations}


def body(rest: dict[str, Any], rows: list[str]) -> str:
    """Return the body of ``GET state``; the rows are JSON already."""
    return f'{dumps(rest)[:-1]},"objects":[{",".join(rows)}]}}'


def _store_json(host: HostState) -> dict[str, Any] | None:
    if host.memory is None:
        return None
    memory = {**to_json(host.memory), "used": host.memory.used}
    return {"directory": host.directory, "node": host.node, "memory": memory}
