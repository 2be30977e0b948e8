"""Routes that do something with objects."""

from __future__ import annotations

from typing import Final

from tornado import web

from workbench.errors import ObjectNotFoundError
from workbench.jupyter.server.handlers.base import OBJECTS, WorkbenchHandler, permitted, text_of
from workbench.jupyter.server.handlers.reading import is_nodes, is_number

__all__ = [
    "DeleteManyHandler",
    "DropHandler",
    "FreeHandler",
    "MoveHandler",
    "ObjectHandler",
    "PinHandler",
    "RenameHandler",
    "ReplicateHandler",
    "RestoreHandler",
    "SaveHandler",
    "SpillHandler",
    "UnpinHandler",
]

_MOST_IDS: Final = 1000
_LONGEST_NAME: Final = 20_000
"""Characters; the store says which names are too long."""


class ObjectHandler(WorkbenchHandler):
    """``GET objects/<id>`` and ``DELETE objects/<id>``."""

    @web.authenticated
    @permitted("read", OBJECTS)
    async def get(self, object_id: str) -> None:
        """Answer with all that is known of the object."""
        wanted = self.object_id(object_id)
        found = await self.hub.object_json(wanted)
        if found is None:
            raise ObjectNotFoundError(f"There is no object {wanted}. It may have been deleted meanwhile.")
        self.reply(found)

    @web.authenticated
    @permitted("write", OBJECTS, "delete")
    async def delete(self, object_id: str) -> None:
        """Delete the object everywhere."""
        await self.actions.delete(self.object_id(object_id))
        self.set_status(204)


class DeleteManyHandler(WorkbenchHandler):
    """``POST objects/delete``."""

    @web.authenticated
    @permitted("write", OBJECTS, "delete")
    async def post(self) -> None:
        """Delete objects everywhere."""
        ids = self.body().get("ids")
        if not isinstance(ids, list) or not 0 < len(ids) <= _MOST_IDS or not all(isinstance(each, str) for each in ids):
            raise web.HTTPError(400, f'Say which objects, at most {_MOST_IDS}: {{"ids": ["<id>", ...]}}.')
        self.reply(await self.actions.delete_many([self.object_id(each) for each in ids]))


class MoveHandler(WorkbenchHandler):
    """``POST objects/<id>/move``."""

    @web.authenticated
    @permitted("execute", OBJECTS, "move")
    async def post(self, object_id: str) -> None:
        """Begin to move the object to the node ``to``."""
        wanted = self.object_id(object_id)
        to = text_of(self.body(), "to", 'Say the node to move to: {"to": "<node id>"}.')
        self.reply(await self.actions.move(wanted, to), 202)


class ReplicateHandler(WorkbenchHandler):
    """``POST objects/<id>/replicate``."""

    @web.authenticated
    @permitted("execute", OBJECTS, "replicate")
    async def post(self, object_id: str) -> None:
        """Begin to put the object on the nodes ``to``, or on ``n`` nodes."""
        wanted, body = self.object_id(object_id), self.body()
        to, n = body.get("to"), body.get("n")
        if not ((n is None and is_nodes(to)) or (to is None and is_number(n))):
            raise web.HTTPError(400, 'Say the nodes, or how many: {"to": ["<node id>", ...]} or {"n": 2}.')
        self.reply(await self.actions.replicate(wanted, to, n), 202)


class DropHandler(WorkbenchHandler):
    """``POST objects/<id>/drop``."""

    @web.authenticated
    @permitted("execute", OBJECTS, "drop")
    async def post(self, object_id: str) -> None:
        """Remove the replica on ``node``; the last one only with ``force``."""
        wanted, body = self.object_id(object_id), self.body()
        usage = 'Say the node: {"node": "<node id>"}, with "force": true for the last replica.'
        node, force = text_of(body, "node", usage), body.get("force", False)
        if not isinstance(force, bool):
            raise web.HTTPError(400, usage)
        await self.actions.drop(wanted, node, force=force)
        self.set_status(204)


class PinHandler(WorkbenchHandler):
    """``POST objects/<id>/pin``."""

    @web.authenticated
    @permitted("write", OBJECTS, "pin")
    async def post(self, object_id: str) -> None:
        """Keep the object in this host's memory."""
        await self.actions.pin(self.object_id(object_id))
        self.set_status(204)


class UnpinHandler(WorkbenchHandler):
    """``POST objects/<id>/unpin``."""

    @web.authenticated
    @permitted("write", OBJECTS, "unpin")
    async def post(self, object_id: str) -> None:
        """Undo a pin."""
        await self.actions.unpin(self.object_id(object_id))
        self.set_status(204)


class SpillHandler(WorkbenchHandler):
    """``POST objects/<id>/spill``."""

    @web.authenticated
    @permitted("write", OBJECTS, "spill")
    async def post(self, object_id: str) -> None:
        """Move the object to this host's disk."""
        await self.actions.spill(self.object_id(object_id))
        self.set_status(204)


class RestoreHandler(WorkbenchHandler):
    """``POST objects/<id>/restore``."""

    @web.authenticated
    @permitted("write", OBJECTS, "restore")
    async def post(self, object_id: str) -> None:
        """Bring the object back to this host's memory."""
        await self.actions.restore(self.object_id(object_id))
        self.set_status(204)


class RenameHandler(WorkbenchHandler):
    """``POST objects/<id>/rename``."""

    @web.authenticated
    @permitted("write", OBJECTS, "rename")
    async def post(self, object_id: str) -> None:
        """Give the object the name ``name`` in place of those that it has."""
        wanted, body = self.object_id(object_id), self.body()
        usage = 'Say the name: {"name": "<name>"}, with "replace": true to take it from the object that has it.'
        name, replace = text_of(body, "name", usage, _LONGEST_NAME), body.get("replace", False)
        if not isinstance(replace, bool):
            raise web.HTTPError(400, usage)
        await self.actions.rename(wanted, name, replace=replace)
        self.set_status(204)


class SaveHandler(WorkbenchHandler):
    """``POST objects/<id>/save``."""

    @web.authenticated
    @permitted("execute", OBJECTS, "save")
    async def post(self, object_id: str) -> None:
        """Begin to write the object to the file or URL ``url``."""
        wanted = self.object_id(object_id)
        url = text_of(self.body(), "url", 'Say where to: {"url": "<path or URL>"}.')
        self.reply(await self.actions.save(wanted, url), 202)


class FreeHandler(WorkbenchHandler):
    """``POST deleted/free``."""

    @web.authenticated
    @permitted("write", OBJECTS, "free")
    async def post(self) -> None:
        """Give back the memory of deleted objects that nobody maps."""
        self.reply(await self.actions.free())
