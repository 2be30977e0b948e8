"""How single values look in a notebook: a reference, a description, the memory of the store.

Covers the formatters that ``%load_ext workbench`` registers with IPython. The values of ``objects.py`` stay plain, and
tables of many are ``listing.py``. Every text is escaped: a name is text, whatever it holds.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from workbench.listing import fields_of, html_fields, printable, text_fields
from workbench.objects import Holder, Memory, NodeInfo, ObjectInfo, Ref, Replica
from workbench.objects import format_nbytes as size

__all__ = ["ref_html", "ref_text", "register"]


def ref_text(ref: Ref) -> str:
    """Describe a reference in one line of text."""
    name = f"{printable(ref.name)}  " if ref.name is not None else ""
    return f"{name}{ref.kind}, {size(ref.nbytes)}  (id {ref.id})"


def ref_html(ref: Ref) -> str:
    """Describe a reference in one line of HTML."""
    name = f"<b><bdi>{html.escape(printable(ref.name))}</bdi></b> · " if ref.name is not None else ""
    return f"<div>{name}{html.escape(ref.kind)} · {size(ref.nbytes)} · <code>{html.escape(ref.id)}</code></div>"


def _fields_text(value: Any) -> str:
    return text_fields(fields_of(value))


def _fields_html(value: Any) -> str:
    return html_fields(fields_of(value))


_VIEWS: dict[type, tuple[Callable[[Any], str], Callable[[Any], str]]] = {
    Ref: (ref_text, ref_html),
    **dict.fromkeys((ObjectInfo, NodeInfo, Replica, Holder, Memory), (_fields_text, _fields_html)),
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
