"""Structural sharing: what a shared frame with one more column costs, beside that column alone."""

from __future__ import annotations

import statistics

import numpy as np
import pandas as pd

from tests.benchmarks import data
from tests.benchmarks.measuring import MIB, Figure, Scale, at_most, new_session, seconds
from workbench import Session

_COLUMNS = 16


def one_more_column(scale: Scale) -> list[Figure]:
    """Put a frame, get it, and put it again with one new column."""
    rows = scale.nbytes // _COLUMNS // 8
    with new_session(2 * scale.nbytes) as session:
        session.put(pd.DataFrame(data.array(scale.nbytes).reshape(_COLUMNS, rows).T), "frame")
        shared, column = session.get("frame"), data.array(rows * 8)
        wider = shared.assign(more=column)
        both: list[float] = []
        alone: list[float] = []
        before = _occupied(session)
        # The first of each finds no pages that were used before; then both meet the same segments.
        for _ in range(scale.repeats + 1):
            both.append(seconds(lambda: session.put(wider, "wider")))
            more = _occupied(session) - before
            pd.testing.assert_frame_equal(session.get("wider"), wider)
            session.delete("wider")
            alone.append(seconds(lambda: session.put(column, "column")))
            session.delete("column")
        session.put(shared, "again")
        session.delete("frame")
        assert np.array_equal(session.get("again"), shared)
    time = statistics.median(both[1:]) / statistics.median(alone[1:])
    mib = scale.nbytes // MIB
    return [
        Figure(f"{mib} MiB frame plus one column: time, in puts of a column", time, "x", asked=at_most(1.25)),
        Figure("... memory, in columns", more / column.nbytes, "x", asked=at_most(1.05)),
    ]


def _occupied(session: Session) -> int:
    """Return the bytes of all objects, and of what is deleted but mapped: each counted once."""
    memory = session.memory()
    return memory.sealed + memory.deleted
