"""Routes about nodes, and about operations."""

from __future__ import annotations

from tornado import web

from workbench.jupyter.server.handlers.base import NODES, OBJECTS, WorkbenchHandler, is_text, permitted

__all__ = ["CancelHandler", "DrainHandler", "PlanHandler", "UndrainHandler"]


class _NodeHandler(WorkbenchHandler):
    auth_resource = NODES

    def node(self, text: str) -> str:
        """Return the node in a path."""
        if not is_text(text, 1000):
            raise web.HTTPError(400, "A node is an id or a name of at most 1000 characters.")
        if self._action is not None:
            self._action.detail = {"node": text}
        return text


class DrainHandler(_NodeHandler):
    """``POST nodes/<node>/drain``."""

    @web.authenticated
    @permitted("execute", NODES, "drain")
    async def post(self, node: str) -> None:
        """Begin to see that nothing is only on the node."""
        self.reply(await self.actions.drain(self.node(node)), 202)


class UndrainHandler(_NodeHandler):
    """``POST nodes/<node>/undrain``."""

    @web.authenticated
    @permitted("execute", NODES, "undrain")
    async def post(self, node: str) -> None:
        """Give the node back."""
        await self.actions.undrain(self.node(node))
        self.set_status(204)


class PlanHandler(_NodeHandler):
    """``POST nodes/<node>/plan``."""

    @web.authenticated
    @permitted("read", NODES)
    async def post(self, node: str) -> None:
        """Answer with what draining would do."""
        wanted = self.node(node)
        if self.body().get("verb") != "drain":
            raise web.HTTPError(400, 'Say what is planned: {"verb": "drain"}.')
        self.reply(await self.services.plans.of_drain(wanted))


class CancelHandler(WorkbenchHandler):
    """``POST operations/<id>/cancel``."""

    @web.authenticated
    @permitted("execute", OBJECTS, "cancel")
    async def post(self, operation: str) -> None:
        """Cancel the operation."""
        if not is_text(operation, 100):
            raise web.HTTPError(400, "An operation's id has at most 100 characters.")
        if self._action is not None:
            self._action.detail = {"operation": operation}
        self.reply(await self.actions.cancel(operation))
