"""The parts of an open store, put together according to its settings, and taken apart when it is closed.

Covers opening and closing; what the parts do is their own business, what a user can ask for is in ``looking.py`` and ``changing.py``.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from workbench import config
from workbench.errors import StoreError
from workbench.store import commits, loans, mappings, spill_directory
from workbench.store import directory as places
from workbench.store.allocation import Allocator
from workbench.store.background import Background
from workbench.store.catalog import Catalog
from workbench.store.mappings import Mappings
from workbench.store.naming import Names
from workbench.store.pool import Pool
from workbench.store.processes import ProcessFile, processes
from workbench.store.reading import Reader
from workbench.store.reclaim import reclaim
from workbench.store.residence import Residence
from workbench.store.restore import Restorer
from workbench.store.spill import Spiller
from workbench.store.upkeep import Upkeep
from workbench.store.writing import Writer

logger = logging.getLogger("workbench.store")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a store consists of."""

    directory: Path
    catalog: Catalog
    allocator: Allocator
    process: ProcessFile
    background: Background
    upkeep: Upkeep
    spiller: Spiller
    reader: Reader
    writer: Writer
    residence: Residence
    reclaimed: list[str] = field(default_factory=list)
    """What dead processes had left when the store was opened: sentences for the doctor."""

    def close(self, pid: int) -> None:
        """Close everything, in the process that opened it."""
        if os.getpid() == pid:
            self.background.close()
            self.process.close()
            self.allocator.pool.close()
            self.catalog.close()

    def resume_in_child(self) -> None:
        """After a fork, in the child: connections, kept mappings, threads and the process file are the parent's; make new ones."""
        commits.reset_after_fork()
        mappings.reset_after_fork()
        self.background.reset_after_fork()
        self.upkeep.reset_after_fork()
        self.allocator.pool.reset_after_fork()
        self.process.reopen_after_fork()
        self.catalog.resume_in_child()


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a store, from arguments, the environment and Dask's configuration; sizes in bytes, times in seconds."""

    capacity: int | None
    pool: int | None
    pool_idle: float | None
    warm: list[int]
    inline: int
    threads: int
    spill_directory: str | os.PathLike[str] | bool | None
    spill_capacity: int | None
    restore_after: float | None

    @classmethod
    def read(cls, capacity: int | str | None, options: config.StoreOptions) -> Settings:
        """Read all of them; an error here leaves nothing open."""
        wanted = config.get_nbytes("capacity", capacity)
        if wanted is not None and wanted < places.MINIMUM_CAPACITY:
            raise StoreError(
                f"A capacity of {wanted} bytes is too small for a store: it needs at least {places.MINIMUM_CAPACITY}."
            )
        return cls(
            wanted,
            config.get_nbytes("pool", options.get("pool")),
            config.get_seconds("pool-idle", options.get("pool_idle")),
            config.get_sizes("warm", options.get("warm")),
            config.get_nbytes("inline", options.get("inline")) or 0,
            int(config.get("copy-threads", options.get("copy_threads")) or min(4, len(os.sched_getaffinity(0)))),
            options.get("spill_directory"),
            config.get_nbytes("spill-capacity", options.get("spill_capacity")),
            config.get_seconds("restore-after", options.get("restore_after")),
        )


def assemble(place: Path, capacity: int | str | None, options: config.StoreOptions) -> Parts:
    """Open the store in a directory that was prepared; see :meth:`Store.open`."""
    settings = Settings.read(capacity, options)
    catalog, given_back = _open_catalog(place, settings.capacity, asked=capacity is not None)
    with contextlib.ExitStack() as undo:
        undo.callback(catalog.close)
        pool = Pool(settings.pool if settings.pool is not None else max(catalog.capacity // 4, sum(settings.warm)))
        allocator = Allocator(place, catalog, pool, in_memory=places.is_memory(place), threads=settings.threads)
        spill_to = spill_directory.choose(place, catalog.id, settings.spill_directory, settings.spill_capacity)
        spiller = Spiller(place, catalog, allocator, spill_to)
        background = Background()
        upkeep = Upkeep(allocator, background, settings.pool_idle)
        process = ProcessFile(place, Mappings.of(place, catalog.id).segments)
        undo.callback(process.close)
        reader = Reader(place, catalog, process, pool)
        writer = Writer(reader, allocator, spiller, Names(reader, allocator, spiller, upkeep), settings.inline)
        residence = Residence(writer, Restorer(place, catalog, allocator), background, settings.restore_after)
        reader.on_disk = residence.on_mapped
        reader.put_right = functools.partial(reclaim, catalog, place)
        parts = Parts(place, catalog, allocator, process, background, upkeep, spiller, reader, writer, residence)
        if given_back:
            parts.reclaimed.append(given_back)
        _tidy(parts)
        undo.pop_all()
    upkeep.warm_up(settings.warm)
    return parts


def _open_catalog(place: Path, wanted: int | None, *, asked: bool) -> tuple[Catalog, str | None]:
    """Open the catalog; a new store gets the capacity that is wanted, one that is there only if somebody asked for it, not merely set it.

    The second value says that a capacity ended which a dead process had borrowed.
    """
    default = places.default_capacity(place)
    new = not (place / places.CATALOG).exists()
    catalog = Catalog(place / places.CATALOG, lambda: places.new_store(place, wanted or default))
    try:
        given_back = loans.end_dead(place, catalog)
        changed = asked and wanted is not None and wanted != catalog.capacity
        if wanted is not None and changed:
            catalog.set_capacity(wanted)
        if wanted is not None and (new or changed):
            places.warn_if_too_large(place, wanted)
    except BaseException:  # a warning is an error for who wishes so
        catalog.close()
        raise
    return catalog, given_back


def _tidy(parts: Parts) -> None:
    """Put right what others left: half-done work, memory that has been idle, directories of stores that are gone."""
    try:
        parts.reclaimed.extend(reclaim(parts.catalog, parts.directory))
        parts.upkeep.opened()
    except StoreError as error:
        # A damaged catalog, or a full file system: what can be read and deleted still can.
        logger.warning("What dead processes left in %s could not be reclaimed: %s", parts.directory, error)
    processes(parts.directory)
    if parts.spiller.place.path is not None:
        spill_directory.remove_orphans(parts.spiller.place.path.parent)
