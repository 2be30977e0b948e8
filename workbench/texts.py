"""Values as text for people: sizes, ages, shapes and names, and one value or many as a table of text or HTML.

Covers writing only, and knows none of the values: which columns they have is in ``listing.py``, what they are in ``objects.py``. Every text is escaped: a
name is text, whatever it holds.
"""

from __future__ import annotations

import dataclasses
import html
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

__all__ = [
    "age",
    "counted",
    "fields_of",
    "format_nbytes",
    "html_fields",
    "html_table",
    "printable",
    "shape_text",
    "text_fields",
    "text_table",
]

_LONGEST_CELL: Final = 60
_SIZES: Final = frozenset(
    {"nbytes", "shared_nbytes", "capacity", "used", "pooled", "sealed", "writing", "held", "spilled", "cached"}
)
_MOMENTS: Final = frozenset({"created", "last_used", "since", "heartbeat"})
"""Fields of values that are bytes, and seconds since the epoch."""
_NUMBERS: Final = frozenset({"size", "shared", "used", "capacity", "pid", "workers", "objects", "value", "of memcpy"})


def format_nbytes(nbytes: int) -> str:
    """Return a size for people, in binary units: ``512 B``, ``1.5 GiB``."""
    if abs(nbytes) < 1024:
        return f"{nbytes} B"
    size = float(nbytes)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if abs(size) < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


def counted(number: int, thing: str) -> str:
    """Write how many things there are: ``1 object``, ``2,000 objects``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def age(moment: float, now: float | None = None) -> str:
    """Write how long ago `moment` (seconds since the epoch) was."""
    seconds = max(0.0, (time.time() if now is None else now) - moment)
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // divisor)} {unit} ago"
    return f"{int(seconds // 86400)} d ago"


def shape_text(shape: Sequence[int] | None) -> str:
    """Write a shape for people: ``336,776 x 19``; empty where there is none."""
    if shape is None:
        return ""
    return " x ".join(f"{length:,}" for length in shape) if shape else "scalar"


def printable(text: str, limit: int | None = None) -> str:
    """Make a name safe for one line of a terminal: what does not print is escaped, what is too long is cut.

    Names may hold anything, also newlines, escape sequences and marks that turn the direction of writing.
    """
    safe = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return safe if limit is None or len(safe) <= limit else safe[: limit - 1] + "…"


def fields_of(value: Any) -> list[tuple[str, str]]:
    """Return the fields of one value as pairs of a title and a text, sizes and times written for people."""
    pairs = []
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if field.name in _SIZES and item is not None:
            pairs.append((field.name, f"{format_nbytes(item)} ({item:,} bytes)"))
        elif field.name in _MOMENTS and item is not None:
            pairs.append((field.name, f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(item))} ({age(item)})"))
        else:
            pairs.append((field.name, _field_text(field.name, item)))
    return pairs


def _field_text(name: str, item: Any) -> str:
    if item is None:
        return ""
    if name in {"ttl", "shape"}:
        return shape_text(item) if name == "shape" else f"{item:g} s"
    if name == "replicas":
        return ", ".join(f"{replica.node_name} ({replica.state})" for replica in item)
    if isinstance(item, dict):
        return ", ".join(f"{key}: {value}" if key else str(value) for key, value in item.items())
    if isinstance(item, tuple):
        return ", ".join(str(part) for part in item)
    return str(item)


def text_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align cells under their titles for a terminal; numbers go to the right."""
    cells = [[printable(cell, _LONGEST_CELL) for cell in row] for row in rows]
    widths = [max([len(title), *(len(row[at]) for row in cells)]) for at, title in enumerate(titles)]
    lines = []
    for row in [list(titles), *cells]:
        padded = [
            cell.rjust(width) if title in _NUMBERS else cell.ljust(width)
            for cell, width, title in zip(row, widths, titles, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def text_fields(pairs: Iterable[tuple[str, str]]) -> str:
    """Align the fields of one value for a terminal."""
    pairs = list(pairs)
    width = max((len(title) for title, _ in pairs), default=0)
    return "\n".join(f"{title.ljust(width)}  {printable(text)}".rstrip() for title, text in pairs)


def html_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as pandas would show it; every text is escaped."""
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{_html_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table border="1" class="dataframe"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def html_fields(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the fields of one value as a table of two columns; every text is escaped."""
    body = "".join(f"<tr><th>{html.escape(title)}</th><td>{_html_cell(text)}</td></tr>" for title, text in pairs)
    return f'<table border="1" class="dataframe"><tbody>{body}</tbody></table>'


def _html_cell(text: str) -> str:
    short = printable(text, 4 * _LONGEST_CELL)
    return f"<bdi>{html.escape(short)}</bdi>"
