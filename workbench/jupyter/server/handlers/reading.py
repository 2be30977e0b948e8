"""Routes that change nothing: the state, a dataset's partitions, plans."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from typing import Any, Final

from tornado import web

from workbench.jupyter.server.handlers.base import OBJECTS, WorkbenchHandler, is_text, permitted
from workbench.jupyter.server.problems import NotPossibleError

__all__ = ["PartitionsHandler", "PlanHandler", "StateHandler"]

_COMPRESSED_FROM: Final = 64 << 10
"""Characters; less is sent as it is."""
_MOST: Final = 1000
"""Nodes, or replicas, that somebody may wish for; and objects of a first answer."""
_PLANNED: Final = ("move", "replicate", "drop", "spill", "restore", "delete")


class StateHandler(WorkbenchHandler):
    """``GET state``."""

    @web.authenticated
    @permitted("read", OBJECTS)
    async def get(self) -> None:
        """Answer with everything that the panel shows, or with what changed of it."""
        since, told = self.get_query_argument("since", None), self.get_query_argument("told", None)
        first = self.number("first", 0)
        if first > _MOST:
            raise web.HTTPError(400, f"first must be at most {_MOST}.")
        text = await self.hub.state(since, await self.permissions(), told=told, first=first)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Vary", "Accept-Encoding")
        if len(text) < _COMPRESSED_FROM or "gzip" not in self.request.headers.get("Accept-Encoding", ""):
            await self.finish(text)
            return
        self.set_header("Content-Encoding", "gzip")
        await self.finish(await asyncio.to_thread(_compress, text))


def _compress(text: str) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(text.encode()) + packer.flush()


class PartitionsHandler(WorkbenchHandler):
    """``GET objects/<id>/partitions``."""

    @web.authenticated
    @permitted("read", OBJECTS)
    async def get(self, object_id: str) -> None:
        """Answer with which nodes have which partitions of a dataset."""
        wanted = self.object_id(object_id)
        start, stop = self.span("start", "stop", 500, 2000)
        dataset = await self.actions.require(wanted)
        if dataset.kind != "dataset":
            raise NotPossibleError(f"{dataset.name or dataset.id!r:.200} is no dataset, so it has no partitions.")
        self.reply(await self.hub.partitions(dataset, start, stop))


class PlanHandler(WorkbenchHandler):
    """``POST objects/<id>/plan``."""

    @web.authenticated
    @permitted("read", OBJECTS)
    async def post(self, object_id: str) -> None:
        """Answer with what an action would do."""
        wanted, body = self.object_id(object_id), self.body()
        verb = body.get("verb")
        if verb not in _PLANNED:
            raise web.HTTPError(400, f'Say what is planned: {{"verb": ...}}, one of {", ".join(_PLANNED)}.')
        self.reply(await self.services.plans.of_object(wanted, verb, plan_wish(verb, body)))


def plan_wish(verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a plan needs to know, or refuse what is wrong."""
    to, n, node = body.get("to"), body.get("n"), body.get("node")
    if verb == "move" and (not is_nodes(to) or len(to or ()) != 1):
        raise web.HTTPError(400, 'Say the node to move to: {"verb": "move", "to": ["<node id>"]}.')
    if verb == "replicate" and not ((n is None and is_nodes(to)) or (to is None and is_number(n))):
        raise web.HTTPError(400, 'Say the nodes, or how many: {"to": ["<node id>", ...]} or {"n": 2}.')
    if verb == "drop" and not is_text(node):
        raise web.HTTPError(400, 'Say the node: {"verb": "drop", "node": "<node id>"}.')
    return {"to": to, "n": n, "node": node}


def is_nodes(value: Any) -> bool:
    """Tell whether something is a list of nodes."""
    return isinstance(value, list) and 0 < len(value) <= _MOST and all(is_text(node) for node in value)


def is_number(value: Any) -> bool:
    """Tell whether something is a number of replicas."""
    return type(value) is int and 1 <= value <= _MOST
