"""What the extension says on Jupyter's event bus: that something changed, and nothing else.

Any client that is logged in may post such an event, so it is a hint to ask again and never data.
"""

from __future__ import annotations

from typing import Any

__all__ = ["SCHEMA", "SCHEMA_ID"]

SCHEMA_ID = "https://schema.workbench.dev/changed/v1"

SCHEMA: dict[str, Any] = {
    "$id": SCHEMA_ID,
    "version": "1",
    "title": "The workbench changed",
    "description": "Objects, replicas, holders, nodes or operations changed; GET workbench/api/state tells what they are.",
    "personal-data": False,
    "type": "object",
    "required": ["version"],
    "properties": {
        "version": {
            "type": "string",
            "description": "The version that GET state will have at least; compare for equality.",
        }
    },
}
