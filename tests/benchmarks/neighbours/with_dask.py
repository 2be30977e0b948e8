"""Dask without the workbench: scatter to a worker, publish the future, gather it in another client."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from distributed import Client, LocalCluster

from tests.benchmarks.neighbours.protocol import Neighbour, main


class Dask(Neighbour):
    repeats_at_most: ClassVar[int] = 2

    def start(self, directory: Path, nbytes: int) -> None:
        self._cluster = LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit=0, dashboard_address=None, local_directory=str(directory)
        )
        self._client = Client(self._cluster)
        self._count = 0

    def stop(self) -> None:
        self._client.close()
        self._cluster.close()

    def transfers(self, directory: Path, value: Any, repeats: int) -> Iterator[float]:
        with (
            LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address=None,
                local_directory=str(directory),
            ) as cluster,
            Client(cluster) as client,
        ):
            first, second = client.scheduler_info()["workers"]
            for _ in range(repeats):
                put = client.scatter(value, hash=False, workers=[first])
                start = time.perf_counter()
                client.submit(len, put, workers=[second], pure=False).result()
                yield time.perf_counter() - start
                del put

    def put(self, value: Any) -> str:
        self._count += 1
        name = f"benchmark-{self._count}"
        self._client.publish_dataset(**{name: self._client.scatter(value, hash=False)})
        return name

    def get(self, key: str) -> Any:
        return self._client.get_dataset(key).result()

    def delete(self, key: str) -> None:
        self._client.unpublish_dataset(key)

    def address(self) -> str:
        return str(self._cluster.scheduler_address)

    def connect(self, address: str) -> None:
        self._client = Client(address)


if __name__ == "__main__":
    main(Dask())
