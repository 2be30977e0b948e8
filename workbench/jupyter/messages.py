"""Errors in a notebook: those of the workbench as one message, those of the user's own code with a traceback that begins there.

Covers how an error of a magic is shown. It stays the error that it is, so that a notebook run stops there, and ``except`` finds it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from IPython.core.interactiveshell import InteractiveShell

from workbench.errors import WorkbenchError
from workbench.jupyter.parsing import MagicError

__all__ = ["one_message", "users_code"]

_OURS: Final = str(Path(__file__).parents[1]) + os.sep
_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"


@contextlib.contextmanager
def one_message(shell: InteractiveShell) -> Iterator[None]:
    """Let what the workbench refuses, and Ctrl-C, be shown as one message; type and exit status stay as they are.

    What else may go wrong is somebody's fault, and keeps its traceback.

    Parameters
    ----------
    shell : InteractiveShell
    """
    try:
        yield
    except MagicError as error:
        _show(error, _first_line_red(shell, str(error)))
        raise
    except (WorkbenchError, ValueError, TypeError, OSError) as error:
        _show(error, _first_line_red(shell, f"{type(error).__name__}: {error}"))
        raise
    except KeyboardInterrupt as error:
        _show(error, _first_line_red(shell, "Interrupted. What was not finished has left nothing behind."))
        raise


@contextlib.contextmanager
def users_code(shell: InteractiveShell) -> Iterator[None]:
    """Let an error of the user's own code be shown with a traceback that begins in that code, not in the magic that ran it.

    Parameters
    ----------
    shell : InteractiveShell
    """
    try:
        yield
    except WorkbenchError:
        raise
    except BaseException as error:
        lines = shell.InteractiveTB.structured_traceback(type(error), error, _beyond_ours(error.__traceback__))
        _show(error, "\n".join(lines))
        raise


def _show(error: BaseException, text: str) -> None:
    if not hasattr(error, "_render_traceback_"):
        with contextlib.suppress(AttributeError):  # a class with slots
            error._render_traceback_ = lambda: [text]  # type: ignore[attr-defined]  # IPython's own hook


def _first_line_red(shell: InteractiveShell, text: str) -> str:
    if str(shell.colors).lower() == "nocolor" or "NO_COLOR" in os.environ:
        return text
    first, newline, rest = text.partition("\n")
    return f"{_RED}{first}{_PLAIN}{newline}{rest}"


def _beyond_ours(traceback: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that begins with code that is not ours."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_OURS):
        traceback = traceback.tb_next
    return traceback
