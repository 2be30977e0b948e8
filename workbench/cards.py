"""What a rich front end is told of a value, beside its text and its HTML, so that it can show it live.

Covers the MIME type and the form of what is under it; who shows a card is the JupyterLab extension (``extension/src/card``). A card is a snapshot that
says of what it is one: the front end asks its server how that is now, never the kernel. It is saved with the notebook, so it is kept small.
Front ends that do not know the type show the HTML or the text. Nothing here needs IPython: it calls ``_repr_mimebundle_``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final, Literal

__all__ = ["CARD", "LIMIT", "card"]

CARD: Final = "application/vnd.workbench.object+json"
LIMIT: Final = 100
"""So many values are in the card of a listing; it says how many there are."""

_FORM: Final = 1
_LONGEST: Final = 1000
"""Characters of one text, and values of one list or dict."""

# What a card shows of an object, of a node, of an operation.
_SHOWN: Final = frozenset(
    (
        *("id", "name", "kind", "type", "shape", "nbytes", "shared_nbytes", "created", "pinned", "replicas", "notes"),
        *("address", "workers", "capacity", "used", "pooled", "state"),
        *("verb", "object", "to", "done_nbytes", "total_nbytes", "error"),
    )
)


def card(
    kind: Literal["object", "objects", "nodes", "operations"], values: Iterable[Any], total: int
) -> dict[str, Any]:
    """Return the part of a MIME bundle that a front end shows live.

    Parameters
    ----------
    kind : str
    values : iterable of dict
        As JSON (``objects.to_json``); the first of them are taken.
    total : int
        How many there are.

    Returns
    -------
    dict
        The MIME type, with: the number of this form, `kind`, the time of the snapshot in seconds since the epoch, `values` and `total`.
    """
    some = [value for value, _ in zip(values, range(LIMIT), strict=False)]
    shown = [{key: _cut(item) for key, item in value.items() if key in _SHOWN} for value in some]
    return {CARD: {"form": _FORM, "kind": kind, "time": time.time(), "values": shown, "total": total}}


def _cut(value: Any) -> Any:
    if isinstance(value, (str, list)):
        return value[:_LONGEST]
    return value
