"""The connection file: how a kernel, the Jupyter server or the command line finds the cluster of its host.

Covers one small file in the store's directory, mode 0600, that each worker writes when it joins and removes when it leaves
in good order. A worker that was killed leaves it behind, so who reads it must expect a scheduler that does not answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

FILE = "connection.json"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the scheduler is, which node this host is, and who wrote that when (process id, seconds since the epoch)."""

    scheduler: str
    node: str
    written: float
    pid: int


def read(directory: Path) -> Connection | None:
    """Return the connection that a worker left in a store's directory, or None if there is none that makes sense."""
    try:
        fields = json.loads((directory / FILE).read_text())
        return Connection(str(fields["scheduler"]), str(fields["node"]), float(fields["written"]), int(fields["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(directory: Path, scheduler: str, node: str) -> None:
    """Leave the address of the scheduler in a store's directory, at once or not at all."""
    content = json.dumps({"scheduler": scheduler, "node": node, "written": time.time(), "pid": os.getpid()})
    temporary = directory / f".{FILE}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content.encode())
    finally:
        os.close(descriptor)
    temporary.rename(directory / FILE)


def remove(directory: Path) -> None:
    """Remove the file if this process wrote it; another worker of the host may have written it since."""
    found = read(directory)
    if found is not None and found.pid == os.getpid():
        with contextlib.suppress(FileNotFoundError):
            (directory / FILE).unlink()
