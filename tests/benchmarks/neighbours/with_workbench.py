"""The workbench itself, as its users use it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.neighbours.protocol import Neighbour, main
from workbench import Session
from workbench.cluster.local import LocalCluster


class Workbench(Neighbour):
    def start(self, directory: Path, nbytes: int) -> None:
        self.session = Session(directory / "store", capacity=nbytes)

    def stop(self) -> None:
        self.session.close()

    def transfers(self, directory: Path, value: Any, repeats: int) -> Iterator[float]:
        with (
            Session(directory / "store") as session,
            LocalCluster(
                nodes=2,
                directory=directory / "store",
                capacity=5 * value.nbytes,
                dashboard_address=":0",
                threads_per_worker=2,
            ) as cluster,
        ):
            session.connect(cluster)
            for _ in range(repeats):
                session.put(value, "array")
                start = time.perf_counter()
                session.replicate("array", to="node-2").wait()
                yield time.perf_counter() - start
                session.delete("array")
            session.leave()

    def put(self, value: Any) -> str:
        return self.session.put(value).id

    def get(self, key: str) -> Any:
        return self.session.get(key)

    def delete(self, key: str) -> None:
        self.session.delete(key)

    def address(self) -> str:
        return str(self.session.store.directory)

    def connect(self, address: str) -> None:
        self.session = Session(address, create=False)


if __name__ == "__main__":
    main(Workbench())
