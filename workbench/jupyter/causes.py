"""What in a notebook keeps shared memory: its variables, IPython's outputs (``Out``, ``_``), and the last error's traceback.

IPython remembers every value that a cell has shown, and the frames of the last error with all their local variables. So a
deleted variable does not mean that its memory is given back, and nobody sees why. After each cell the kernel notes what keeps which segment
in its process file (``store/processes.py``), so that ``wb.holders()`` in any process names the cause.

Covers looking, and letting go of what IPython keeps. How a value is searched is in ``reach.py``.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from IPython.core.interactiveshell import InteractiveShell

from workbench.current import active_session
from workbench.objects import format_nbytes
from workbench.reach import Reach
from workbench.session import Session
from workbench.store import Store

__all__ = ["AfterCell", "Keepers", "describe", "look", "note", "release_objects"]

AFTER_A_CELL: Final = 0.002
"""Seconds of processor time that looking may take after each cell, if anything is mapped; it takes a tenth of that in most notebooks."""
ON_REQUEST: Final = 2.0
_UNDERSCORES: Final = ("_", "__", "___")
_MOST_NAMED: Final = 5
_LAST_ERROR: Final = ("last_exc", "last_value", "last_traceback", "last_type")


@dataclass(slots=True)
class Keepers:
    """What keeps one segment."""

    variables: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    traceback: bool = False

    def __str__(self) -> str:
        parts = []
        if self.variables:
            more = len(self.variables) - _MOST_NAMED
            named = [*self.variables[:_MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
            parts.append(("variable " if len(self.variables) == 1 else "variables ") + ", ".join(named))
        hidden = self.outputs[:_MOST_NAMED] + (["the last error's traceback"] if self.traceback else [])
        if hidden:
            parts.append(f"{', '.join(hidden)} (%wb release clears)")
        return " and ".join(parts) or "no variable or output leads to it"


def look(shell: InteractiveShell, store: Store, seconds: float) -> dict[int, Keepers]:
    """Return what keeps each segment that is mapped, as far as the time suffices."""
    found: dict[int, Keepers] = defaultdict(Keepers)
    if not store.mapped():
        return found
    reach = _reach(shell, store, seconds)
    # The newest first, if there is no time for all.
    for number, value in reversed(list(_outputs(shell).items())):
        for segment in reach.segments(value):
            found[segment].outputs.insert(0, f"Out[{number}]")
    for name in _UNDERSCORES:
        # %reset -f out clears the first place only (IPython 9).
        for segment in reach.segments(*(place.get(name) for place in _places_of_underscores(shell))):
            found[segment].outputs.append(name)
    for segment in reach.segments(*_last_error()):
        found[segment].traceback = True
    for name, value in reversed(list(_variables(shell))):
        for segment in reach.segments(value):
            found[segment].variables.insert(0, name)
    if reach.complete:
        # A module, a library's cache (figures are in one), a thread: whoever reads that need not look in vain.
        for segment in store.mapped():
            found.setdefault(segment, Keepers())
    return found


def describe(found: Mapping[int, Keepers]) -> dict[int, str]:
    """Return what keeps each segment as text."""
    return {segment: str(keepers) for segment, keepers in found.items()}


def note(shell: InteractiveShell, store: Store, seconds: float = ON_REQUEST) -> None:
    """Write into the process file what keeps which segment."""
    store.set_causes(describe(look(shell, store, seconds)))


class AfterCell:
    """Called by IPython after each cell: gives back what nobody refers to any more, and notes what keeps the rest.

    A notebook that has nothing mapped pays a microsecond, and one in which no variable changed some more. A list that was changed in place is
    looked at again when any variable or any mapping changes.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = weakref.ref(shell)
        self._seen: tuple[Any, ...] | None = None

    def __call__(self, *_result: object) -> None:
        """Look, if there is anything to look at."""
        session, shell = active_session(), self._shell()
        if session is None or shell is None:
            return  # a cell that shares nothing opens no store
        session.store.settle()
        mapped = session.store.mapped()
        if not mapped:
            session.store.set_causes({})
            self._seen = None
            return
        names = tuple(map(id, shell.user_ns.values())), tuple(map(id, _outputs(shell).values()))
        seen = (mapped, id(getattr(sys, "last_value", None)), *names)
        if seen != self._seen:
            self._seen = seen
            note(shell, session.store, AFTER_A_CELL)


