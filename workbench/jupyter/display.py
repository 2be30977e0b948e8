"""How single values look in a notebook: a reference, a node, a holder.

Covers the formatters that ``%load_ext workbench`` registers with IPython for what does not show itself as a user wants it. Tables of many are
``listing.py``. Every text is escaped: a name is text, whatever it holds.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from workbench.objects import Event, Holder, Namespace, NodeInfo, Ref, Replica
from workbench.texts import format_nbytes as size
from workbench.texts import printable

__all__ = ["ref_html", "ref_text", "register"]


def ref_text(ref: Ref) -> str:
    """Describe a reference in one line of text."""
    name = f"{printable(ref.name)}  " if ref.name is not None else ""
    return f"{name}{ref.kind}, {size(ref.nbytes)}  (id {ref.id})"


def ref_html(ref: Ref) -> str:
    """Describe a reference in one line of HTML."""
    name = f"<b><bdi>{html.escape(printable(ref.name))}</bdi></b> · " if ref.name is not None else ""
    return f"<div>{name}{html.escape(ref.kind)} · {size(ref.nbytes)} · <code>{html.escape(ref.id)}</code></div>"


_VIEWS: dict[type, tuple[Callable[[Any], str], Callable[[Any], str]]] = {
    Ref: (ref_text, ref_html),
    # Their repr is Python's; the others show themselves.
    **dict.fromkeys((NodeInfo, Replica, Holder, Namespace, Event), (str, lambda value: value._repr_html_())),
}


def register(shell: InteractiveShell) -> None:
    """Tell IPython how the workbench's values look; doing it twice changes nothing.

    Parameters
    ----------
    shell : InteractiveShell
    """
    assert shell.display_formatter is not None
    formatters = shell.display_formatter.formatters
    for kind, (text, markup) in _VIEWS.items():
        formatters["text/plain"].for_type(kind, _printer(text))
        formatters["text/html"].for_type(kind, markup)


def unregister(shell: InteractiveShell) -> None:
    """Undo :func:`register`."""
    assert shell.display_formatter is not None
    formatters = shell.display_formatter.formatters
    for kind in _VIEWS:
        formatters["text/plain"].pop(kind, None)
        formatters["text/html"].pop(kind, None)


def _printer(text: Callable[[Any], str]) -> Callable[[Any, Any, bool], None]:
    def show(value: Any, printer: Any, _cycle: bool) -> None:
        printer.text(text(value))

    return show
