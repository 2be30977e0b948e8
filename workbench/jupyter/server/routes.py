"""The routes of the extension: text in, text out; every one authenticated and authorized.

Covers reading requests and writing answers. Known errors become a status and a body of ``kind`` and ``message``, never a 500.
What is done is in ``hub.py``. No route keeps an idle server alive.
"""

from __future__ import annotations

import json
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from workbench.errors import (
    ClusterError,
    LastReplicaError,
    NameConflictError,
    NodeNotFoundError,
    ObjectNotFoundError,
    OperationCancelledError,
    StoreError,
    StoreFullError,
    TransferError,
    WorkbenchError,
)
from workbench.jupyter.server.hub import Hub
from workbench.objects import ObjectId, is_object_id

__all__ = ["HANDLERS", "WorkbenchHandler", "status_of"]

# The first class that fits; so a class stands before its bases.
_STATUS: tuple[tuple[type[WorkbenchError], int], ...] = (
    (ObjectNotFoundError, 404),
    (NodeNotFoundError, 404),
    (LastReplicaError, 409),
    (StoreFullError, 507),
    (TransferError, 502),
    (NameConflictError, 409),
    (OperationCancelledError, 409),
    (StoreError, 503),
    (ClusterError, 503),
)
_HTTP_KINDS = {400: "bad-request", 401: "forbidden", 403: "forbidden", 404: "not-found", 405: "bad-request"}


def status_of(error: WorkbenchError) -> int:
    """Return the HTTP status of an error of the workbench."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 400)


class WorkbenchHandler(APIHandler):
    """What all routes have in common."""

    auth_resource = "workbench:objects"
    _track_activity = False

    @property
    def hub(self) -> Hub:
        """The extension's hub."""
        hub: Hub = self.settings["workbench_hub"]
        return hub

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write ``kind`` and ``message``; an error of the workbench chooses its own status."""
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, WorkbenchError):
            self.set_status(status_of(error))
            body = {"kind": error.kind, "message": str(error)}
        elif isinstance(error, web.HTTPError):
            message = error.log_message % error.args if error.log_message and error.args else error.log_message
            body = {"kind": _HTTP_KINDS.get(status_code, "http"), "message": message or self._reason}
        else:
            body = {"kind": "internal", "message": "The workbench's server extension failed; its log says how."}
        self.finish(json.dumps(body))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log known errors in a line, and the others in full."""
        if isinstance(value, WorkbenchError):
            self.log.info("workbench: %s %s: %s", self.request.method, self.request.path, value)
        else:
            super().log_exception(typ, value, tb)

    def object_id(self, text: str) -> ObjectId:
        """Return the id in a path."""
        if not is_object_id(text):
            raise ObjectNotFoundError(f"{text[:100]!r} is not the id of an object.")
        return ObjectId(text)

    def body(self) -> dict[str, Any]:
        """Return the JSON object in the body; an empty body is an empty object."""
        try:
            found = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError):
            raise web.HTTPError(400, "The body is not JSON.") from None
        if not isinstance(found, dict):
            raise web.HTTPError(400, "The body must be a JSON object.")
        return found


class StateHandler(WorkbenchHandler):
    """``GET state``."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer with everything that the panel shows."""
        self.finish(json.dumps(await self.hub.state()))


class ObjectHandler(WorkbenchHandler):
    """``DELETE objects/<id>``."""

    @web.authenticated
    @authorized
    async def delete(self, object_id: str) -> None:
        """Delete the object everywhere."""
        await self.hub.delete(self.object_id(object_id))
        self.set_status(204)


class MoveHandler(WorkbenchHandler):
    """``POST objects/<id>/move``."""

    @web.authenticated
    @authorized
    async def post(self, object_id: str) -> None:
        """Begin to move the object to the node ``to``."""
        wanted, to = self.object_id(object_id), self.body().get("to")
        if not isinstance(to, str) or not to:
            raise web.HTTPError(400, 'Say the node to move to: {"to": "<node id>"}.')
        operation = await self.hub.move(wanted, to)
        self.set_status(202)
        self.finish(json.dumps(operation))


class ReplicateHandler(WorkbenchHandler):
    """``POST objects/<id>/replicate``."""

    @web.authenticated
    @authorized
    async def post(self, object_id: str) -> None:
        """Begin to put the object on the nodes ``to``, or on ``n`` nodes."""
        wanted, body = self.object_id(object_id), self.body()
        to, n = body.get("to"), body.get("n")
        if to is None and type(n) is int and n >= 1:
            operation = await self.hub.replicate(wanted, n=n)
        elif n is None and isinstance(to, list) and to and all(isinstance(node, str) and node for node in to):
            operation = await self.hub.replicate(wanted, to=to)
        else:
            raise web.HTTPError(400, 'Say the nodes, or how many: {"to": ["<node id>", ...]} or {"n": 2}.')
        self.set_status(202)
        self.finish(json.dumps(operation))


class DropHandler(WorkbenchHandler):
    """``POST objects/<id>/drop``."""

    @web.authenticated
    @authorized
    async def post(self, object_id: str) -> None:
        """Remove the replica on ``node``; the last one only with ``force``."""
        wanted, body = self.object_id(object_id), self.body()
        node, force = body.get("node"), body.get("force", False)
        if not isinstance(node, str) or not node or not isinstance(force, bool):
            raise web.HTTPError(400, 'Say the node: {"node": "<node id>"}, with "force": true for the last replica.')
        await self.hub.drop(wanted, node, force=force)
        self.set_status(204)


_OBJECT = r"/workbench/api/objects/([^/]+)"

HANDLERS: list[tuple[str, type[WorkbenchHandler]]] = [
    (r"/workbench/api/state", StateHandler),
    (_OBJECT, ObjectHandler),
    (_OBJECT + "/move", MoveHandler),
    (_OBJECT + "/replicate", ReplicateHandler),
    (_OBJECT + "/drop", DropHandler),
]
