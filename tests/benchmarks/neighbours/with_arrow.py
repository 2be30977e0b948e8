"""Arrow by hand: an IPC file in shared memory, and a mapping of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.benchmarks.neighbours.protocol import Neighbour, main


class ArrowFile(Neighbour):
    def start(self, directory: Path, nbytes: int) -> None:
        self._directory = directory
        self._count = 0

    def stop(self) -> None:
        pass

    def put(self, value: Any) -> str:
        self._count += 1
        path = str(self._directory / f"{self._count}.arrow")
        table = pa.table({"array": pa.array(value)}) if isinstance(value, np.ndarray) else pa.Table.from_pandas(value)
        with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        return path

    def get(self, key: str) -> Any:
        table = pa.ipc.open_file(pa.memory_map(key)).read_all()
        if table.column_names == ["array"]:
            return table.column(0).chunk(0).to_numpy()
        return table.to_pandas()

    def delete(self, key: str) -> None:
        Path(key).unlink()

    def address(self) -> None:
        return None

    def connect(self, address: None) -> None:
        pass


if __name__ == "__main__":
    main(ArrowFile())
