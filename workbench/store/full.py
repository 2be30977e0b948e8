"""What a full store says: what is full, how much is missing, who fills it, and what would free how much.

Covers the message alone; what is given up before anybody gets it is in ``eviction.py``.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workbench.errors import UNCHANGED, StoreFullError
from workbench.objects import Holder, ObjectInfo, format_nbytes
from workbench.store import directory as places
from workbench.store import headroom, queries
from workbench.store.holders import holders
from workbench.texts import counted, process_text

if TYPE_CHECKING:
    from workbench.store.catalog import Catalog

_LARGER: Final = "A larger capacity is set with wb.use(capacity=...), of a namespace with wb.use(NAME, capacity=...)."
_MOST_NAMED: Final = 3
_SMALLEST_NAMED: Final = 65536
"""Bytes of an object that is worth naming; smaller ones lie in the catalog."""


def full_error(
    catalog: Catalog, directory: Path, nbytes: int, *, file_system: bool, spilling: str = "", of_node: bool = False
) -> StoreFullError:
    """Return the error that says what is full, who fills it, and what would free it.

    Parameters
    ----------
    catalog : Catalog
    directory : Path
    nbytes : int
        How much was asked for.
    file_system : bool
        It is not the capacity that is full, but what lies below it.
    spilling : str
        Why nothing was spilled, as a sentence.
    of_node : bool
        It is a worker that has no room, so whoever reads this may have another store, and sit at another host.
    """
    larger, elsewhere = (_larger_node(directory), ", or move something elsewhere") if of_node else (_LARGER, "")
    memory = queries.memory(catalog, directory)
    size = format_nbytes
    if nbytes > memory.capacity:
        return StoreFullError(
            f"The store {directory} has no room for {size(nbytes)}, and never can have: its whole capacity is {size(memory.capacity)}. "
            f"{UNCHANGED} {larger}"
        )
    if file_system:
        what, left = _below_capacity(directory, nbytes)
    else:
        what, left = (
            (
                f"The store {directory} has no room for {size(nbytes)}: "
                f"{size(memory.used)} of its capacity of {size(memory.capacity)} are used."
            ),
            memory.free,
        )
    missing = max(0, nbytes - left)
    if missing:
        what = f"{what} {size(missing)} are missing."
    found = holders(catalog, directory)
    zombies = [holder for holder in found if holder.state == "deleted"]
    largest = _Largest(catalog, directory, found, missing, spills=not spilling)
    parts = [what, *largest.sentences(), *_name_greediest(found)]
    if zombies:
        parts.append(f"{size(memory.deleted)} are deleted, but still mapped: {_name_zombies(zombies)}.")
    if spilling:
        parts.append(spilling)
    parts.append(
        f"{UNCHANGED} Free room with wb.delete(name){elsewhere}"
        + (", or let go of deleted objects where they are still mapped." if zombies else f". {larger}")
    )
    return StoreFullError(" ".join(parts))


def _larger_node(directory: Path) -> str:
    return (
        f"A larger capacity of node {places.node_name()} is set on its own host, with wb.use(directory={str(directory)!r}, capacity=...); "
        "of a store that is still to be made, with WORKBENCH_CAPACITY (the setting workbench.capacity) of its worker."
    )


class _Largest:
    """The objects in memory that are worth naming: how large each is, who holds it, and what would free that.

    Those that go at a word come first (nobody maps them), the largest first, as a fourth that is left out may be the one that helps.
    """

    def __init__(self, catalog: Catalog, directory: Path, found: list[Holder], missing: int, *, spills: bool) -> None:
        self._catalog = catalog
        self._missing = missing
        self._spills = spills
        self._who = defaultdict(list)
        for holder in found:
            self._who[holder.object].append(_name(holder))
        infos = queries.objects(catalog, directory, where="o.nbytes > ?", parameters=(_SMALLEST_NAMED,))
        infos = [info for info in infos if info.replicas[0].state == "memory"]
        self._infos = sorted(infos, key=lambda info: (info.id in self._who, -info.nbytes))

    def sentences(self) -> Iterator[str]:
        """Yield a sentence for each of the first, one for the rest, and one for all that are pinned."""
        for info in self._infos[:_MOST_NAMED]:
            who = self._who.get(info.id, [])
            held = f", held by {_first(who, ', ')}" if who else ""
            yield f"{info.name or info.id} has {format_nbytes(info.nbytes)}{held}{self._what_frees(info, held=bool(who))}."
        if rest := self._infos[_MOST_NAMED:]:
            names = _first([info.name or info.id for info in rest], ", ")
            yield f"{len(rest):,} more {'has' if len(rest) == 1 else 'have'} {_total(rest)} ({names})."
        if pinned := [info for info in self._infos if info.pinned]:
            yield f"Pinned are {_total(pinned)} in {counted(len(pinned), 'object')}."

    def _what_frees(self, info: ObjectInfo, *, held: bool) -> str:
        name = info.name or info.id
        enough = "" if held or not 0 < self._missing <= self._frees(info) else ", which alone is enough"
        if info.pinned and self._spills:
            return f", pinned: wb.unpin({name!r}) lets it be spilled{enough}" + (" when they let go" if held else "")
        if held:
            return (
                ": when they let go, it can be spilled, or deleted"
                if self._spills
                else f": wb.delete({name!r}) frees that when they let go"
            )
        return f"{', pinned' if info.pinned else ''}: wb.delete({name!r}) frees that{enough}"

    def _frees(self, info: ObjectInfo) -> int:
        """Return the bytes of the segments that no other object uses."""
        return queries.alone_nbytes(self._catalog, info.id)


def _total(infos: Sequence[ObjectInfo]) -> str:
    return format_nbytes(sum(info.nbytes for info in infos))


def _first(texts: Sequence[str], between: str) -> str:
    """Join the first texts, and say how many more there are."""
    more = len(texts) - _MOST_NAMED
    return between.join(texts[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _name_greediest(found: list[Holder]) -> Iterator[str]:
    totals: dict[str, int] = defaultdict(int)
    for holder in found:
        if holder.state != "disk":  # a file on disk takes no room here
            totals[_name(holder)] += holder.nbytes
    most = sorted(totals, key=lambda name: -totals[name])
    if most:
        yield f"Who holds most: {_first([f'{name} {format_nbytes(totals[name])}' for name in most], ', ')}."


def _name(holder: Holder) -> str:
    mine = ", this process" if holder.pid == os.getpid() and not holder.label.endswith(" container)") else ""
    return process_text(holder.kind, holder.label, holder.pid, mine)


def _below_capacity(directory: Path, nbytes: int) -> tuple[str, int]:
    """Return what is full below the capacity, and how many bytes are left."""
    size = format_nbytes
    left, memory = places.available_nbytes(directory), headroom.headroom()
    if memory >= left or not places.is_memory(directory):
        return f"The file system of the store {directory} has no room for {size(nbytes)}: {size(left)} are left.", left
    limit = headroom.limit()
    whose = "the machine's memory" if limit is None else f"the control group's limit of {size(limit)}"
    return (
        f"The memory has no room for {size(nbytes)} in the store {directory}: {size(memory)} are left below {whose}, "
        "beyond which the kernel kills processes."
    ), memory


def _name_zombies(zombies: list[Holder]) -> str:
    named = [
        f"{holder.name or 'an object'} ({format_nbytes(holder.nbytes)}) by {_name(holder)}"
        + (f", kept by {holder.cause}" if holder.cause else "")
        for holder in zombies
    ]
    return _first(named, "; ")
