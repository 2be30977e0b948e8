"""The widget: messages of the page in, answers out. What they say is in ``answers.py``."""

from __future__ import annotations

from typing import Any

import anywidget

from workbench.current import current_session
from workbench.jupyter.widget.answers import Answers
from workbench.jupyter.widget.bundle import SCRIPT, STYLE
from workbench.session import Session

__all__ = ["Browser"]


class Browser(anywidget.AnyWidget):
    """The object browser.

    Parameters
    ----------
    session : Session, optional
        None: the one that is current whenever the page asks.
    """

    _esm = SCRIPT
    _css = STYLE

    def __init__(self, session: Session | None = None) -> None:
        super().__init__()
        self._answers = Answers(current_session if session is None else lambda: session)
        self.on_msg(self._on_message)

    def _on_message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if isinstance(content, dict) and isinstance(content.get("id"), int):
            status, body = self._answers.answer(content.get("method"), content.get("path"), content.get("body"))
            self.send({"id": content["id"], "status": status, "body": body})
