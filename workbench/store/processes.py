"""What each process says of itself: its kind, which one it is, since when it maps what, and what in it keeps that.

The kernel knows who has a lease (``leases.py``), and nothing more. So each process that opens a store keeps a file in the store's
directory, ``holder-<pid>-<random>``, on which it has a lock as long as it lives; a file whose lock is free is a dead process's and is
removed. Each line is written with one system call: JSON in braces, or the number of a segment and the time of its lease.

Covers the files, and what can be told of a process that has none. Who holds what is put together in ``holders.py``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_PREFIX: Final = "holder-"
_LONGEST_LABEL: Final = 1000
_EXACTNESS: Final = 1.0
"""Seconds; a lease that is taken again so soon counts from the first time."""
_MOST_NBYTES: Final = 256 << 10
"""Bytes; when a process's file has grown by so many, it is begun anew, without the leases that are no more."""
_LEASE: Final = b"%d %.6f\n"
"""Segment and time."""


@dataclass(frozen=True, slots=True)
class Process:
    """What is known of a process.

    `pid` is what the process calls itself, in its own `namespace` of process ids (the inode of its ``/proc/self/ns/pid``; 0: not known).
    `since` has the time of the lease for each segment, `causes` what in the process keeps it, as of the end of a notebook's last cell.
    """

    pid: int
    kind: str
    label: str
    started: float
    namespace: int = 0
    since: dict[int, float] = field(default_factory=dict)
    causes: dict[int, str] = field(default_factory=dict)


def pid_namespace(pid: int | str = "self") -> int:
    """Return the namespace that a process's ids are in, or 0 if we may not know."""
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return 0


def guess_process() -> tuple[str, str]:
    """Return the kind and label of this process: a kernel with its notebook, or a script."""
    kernel = sys.modules.get("ipykernel.kernelapp")
    if kernel is not None and kernel.IPKernelApp.initialized():
        return "kernel", _notebook(kernel.IPKernelApp.instance()) or f"kernel {os.getpid()}"
    argument = sys.argv[0] if sys.argv else ""
    return "script", argument if argument not in ("", "-c") else "python"


def _notebook(kernel: Any) -> str | None:
    """Return the path of the notebook that a kernel runs, as far as whoever started it tells.

    Jupyter Server puts it into the environment (jupyter_server/services/sessions/sessionmanager.py), VS Code into a variable
    (github.com/microsoft/vscode-jupyter/pull/8531); nbconvert and papermill have it on their command line, and are the kernel's parent.
    """
    parent = Path(f"/proc/{os.getppid()}")
    name = os.environ.get("JPY_SESSION_NAME")
    # A kernel that is started from within a notebook inherits the variable, which is then another kernel's.
    if name and f"JPY_SESSION_NAME={name}" not in _strings(parent / "environ"):
        return name
    shell = getattr(kernel, "shell", None)
    path = None if shell is None else shell.user_ns.get("__vsc_ipynb_file__")
    if isinstance(path, str):
        return path
    notebooks = [word for word in _strings(parent / "cmdline")[1:] if word.endswith(".ipynb")]
    return notebooks[0] if notebooks else name


def _strings(path: Path) -> list[str]:
    try:
        return [os.fsdecode(part) for part in path.read_bytes().split(b"\0") if part]
    except OSError:
        return []


