"""A catalog of a million objects: what a get and a page of a listing cost then, and whether filters use an index."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from tests.benchmarks.measuring import Figure, Scale, at_most, median_us, new_session, seconds
from workbench import Session

_PAGE = 50


def many_objects(scale: Scale) -> list[Figure]:
    """Compare a store of many objects to a nearly empty one."""
    with new_session(scale.catalog * 512) as empty, new_session(scale.catalog * 512) as full:
        array = np.zeros(4)
        for session in (empty, full):
            session.put(array, "sought")
            session.put(pd.DataFrame({"x": array}), "frame")
        took = _fill(full, scale.catalog)
        # In turns, so that whatever else the machine does meets both alike.
        gets: dict[str, list[float]] = {"few": [], "many": []}
        for _ in range(5):
            gets["few"].append(median_us(lambda: empty.get("sought")))
            gets["many"].append(median_us(lambda: full.get("sought")))
        few, many = min(gets["few"]), min(gets["many"])
        count = f"{scale.catalog:,} objects"
        return [
            Figure(f"puts until the catalog has {count}", scale.catalog / took, "/s"),
            Figure(f"get with {count} beside get with 2", many / few, "x", asked=at_most(1.3), note=f"{many:.1f} us"),
            *_listings(full),
        ]


def _fill(session: Session, count: int) -> float:
    """Put small arrays, every tenth with a name; return the seconds that it took."""
    array = np.zeros(4)
    put_many = getattr(session, "put_many", None)

    def fill() -> None:
        named = count // 10
        for number in range(named):
            session.put(array, f"group-{number % 100:02}/{number:07}")
        rest = count - named
        if put_many is None:
            for _ in itertools.repeat(None, rest):
                session.put(array)
            return
        for start in range(0, rest, 1000):
            put_many([array] * min(1000, rest - start))

    return seconds(fill)


def _listings(session: Session) -> list[Figure]:
    store = session.store
    pages: dict[str, Callable[[], Any]] = {
        "a page of a listing": lambda: store.ls(limit=_PAGE),
        "... by prefix": lambda: store.ls("group-42/*", limit=_PAGE),
        "... by kind": lambda: store.ls(kind="dataframe", limit=_PAGE),
        "... by prefix and kind": lambda: store.ls("group-42/*", kind="array", limit=_PAGE),
    }
    figures = []
    for what, page in pages.items():
        scans = _scans(session, page)
        took = median_us(page, times=5) / 1000
        note = f"without an index: {'; '.join(scans)}" if scans else "by index"
        figures.append(Figure(f"{what}, limit {_PAGE}", took, "ms", asked=at_most(10), note=note))
    return figures


def _scans(session: Session, action: Callable[[], Any]) -> list[str]:
    """Return what SQLite's plans say of the tables that the statements of an action read from end to end."""
    reader: sqlite3.Connection = session.store.catalog._reader
    statements: list[str] = []
    reader.set_trace_callback(statements.append)
    try:
        action()
    finally:
        reader.set_trace_callback(None)
    found = []
    for statement in statements:
        plan = [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {statement}")]
        # Newest first with a limit reads the table backwards, and stops after a page, unless a condition leaves rows out.
        filtered = "GLOB" in statement or "kind =" in statement
        # A subquery's rows, of which a limit leaves some hundred, come from a step of their own, which says how they are found.
        is_no_table = ("CONSTANT", "(subquery-")
        found += [
            step for step in plan if step.startswith("SCAN") and filtered and not any(map(step.count, is_no_table))
        ]
    return sorted(set(found))
