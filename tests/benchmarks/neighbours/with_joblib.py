"""joblib: ``dump`` into a file in shared memory, ``load`` with a mapping, as its parallel loops do with large arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib

from tests.benchmarks.neighbours.protocol import Neighbour, main


class Joblib(Neighbour):
    def start(self, directory: Path, nbytes: int) -> None:
        self._directory = directory
        self._count = 0

    def stop(self) -> None:
        pass

    def put(self, value: Any) -> str:
        self._count += 1
        path = self._directory / f"{self._count}.joblib"
        joblib.dump(value, path)
        return str(path)

    def get(self, key: str) -> Any:
        return joblib.load(key, mmap_mode="r")

    def delete(self, key: str) -> None:
        Path(key).unlink()

    def address(self) -> None:
        return None

    def connect(self, address: None) -> None:
        pass


if __name__ == "__main__":
    main(Joblib())
