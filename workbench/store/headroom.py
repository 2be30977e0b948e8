"""How much memory the machine and this process's control groups still give.

A tmpfs may be larger than the memory that is left, and its pages count against the control group of whoever touches them
first. Beyond a group's limit the kernel does not refuse a page: it kills a process. So whoever allocates asks here first.

Covers Linux's control groups, versions 1 and 2 (kernel documentation, admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst), and
``/proc/meminfo``; room in the file system is in ``directory.py``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_MARGIN: Final = 16 << 20
"""Bytes below a limit that are left alone: interpreters, page tables and the kernel's own batches of charges."""
_FRESH_FOR: Final = 0.1
"""Seconds for which an answer is used again, as long as not much was allocated meanwhile."""
_UNLIMITED: Final = 1 << 60
"""Bytes; version 1 writes "no limit" as the largest multiple of the page size."""


@dataclass(frozen=True, slots=True)
class Group:
    """A control group of memory: where its files are, and which version it has."""

    path: Path
    version: int

    @property
    def limit(self) -> int | None:
        """Bytes that it may use, or None."""
        names = ("memory.max", "memory.high") if self.version == 2 else ("memory.limit_in_bytes",)
        limits = [limit for name in names if (limit := _number(self.path / name)) is not None]
        return min((limit for limit in limits if limit < _UNLIMITED), default=None)

    def headroom(self) -> int | None:
        """Bytes that it may still use, files in the page cache counted as free; None: there is no limit."""
        limit = self.limit
        used = _number(self.path / ("memory.current" if self.version == 2 else "memory.usage_in_bytes"))
        if limit is None or used is None:
            return None
        prefix = "" if self.version == 2 else "total_"
        fields = _fields(self.path / "memory.stat")
        reclaimable = fields.get(prefix + "inactive_file", 0) + fields.get(prefix + "active_file", 0)
        return max(0, limit - used + reclaimable)


class Headroom:
    """Answers from memory while little can have changed, so that small puts stay fast."""

    def __init__(self) -> None:
        self._nbytes = 0
        self._until = 0.0

    def take(self, nbytes: int) -> bool:
        """Tell whether so many bytes may be allocated now; if so, they are taken for allocated."""
        if nbytes > self._nbytes // 8 or time.monotonic() > self._until:
            self._nbytes = headroom()
            self._until = time.monotonic() + _FRESH_FOR
        if nbytes > self._nbytes:
            return False
        self._nbytes -= nbytes
        return True


def headroom() -> int:
    """Return how many bytes this process may still allocate before the machine or a control group is full."""
    fields = _fields(_PROC / "meminfo")
    machine = fields.get("MemAvailable:", _UNLIMITED >> 10) + fields.get("SwapFree:", 0)
    rooms = [room for group in own_groups() if (room := group.headroom()) is not None]
    return max(0, min([machine << 10, *rooms]) - _MARGIN)


def limit() -> int | None:
    """Return the smallest limit of this process's control groups, in bytes."""
    return min((limit for group in own_groups() if (limit := group.limit) is not None), default=None)


def own_groups() -> list[Group]:
    """Return the control groups of memory that this process is in: its own, and those around it."""
    try:
        memberships = (_PROC / "self/cgroup").read_text().splitlines()
        mounts = (_PROC / "self/mountinfo").read_text().splitlines()
    except OSError:
        return []
    paths: dict[int, str] = {}
    for line in memberships:
        # "4:memory:/path" in version 1, "0::/path" in version 2 (cgroups(7)).
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            paths[1] = path
        elif not controllers:
            paths[2] = path
    found = []
    for line in mounts:
        # Fields before " - ": id, parent, device, root, mount point, ...; after it: type, source, options (proc_pid_mountinfo(5)).
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        version = 2 if kind == "cgroup2" else 1 if kind == "cgroup" and "memory" in options.split(",") else 0
        if version in paths:
            root, mount_point = before.split(" ")[3:5]
            found += _ancestors(Path(mount_point), root, paths[version], version)
    return found


def _ancestors(mount_point: Path, root: str, path: str, version: int) -> list[Group]:
    # A container sees its group as the root of the mount, or, with a name space of its own, the path as relative to it.
    inside = path.removeprefix(root.rstrip("/")) if path.startswith(root) else ""
    place = mount_point / inside.strip("/")
    if ".." in place.parts or not place.is_dir():
        place = mount_point
    depth = len(place.parts) - len(mount_point.parts)
    return [Group(group, version) for group in (place, *list(place.parents)[:depth])]


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _fields(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) > 1 and pair[1].isdigit()}
