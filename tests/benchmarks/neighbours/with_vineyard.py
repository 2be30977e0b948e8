"""vineyard: its daemon, with metadata of one node, and a client in each process."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vineyard

from tests.benchmarks.neighbours.protocol import Neighbour, main


class Vineyard(Neighbour):
    def start(self, directory: Path, nbytes: int) -> None:
        self._start(directory, nbytes, ["--rpc=false"])

    def _start(self, directory: Path, nbytes: int, options: list[str]) -> None:
        program = Path(vineyard.__file__).parent / "bdist" / "vineyardd"
        self._socket = directory / "vineyard.sock"
        with (directory / "vineyard.log").open("w") as log:
            self._daemon = subprocess.Popen(
                [program, "--socket", self._socket, "--size", str(nbytes), "--meta", "local", *options],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + 30
        while not self._socket.exists():
            if self._daemon.poll() is not None or time.monotonic() > until:
                raise RuntimeError("vineyardd does not come up: " + (directory / "vineyard.log").read_text()[-300:])
            time.sleep(0.05)
        self.connect(str(self._socket))

    def transfers(self, directory: Path, value: Any, repeats: int) -> Iterator[float]:
        """By its RPC client, as from a host without a daemon; `migrate` between daemons needs etcd beside them."""
        with socket.create_server(("127.0.0.1", 0)) as place:
            port = place.getsockname()[1]
        self._start(directory, 3 * value.nbytes, ["--rpc_socket_port", str(port)])
        try:
            other = vineyard.connect("127.0.0.1", port)
            for _ in range(repeats):
                key = self.put(value)
                start = time.perf_counter()
                # `get` of this client passes an argument that it does not take (0.16.5); a blob is what it fetches.
                len(other.get_remote_blob(other.get_meta(vineyard.ObjectID(key))["buffer_"].id))
                yield time.perf_counter() - start
                self.delete(key)
        finally:
            self.stop()

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
