"""The routes of the extension: text in, text out; every one authenticated, authorized and limited, as ``openapi.yaml`` describes them.

Covers reading requests and writing answers; what is done is in ``hub.py``, ``actions.py``, ``plans.py`` and ``preview.py``. Read next: ``base.py``.
"""

from __future__ import annotations

from workbench.jupyter.server.handlers import nodes, objects, previews, reading
from workbench.jupyter.server.handlers.base import WorkbenchHandler

__all__ = ["HANDLERS", "WorkbenchHandler"]

_API = r"/workbench/api"
_OBJECT = _API + r"/objects/([^/]+)"
_NODE = _API + r"/nodes/([^/]+)"

HANDLERS: list[tuple[str, type[WorkbenchHandler]]] = [
    (_API + r"/state", reading.StateHandler),
    (_API + r"/objects/delete", objects.DeleteManyHandler),
    (_OBJECT, objects.ObjectHandler),
    (_OBJECT + r"/plan", reading.PlanHandler),
    (_OBJECT + r"/partitions", reading.PartitionsHandler),
    (_OBJECT + r"/move", objects.MoveHandler),
    (_OBJECT + r"/replicate", objects.ReplicateHandler),
    (_OBJECT + r"/drop", objects.DropHandler),
    (_OBJECT + r"/pin", objects.PinHandler),
    (_OBJECT + r"/unpin", objects.UnpinHandler),
    (_OBJECT + r"/spill", objects.SpillHandler),
    (_OBJECT + r"/restore", objects.RestoreHandler),
    (_OBJECT + r"/rename", objects.RenameHandler),
    (_OBJECT + r"/save", objects.SaveHandler),
    (_OBJECT + r"/preview", previews.PreviewHandler),
    (_OBJECT + r"/summary", previews.SummaryHandler),
    (_OBJECT + r"/image", previews.ImageHandler),
    (_NODE + r"/drain", nodes.DrainHandler),
    (_NODE + r"/undrain", nodes.UndrainHandler),
    (_NODE + r"/plan", nodes.PlanHandler),
    (_API + r"/operations/([^/]+)/cancel", nodes.CancelHandler),
    (_API + r"/deleted/free", objects.FreeHandler),
]
