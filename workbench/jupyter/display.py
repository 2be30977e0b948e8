"""How single values look in a notebook: a reference, a node, a holder, an operation that goes on.

Covers the formatters that ``%load_ext workbench`` registers with IPython for what does not show itself as a user wants it. Tables of many are
``listing.py``. Every text is escaped: a name is text, whatever it holds.
"""

from __future__ import annotations

import contextlib
import html
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from IPython.core.interactiveshell import InteractiveShell

from workbench.errors import WorkbenchError
from workbench.objects import Event, Holder, Namespace, NodeInfo, Ref, Replica
from workbench.texts import format_nbytes as size
from workbench.texts import printable

if TYPE_CHECKING:
    from workbench.cluster.operations import Operation

__all__ = ["follow", "ref_html", "register"]


def ref_html(ref: Ref) -> str:
    """Describe a reference in one line of HTML."""
    name = f"<b><bdi>{html.escape(printable(ref.name))}</bdi></b> · " if ref.name is not None else ""
    return f"<div>{name}{html.escape(ref.kind)} · {size(ref.nbytes)} · <code>{html.escape(ref.id)}</code></div>"


_VIEWS: dict[type, tuple[Callable[[Any], str], Callable[[Any], str]]] = {
    Ref: (str, ref_html),
    # Their repr is Python's; the others show themselves.
    **dict.fromkeys((NodeInfo, Replica, Holder, Namespace, Event), (str, lambda value: value._repr_html_())),
}


_OPERATION: Final = ("workbench.cluster.operations", "Operation")
"""By name: importing it takes a second, and a notebook without a cluster never needs it."""
_TURN: Final = 0.5
"""Seconds between two looks at an operation that is shown."""


def follow(operation: Operation) -> threading.Thread | None:
    """Show an operation as a bar that goes on, until it has ended; return the thread that does that, if it still runs."""
    from IPython.display import DisplayHandle

    def bundle() -> dict[str, Any]:
        texts = {"text/plain": repr(operation), "text/html": operation._repr_html_()}
        return texts | operation._repr_mimebundle_()

    handle = DisplayHandle()
    handle.display(bundle(), raw=True)
    if operation.last_known.state != "running":
        return None

    def go_on() -> None:
        # It ends with the operation, or when the scheduler does not answer any more.
        with contextlib.suppress(WorkbenchError, OSError):
            while operation.state == "running":
                handle.update(bundle(), raw=True)
                time.sleep(_TURN)
        handle.update(bundle(), raw=True)

    thread = threading.Thread(target=go_on, name=f"workbench-{operation.id}", daemon=True)
    thread.start()
    return thread


def register(shell: InteractiveShell) -> None:
    """Tell IPython how the workbench's values look; doing it twice changes nothing.

    Parameters
    ----------
    shell : InteractiveShell
    """
    assert shell.display_formatter is not None
    formatters = shell.display_formatter.formatters
    if hasattr(shell, "kernel"):  # a terminal cannot change what it has printed
        shell.display_formatter.ipython_display_formatter.for_type_by_name(*_OPERATION, follow)
    for kind, (text, markup) in _VIEWS.items():
        formatters["text/plain"].for_type(kind, _printer(text))
        formatters["text/html"].for_type(kind, markup)


def unregister(shell: InteractiveShell) -> None:
    """Undo :func:`register`."""
    assert shell.display_formatter is not None
    formatters = shell.display_formatter.formatters
    shell.display_formatter.ipython_display_formatter.pop(".".join(_OPERATION), None)
    for kind in _VIEWS:
        formatters["text/plain"].pop(kind, None)
        formatters["text/html"].pop(kind, None)


def _printer(text: Callable[[Any], str]) -> Callable[[Any, Any, bool], None]:
    def show(value: Any, printer: Any, _cycle: bool) -> None:
        printer.text(text(value))

    return show
