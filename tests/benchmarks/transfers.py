"""From node to node: a raw socket between two processes, the workbench between the same two, and what Dask itself does, in turns.

The raw socket moves the bytes from warm memory into warm memory, in pieces as large as the workbench's ranges. The workbench makes a replica,
into a segment that it has used before; Dask fetches the input of a task. Where a machine is busy, compare the processor time of both processes.
"""

from __future__ import annotations

import os
import socket
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from distributed import Client

import workbench as wb
from tests.benchmarks.measuring import GIB, MIB, Figure, Scale, at_least, at_most, private_growth, scratch, seconds
from workbench import config
from workbench.local_cluster import LocalCluster

_STEP = 8 * MIB
_here: dict[str, Any] = {}
"""What the functions that run in a worker keep there from one call to the next."""


def _make(nbytes: int) -> np.ndarray[Any, Any]:
    return np.arange(nbytes // 8)


def _prepare(nbytes: int) -> int:
    """In each worker: make memory warm, and listen."""
    _here["memory"] = np.ones(nbytes, np.uint8).data
    _here["server"] = socket.create_server(("127.0.0.1", 0))
    port: int = _here["server"].getsockname()[1]
    return port


def _send() -> None:
    peer, _ = _here["server"].accept()
    with peer:
        peer.sendall(_here["memory"])


def _receive(port: int) -> float:
    memory = _here["memory"]
    with socket.create_connection(("127.0.0.1", port)) as peer:
        start = time.perf_counter()
        for offset in range(0, len(memory), _STEP):
            piece = memory[offset : offset + _STEP]
            got = 0
            while got < len(piece):
                got += peer.recv_into(piece[got:], 0, socket.MSG_WAITALL)
        return time.perf_counter() - start


def _forget() -> None:
    _here.pop("server").close()
    _here.clear()


def _touch(array: np.ndarray[Any, Any]) -> int:
    return int(array[-1])


class _Pair:
    """Two workers on two nodes, and how much processor time they use."""

    def __init__(self, client: Client) -> None:
        self.client = client
        addresses = {node.name: node.workers[0] for node in wb.nodes()}
        self.first, self.second = addresses["node-1"], addresses["node-2"]

    def run(self, worker: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """Begin to run something in a worker's thread; return the future."""
        return self.client.submit(work, *arguments, workers=[worker], pure=False)

    def timed(self, action: Callable[[], float | None]) -> tuple[float, float]:
        """Return seconds by the clock (those that the action returns, if it does), and processor seconds of both workers."""
        before = sum(self.client.run(time.process_time).values())
        returned: list[float | None] = []
        elapsed = seconds(lambda: returned.append(action()))
        used = sum(self.client.run(time.process_time).values()) - before
        return returned[0] or elapsed, used


def between_nodes(scale: Scale) -> list[Figure]:
    """Move one array from a worker to another in three ways."""
    nbytes = scale.nbytes
    with scratch() as directory, wb.Session(directory / "store") as session:
        previous = wb.use_session(session)
        try:
            options: dict[str, Any] = {"capacity": 5 * nbytes, "threads_per_worker": 2}
            with LocalCluster(nodes=2, dashboard_address=":0", **options) as cluster, Client(cluster) as client:
                wb.connect(client)
                rounds = _measure(_Pair(client), nbytes, scale.repeats)
                memory = _memory(client, nbytes)
        finally:
            wb.use_session(previous)
    asked = at_most(2 * (config.get_nbytes("transfer-window") or 0) / MIB)
    return [
        *_figures(rounds, nbytes),
        Figure("... private memory of both workers, at most", memory / MIB, "MiB", asked=asked),
    ]


def _memory(client: Client, nbytes: int) -> int:
    wb.put(_make(nbytes), "array")
    return private_growth(list(client.run(os.getpid).values()), wb.replicate("array", to="node-2").wait)


def _measure(pair: _Pair, nbytes: int, repeats: int) -> dict[str, list[tuple[float, float]]]:
    ports = {worker: pair.run(worker, _prepare, nbytes).result() for worker in (pair.first, pair.second)}
    source = pair.run(pair.first, _make, nbytes)
    wb.put(_make(nbytes), "array")

    def raw() -> float:
        sending = pair.run(pair.first, _send)
        elapsed: float = pair.run(pair.second, _receive, ports[pair.first]).result()
        sending.result()
        return elapsed

    def workbench() -> None:
        wb.replicate("array", to="node-2").wait()

    def dask() -> None:
        assert pair.run(pair.second, _touch, source).result() == nbytes // 8 - 1

    rounds: dict[str, list[tuple[float, float]]] = {"raw": [], "workbench": [], "dask": []}
    for number in range(repeats + 1):
        for name, action in (("raw", raw), ("workbench", workbench), ("dask", dask)):
            taken = pair.timed(action)
            if number:  # the first round finds cold memory
                rounds[name].append(taken)
        wb.drop("array", "node-2")
        source = pair.run(pair.first, _make, nbytes)
    assert pair.run(pair.second, _last, "array").result() == nbytes // 8 - 1
    for worker in (pair.first, pair.second):
        pair.run(worker, _forget).result()
    wb.delete("array")
    return rounds


def _last(name: str) -> int:
    return int(wb.get(name)[-1])


def _figures(rounds: dict[str, list[tuple[float, float]]], nbytes: int) -> list[Figure]:
    clock = {name: statistics.median(taken[0] for taken in each) for name, each in rounds.items()}
    processor = {name: statistics.median(taken[1] for taken in each) for name, each in rounds.items()}
    size = f"{nbytes // MIB} MiB"
    figures = [
        Figure(f"{size} to another node, {name}", nbytes / clock[name] / GIB, "GiB/s", note=_note(processor[name]))
        for name in ("workbench", "raw", "dask")
    ]
    figures.append(
        Figure("... raw socket's time to the workbench's", clock["raw"] / clock["workbench"], "x", asked=at_least(0.9))
    )
    figures.append(Figure("... by processor time", processor["raw"] / max(processor["workbench"], 1e-9), "x"))
    figures.append(
        Figure("... Dask's time to the workbench's", clock["dask"] / clock["workbench"], "x", asked=at_least(1.0))
    )
    return figures


def _note(processor: float) -> str:
    return f"{processor:.2f} s of the processors"
