"""Routes that show what is in an object; each needs the permission to execute, because decoding may run code of whoever put it."""

from __future__ import annotations

from tornado import web

from workbench.jupyter.server.handlers.base import PREVIEW, WorkbenchHandler, permitted

__all__ = ["ImageHandler", "PreviewHandler", "SummaryHandler"]


class _PreviewHandler(WorkbenchHandler):
    auth_resource = PREVIEW


class PreviewHandler(_PreviewHandler):
    """``GET objects/<id>/preview``."""

    @web.authenticated
    @permitted("execute", PREVIEW)
    async def get(self, object_id: str) -> None:
        """Answer with some rows and columns."""
        wanted = self.object_id(object_id)
        rows, columns = self.span("start", "stop", 100, 1000), self.span("cstart", "cstop", 50, 500)
        self.reply(await self.services.previews.table(wanted, rows, columns))


class SummaryHandler(_PreviewHandler):
    """``GET objects/<id>/summary``."""

    @web.authenticated
    @permitted("execute", PREVIEW)
    async def get(self, object_id: str) -> None:
        """Answer with what is in each column."""
        wanted = self.object_id(object_id)
        self.reply(await self.services.previews.summary(wanted, self.span("cstart", "cstop", 50, 500)))


class ImageHandler(_PreviewHandler):
    """``GET objects/<id>/image``."""

    @web.authenticated
    @permitted("execute", PREVIEW)
    async def get(self, object_id: str) -> None:
        """Answer with a picture."""
        picture = await self.services.previews.image(self.object_id(object_id))
        self.set_header("Cache-Control", "no-store")
        await self.finish(picture, set_content_type="image/png")
