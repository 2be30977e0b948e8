"""What a bare socket moves from one process to another on this machine, out of warm memory and into it: the measure of a transfer.

Standard library only, because every neighbour's script runs it in an environment of its own.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time

_SENDER = """
import socket, sys
memory = memoryview(bytearray(b"x") * int(sys.argv[1]))
for _ in range(int(sys.argv[3])):
    with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as peer:
        peer.sendall(memory)
        peer.recv(1)
"""


def seconds(nbytes: int, repeats: int) -> list[float]:
    """Return how long each of some transfers took."""
    memory = memoryview(bytearray(b"x") * nbytes)
    taken = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        words = [str(nbytes), str(server.getsockname()[1]), str(repeats)]
        with subprocess.Popen([sys.executable, "-c", _SENDER, *words]) as sender:
            for _ in range(repeats):
                peer, _address = server.accept()
                with peer:
                    start, got = time.perf_counter(), 0
                    while got < nbytes:
                        got += peer.recv_into(memory[got:], 0, socket.MSG_WAITALL)
                    taken.append(time.perf_counter() - start)
                    peer.send(b"x")
            sender.wait(60)
    return taken
