"""Who holds what: the leases of the kernel's lists, the objects of the catalog, and what each process says of itself, put together.

How the bytes are counted:

* A process maps whole segments. A segment counts once for each process, however often it maps it, and under one object: the one that owns
  the segment (the oldest that uses it). So the sum of ``nbytes`` over the holders of one process is what it maps (the ``Size`` in its smaps).
* An object that uses another one's segment (structural sharing) has a holder too, with those bytes as ``shared_nbytes``: nobody can tell from
  outside for the sake of which of both a process maps the segment.
* What was deleted, but is still mapped, is listed under the name that it had, with the state ``deleted``. Only what was on disk when it was
  deleted has lost its name: the catalog knows nothing of it any more.
* Who mapped an object while it was spilled maps a file on disk (state ``disk``), also when the object is back in memory.

Processes in another namespace of process ids (a container that shares the store) are named if they can be seen in /proc. If they cannot, but say
of themselves that they mapped a segment, and a trial of its lock tells that somebody has it, they are listed with their own number and a remark.
Covers this host only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from workbench.errors import StoreError
from workbench.objects import Holder, Key, ObjectId
from workbench.store import leases, segments
from workbench.store.catalog import Catalog
from workbench.store.leases import Place
from workbench.store.processes import Process, pid_namespace, processes, stranger
from workbench.store.reading import Reader, find_with_seq
from workbench.store.schema import object_id as object_id_of

_FIRST_NAMESPACE: Final = 0xEFFFFFFC
"""PROC_PID_INIT_INO of the kernel (include/linux/proc_ns.h): from there, /proc/locks shows every lock of the machine."""


_IN_CHUNKS_OF: Final = 500
"""Below SQLite's limit on the number of parameters."""
_SEGMENTS: Final = f"""
SELECT s.segment, s.nbytes, s.state, s.was, {object_id_of("o.")}, (SELECT min(name) FROM names WHERE object = o.seq)
FROM segments s LEFT JOIN uses u ON u.segment = s.segment LEFT JOIN objects o ON o.seq = u.object
WHERE s.segment IN"""


@dataclass(frozen=True, slots=True)
class _Segment:
    """A segment that somebody holds. `users` are id and name of the objects that use it, oldest first."""

    nbytes: int
    state: str
    was: str | None
    users: list[tuple[ObjectId, str | None]]


@dataclass(slots=True)
class _Held:
    """What one process holds of one object, segment by segment."""

    since: list[float] = field(default_factory=list)
    nbytes: int = 0
    shared_nbytes: int = 0
    states: set[str] = field(default_factory=set)
    causes: dict[str, None] = field(default_factory=dict)


def holders(catalog: Catalog, directory: Path, object_id: ObjectId | None = None) -> list[Holder]:
    """Return who holds an object, or (None) anything, deleted objects included; most bytes first."""
    places = _places(catalog, directory)
    known = processes(directory)
    here = pid_namespace()
    mappings = leases.Mappings(_directories(catalog, directory), places)
    held: dict[tuple[int, int], set[int]] = {}
    people: dict[tuple[int, int], Process] = {}
    for segment, pids in leases.held(mappings, places).items():
        for pid in pids:
            held.setdefault((here, pid), set()).add(segment)
            people[here, pid] = known.get((here, pid)) or known.get(_inside(pid)) or stranger(pid)
    seen = {(process.namespace, process.pid) for process in people.values()}
    for process, claimed in _elsewhere(catalog, directory, known, here, seen):
        held[process.namespace, process.pid] = claimed
        people[process.namespace, process.pid] = process
    # Asked after the leases were: what was sealed meanwhile is known.
    about = _about(catalog, set().union(*held.values())) if held else {}
    found = []
    for (namespace, pid), numbers in held.items():
        remark = "" if namespace == here else " (in another container)"
        found += _of_process(pid, people[namespace, pid], remark, numbers, about, mappings)
    if object_id is not None:
        found = [holder for holder in found if holder.object == object_id]
    return sorted(found, key=lambda holder: (-holder.nbytes, -holder.shared_nbytes, holder.pid))


def _directories(catalog: Catalog, directory: Path) -> list[Path]:
    return [directory, *(Path(row[0]) for row in catalog.rows("SELECT directory FROM spills"))]


def _places(catalog: Catalog, directory: Path, condition: str = "1") -> dict[Place, int]:
    """Return the segments for which an SQL condition holds, by what /proc calls their files."""
    devices = {False: [leases.device_of(directory)], True: []}
    for spilled_to in _directories(catalog, directory)[1:]:
        with contextlib.suppress(OSError):  # not mounted now
            devices[True].append(leases.device_of(spilled_to))
    statement = (
        f"SELECT segment, inode, state = 'spilled' FROM segments WHERE {condition}"  # a condition of this module
    )
    return {
        Place(device, inode): segment
        for segment, inode, is_on_disk in catalog.rows(statement)
        for device in devices[bool(is_on_disk)]
    }


