"""Errors in a notebook: what the workbench refuses as one message below the user's own line, errors of the user's code with a traceback that begins there.

Covers how an error is shown. It stays the error that it is, so that a notebook run stops there, and ``except`` finds it; ``%tb`` and ``%debug`` show all of it.
"""

from __future__ import annotations

import contextlib
import os
import sysconfig
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from IPython.core.interactiveshell import InteractiveShell

from workbench.errors import WorkbenchError
from workbench.jupyter.parsing import MagicError

__all__ = ["hide_our_frames", "one_message", "show_all_frames", "users_code"]

_OURS: Final = str(Path(__file__).parents[1]) + os.sep
_LIBRARIES: Final = tuple(
    {sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"
_PLAIN_ERRORS: Final = (TypeError, ValueError, MemoryError)
"""What comes out of the workbench and is Python's own: what it says of wrong arguments and of too little memory."""
_HANDLED: Final = (Exception, KeyboardInterrupt)
"""What is looked at, as it may have come through the workbench: its own plain errors, those of the user's code that it called, and Ctrl-C."""
_HOOK: Final = "_render_traceback_"
"""IPython's own: what an error has under this name says how it looks."""


@contextlib.contextmanager
def one_message(shell: InteractiveShell) -> Iterator[None]:
    """Let what a magic refuses, and Ctrl-C, be shown as one message; type and exit status stay as they are.

    What else may go wrong is somebody's fault, and keeps its traceback.

    Parameters
    ----------
    shell : InteractiveShell
    """
    try:
        yield
    except MagicError as error:
        _show(error, [_first_line_red(shell, str(error))])
        raise
    except (WorkbenchError, ValueError, TypeError, OSError) as error:
        _show(error, [_first_line_red(shell, f"{type(error).__name__}: {error}")])
        raise
    except KeyboardInterrupt as error:
        said = str(error) or "Interrupted. What was not finished has left nothing behind."
        _show(error, [_first_line_red(shell, said)])
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
        beyond = error.__traceback__
        while beyond is not None and _is_ours(beyond):
            beyond = beyond.tb_next
        _show(error, shell.InteractiveTB.structured_traceback(type(error), error, beyond, tb_offset=0))
        raise


def hide_our_frames(shell: InteractiveShell) -> None:
    """Let every error of the workbench be shown with the user's own frames only, those of whoever calls it.

    Also what it says of wrong arguments, Ctrl-C in the middle of it, and what the user's code raises that it calls, which are anybody's errors: for these IPython
    has one handler, which is left to whoever has set it.
    """
    known = weakref.ref(shell)

    def lines(error: WorkbenchError) -> list[str]:
        shell = known()
        return [f"{type(error).__name__}: {error}"] if shell is None else _lines(shell, error)

    setattr(WorkbenchError, _HOOK, lines)
    if not shell.custom_exceptions:
        shell.set_custom_exc(_HANDLED, _show_any_error)


def _show_any_error(
    shell: InteractiveShell,
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType | None,
    tb_offset: int | None = None,
) -> None:
    # Where it shows a fault of ours, or of a library that we call, all is shown.
    frames = list(_frames(traceback))
    last = frames[-1] if frames else None
    refused = last is not None and _is_ours(last) and issubclass(kind, _PLAIN_ERRORS)
    from_users = last is not None and not _is_ours(last) and not _is_librarys(last)
    if any(map(_is_ours, frames)) and (refused or from_users or kind is KeyboardInterrupt):
        _show(error, lambda: _lines(shell, error))
    # Of a syntax error IPython shows all frames, or only the place in the text, which is in a line of a magic, not in what ran it.
    in_magic = issubclass(kind, SyntaxError) and _HOOK in error.__dict__
    shell.showtraceback((kind, error, traceback), tb_offset=tb_offset, running_compiled_code=not in_magic)


def show_all_frames(shell: InteractiveShell) -> None:
    """Undo :func:`hide_our_frames`."""
    if shell.custom_exceptions is _HANDLED:
        shell.set_custom_exc((), None)
    with contextlib.suppress(AttributeError):
        delattr(WorkbenchError, _HOOK)


def _frames(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _lines(shell: InteractiveShell, error: BaseException) -> list[str]:
    own = _without_ours(error.__traceback__)
    # What our own code made of another error says it in its message; what the user's code raised is shown, too.
    told = error.__suppress_context__
    error.__suppress_context__ = told or not _has_users(error.__context__)
    cause, error.__cause__ = error.__cause__, error.__cause__ if _has_users(error.__cause__) else None
    try:
        lines: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, own, tb_offset=0)
    finally:
        error.__cause__, error.__suppress_context__ = cause, told
    return lines


def _without_ours(traceback: TracebackType | None, *, below: bool = False) -> TracebackType | None:
    """Leave out our own frames, and those of libraries that we call; code of the user's that we call stays."""
    if traceback is None:
        return None
    ours = _is_ours(traceback)
    rest = _without_ours(traceback.tb_next, below=below or ours)
    if ours or (below and _is_librarys(traceback)) or "IPython" in traceback.tb_frame.f_globals.get("__name__", ""):
        return rest
    return TracebackType(rest, traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno)


def _is_ours(traceback: TracebackType) -> bool:
    return traceback.tb_frame.f_code.co_filename.startswith(_OURS)


def _is_librarys(traceback: TracebackType) -> bool:
    return traceback.tb_frame.f_code.co_filename.startswith(_LIBRARIES)


def _has_users(error: BaseException | None) -> bool:
    """Tell whether code that is neither ours nor a library's had a part in an error."""
    frames = _frames(None if error is None else error.__traceback__)
    return any(not _is_ours(each) and not _is_librarys(each) for each in frames)


def _show(error: BaseException, lines: list[str] | Callable[[], list[str]]) -> None:
    if _HOOK not in getattr(error, "__dict__", {}):
        with contextlib.suppress(AttributeError):  # a class with slots
            setattr(error, _HOOK, lines if callable(lines) else lambda: lines)


def _first_line_red(shell: InteractiveShell, text: str) -> str:
    if str(shell.colors).lower() == "nocolor" or "NO_COLOR" in os.environ:
        return text
    first, newline, rest = text.partition("\n")
    return f"{_RED}{first}{_PLAIN}{newline}{rest}"
