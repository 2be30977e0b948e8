"""Who did what through the server, and what came of it: an event on Jupyter's event bus, and a line in the server's log.

The line is for who keeps records. The event is for who looks on: any client that is logged in may post such an event, so it proves nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["ACTION", "ACTION_ID", "Action", "Audit"]

ACTION_ID: Final = "https://schema.workbench.dev/action/v1"

ACTION: Final[dict[str, Any]] = {
    "$id": ACTION_ID,
    "version": "1",
    "title": "Somebody did something with the workbench",
    "description": "An action through the server's routes, when it has ended, has begun (a longer one), or was refused.",
    "personal-data": True,
    "type": "object",
    "required": ["user", "verb", "outcome"],
    "properties": {
        "user": {"type": "string", "description": "Name of the user, as the server's identity provider says it."},
        "verb": {"type": "string"},
        "objects": {"type": "array", "items": {"type": "string"}, "description": "Ids; at most 100."},
        "names": {"type": "array", "items": {"type": ["string", "null"]}, "description": "The names that they had."},
        "detail": {"type": "object", "description": "What else was asked for: to, n, node, name, url, force."},
        "outcome": {"type": "string", "description": "done, begun, or the kind of the error."},
        "message": {"type": "string", "description": "Of the error."},
    },
}

_MOST: Final = 100
_LONGEST: Final = 500
"""Characters of one text."""


@dataclass(slots=True)
class Action:
    """One request to do something, as far as it is known."""

    verb: str
    user: str
    objects: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)


class Audit:
    """Tells of actions.

    Parameters
    ----------
    emit : callable
        Is given the data of an event.
    log : logging.Logger
    """

    def __init__(self, emit: Callable[[dict[str, Any]], None], log: logging.Logger) -> None:
        self._emit = emit
        self._log = log

    def tell(self, action: Action, outcome: str, message: str = "") -> None:
        """Tell of an action and its outcome."""
        event: dict[str, Any] = {
            "user": action.user,
            "verb": action.verb,
            "objects": action.objects[:_MOST],
            "names": [None if name is None else name[:_LONGEST] for name in action.names[:_MOST]],
            "detail": {key: _cut(value) for key, value in action.detail.items()},
            "outcome": outcome,
        }
        if message:
            event["message"] = message[:_LONGEST]
        # As JSON, so that a name with a line break cannot forge a line.
        self._log.info("workbench action: %s", json.dumps(event))
        self._emit(event)


def _cut(value: Any) -> Any:
    if isinstance(value, list):
        return [_cut(each) for each in value[:_MOST]]
    return value[:_LONGEST] if isinstance(value, str) else value