class ProcessFile:
    """What this process says of itself, in a file of its own; one write appends, so that a get stays fast.

    Parameters
    ----------
    directory : Path
        The store's.
    mapped : callable, optional
        Returns the segments that this process has mapped; their times are kept when the file is begun anew.
    """

    def __init__(self, directory: Path, mapped: Callable[[], Collection[int]] = tuple) -> None:
        self._directory = directory
        self._mapped = mapped
        self._identity = guess_process()
        self._started = time.time()
        self._causes: dict[int, str] = {}
        self._noted: dict[int, float] = {}
        self._open()

    def _open(self) -> None:
        # One process may open a store more than once, so the pid alone is not enough.
        # Reentrant: the garbage collector may call a finalizer that maps something.
        self._lock = threading.RLock()
        self._path = self._directory / f"{_PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
        self._namespace = pid_namespace()
        while True:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_SH)
            if os.fstat(self._fd).st_nlink:
                break
            # Somebody took the file for a dead process's before it was locked.
            os.close(self._fd)
        self._finalizer = weakref.finalize(self, os.close, self._fd)
        self.set_identity(*self._identity)

    @property
    def kind(self) -> str:
        """Of this process."""
        return self._identity[0]

    def set_identity(self, kind: str, label: str) -> None:
        """Say what this process is."""
        with self._lock:
            self._identity = (kind, label)
            if self._fd >= 0:
                self._begin_anew(kind, label)

    def _begin_anew(self, kind: str, label: str) -> None:
        mapped = self._mapped()
        self._noted = {segment: moment for segment, moment in self._noted.copy().items() if segment in mapped}
        about = {"kind": kind, "label": label[:_LONGEST_LABEL], "started": self._started, "namespace": self._namespace}
        lines = [json.dumps(about).encode() + b"\n", *(_LEASE % pair for pair in self._noted.copy().items())]
        os.ftruncate(self._fd, 0)
        self._nbytes = 0
        self._write(b"".join(lines))
        self._begin_anew_at = self._nbytes + _MOST_NBYTES
        if self._causes:
            self._write_causes()

    def _write(self, line: bytes) -> None:
        # If there is room for it: a full file system must not stop a get.
        with contextlib.suppress(OSError):
            self._nbytes += os.write(self._fd, line)

    def leased(self, segment: int) -> None:
        """Note the time of a lease."""
        now = time.time()
        if now - self._noted.get(segment, 0.0) < _EXACTNESS:
            return
        with self._lock:
            if self._nbytes > self._begin_anew_at:
                self.set_identity(*self._identity)
            self._noted[segment] = now
            self._write(_LEASE % (segment, now))

    def set_causes(self, causes: Mapping[int, str]) -> None:
        """Say what in this process keeps which segments; nothing is written if that is what was said before."""
        with self._lock:
            if causes == self._causes:
                return
            self._causes = dict(causes)
            if self._fd < 0:
                return
            if self._nbytes > self._begin_anew_at:
                self.set_identity(*self._identity)
            else:
                self._write_causes()

    def _write_causes(self) -> None:
        self._write(json.dumps({"causes": self._causes}).encode() + b"\n")

    def reopen_after_fork(self) -> None:
        """In a forked child: a file of its own. The parent's stays the parent's, and so do its variables."""
        self._finalizer()
        kind, label = self._identity
        self._identity = kind, f"{label.partition(_FORKED)[0]}{_FORKED}{os.getppid()})"
        self._causes, self._noted, self._started = {}, {}, time.time()
        self._open()

    def close(self) -> None:
        """Remove the file; leases that are noted later are not."""
        with self._lock:
            descriptor, self._fd = self._fd, -1
        if descriptor < 0:
            return
        # Another thread may be about to write: its number must not become another file's before nobody has this object.
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, descriptor, inheritable=False)
        os.close(nowhere)
        self._path.unlink(missing_ok=True)


_FORKED: Final = " (forked by pid "


def processes(directory: Path) -> dict[tuple[int, int], Process]:
    """Read what the living processes of a store say of themselves, by namespace and pid; remove the files of dead ones."""
    found: dict[tuple[int, int], Process] = {}
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
            key = process.namespace, process.pid
            found[key] = _merge(found.get(key), process)
        finally:
            os.close(fd)
    return found


def _merge(first: Process | None, second: Process) -> Process:
    if first is None:
        return second
    latest = max(first, second, key=lambda process: process.started)
    return dataclasses.replace(latest, since=first.since | second.since, causes=first.causes | second.causes)


def _parse(path: Path, fd: int) -> Process:
    pid = int(path.name.removeprefix(_PREFIX).partition("-")[0])
    about: dict[str, Any] = {}
    since: dict[int, float] = {}
    # What does not parse is being written at this moment, or was cut off by a full file system.
    for line in os.pread(fd, os.fstat(fd).st_size, 0).split(b"\n"):
        with contextlib.suppress(ValueError):
            if line.startswith(b"{"):
                about |= json.loads(line)
            elif line:
                segment, moment = line.split()
                since[int(segment)] = float(moment)
    causes = {int(segment): str(cause) for segment, cause in about.get("causes", {}).items()}
    return Process(
        pid,
        str(about.get("kind", "script")),
        str(about.get("label", f"pid {pid}")),
        float(about.get("started", time.time())),
        int(about.get("namespace", 0)),
        since,
        causes,
    )


def stranger(pid: int) -> Process:
    """Return what the kernel tells of a process that says nothing of itself: its command, and when it began."""
    words = _strings(Path(f"/proc/{pid}/cmdline"))
    label = " ".join(words)[:_LONGEST_LABEL] or f"pid {pid}"
    return Process(pid, "script", label, _began(pid))


def _began(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return time.time()
    # The 22nd field, in ticks since the machine began; the second is a name in parentheses that may hold spaces (proc_pid_stat(5)).
    ticks = int(stat.rpartition(")")[2].split()[19])
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")
