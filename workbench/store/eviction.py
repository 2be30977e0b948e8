"""Making room: what the store gives up by itself when somebody needs bytes, and what it says when nothing is left.

Order: what dead writers left, expired objects, free segments that nobody maps (the pool). Nothing that somebody could still
get is ever given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.errors import StoreFullError
from workbench.objects import Holder, format_nbytes
from workbench.store import directory as places
from workbench.store import headroom, queries
from workbench.store.holders import holders

if TYPE_CHECKING:
    from pathlib import Path

    from workbench.store.catalog import Catalog
    from workbench.store.writing import Writer

_MOST_NAMED = 3


def make_room(writer: Writer, nbytes: int) -> bool:
    """Give up what nobody needs until `nbytes` more fit; return False if nothing could be given up."""
    allocator = writer.allocator
    done = bool(allocator.reclaim())
    done |= writer.delete_expired() > 0
    row = writer.catalog.row("SELECT used + ? - capacity FROM usage", (nbytes,))
    missing = int(row[0]) if row is not None else 0
    missing = max(missing, nbytes - places.available_nbytes(allocator.directory))
    if allocator.in_memory:
        missing = max(missing, nbytes - headroom.headroom())
    if missing > 0:
        done |= allocator.release_free(missing) > 0
    return done


def full_error(catalog: Catalog, directory: Path, nbytes: int, *, file_system: bool) -> StoreFullError:
    """Return the error that says what is full, who fills it, and what would free it."""
    memory = queries.memory(catalog, directory)
    size = format_nbytes
    if file_system:
        what = _below_capacity(directory, nbytes)
    else:
        what = (
            f"The store {directory} has no room for {size(nbytes)}: "
            f"{size(memory.used)} of its capacity of {size(memory.capacity)} are used."
        )
    parts = [what]
    largest = queries.objects(catalog, directory, where="o.nbytes > 65536")
    largest.sort(key=lambda info: -info.nbytes)
    found = holders(catalog, directory)
    for info in largest[:_MOST_NAMED]:
        who = [f"{holder.kind} {holder.label} (pid {holder.pid})" for holder in found if holder.object == info.id]
        held = f", held by {', '.join(who[:_MOST_NAMED])}" if who else ""
        parts.append(f"{info.name or info.id} has {size(info.nbytes)}{held}.")
    zombies = [holder for holder in found if holder.state == "deleted"]
    if zombies:
        parts.append(f"{size(memory.deleted)} are deleted, but still mapped: {_name_zombies(zombies)}.")
    parts.append(
        "Nothing was written and nothing was lost. Free room with wb.delete(name)"
        + (
            ", or let go of deleted objects where they are still mapped."
            if zombies
            else " or set a larger workbench.capacity."
        )
    )
    return StoreFullError(" ".join(parts))


def _below_capacity(directory: Path, nbytes: int) -> str:
    size = format_nbytes
    left, memory = places.available_nbytes(directory), headroom.headroom()
    if memory >= left or not places.is_memory(directory):
        return f"The file system of the store {directory} has no room for {size(nbytes)}: {size(left)} are left."
    limit = headroom.limit()
    whose = "the machine's memory" if limit is None else f"the control group's limit of {size(limit)}"
    return (
        f"The memory has no room for {size(nbytes)} in the store {directory}: {size(memory)} are left below {whose}, "
        "beyond which the kernel kills processes."
    )


def _name_zombies(zombies: list[Holder]) -> str:
    named = [
        f"{holder.name or 'an object'} ({format_nbytes(holder.nbytes)}) by {holder.kind} {holder.label} (pid {holder.pid})"
        + (f", where {holder.cause} keep it" if holder.cause else "")
        for holder in zombies[:_MOST_NAMED]
    ]
    return "; ".join(named)
