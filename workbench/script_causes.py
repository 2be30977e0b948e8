"""What in a script keeps shared memory, as far as its variables tell: those of the module that runs, and of the functions that run at the moment.

Covers this process, when it lists holders: a script has no moment at which it could tell others, as a notebook has after each cell (``jupyter/causes.py``, which
says here how to look again when a cell asks). How a value is searched is in ``reach.py``.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workbench.reach import Reach

if TYPE_CHECKING:
    from workbench.store import Store

__all__ = ["causes", "look_with", "noted_in_notebook"]

_SECONDS: Final = 0.5
"""Of processor time."""
_MOST_NAMED: Final = 5
_OURS: Final = str(Path(__file__).parent)


_look: Callable[[Store], None] | None = None


def look_with(look: Callable[[Store], None] | None) -> None:
    """Say how a notebook notes what in it keeps what."""
    global _look  # noqa: PLW0603  # one notebook for each process
    _look = look


def noted_in_notebook(store: Store) -> bool:
    """Let the notebook that this process is note what in it keeps what, as of now; tell whether it is one that can."""
    if _look is None:
        return False
    _look(store)
    return True


def causes(store: Store) -> dict[int, str]:
    """Return which variables keep each segment that this process has mapped; what no variable leads to is left out."""
    if not store.mapped():
        return {}
    main = getattr(sys.modules.get("__main__"), "__dict__", {})
    reach = Reach(store.segment_at, _SECONDS, (main, sys.modules))
    found: dict[int, list[str]] = defaultdict(list)
    for name, value in (*_locals(), *list(main.items())):
        for segment in reach.segments(value):
            found[segment].append(name)
    return {segment: _text(names) for segment, names in found.items()}


def _locals() -> Iterator[tuple[str, Any]]:
    """Yield the variables of the functions of this thread."""
    # Before Python 3.13 whoever looks at them makes a dict of them that stays, and keeps what the function lets go of.
    frame = sys._getframe(1) if sys.version_info >= (3, 13) else None  # noqa: SLF001  # it has no public name
    while frame is not None:
        code = frame.f_code
        if code.co_name != "<module>" and not code.co_filename.startswith(_OURS):
            for name, value in frame.f_locals.items():
                yield f"{name} of {code.co_name}()", value
        frame = frame.f_back


def _text(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    named = [*names[:_MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
    return ("variable " if len(names) == 1 else "variables ") + ", ".join(named)
