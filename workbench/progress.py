"""How far long work is: who does it counts, and shows it if somebody has said how in this process.

Covers counting and when something is shown: from half a second on, ten times a second at most, by the thread that does the work. How it looks in a notebook is
``jupyter/bars.py``, at a terminal :class:`TerminalLine`. Where nobody said anything it is a line for what the main thread of a script does whose errors go to a
terminal, unless the setting ``workbench.progress`` is off. Elsewhere nothing is shown, and counting costs next to nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final, Protocol, TextIO

from workbench import config
from workbench.texts import counted, format_nbytes, printable

__all__ = ["Display", "TerminalLine", "Work", "current", "is_shown", "show_with", "working"]

PATIENCE: Final = 0.5
"""Seconds that work takes before anything of it is shown."""
_TURN: Final = 0.1
_NBYTES: Final = "bytes"


class Work:
    """One piece of long work.

    Parameters
    ----------
    what : str
        What is done, for people: ``put flights``.
    total : int
        How many bytes, or of the things that `unit` names; 0: that is not known.
    unit : str
        ``bytes``, or what is counted, one of it: ``partition``.
    """

    def __init__(self, what: str, total: int, unit: str = _NBYTES) -> None:
        self.what = what
        self.total = total
        self.unit = unit
        self.done = 0
        self.began = time.monotonic()
        self._thread = threading.get_ident()
        self._next = self.began + PATIENCE
        self.is_shown = False

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def text(self) -> str:
        """What is done and how far, in one line."""
        seconds = time.monotonic() - self.began
        text = f"{printable(self.what, 80)}: {self._so_far}"
        if self.done and seconds > PATIENCE:
            if self.unit == _NBYTES:
                text += f", {format_nbytes(round(self.done / seconds))}/s"
            if self.total:
                text += f", {seconds * max(0, self.total - self.done) / self.done:.0f} s left"
        return text

    @property
    def summary(self) -> str:
        """What has been done, when it is over."""
        amount = format_nbytes(self.done) if self.unit == _NBYTES else self._so_far
        return f"{printable(self.what, 80)}: {amount} in {time.monotonic() - self.began:.1f} s"

    @property
    def _so_far(self) -> str:
        if self.unit == _NBYTES:
            return format_nbytes(self.done) + (f" of {format_nbytes(self.total)}" if self.total else "")
        return f"{self.done:,} of {counted(self.total, self.unit)}" if self.total else counted(self.done, self.unit)

    def advance(self, amount: int) -> None:
        """So much more is done; any thread may say that."""
        self.reach(self.done + amount)

    def reach(self, done: int, total: int | None = None) -> None:
        """So much is done in all, of as much as `total` says from now on."""
        self.done = done
        if total is not None:
            self.total = total
        now = time.monotonic()
        if now < self._next or _display is None or threading.get_ident() != self._thread:
            return
        self._next = now + _TURN
        self.is_shown = True
        _display.show(self)


class Display(Protocol):
    """What shows work; its methods are called by the thread that does it."""

    def show(self, work: Work) -> None:
        """Show how far it is."""

    def end(self, work: Work, *, failed: bool) -> None:
        """Show that it is over, or that it `failed`, or was interrupted; it was shown before."""


_display: Display | None = None
_pid = os.getpid()
"""Of the process that has chosen the display: a forked child has no notebook."""
_is_chosen = False
_is_default = False
"""Whether somebody has said how work is shown, and whether it is shown because nobody has."""
_own = threading.local()


def show_with(display: Display | None) -> Display | None:
    """Choose how this process shows long work; return how it did before. None: not at all."""
    global _display, _pid, _is_chosen, _is_default  # one for each process
    previous, _display, _pid = None if _is_default else _display, display, os.getpid()
    _is_chosen, _is_default = True, False
    return previous


def _choose() -> None:
    """Show work at the terminal of a script, where nobody has said anything; the children of one do not write into its line."""
    global _display, _is_chosen, _is_default  # noqa: PLW0603  # likewise
    _is_chosen = True
    stream = sys.stderr
    try:
        at_terminal = stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return
    process = sys.modules.get("multiprocessing.process")
    is_child = _pid != os.getpid() or (process is not None and process.parent_process() is not None)
    if at_terminal and not is_child and config.get_flag("progress"):
        _display, _is_default = TerminalLine(stream), True


def is_shown() -> bool:
    """Tell whether anybody would see how far work is, so that it is worth asking."""
    if not _is_chosen:
        _choose()
    if _display is None or _pid != os.getpid():
        return False
    return not _is_default or threading.current_thread() is threading.main_thread()


def current() -> Work | None:
    """Return the work that this thread does at the moment, if anybody would see how far it is."""
    return getattr(_own, "work", None)


@contextlib.contextmanager
def working(what: str, total: int, unit: str = _NBYTES) -> Iterator[Work]:
    """Count work for as long as the block takes. What is part of other work of this thread is not shown by itself."""
    work = Work(what, total, unit)
    if not is_shown() or current() is not None:
        work._next = float("inf")  # noqa: SLF001  # our own
        yield work
        return
    _own.work = work
    failed = True
    try:
        yield work
        failed = False
    finally:
        _own.work = None
        if work.is_shown and _display is not None:
            _display.end(work, failed=failed)


class TerminalLine:
    """Shows work in the last line of a terminal, which is empty again at the end.

    Parameters
    ----------
    stream : text file
        A terminal.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream

    def show(self, work: Work) -> None:
        """Write over the line."""
        filled = round(20 * work.fraction)
        self._write(f"\r\x1b[K[{'#' * filled}{'.' * (20 - filled)}] {work.text}")

    def end(self, work: Work, *, failed: bool) -> None:  # noqa: ARG002  # as any display
        """Clear the line."""
        self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a terminal that is gone does not stop the work
            self._stream.write(text)
            self._stream.flush()
