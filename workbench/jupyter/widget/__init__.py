"""The object browser as a widget, for front ends in which the JupyterLab panel does not run: VS Code, Colab, plain notebooks.

Covers opening one. It shows the views of the panel (``extension/src/views``) and asks this kernel, over the widget's own connection: so it waits
while a cell runs, which the panel does not. What it is told is in ``answers.py``, the widget itself in ``browser.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.errors import WorkbenchError
from workbench.jupyter.widget import bundle
from workbench.session import Session

if TYPE_CHECKING:
    from workbench.jupyter.widget.browser import Browser

__all__ = ["BrowserError", "open_browser"]


class BrowserError(WorkbenchError, ImportError):
    """The widget cannot be shown."""

    kind = "browser"


def open_browser(session: Session | None = None) -> Browser:
    """Return the object browser; a notebook shows it.

    Parameters
    ----------
    session : Session, optional
        None: the one that is current whenever the widget asks.

    Raises
    ------
    BrowserError
        The package anywidget is missing, or this checkout was not built.
    """
    try:
        import anywidget  # noqa: F401  # what it brings is used in browser.py
    except ImportError as error:
        raise BrowserError(
            "The object browser needs the package anywidget, which is not installed here. "
            "Next: pip install anywidget, and restart the kernel."
        ) from error
    for made in (bundle.SCRIPT, bundle.STYLE):
        if not made.exists():
            raise BrowserError(f"The object browser was not built: {made} is missing. Next: make build.")
    from workbench.jupyter.widget.browser import Browser

    return Browser(session)
