"""Values as text for people: sizes, ages, shapes and names, and one value or many as a table of text or HTML.

Covers writing only, and knows none of the values: which columns they have is in ``listing.py``, what they are in ``objects.py``. Every text is escaped: a
name is text, whatever it holds.
"""

from __future__ import annotations

import dataclasses
import html
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

__all__ = [
    "age",
    "are",
    "counted",
    "fields_of",
    "format_nbytes",
    "html_fields",
    "html_table",
    "printable",
    "process_text",
    "shape_text",
    "text_fields",
    "text_table",
]

_LONGEST_CELL: Final = 60
_LONGEST_TEXT: Final = 4000
_NARROWEST: Final = 30
"""Characters of a line of words; a terminal that has less room breaks it by itself."""
_PROSE: Final = frozenset({"why", "reason", "gives up", "held by", "note"})
"""Titles of columns that say something in words."""
_SIZES: Final = frozenset(
    {"nbytes", "shared_nbytes", "capacity", "used", "pooled", "sealed", "writing", "held", "spilled", "cached"}
    | {"done_nbytes", "total_nbytes"}
)
_MOMENTS: Final = frozenset({"created", "last_used", "since", "heartbeat", "started", "ended", "time"})
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


def process_text(kind: str, label: str, pid: int, remark: str = "") -> str:
    """Write which process something is: ``kernel a.ipynb (pid 7)``. The label of a kernel without a notebook says what it is by itself."""
    title = label if label.startswith(f"{kind} ") else f"{kind} {label}"
    return f"{title} (pid {pid}{remark})"


def counted(number: int, thing: str) -> str:
    """Write how many things there are: ``1 object``, ``2,000 objects``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def are(number: int, thing: str) -> str:
    """Write that there are so many things: ``1 object is``, ``2 objects are``."""
    return f"{counted(number, thing)} {'is' if number == 1 else 'are'}"


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
        if not field.repr:
            continue
        item = getattr(value, field.name)
        if field.name in _SIZES and item is not None:
            pairs.append((field.name, f"{format_nbytes(item)} ({item:,} bytes)"))
        elif field.name == "notes" and item:
            pairs += [("notes" if at == 0 else "", note) for at, note in enumerate(item)]
        elif field.name in _MOMENTS and item is not None:
            pairs.append((field.name, f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(item))} ({age(item)})"))
        else:
            pairs.append((field.name, _field_text(field.name, item)))
    return pairs


def _field_text(name: str, item: Any) -> str:
    if item is None:
        return ""
    if name in _WRITTEN:
        return _WRITTEN[name](item)
    if isinstance(item, dict):
        return ", ".join(f"{key}: {value}" if key else str(value) for key, value in item.items())
    return ", ".join(str(part) for part in item) if isinstance(item, tuple) else str(item)


_WRITTEN: Final[dict[str, Callable[[Any], str]]] = {
    "shape": shape_text,
    "ttl": lambda seconds: f"{seconds:g} s",
    "rate": lambda nbytes: f"{format_nbytes(round(nbytes))}/s",
    "eta": lambda seconds: f"{seconds:.0f} s",
    "reasons": "; ".join,
    "replicas": lambda replicas: ", ".join(f"{replica.node_name} ({replica.state})" for replica in replicas),
}
"""How fields of these names are written."""


def text_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align cells under their titles for a terminal; numbers go to the right. What is said in words is never cut, and is the last column."""
    cells = [
        [printable(cell, None if title in _PROSE else _LONGEST_CELL) for title, cell in zip(titles, row, strict=True)]
        for row in rows
    ]
    widths = [max([len(title), *(len(row[at]) for row in cells)]) for at, title in enumerate(titles)]
    is_prose = bool(titles) and titles[-1] in _PROSE
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = _terminal_width() - indent
    lines = []
    for row in [list(titles), *cells]:
        first, *more = textwrap.wrap(row[-1], max(room, _NARROWEST)) if is_prose and row[-1] else row[-1:] or [""]
        padded = [
            cell.rjust(width) if title in _NUMBERS else cell.ljust(width)
            for cell, width, title in zip(
                [*row[:-1], first], [*widths[:-1], 0 if is_prose else widths[-1]], titles, strict=True
            )
        ]
        lines.append("  ".join(padded).rstrip())
        lines += [" " * indent + part for part in more]
    return "\n".join(lines)


def _terminal_width() -> int:
    """Return the columns of the terminal; what goes elsewhere, to a file or the next program, is not to be broken."""
    try:
        return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    except (AttributeError, ValueError):  # a stream that was put in its place, or is closed
        return sys.maxsize


def text_fields(pairs: Iterable[tuple[str, str]]) -> str:
    """Align the fields of one value for a terminal."""
    pairs = list(pairs)
    width = max((len(title) for title, _ in pairs), default=0)
    return "\n".join(f"{title.ljust(width)}  {printable(text)}".rstrip() for title, text in pairs)


def html_table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, more: str = "") -> str:
    """Return a table as pandas would show it, in the colours of whoever shows it; every text is escaped.

    Parameters
    ----------
    titles : sequence of str
    rows : sequence of sequence of str
    more : str
        What is said below it.
    """
    sides = ["right" if title in _NUMBERS else "left" for title in titles]
    head = "".join(
        f'<th scope="col" style="text-align: {side}">{html.escape(title)}</th>'
        for title, side in zip(titles, sides, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align: {side}">{_html_cell(cell, whole=title in _PROSE)}</td>'
            for cell, side, title in zip(row, sides, titles, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    table = f'<table border="1" class="dataframe"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f"{table}<p>{html.escape(more)}</p>" if more else table


def html_fields(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the fields of one value as a table of two columns; every text is escaped."""
    body = "".join(
        f'<tr><th scope="row" style="text-align: left">{html.escape(title)}</th>'
        f'<td style="text-align: left">{_html_cell(text, whole=True)}</td></tr>'
        for title, text in pairs
    )
    return f'<table border="1" class="dataframe"><tbody>{body}</tbody></table>'


def _html_cell(text: str, *, whole: bool) -> str:
    short = printable(text, _LONGEST_TEXT if whole else 4 * _LONGEST_CELL)
    return f"<bdi>{html.escape(short)}</bdi>"
