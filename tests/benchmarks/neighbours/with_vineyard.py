"""vineyard: its daemon, with metadata of one node, and a client in each process."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import vineyard

from tests.benchmarks.neighbours.protocol import Neighbour, main


class Vineyard(Neighbour):
    def start(self, directory: Path, nbytes: int) -> None:
        program = Path(vineyard.__file__).parent / "bdist" / "vineyardd"
        self._socket = directory / "vineyard.sock"
        with (directory / "vineyard.log").open("w") as log:
            self._daemon = subprocess.Popen(
                [program, "--socket", self._socket, "--size", str(nbytes), "--meta", "local", "--rpc=false"],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + 30
        while not self._socket.exists():
            if self._daemon.poll() is not None or time.monotonic() > until:
                raise RuntimeError("vineyardd does not come up: " + (directory / "vineyard.log").read_text()[-300:])
            time.sleep(0.05)
        self.connect(str(self._socket))

    def stop(self) -> None:
        self._daemon.terminate()
        try:
            self._daemon.wait(20)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()

    def put(self, value: Any) -> int:
        return int(self._client.put(value))

    def get(self, key: int) -> Any:
        return self._client.get(vineyard.ObjectID(key))

    def delete(self, key: int) -> None:
        self._client.delete(vineyard.ObjectID(key))

    def address(self) -> str:
        return str(self._socket)

    def connect(self, address: str) -> None:
        self._client = vineyard.connect(address)


if __name__ == "__main__":
    main(Vineyard())
