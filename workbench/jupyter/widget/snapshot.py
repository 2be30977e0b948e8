"""What a session knows, as the JSON that the views of the panel are made from (``State`` in ``jupyter/server/openapi.yaml``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import workbench
from workbench.errors import WorkbenchError
from workbench.objects import Holder, ObjectInfo, to_json
from workbench.session import Session

__all__ = ["Json", "object_json", "operation_json", "state_json"]

Json = Any

_MOST_OBJECTS: Final = 1000
"""The newest ones: all of them go through the kernel, each time that something changed."""
_COLUMNS: Final = 50
"""Of an object in the list."""
_EVERYTHING: Final = {"read": True, "write": True, "execute": True}


def state_json(session: Session) -> dict[str, Any]:
    """Return the state without its version.

    Parameters
    ----------
    session : Session
    """
    cluster = session.cluster
    message: str | None = None
    operations: list[Json] = []
    try:
        nodes = to_json(list(session.nodes()))
        objects = list(session.ls(limit=_MOST_OBJECTS + 1))
        if cluster is not None:
            operations = [operation_json(to_json(info)) for info in session.operations().infos]
    except WorkbenchError as error:
        # The cluster does not answer: what is here is here all the same.
        message, nodes, objects = str(error), [], session.store.ls()
    holders = session.holders()
    memory = session.memory()
    store = {
        "directory": str(session.store.directory),
        "node": session.store.id,
        "memory": {**to_json(memory), "used": memory.used},
    }
    state = "none" if cluster is None else "connected" if message is None else "unreachable"
    return {
        "store": store,
        "error": None,
        "cluster": {"state": state, "address": cluster.address if cluster else None, "message": message},
        "nodes": nodes,
        "objects": _objects_json(objects[:_MOST_OBJECTS], holders),
        "deleted": [_holder_json(holder) for holder in holders if holder.object is None],
        "operations": operations,
        "truncated": max(0, len(objects) - _MOST_OBJECTS),
        "permissions": _EVERYTHING,
        "versions": {"server": workbench.__version__, "cluster": None},
    }


def _objects_json(infos: Iterable[ObjectInfo], holders: Iterable[Holder]) -> list[Json]:
    of: dict[str, list[Holder]] = defaultdict(list)
    for holder in holders:
        if holder.object is not None:
            of[holder.object].append(holder)
            # The id of a partition begins as that of its dataset does.
            of[holder.object[:12]].append(holder)
    return [object_json(info, of[info.id[:12] if info.kind == "dataset" else info.id]) for info in infos]


def object_json(info: ObjectInfo, holders: Iterable[Holder], *, whole: bool = False) -> dict[str, Any]:
    """Return an object with those of the holders that hold it; of a dataset, all that are given but each process once."""
    mine = {
        holder.pid: holder
        for holder in holders
        if holder.object == info.id or (info.kind == "dataset" and holder.object)
    }
    dtypes = info.dtypes if whole else dict(list(info.dtypes.items())[:_COLUMNS])
    return {**to_json(info), "dtypes": dtypes, "holders": [_holder_json(holder) for holder in mine.values()]}


def _holder_json(holder: Holder) -> dict[str, Any]:
    return {**to_json(holder), "path": None}


def operation_json(info: dict[str, Any]) -> dict[str, Any]:
    """Return an operation with its error as the views want it."""
    message = info["error"]
    return {**info, "error": {"kind": "operation", "message": message} if message else None}
