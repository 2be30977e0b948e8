"""Who holds what: processes, and their leases as the kernel lists them.

The truth is ``/proc/locks``: a line for each lease, with the process and the inode (proc_locks(5)). What it does not say (what
kind of process, since when) each process writes into a file of its own in the store's directory, ``holder-<pid>-<random>``, on
which it has a lock as long as it lives; a file whose lock is free is a dead process's and is removed.

Covers this host only. Leases taken before a fork are listed under the parent, as the kernel does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import secrets
import struct
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PREFIX: Final = "holder-"
_LEASE: Final = struct.Struct("<Qd")
"""Inode and time of one lease; these follow the first line of a process's file."""
_LONGEST_LABEL: Final = 1000
_EXACTNESS: Final = 1.0
"""Seconds; a lease that is taken again so soon counts from the first time."""
_MOST_NBYTES: Final = 256 << 10
"""Bytes; a process's file is then begun anew, and the times of leases older than that are those of the file."""


@dataclass(frozen=True, slots=True)
class Process:
    """What a process says of itself."""

    pid: int
    kind: str
    label: str
    started: float
    since: dict[int, float]
    """Inode to the time of the lease."""


def guess_process() -> tuple[str, str]:
    """Return the kind and label of this process: a kernel with its notebook, or a script."""
    kernel = sys.modules.get("ipykernel.kernelapp")
    if kernel is not None and kernel.IPKernelApp.initialized():
        # Set by Jupyter Server (jupyter_server/services/sessions/sessionmanager.py) to the notebook's path.
        notebook = os.environ.get("JPY_SESSION_NAME")
        return "kernel", notebook or f"kernel {os.getpid()}"
    argument = sys.argv[0] if sys.argv else ""
    return "script", argument if argument not in ("", "-c") else "python"


class ProcessFile:
    """What a process says of itself, in a file of its own; one write appends, so that a get stays fast."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._identity = guess_process()
        self._noted: dict[int, float] = {}
        self._open()

    def _open(self) -> None:
        # One process may open a store more than once, so the pid alone is not enough.
        self._path = self._directory / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        while True:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_SH)
            if os.fstat(self._fd).st_nlink:
                break
            # Somebody took the file for a dead process's before it was locked.
            os.close(self._fd)
        self.set_identity(*self._identity)

    def set_identity(self, kind: str, label: str) -> None:
        """Say what this process is."""
        self._identity = (kind, label)
        if self._fd < 0:
            return
        self._noted = {}
        os.ftruncate(self._fd, 0)
        line = json.dumps({"kind": kind, "label": label[:_LONGEST_LABEL], "started": time.time()})
        self._nbytes = 0
        with contextlib.suppress(OSError):  # as in leased()
            self._nbytes = os.write(self._fd, line.encode() + b"\n")

    def leased(self, inode: int) -> None:
        """Note the time of a lease, if there is room for it: a full file system must not stop a get."""
        now = time.time()
        if now - self._noted.get(inode, 0.0) < _EXACTNESS:
            return
        if self._nbytes > _MOST_NBYTES:
            self.set_identity(*self._identity)
        self._noted[inode] = now
        with contextlib.suppress(OSError):
            self._nbytes += os.write(self._fd, _LEASE.pack(inode, now))

    def reopen_after_fork(self) -> None:
        """In a forked child: a file of its own. The parent's stays the parent's."""
        os.close(self._fd)
        self._open()

    def close(self) -> None:
        """Remove the file; leases that are noted later are not."""
        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:
            os.close(descriptor)
            self._path.unlink(missing_ok=True)


def processes(directory: Path) -> dict[int, Process]:
    """Read what the living processes of a store say of themselves; remove the files of dead ones."""
    found: dict[int, Process] = {}
    for path in directory.glob(_PREFIX + "*"):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            process = _parse(path, fd)
            found[process.pid] = _merge(found.get(process.pid), process)
        finally:
            os.close(fd)
    return found


def _merge(first: Process | None, second: Process) -> Process:
    if first is None:
        return second
    since = first.since | second.since
    latest = max(first, second, key=lambda process: process.started)
    return dataclasses.replace(latest, since=since)


def _parse(path: Path, fd: int) -> Process:
    pid = int(path.name.removeprefix(_PREFIX).partition("-")[0])
    line, _, leased = os.pread(fd, 2 * _MOST_NBYTES, 0).partition(b"\n")
    try:
        identity = json.loads(line)
        kind, label, started = str(identity["kind"]), str(identity["label"]), float(identity["started"])
    except (ValueError, KeyError):
        # It is being written at this moment.
        kind, label, started = "script", f"pid {pid}", time.time()
    whole = len(leased) // _LEASE.size * _LEASE.size
    since = dict(_LEASE.iter_unpack(leased[:whole]))
    return Process(pid, kind, label, started, since)


def leases(directory: Path) -> dict[int, set[int]]:
    """Return inode to the pids that have a shared lock on it, of all files on the store's file system."""
    device = directory.stat().st_dev
    place = f"{os.major(device):02x}:{os.minor(device):02x}:"
    found: dict[int, set[int]] = defaultdict(set)
    # "1: FLOCK  ADVISORY  READ 1234 00:1a:5678 0 EOF"; a waiting lock has "->" after its number, and is not a lease.
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[3] == "READ" and fields[5].startswith(place):
            found[int(fields[5].rpartition(":")[2])].add(int(fields[4]))
    return found
