"""The connection file: how a kernel, the Jupyter server or the command line finds the cluster of its host.

Covers one small file in the store's directory, mode 0600, that each worker writes when it joins and removes when it leaves in good order, and telling at
once whether that cluster is dead; it imports nothing of Dask. Read next: ``cluster/announcer.py`` (writes it), ``leftovers.py`` (removes it).

=================================  ===========================================================================
the cluster ...                    what a reader does
=================================  ===========================================================================
runs                               the worker that wrote the file lives: it connects, with patience
runs, the writer was killed        another worker of the host writes the file anew; until then the scheduler's port answers: it connects
was killed                         the writer is dead and the port refuses: dead, known in a millisecond
lost its scheduler a moment ago    the writer lives still, and waits for it: who connects is told within a second that the port refuses
is on a host that is off           the writer is dead and nothing answers within a second: dead
wrote it in another container      pids there say nothing here: as if the writer were dead, the port decides
=================================  ===========================================================================
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

__all__ = [
    "FILE",
    "Connection",
    "hint",
    "how_to_connect",
    "is_kept",
    "read",
    "remove",
    "runs_here",
    "why_dead",
    "write",
]

FILE: Final = "connection.json"
_KNOCKABLE: Final = frozenset({"tcp", "tls", "ws", "wss"})
"""Schemes of Dask's addresses whose port takes TCP connections."""
_SILENT: Final = frozenset({"tcp", "ws"})
"""Those of them whose schedulers take no notice of a connection that says nothing."""
_PATIENCE: Final = 1.0
"""Seconds that the port of a cluster whose worker is dead has for an answer."""
_ENDING: Final = 0x4
"""The kernel's PF_EXITING (include/linux/sched.h)."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the scheduler is, which node this host is, and who wrote that when.

    `written` is in seconds since the epoch; `pid`, `started` (ticks since the machine began, proc_pid_stat(5)) and `namespace` (the inode of
    ``/proc/self/ns/pid``) name one process; 0 where they are not known.
    """

    scheduler: str
    node: str
    written: float
    pid: int
    started: int = 0
    namespace: int = 0


def read(directory: Path) -> Connection | None:
    """Return the connection that a worker left in a store's directory, or None if there is none that makes sense."""
    try:
        fields = json.loads((directory / FILE).read_text())
        return Connection(
            str(fields["scheduler"]),
            str(fields["node"]),
            float(fields["written"]),
            int(fields["pid"]),
            int(fields.get("started", 0)),
            int(fields.get("namespace", 0)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write(directory: Path, scheduler: str, node: str) -> None:
    """Leave the address of the scheduler in a store's directory, at once or not at all."""
    pid = os.getpid()
    about = {"written": time.time(), "pid": pid, "started": _started(pid), "namespace": _namespace()}
    temporary = directory / f".{FILE}.{pid}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, json.dumps({"scheduler": scheduler, "node": node, **about}).encode())
    finally:
        os.close(descriptor)
    temporary.rename(directory / FILE)


def remove(directory: Path) -> None:
    """Remove the file if this process wrote it; another worker of the host may have written it since."""
    found = read(directory)
    if found is not None and found.pid == os.getpid():
        with contextlib.suppress(FileNotFoundError):
            (directory / FILE).unlink()


def is_kept(directory: Path) -> bool:
    """Tell whether there is a file whose writer lives, or may live, and will remove it."""
    found = read(directory)
    return found is not None and _writer_lives(found) is not False


def runs_here(directory: Path) -> str | None:
    """Return the address of the cluster that runs on this host; None where none does, or nothing listens there any more.

    The worker of a cluster whose scheduler has ended lives on for some seconds, so the port is asked, too. One with TLS is not: it would log that.
    """
    found = read(directory)
    if found is None or why_dead(found) is not None:
        return None
    return None if urlsplit(found.scheduler).scheme in _SILENT and refuses(found.scheduler) else found.scheduler


def how_to_connect(directory: Path) -> str:
    """Return the call that connects a process with the cluster that it lacks: the one of its host, where there is one, needs no argument."""
    return "wb.connect(client)" if runs_here(directory) is None else "wb.connect()"


def hint(directory: Path) -> str:
    """Return what to say to a process that is not connected with the cluster that runs on its host; empty if none does."""
    address = runs_here(directory)
    if address is None:
        return ""
    return f"A cluster runs on this host, at {address}, and this session is not connected with it: wb.connect() reaches its other nodes, too."


def why_dead(found: Connection) -> str | None:
    """Return what tells that a cluster does not run any more, for people; None: it runs, or nobody can tell so soon.

    Nothing is asked of a cluster whose worker lives: a scheduler with TLS logs each connection that says nothing. Else one connection to its port is tried.
    """
    if _writer_lives(found):
        return None
    parts = urlsplit(found.scheduler)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in _KNOCKABLE or not parts.hostname or not port:
        return None
    writer = f"the worker that left its address, pid {found.pid}, is dead"
    try:
        socket.create_connection((parts.hostname, port), _PATIENCE).close()
    except ConnectionRefusedError:
        return f"nothing listens at {found.scheduler}"
    except OSError:
        return f"nothing answers at {found.scheduler}, and {writer}" if _writer_lives(found) is False else None
    return None


def refuses(address: str) -> bool:
    """Tell whether nothing listens at an address of Dask's: its host refuses the connection. An address without a host and a port refuses nothing."""
    return why_dead(Connection(address, node="", written=0.0, pid=0)) is not None


def _writer_lives(found: Connection) -> bool | None:
    """Tell whether the process that wrote a file lives; None if that cannot be known here."""
    if not found.started or not found.namespace or found.namespace != _namespace():
        return None
    return _started(found.pid) == found.started


def _started(pid: int) -> int:
    """Return when a process began, in ticks; 0 if there is none, or only its remains, or if it is ending (proc_pid_stat(5), ``flags``)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" or int(fields[6]) & _ENDING else int(fields[19])


def _namespace() -> int:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0
