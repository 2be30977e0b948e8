"""Where the files of the page lie. Apart from the widget, which cannot be imported without them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["SCRIPT", "STYLE"]

_STATIC: Final = Path(__file__).parent / "static"
SCRIPT: Final = _STATIC / "browser.js"
STYLE: Final = _STATIC / "browser.css"
"""Both are made by ``extension/toolchain.py``."""
