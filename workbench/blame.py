"""Where a warning of the workbench points: at the line of the user's that called it, however deep below it the reason was found."""

from __future__ import annotations

import sys
from typing import Final

__all__ = ["users_level"]

_NOT_THE_USERS: Final = frozenset({"workbench", "IPython"})
"""Packages whose frames a user has not written: in a notebook, what runs a magic."""


def users_level() -> int:
    """Return the ``stacklevel`` with which a warning of the function that calls this points at the user's own line."""
    frame, level = sys._getframe(1), 1  # noqa: SLF001  # what the warnings module does itself
    while str(frame.f_globals.get("__name__")).partition(".")[0] in _NOT_THE_USERS and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    return level
