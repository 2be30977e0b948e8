"""Who has a lease on which segment, as the kernel knows it.

Two lists, and neither alone is the truth:

* ``/proc/locks`` (proc_locks(5)) has a line for each lease, with the process that *took* it. After a fork the child has the mapping too,
  and the lease lives on in it when the parent lets go or dies; the line still names the parent. In a namespace of process ids
  (a container) the locks of other namespaces and of dead processes are not listed at all.
* ``/proc/<pid>/maps`` (proc_pid_maps(5)) has every mapping of a process, whoever took the lease; but only processes of the same user can be
  read.

So a process holds a segment if it maps it read-only (the writable mappings are a pool's, without a lease), or if it took the lease and
we cannot look into it, or nobody else is found. Covers reading these lists; nothing here takes a lock on a segment.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

_SHARED_MAPPING: Final = b" r--s "
_NUMBER: Final = re.compile(r"(\d+)(-\w+)?\.segment")
_DELETED: Final = " (deleted)"


class Place(NamedTuple):
    """What a file is called in /proc: the device as ``major:minor`` in hexadecimal digits, and the inode."""

    device: str
    inode: int


@functools.lru_cache(maxsize=64)
def _device(directory: Path, _number: int) -> str | None:
    """Return what /proc/locks calls the device of the files in a directory.

    That is not always what stat(2) says (overlayfs and btrfs have numbers of their own for it), so a lock of ours is looked at.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # On the directory itself, which nobody else locks.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
            if line.startswith("lock:"):
                return line.split()[6].rpartition(":")[0]
    except OSError:
        pass
    finally:
        os.close(fd)
    return None


def device_of(directory: Path) -> str:
    """Return what /proc/locks calls the device of the files in a directory."""
    number = os.stat(directory).st_dev
    return _device(directory, number) or f"{os.major(number):02x}:{os.minor(number):02x}"


def takers() -> dict[Place, set[int]]:
    """Return who took each lock that readers may share, on any file of the machine."""
    found: dict[Place, set[int]] = defaultdict(set)
    # "1: FLOCK  ADVISORY  READ 1234 00:1a:5678 0 EOF"; a waiting lock has "->" after its number, and is not a lease.
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[3] == "READ":
            device, _, inode = fields[5].rpartition(":")
            found[Place(device, int(inode))].add(int(fields[4]))
    return found


class Mappings:
    """Which of the user's processes maps which segment of a store.

    Parameters
    ----------
    directories : iterable of Path
        Where the store's segments are: in memory and, when spilled, on disk.
    segments : mapping of Place to int
        The numbers of the segments by what their files are called in /proc/locks. It finds mappings that another mount namespace
        knows by another path.

    Attributes
    ----------
    holders : dict of int to set of int
        Segment to the processes that map it.
    nbytes : dict of int to int
        Segment to the bytes that are mapped of it.
    on_disk : set of tuple of int
        Process and segment, where what is mapped is a spilled segment's file; the segment itself may be back in memory by now.
    readable : set of int
        The processes that could be looked into.
    """

    def __init__(self, directories: Iterable[Path], segments: dict[Place, int]) -> None:
        self._prefixes = tuple(f"{directory}/" for directory in directories)
        self._segments = segments
        self.holders: dict[int, set[int]] = defaultdict(set)
        self.nbytes: dict[int, int] = {}
        self.on_disk: set[tuple[int, int]] = set()
        self.readable: set[int] = set()
        for pid in own_processes():
            with contextlib.suppress(OSError):
                maps = Path(f"/proc/{pid}/maps").read_bytes()
                self.readable.add(pid)
                for line in _shared_mappings(maps):
                    self._note(pid, line)

    def _note(self, pid: int, line: str) -> None:
        # Addresses, modes, offset, device, inode, path; " (deleted)" behind the path where the file has none any more.
        fields = line.split(maxsplit=5)
        path = fields[5].removesuffix(_DELETED) if len(fields) == 6 else ""
        if path.startswith(self._prefixes):
            number = _NUMBER.fullmatch(path.rpartition("/")[2])
            segment = None if number is None else int(number[1])
        else:
            segment = self._segments.get(Place(fields[3], int(fields[4])))
        if segment is None:
            return
        self.holders[segment].add(pid)
        self.nbytes[segment] = max(self.nbytes.get(segment, 0), _length(fields[0]))
        if path.startswith(self._prefixes[1:]):
            self.on_disk.add((pid, segment))


def _length(addresses: str) -> int:
    start, end = addresses.split("-")
    return int(end, 16) - int(start, 16)


def _shared_mappings(maps: bytes) -> Iterator[str]:
    # Two thousand lines of libraries, and a few that count: only those are taken apart.
    at = maps.find(_SHARED_MAPPING)
    while at >= 0:
        start, end = maps.rfind(b"\n", 0, at) + 1, maps.find(b"\n", at)
        yield os.fsdecode(maps[start:end])
        at = maps.find(_SHARED_MAPPING, end)


def own_processes() -> Iterator[int]:
    """Return the processes of this user: a store is private, so nobody else's can map it."""
    user = os.geteuid()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == user:
                    yield int(name)


def is_alive(pid: int) -> bool:
    """Tell whether there is a process with this number (of any user)."""
    return os.path.exists(f"/proc/{pid}")


def held(mappings: Mappings, segments: dict[Place, int]) -> dict[int, set[int]]:
    """Return which processes hold which segments.

    Parameters
    ----------
    mappings : Mappings
    segments : dict of Place to int
        The number of each segment by its place.

    Returns
    -------
    dict of int to set of int
        A segment that has a lease has at least one process; a process that has ended is named only if nobody else is found who
        could have got the lease from it.
    """
    found = {segment: set(pids) for segment, pids in mappings.holders.items()}
    for place, pids in takers().items():
        segment = segments.get(place)
        if segment is None:
            continue
        mapping = found.setdefault(segment, set())
        mapping |= {pid for pid in pids - mappings.readable if is_alive(pid)}
        if not mapping:
            # Taken or given back in this moment, or passed on to a process that we may not look into.
            mapping |= pids
    return found
