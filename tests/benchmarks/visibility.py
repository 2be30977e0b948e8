"""From the end of a put in one process until its name is in the cluster's catalog, where every node sees it, beside an event of Dask's own.

The put is made by a process that knows nothing of the cluster, on the second node; the first node's process asks the scheduler for a page of a listing, again and
again, which, unlike asking for an unknown name, makes no node announce anything. So an answer, which has its own line, is the finest that can be seen. Dask's event goes
from a client to the scheduler and back to its handler.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence

import workbench as wb
from tests.benchmarks.measuring import Figure, Scale, Unit, at_most, scratch
from tests.processes import Process
from workbench.cluster import ClusterClient
from workbench.local_cluster import LocalCluster

_PATIENCE = 30.0


def puts(scale: Scale) -> list[Figure]:
    """Measure some hundred puts, one after the other, at moments that have nothing to do with the cluster's own clocks."""
    number = 20 if scale.repeats < 5 else 300
    with scratch() as directory:
        previous = wb.use_session(wb.Session(directory / "store"))
        try:
            with wb.LocalCluster(nodes=2, capacity="256 MiB", dashboard_address=":0", threads_per_worker=1) as cluster:
                wb.connect(cluster)
                return _figures(*_measure(cluster, number))
        finally:
            mine = wb.use_session(previous)
            if mine is not None:
                mine.close()


def _measure(cluster: LocalCluster, number: int) -> tuple[list[float], list[float], list[float]]:
    seen = wb.current_session().cluster
    assert seen is not None
    seconds: list[float] = []
    answers: list[float] = []
    with Process(cluster.directories[1]) as kernel:
        kernel.do("import workbench as wb, time, random; wb.put(0, 'first')")
        for turn in range(number):
            kernel.start(f"time.sleep(random.random() * 0.05); wb.put({turn}, 'name-{turn}'); result = time.time()")
            visible = _await(seen, f"name-{turn}", answers)
            seconds.append(max(0.0, visible - float(kernel.finish())))
        seen.forget([info.id for info in seen.ls()])
    return seconds, answers, _events(seen, number)


def _await(seen: ClusterClient, name: str, answers: list[float]) -> float:
    deadline = time.monotonic() + _PATIENCE
    while True:
        asked = time.time()
        found = seen.page(name, limit=1).objects
        answers.append(time.time() - asked)
        if found:
            return time.time()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name} did not become visible within {_PATIENCE:g} s")
        time.sleep(0.0005)


def _events(seen: ClusterClient, number: int) -> list[float]:
    heard = threading.Event()
    seen.client.subscribe_topic("benchmark", lambda _: heard.set())
    seconds = []
    for turn in range(number):
        heard.clear()
        began = time.perf_counter()
        seen.client.log_event("benchmark", turn)
        if not heard.wait(_PATIENCE):
            raise RuntimeError("an event of Dask's did not come back")
        seconds.append(time.perf_counter() - began)
    seen.client.unsubscribe_topic("benchmark")
    return seconds


def _figures(puts: Sequence[float], answers: Sequence[float], events: Sequence[float]) -> list[Figure]:
    ms: Unit = "ms"
    return [
        Figure("a put is visible on all nodes, median", 1e3 * statistics.median(puts), ms, asked=at_most(50)),
        Figure("... the slowest of a hundred (p99)", 1e3 * _p99(puts), ms, asked=at_most(50)),
        Figure("... in events of Dask's, median", statistics.median(puts) / statistics.median(events), "x"),
        Figure("an event of Dask's, there and back, median", 1e3 * statistics.median(events), ms),
        Figure("... p99", 1e3 * _p99(events), ms),
        Figure("an answer of the scheduler, median", 1e3 * statistics.median(answers), ms),
    ]


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.99 * len(values)))]
