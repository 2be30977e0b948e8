"""A bar in a notebook for work of this kernel that takes longer: putting, saving, loading, waiting for a move.

Covers how it looks; who counts and when something is shown is in ``progress.py``. It is HTML that changes where it stands, not a widget: it needs no manager of widgets in
the browser, and is still there, as it ended, in a notebook that was saved and opened again.
"""

from __future__ import annotations

import contextlib
import html
import sys

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import DisplayHandle

from workbench.progress import Display, TerminalLine, Work

__all__ = ["NotebookBar", "display_for"]


class NotebookBar:
    """Shows work as a bar below the cell; one for each piece of work."""

    def __init__(self) -> None:
        self._handles: dict[Work, DisplayHandle] = {}

    def show(self, work: Work) -> None:
        """Draw the bar, or change it."""
        value = f'value="{work.fraction:.4f}"' if work.total else ""
        bar = (
            f'<div><progress {value} max="1" style="width: 20em" aria-label="{html.escape(work.what)}">'
            f"</progress> <span>{html.escape(work.text)}</span></div>"
        )
        self._draw(work, work.text, bar)

    def end(self, work: Work, *, failed: bool) -> None:
        """Say in its place what was done."""
        said = f"{work.summary}, and then not finished" if failed else work.summary
        self._draw(work, said, f"<div>{html.escape(said)}</div>")
        self._handles.pop(work, None)

    def _draw(self, work: Work, text: str, markup: str) -> None:
        bundle = {"text/plain": text, "text/html": markup}
        with contextlib.suppress(Exception):  # a bar that cannot be drawn stops no work
            if work in self._handles:
                self._handles[work].update(bundle, raw=True)
            else:
                handle = self._handles[work] = DisplayHandle()
                handle.display(bundle, raw=True)


def display_for(shell: InteractiveShell) -> Display | None:
    """Return what shows work to who sits before a shell: a bar in a notebook, a line at a terminal, else nothing."""
    if hasattr(shell, "kernel"):
        return NotebookBar()
    return TerminalLine() if sys.stderr.isatty() else None
