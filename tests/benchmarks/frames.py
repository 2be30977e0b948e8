"""DataFrames of mixed columns: put, the private memory that a put takes, and get."""

from __future__ import annotations

import gc
import statistics

import pandas as pd

from tests.benchmarks import data
from tests.benchmarks.measuring import (
    MIB,
    Figure,
    Memcpy,
    Scale,
    at_most,
    median_us,
    new_session,
    private_growth,
    ratio,
    seconds,
    speed,
)
from tests.processes import Process
from workbench import Session


def large_frame(scale: Scale) -> list[Figure]:
    """Put and get of a mixed frame of eleven columns, two of them strings."""
    with new_session(scale.nbytes) as session:
        nbytes, first, puts, memcpy = _puts(session, scale)
        gc.collect()
        latency = median_us(lambda: session.get("frame"))
        session.delete("frame")
        with Process(session.store.directory) as process:
            private = _private_nbytes_while_putting(process, scale.nbytes)
    what = f"mixed frame of {nbytes // MIB} MiB, 11 columns"
    return [
        speed(f"first put of a {what}", nbytes, first, memcpy),
        speed(f"repeated put of a {what}", nbytes, puts, memcpy, ratio(0.7)),
        Figure("... private memory that it takes meanwhile", private / MIB, "MiB", asked=at_most(16)),
        Figure("... get", latency, "us", asked=at_most(100)),
    ]


def _puts(session: Session, scale: Scale) -> tuple[int, float, float, float]:
    """Return the frame's bytes, and the seconds of its first put, of a later one, and of a memcpy."""
    frame = data.wide_frame(scale.nbytes)
    first = seconds(lambda: session.put(frame, "frame"))
    nbytes = session.info("frame").nbytes
    memcpy, puts = Memcpy(nbytes), []
    for _ in range(scale.repeats):
        session.delete("frame")
        puts.append(seconds(lambda: session.put(frame, "frame")))
        memcpy.take()
    pd.testing.assert_frame_equal(session.get("frame"), frame)
    return nbytes, first, statistics.median(puts), memcpy.median


def _private_nbytes_while_putting(process: Process, nbytes: int) -> int:
    """Return by how much the private memory of another process grows at most while it puts a frame that it has."""
    # Twice: what is imported and made once belongs to no put. What is free to be used again in the heap is given back before.
    process.do(
        "import ctypes, gc, pyarrow\n"
        "import workbench as wb\n"
        "from tests.benchmarks import data\n"
        f"frame = data.wide_frame({nbytes})\n"
        "wb.put(frame, 'frame'); wb.delete('frame'); gc.collect()\n"
        "pyarrow.default_memory_pool().release_unused(); ctypes.CDLL(None).malloc_trim(0)"
    )
    return private_growth([process.pid], lambda: process.do("wb.put(frame, 'frame')"))


def latencies(scale: Scale) -> list[Figure]:
    """Get of a 10-column frame, of few and of many rows."""
    figures, medians = [], []
    with new_session(scale.rows * 100) as session:
        for rows in scale.frame_rows:
            frame = data.mixed_frame(rows)
            session.put(frame, "frame")
            pd.testing.assert_frame_equal(session.get("frame"), frame)
            del frame
            gc.collect()
            medians.append(median_us(lambda: session.get("frame")))
            figures.append(Figure(f"get of a 10-column frame of {rows:,} rows", medians[-1], "us", asked=at_most(60)))
    return [*figures, Figure("... largest beside smallest", medians[-1] / medians[0], "x", asked=at_most(1.25))]
