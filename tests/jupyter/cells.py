"""Cells that are run in an IPython shell, and what is shown then."""

from __future__ import annotations

import re
from typing import Any

from IPython.core.interactiveshell import InteractiveShell


def run(shell: InteractiveShell, cell: str) -> Any:
    """Run a cell and return its result, or raise its error."""
    result = shell.run_cell(cell)
    result.raise_error()
    return result.result


def plain(shown: str) -> str:
    """What was shown, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)
