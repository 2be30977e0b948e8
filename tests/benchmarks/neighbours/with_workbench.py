"""The workbench itself, as its users use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.benchmarks.neighbours.protocol import Neighbour, main
from workbench import Session


class Workbench(Neighbour):
    def start(self, directory: Path, nbytes: int) -> None:
        self.session = Session(directory / "store", capacity=nbytes)

    def stop(self) -> None:
        self.session.close()

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
