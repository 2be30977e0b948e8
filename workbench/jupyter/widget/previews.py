"""What is in an object, for the object browser: the pages, summaries and pictures of the server's previews, made in this kernel.

Covers objects that this host has: looking at one does not fetch it. It is the user's own kernel, which may decode what its user shares; the object is let
go of after each answer.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from workbench import finding
from workbench.errors import WorkbenchError
from workbench.jupyter.server.problems import ElsewhereError
from workbench.jupyter.server.whereabouts import Whereabouts, whereabouts
from workbench.objects import ObjectId, ObjectInfo
from workbench.session import Session

__all__ = ["NoPreviewError", "preview"]

_ROWS, _COLUMNS = 1000, 500
"""Of one page, at most."""


class NoPreviewError(WorkbenchError):
    """The object cannot be shown here."""

    kind = "not-possible"


def preview(session: Session, object_id: ObjectId, what: str, query: Mapping[str, str]) -> Any:
    """Return the body of an answer.

    Parameters
    ----------
    session : Session
    object_id : ObjectId
    what : str
        ``preview``, ``summary`` or ``image``.
    query : mapping of str to str
        `start`, `stop`, `cstart` and `cstop`, as the server takes them.

    Raises
    ------
    ObjectNotFoundError
    WorkbenchError
        Other nodes have it, or it is no image.
    """
    from workbench.jupyter.server.preview_grids import grid_of, pieces_of
    from workbench.jupyter.server.preview_pictures import png
    from workbench.jupyter.server.preview_tables import page, summary

    info = session.info(object_id)
    if not session.store.exists(object_id):
        lost = all(replica.state == "lost" for replica in info.replicas)
        nodes = ", ".join(replica.node_name for replica in info.replicas if lost or replica.state != "lost")
        step = (
            "where no worker runs: start one there, or make it anew, or delete it"
            if lost
            else "not on this host. Replicate it to this host first"
        )
        raise NoPreviewError(f"{info.name or info.id!r} is on {nodes}, {step}.")
    columns = _range(query, "cstart", "cstop", 50, _COLUMNS)
    value: Any = None
    grid: Any = None
    try:
        grid = pieces_of(session, object_id)
        value = grid if grid is not None else session.get(object_id)
        if what == "image":
            return {"base64": base64.b64encode(png(value)).decode(), "type": "image/png"}
        if grid is None:
            grid = grid_of(value)
        if what == "summary":
            return summary(grid, *columns)
        found = page(grid, value, _range(query, "start", "stop", 100, _ROWS), columns)
        return found if grid is None or not grid.absent else {**found, "text": _where(session, info).note()}
    except ElsewhereError as error:
        where = _where(session, info)
        if needed := [number for number in error.partitions if number not in where.here]:
            raise where.error(needed) from None
        raise
    finally:
        del value, grid


def _where(session: Session, info: ObjectInfo) -> Whereabouts:
    cluster = session.cluster
    state = "none" if cluster is None else "connected"
    return whereabouts(info, finding.members(session.store, cluster, info), session.store.id, state)


def _range(query: Mapping[str, str], first: str, last: str, default: int, most: int) -> tuple[int, int]:
    start = _count(query.get(first), 0)
    stop = _count(query.get(last), start + default)
    return start, max(start, min(stop, start + most))


def _count(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 16 else default
