"""Making room: what the store gives up by itself when somebody needs bytes. What it says when nothing is left: ``full.py``.

Order: what dead writers left, expired objects, free segments that nobody maps (the pool), parts of segments that no object refers to, cached replicas
(``caching.py``), and then, to disk, what was used longest ago, of the segments that nobody maps and no pinned object uses. Nothing that somebody could still get is
ever given up (a cached replica is one more of what another node has), and nothing is dropped or spilled in vain: if all of it would not be enough, all of it stays.
"""

from __future__ import annotations

import enum
import functools
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workbench.store import caching, headroom, leases, queries, segments
from workbench.store import directory as places
from workbench.store.reclaim import reclaim
from workbench.store.schema import object_id
from workbench.store.trimming import trim

if TYPE_CHECKING:
    from workbench.store.catalog import Catalog
    from workbench.store.spill import Spiller
    from workbench.store.writing import Writer

_BATCH: Final = 64
_BATCH_NBYTES: Final = 256 << 20
"""So many segments, and bytes, are written to disk before all of them are synced, and exchanged in one transaction."""
_PATIENCE: Final = 10.0
"""Seconds for which whoever needs room goes on if others are always faster to spill what it has chosen."""
_EVICTABLE: Final = """
SELECT segment, nbytes FROM segments s WHERE state = 'sealed' AND NOT EXISTS (
    SELECT 1 FROM uses JOIN objects o ON o.seq = object WHERE uses.segment = s.segment AND o.pinned)"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A segment that could be spilled. `last_used` is in seconds since the epoch."""

    segment: int
    nbytes: int
    last_used: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What room for `nbytes` would cost: bytes that are `free`, bytes of the pool, of cached replicas, and to be spilled, with the objects that have those.

    `missing` bytes would still be missing after that; `trouble` says why no more would be spilled.
    """

    nbytes: int
    free: int
    pooled: int
    cached: int
    spilled: int
    objects: tuple[str, ...]
    missing: int
    trouble: str


class Made(enum.Enum):
    """What came of making room."""

    SOMETHING = "something was given up"
    ENOUGH = "there is enough room now: somebody else gave something up"
    NOTHING = "nothing is left to give up"


def make_room(writer: Writer, nbytes: int) -> Made:
    """Give up what nobody needs until `nbytes` more fit."""
    writer.spiller.trouble = ""
    done = bool(reclaim(writer.catalog, writer.reader.directory))
    done |= writer.names.delete_expired() > 0
    spill = functools.partial(spill_oldest, writer.spiller)
    drop_cached = functools.partial(_drop_cached, writer)
    for give_up in (writer.allocator.free.release, functools.partial(_trim, writer), drop_cached, spill):
        missing = _missing(writer, nbytes)
        if missing > 0:
            done |= give_up(missing) > 0
    if done or (_missing(writer, nbytes) > 0 and writer.names.upkeep.yield_room()):
        return Made.SOMETHING
    return Made.NOTHING if _missing(writer, nbytes) > 0 else Made.ENOUGH


def _trim(writer: Writer, _: int) -> int:
    return sum(trim(writer.catalog, writer.reader.directory).values())


def _drop_cached(writer: Writer, nbytes: int) -> int:
    """Drop cached replicas, longest unused first, if they are enough, or are with what can be spilled."""
    cached = list(_candidates(writer.catalog, writer.spiller.directory, caching.DROPPABLE))
    chosen = choose(cached, nbytes)
    if not chosen and writer.spiller.place.path is not None:
        rest = list(_candidates(writer.catalog, writer.spiller.directory))  # the cached ones among them
        chosen = cached if choose(rest, nbytes) else []
    if not chosen or not caching.drop(writer, [each.segment for each in chosen]):
        return 0
    return writer.allocator.free.release(nbytes)


def _missing(writer: Writer, nbytes: int) -> int:
    """Return how many bytes are still to be given up before `nbytes` fit."""
    allocator = writer.allocator
    row = writer.catalog.row("SELECT used + ? - capacity FROM usage", (nbytes,))
    missing = int(row[0]) if row is not None else 0
    missing = max(missing, nbytes - places.available_nbytes(allocator.directory))
    if allocator.in_memory:
        missing = max(missing, nbytes - headroom.headroom())
    return missing


def may_spill_soon(writer: Writer) -> bool:
    """Tell whether there are segments that could be spilled, though maybe not in this moment: others examine or exchange them."""
    spiller = writer.spiller
    if spiller.place.path is None or spiller.trouble:
        return False
    return next(_candidates(spiller.catalog, spiller.directory), None) is not None


def spill_oldest(spiller: Spiller, nbytes: int) -> int:
    """Spill what was used longest ago until so many bytes are given back; return how many were.

    Others may do the same at this moment. What they are spilling is left to them, as long as the rest is enough; and if
    they were faster with all that was chosen, something else is.
    """
    deadline = time.monotonic() + _PATIENCE
    while not spiller.trouble and time.monotonic() < deadline:
        candidates = list(_candidates(spiller.catalog, spiller.directory))
        claimed = spiller.claimed()
        rest = [candidate for candidate in candidates if candidate.segment not in claimed]
        victims = choose(rest, nbytes) or choose(candidates, nbytes)
        if not victims:
            return 0
        spiller.trouble = spiller.place.refusal(sum(victim.nbytes for victim in victims), spiller.spilled_nbytes())
        done = sum(_spill(spiller, victims))
        if done:
            return done
    return 0


def _spill(spiller: Spiller, victims: list[Candidate]) -> Iterator[int]:
    for batch in _batches(victims):
        if spiller.trouble:
            return
        yield spiller.spill([victim.segment for victim in batch])


def choose(candidates: Iterable[Candidate], nbytes: int) -> list[Candidate]:
    """Return those to spill for so many bytes, longest unused first; none if all of them would not be enough."""
    chosen, total = [], 0
    for candidate in sorted(candidates, key=lambda candidate: candidate.last_used):
        if total >= nbytes:
            break
        chosen.append(candidate)
        total += candidate.nbytes
    return chosen if total >= nbytes else []


def _candidates(catalog: Catalog, directory: Path, statement: str = _EVICTABLE) -> Iterator[Candidate]:
    # Only a guess who has a lease: the exclusive lock decides when it comes to it.
    leased, device = leases.takers(), leases.device_of(directory)
    for segment, nbytes in catalog.rows(statement):
        try:
            status = os.lstat(segments.segment_path(directory, segment))
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode) and leases.Place(device, status.st_ino) not in leased:
            yield Candidate(segment, nbytes, status.st_atime)


def _batches(victims: list[Candidate]) -> Iterator[list[Candidate]]:
    batch: list[Candidate] = []
    for victim in victims:
        batch.append(victim)
        if len(batch) == _BATCH or sum(each.nbytes for each in batch) >= _BATCH_NBYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def forecast(writer: Writer, nbytes: int) -> Forecast:
    """Return what :func:`make_room` would give up for so many bytes, as things are now; nothing is changed."""
    memory = queries.memory(writer.catalog, writer.reader.directory)
    missing = max(0, _missing(writer, nbytes))
    pooled = min(missing, memory.pooled)
    missing -= pooled
    dropped = min(missing, memory.cached)
    missing -= dropped
    place, directory = writer.spiller.place, writer.reader.directory
    victims = choose(_candidates(writer.catalog, directory), missing) if missing and place.path is not None else []
    why = ""
    if missing and (place.path is None or victims):
        why = place.refusal(sum(victim.nbytes for victim in victims), writer.spiller.spilled_nbytes())
    if why:
        victims = []
    spilled = sum(victim.nbytes for victim in victims)
    titles = tuple(_title(writer, victim.segment) for victim in victims)
    return Forecast(nbytes, memory.free, pooled, dropped, spilled, titles, max(0, missing - spilled), why)


def _title(writer: Writer, segment: int) -> str:
    statement = (
        f"SELECT coalesce((SELECT min(name) FROM names WHERE object = o.seq), {object_id('o.')}) "
        "FROM uses JOIN objects o ON o.seq = uses.object WHERE segment = ? ORDER BY o.seq"
    )
    row = writer.catalog.row(statement, (segment,))
    return "" if row is None else str(row[0])
