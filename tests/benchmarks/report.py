"""Figures as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.benchmarks.measuring import Asked, Figure, Unit


def written(value: float, unit: Unit) -> str:
    """Return a value for people."""
    if unit == "/s":
        return f"{value:,.0f} /s"
    if unit in ("us", "MiB", "ms"):
        return f"{value:.1f} {unit}"
    return f"{value:.2f} {unit}" if unit else f"{value:g}"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text in columns; the first is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def table(figures: Sequence[Figure]) -> str:
    """Return figures as a table, with what was asked and whether it was reached."""
    rows = [("what", "measured", "of memcpy", "asked", "", "")]
    for figure in figures:
        share = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        reached = "" if figure.asked is None else "yes" if figure.asked.met(figure) else "NO"
        rows.append(
            (
                figure.what,
                written(figure.value, figure.unit),
                share,
                _asked(figure.asked, figure.unit),
                reached,
                figure.note,
            )
        )
    return columns(rows)


def _asked(asked: Asked | None, unit: Unit) -> str:
    if asked is None:
        return ""
    bound = f"{asked.bound:g} of memcpy" if asked.of == "ratio" else written(asked.bound, unit)
    return f"{'at least' if asked.at_least else 'at most'} {bound}"


def as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Return figures as what JSON can say."""
    return [
        {
            "what": figure.what,
            "value": figure.value,
            "unit": figure.unit,
            "ratio": figure.ratio,
            "asked": None if figure.asked is None else _asked(figure.asked, figure.unit),
            "reached": None if figure.asked is None else figure.asked.met(figure),
            "note": figure.note,
        }
        for figure in figures
    ]