def _about(catalog: Catalog, numbers: Iterable[int]) -> dict[int, _Segment]:
    wanted = list(numbers)
    found: dict[int, _Segment] = {}
    for start in range(0, len(wanted), _IN_CHUNKS_OF):
        part = tuple(wanted[start : start + _IN_CHUNKS_OF])
        marks = ",".join("?" * len(part))
        # One statement, so that a segment's state and its objects fit together.
        for number, nbytes, state, was, user, name in catalog.rows(f"{_SEGMENTS} ({marks}) ORDER BY o.seq", part):
            segment = found.setdefault(number, _Segment(nbytes, state, was, []))
            if user is not None:
                segment.users.append((user, name))
    return found


def _of_process(
    pid: int,
    process: Process,
    remark: str,
    numbers: Iterable[int],
    about: dict[int, _Segment],
    mappings: leases.Mappings,
) -> list[Holder]:
    found: dict[tuple[ObjectId | None, str | None], _Held] = defaultdict(_Held)
    for number in numbers:
        segment = about.get(number)
        if segment is None:
            if (pid, number) not in mappings.on_disk:
                continue  # given back and recycled since the leases were read
            # It was spilled and is gone, but for who maps its file.
            segment = _Segment(mappings.nbytes[number], "gone", None, [])
        if segment.state == "writing":
            continue  # its writer maps it, and nobody else knows of it
        for turn, owner in enumerate(segment.users or [(None, segment.was)]):
            part = found[owner]
            part.since.append(process.since.get(number, process.started))
            part.states.add(_state(segment, on_disk=(pid, number) in mappings.on_disk))
            if number in process.causes:
                part.causes[process.causes[number]] = None
            if turn == 0:
                part.nbytes += segment.nbytes
            else:
                part.shared_nbytes += segment.nbytes
    return [
        Holder(
            pid,
            process.kind,
            process.label + remark,
            min(part.since),
            part.nbytes,
            owner,
            name,
            shared_nbytes=part.shared_nbytes,
            state=max(part.states, key=("disk", "memory", "deleted").index),
            cause="; ".join(part.causes),
        )
        for (owner, name), part in found.items()
    ]


def _state(segment: _Segment, *, on_disk: bool) -> str:
    if not segment.users:
        return "deleted"
    return "disk" if on_disk or segment.state == "spilled" else "memory"


def _inside(pid: int) -> tuple[int, int]:
    """Return the namespace of a process, and what the process itself thinks its pid is."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return pid_namespace(pid), int(line.split()[-1])
    return 0, pid


def _elsewhere(
    catalog: Catalog, directory: Path, known: dict[tuple[int, int], Process], here: int, seen: set[tuple[int, int]]
) -> list[tuple[Process, set[int]]]:
    """Return the processes of other namespaces that we cannot see, with the segments that they say they mapped."""
    if here == _FIRST_NAMESPACE:
        return []  # from here every process can be seen
    strangers = [
        process for key, process in known.items() if key[0] not in (0, here) and key not in seen and process.since
    ]
    if not strangers:
        return []
    claimed = set().union(*(process.since for process in strangers))
    really = {segment for segment in claimed if _is_leased(catalog, directory, segment)}
    pairs = ((process, really & process.since.keys()) for process in strangers)
    return [(process, numbers) for process, numbers in pairs if numbers]


def _is_leased(catalog: Catalog, directory: Path, segment: int) -> bool:
    """Tell whether anybody has a lease, by trying the lock: in a write transaction, as always when the exclusive lock is taken."""
    try:
        with catalog.write():
            fd = os.open(segments.segment_path(directory, segment), os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(fd)
    except FileNotFoundError:
        return False
    except StoreError:
        return True  # somebody is stopped in the middle of a put: nobody can tell
    return False


def held_free(catalog: Catalog, directory: Path) -> set[int]:
    """Return the free segments that somebody still maps: what was deleted, but is not given back."""
    places = _places(catalog, directory, "state = 'free'")
    if not places:
        return set()
    found = {places[place] for place in leases.takers().keys() & places.keys()}
    here = pid_namespace()
    if here != _FIRST_NAMESPACE and len(found) < len(places):
        # The locks of dead processes, and of other containers, are not listed here.
        found |= leases.Mappings(_directories(catalog, directory), places).holders.keys() & set(places.values())
        for _, numbers in _elsewhere(catalog, directory, processes(directory), here, set()):
            found |= numbers & set(places.values())
    return found


def segments_of(reader: Reader, key: Key) -> frozenset[int]:
    """Return the segments of an object, and of deleted ones that had this name; see :meth:`Store.segments_of`."""
    found = find_with_seq(reader.catalog.row, key)
    rows = [] if found is None else reader.catalog.rows("SELECT segment FROM uses WHERE object = ?", (found[0],))
    was = key if isinstance(key, str) else key.id
    rows += reader.catalog.rows("SELECT segment FROM segments WHERE state = 'free' AND was = ?", (was,))
    if found is None and not rows:
        raise reader.not_found(key)
    return frozenset(segment for (segment,) in rows)
