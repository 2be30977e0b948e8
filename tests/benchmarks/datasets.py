"""Datasets beside Dask's own persist and published datasets, in one cluster and one run."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client, wait

import workbench as wb
from tests.benchmarks.measuring import MIB, Figure, Scale, at_least, at_most, scratch, seconds
from workbench import Session
from workbench.local_cluster import LocalCluster

_COLUMNS, _PARTS = 8, 16


def _part(number: int, rows: int) -> pd.DataFrame:
    generator = np.random.default_rng(number)
    return pd.DataFrame({f"x{column}": generator.random(rows) for column in range(_COLUMNS)})


def _frame(nbytes: int, salt: int) -> dd.DataFrame:
    rows = nbytes // _COLUMNS // 8 // _PARTS
    numbers = [salt * _PARTS + number for number in range(_PARTS)]
    made: dd.DataFrame = dd.from_map(_part, numbers, rows=rows, meta=_part(0, 1).iloc[:0])
    return made


@contextmanager
def _cluster(nbytes: int) -> Iterator[tuple[Client, Client]]:
    with scratch() as directory:
        # The workers must find this store, whatever the settings of who measures say.
        kept = os.environ.get("WORKBENCH_DIR")
        os.environ["WORKBENCH_DIR"] = str(directory / "store")
        previous = wb.use_session(Session(directory / "store"))
        try:
            options: dict[str, Any] = {
                "dashboard_address": ":0",
                "threads_per_worker": 1,
                "memory_limit": 0,
                "capacity": 4 * nbytes + 512 * MIB,
            }
            with (
                LocalCluster(nodes=1, workers_per_node=2, **options) as cluster,
                Client(cluster.scheduler_address) as client,
                Client(cluster, set_as_default=False) as other,
            ):
                yield client, other
        finally:
            mine = wb.use_session(previous)
            if mine is not None:
                mine.close()
            os.environ.pop("WORKBENCH_DIR")
            if kept is not None:
                os.environ["WORKBENCH_DIR"] = kept


def datasets(scale: Scale) -> list[Figure]:
    """Persist a frame both ways; then open it in another client and sum a column, beside fetching it from Dask."""
    shared, own, opened, fetched = [], [], [], []
    with _cluster(scale.nbytes) as (client, other):
        for turn in range(max(2, scale.repeats // 2 + 1)):
            frame = _frame(scale.nbytes, turn)
            own.append(seconds(lambda frame=frame: wait(frame.persist())))  # type: ignore[misc]
            shared.append(seconds(lambda frame=frame: frame.persist_shared("frame")))  # type: ignore[misc]
        kept = frame.persist()
        wait(kept)
        client.publish_dataset(frame=kept)
        for _ in range(3):
            opened.append(seconds(lambda: other.compute(wb.open("frame").x3.sum(), sync=True)))
            fetched.append(seconds(lambda: float(other.get_dataset("frame").compute(scheduler=other).x3.sum())))
        total = other.compute(wb.open("frame").x3.sum(), sync=True)
        assert np.isclose(total, kept.x3.sum().compute())
        client.unpublish_dataset("frame")
        wb.delete("frame")
    ratio = statistics.median(shared) / statistics.median(own)
    faster = statistics.median(fetched) / statistics.median(opened)
    mib = scale.nbytes // MIB
    return [
        Figure(
            f"{mib} MiB Dask DataFrame: persist_shared, in persists",
            ratio,
            "x",
            asked=at_most(1.15),
            note=f"{statistics.median(shared):.2f} s",
        ),
        Figure(
            "... opened by another client, a column summed: times faster than get_dataset().compute()",
            faster,
            "x",
            asked=at_least(20),
            note=f"{statistics.median(opened) * 1e3:.0f} ms",
        ),
    ]
