"""Ray: ``put`` and ``get`` of its object store; the other process is an actor, since only Ray's own processes can have a reference."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from tests.benchmarks.neighbours.protocol import Neighbour, main, read


class Ray(Neighbour):
    def start(self, directory: Path, nbytes: int) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
        self._temporary = tempfile.mkdtemp(prefix="bench-ray-")
        ray.init(
            num_cpus=1,
            include_dashboard=False,
            object_store_memory=nbytes,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=self._temporary,
        )
        self._references: dict[int, Any] = {}
        self._count = 0

    def transfers(self, directory: Path, value: Any, repeats: int) -> Iterator[float]:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
        node = {"num_cpus": 1, "object_store_memory": 3 * value.nbytes}
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        try:
            cluster.add_node(**node, resources={"second": 1})
            ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
            reader = ray.remote(num_cpus=0, resources={"second": 1})(_Reader).remote()
            ray.get(reader.ready.remote())
            for _ in range(repeats):
                put = ray.put(value)
                yield ray.get(reader.fetch.remote([put]))
                del put
        finally:
            ray.shutdown()
            cluster.shutdown()

    def stop(self) -> None:
        ray.shutdown()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def put(self, value: Any) -> int:
        self._count += 1
        self._references[self._count] = ray.put(value)
        return self._count

    def get(self, key: int) -> Any:
        return ray.get(self._references[key])

    def delete(self, key: int) -> None:
        del self._references[key]

    def elsewhere(self, key: int) -> dict[str, Any]:
        reader = ray.remote(num_cpus=0)(_Reader).remote()
        ray.get(reader.ready.remote())
        found: dict[str, Any] = ray.get(reader.read.remote([self._references[key]]))
        ray.kill(reader)
        return found

    def address(self) -> None:
        return None

    def connect(self, address: Any) -> None:
        self._references = {0: address}


class _Reader:
    """Lives in another process."""

    def ready(self) -> None:
        pass

    def fetch(self, references: list[Any]) -> float:
        """Get one from the other node; return how long that took."""
        start = time.perf_counter()
        len(ray.get(references[0]))
        return time.perf_counter() - start

    def read(self, references: list[Any]) -> dict[str, Any]:
        store = Ray()
        store.connect(references[0])
        return read(store, 0)


if __name__ == "__main__":
    main(Ray())