def _reach(shell: InteractiveShell, store: Store, seconds: float) -> Reach:
    barriers = (shell, shell.user_ns, shell.user_global_ns, shell.user_ns_hidden, _outputs(shell), sys.modules)
    return Reach(store.segment_at, seconds, barriers)


def _outputs(shell: InteractiveShell) -> dict[int, Any]:
    found: dict[int, Any] = shell.user_ns.get("_oh", {})
    return found


def _variables(shell: InteractiveShell) -> Iterator[tuple[str, Any]]:
    """Yield the user's own variables: not what IPython adds, and not ``_3``, which is ``Out[3]``."""
    hidden = shell.user_ns_hidden
    for name, value in list(shell.user_ns.items()):
        if name not in _UNDERSCORES and not (name in hidden and hidden[name] is value):
            yield name, value


def _last_error() -> list[Any]:
    """Return what IPython and Python keep of the last error; its frames have all their local variables."""
    return [getattr(sys, name, None) for name in _LAST_ERROR]


def release_objects(shell: InteractiveShell, session: Session, keys: Sequence[str]) -> str:
    """Let go of what IPython keeps of objects: outputs, and the last error if its frames do. The user's variables stay.

    Parameters
    ----------
    shell : InteractiveShell
    session : Session
    keys : sequence of str
        Names or ids of objects; none: everything that is mapped.

    Returns
    -------
    str
        What was cleared, how much memory that gave back, and which variables keep the rest.

    Raises
    ------
    ObjectNotFoundError
    """
    store = session.store
    mapped = store.mapped()
    wanted = frozenset[int]().union(*map(store.segments_of, keys)) if keys else mapped
    cleared = _release(shell, store, wanted & mapped)
    # Frames and errors refer to each other in circles.
    gc.collect()
    left = store.mapped() & wanted
    nbytes = store.nbytes_of((mapped & wanted) - left)
    lines = [f"Cleared {', '.join(cleared) or 'nothing'}; {format_nbytes(nbytes)} unmapped."]
    found = look(shell, store, ON_REQUEST)
    names = {name: None for segment in left if segment in found for name in found[segment].variables}
    if names:
        lines.append(f"Still mapped, {format_nbytes(store.nbytes_of(left))}: del {', '.join(names)}")
    elif left:
        lines.append(f"Still mapped, {format_nbytes(store.nbytes_of(left))}: by something that no variable leads to.")
    return "\n".join(lines)


def _release(shell: InteractiveShell, store: Store, segments: frozenset[int]) -> list[str]:
    """Let go of what IPython keeps of segments; return what was cleared."""
    reach = _reach(shell, store, ON_REQUEST)
    cleared = []
    for number, value in list(_outputs(shell).items()):
        if reach.segments(value) & segments:
            cleared.append(f"Out[{number}]")
            del _outputs(shell)[number]
            for namespace in (shell.user_ns, shell.user_ns_hidden):
                namespace.pop(f"_{number}", None)
    for name in _UNDERSCORES:
        if reach.segments(*(place.get(name) for place in _places_of_underscores(shell))) & segments:
            cleared.append(name)
            _clear_underscore(shell, name)
    if reach.segments(*_last_error()) & segments:
        cleared.append("the last error's traceback")
        for name in _LAST_ERROR:
            if hasattr(sys, name):
                delattr(sys, name)
        _forget_error(shell)
    # It refers to the last value and to the last error; IPython's own %reset does the same.
    shell.last_execution_result = None
    return cleared


def _places_of_underscores(shell: InteractiveShell) -> tuple[dict[str, Any], ...]:
    return shell.user_ns, shell.user_ns_hidden, vars(shell.displayhook)


def _clear_underscore(shell: InteractiveShell, name: str) -> None:
    # As IPython begins; all three, or it would take the value for one that the user assigned.
    for place in _places_of_underscores(shell):
        if name in place:
            place[name] = ""


def _forget_error(shell: InteractiveShell) -> None:
    tracebacks = shell.InteractiveTB
    tracebacks.tb = None
    # After %debug, the debugger refers to the frame that it was in.
    tracebacks.pdb = None
