"""``multiprocessing.shared_memory``: a named segment for each array, and the user remembers shape and type."""

from __future__ import annotations

from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.neighbours.protocol import Neighbour, UnsupportedError, main


class StandardLibrary(Neighbour):
    def start(self, directory: Path, nbytes: int) -> None:
        self._prefix = f"{directory.name}-"
        self._count = 0
        self._made: dict[str, SharedMemory] = {}
        self.connect(None)
        self._reader = False

    def stop(self) -> None:
        for name in list(self._made):
            self.delete([name, [], ""])

    def put(self, value: Any) -> list[Any]:
        if not isinstance(value, np.ndarray):
            raise UnsupportedError("bytes only")
        self._count += 1
        memory = SharedMemory(f"{self._prefix}{self._count}", create=True, size=value.nbytes)
        np.ndarray(value.shape, value.dtype, memory.buf)[...] = value
        self._made[memory.name] = memory
        return [memory.name, value.shape, value.dtype.str]

    def get(self, key: list[Any]) -> Any:
        name, shape, dtype = key
        memory = self._open[name] = SharedMemory(name)
        if self._reader:
            # Else the segment is removed when this process, a mere reader, ends.
            resource_tracker.unregister(memory._name, "shared_memory")  # type: ignore[attr-defined]
        return np.ndarray(shape, dtype, memory.buf)

    def forget(self, key: list[Any]) -> None:
        self._open.pop(key[0]).close()

    def delete(self, key: list[Any]) -> None:
        memory = self._made.pop(key[0])
        memory.close()
        memory.unlink()

    def address(self) -> None:
        return None

    def connect(self, address: None) -> None:
        self._open: dict[str, SharedMemory] = {}
        self._reader = True


if __name__ == "__main__":
    main(StandardLibrary())
