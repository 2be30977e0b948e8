"""The stores of one user side by side: which there are, and a look into one without opening it.

Covers finding them by their directories' names (``directory.py`` makes those) and reading a catalog that this process has not open: nothing is made, reclaimed or
brought to a newer schema by looking.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from workbench.errors import StoreError
from workbench.objects import Namespace
from workbench.store import directory as places
from workbench.store import leases

__all__ = ["kinds_in", "look", "names_in", "namespaces"]


def namespaces(current: Path | None = None) -> list[Namespace]:
    """List the stores that this user has side by side, and the one in use, wherever it is.

    Parameters
    ----------
    current : Path, optional
        The directory of the store in use; None: of the one that would be.
    """
    named = places.namespace_directories()
    if current is None:
        with contextlib.suppress(StoreError):  # a setting that makes no sense is said by who opens the store
            current = places.default_directory()
    elsewhere = current is not None and current not in named.values() and (current / places.CATALOG).exists()
    found = [look("", current, current=True)] if current is not None and elsewhere else []
    in_order = sorted(named.items(), key=lambda item: (item[0] != places.DEFAULT_NAMESPACE, item))
    return [*found, *(look(name, path, current=path == current) for name, path in in_order)]


def look(name: str, path: Path, *, current: bool) -> Namespace:
    """Return what a store holds, as far as it can be read."""
    try:
        with _reading(path) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            # A store of version 1 stays one until somebody opens it.
            table = "store" if version == 1 else "usage"
            capacity, used = connection.execute(f"SELECT capacity, used FROM {table}").fetchone()  # one of two
            (count,) = connection.execute("SELECT count(*) FROM objects").fetchone()
            free = connection.execute("SELECT inode, nbytes FROM segments WHERE state = 'free'").fetchall()
            pooled = sum(nbytes for inode, nbytes in free) - _held(path, free)
    except (sqlite3.Error, TypeError):
        # Damaged, or of a version that this code does not know: it is there all the same, and can be seen.
        return Namespace(name, str(path), None, None, None, current)
    return Namespace(name, str(path), count, used, capacity, current, pooled)


def _held(directory: Path, free: list[tuple[int, int]]) -> int:
    """Return how many bytes of free segments somebody still maps, as far as this host's locks tell."""
    try:
        device, taken = leases.device_of(directory), leases.takers() if free else {}
    except OSError:
        return 0
    return sum(nbytes for inode, nbytes in free if leases.Place(device, inode) in taken)


def names_in(directory: Path, prefix: str, *, limit: int) -> list[str]:
    """Return the first names that begin with `prefix`, in order; none if there is no store to be read."""
    try:
        with _reading(directory) as connection:
            rows = connection.execute("SELECT name FROM names WHERE name >= ? ORDER BY name LIMIT ?", (prefix, limit))
            return [name for (name,) in rows if name.startswith(prefix)]
    except (sqlite3.Error, UnicodeEncodeError):
        return []


def kinds_in(directory: Path) -> list[str]:
    """Return the kinds of objects that a store has, in order; none if there is no store to be read."""
    try:
        with _reading(directory) as connection:
            return [kind for (kind,) in connection.execute("SELECT DISTINCT kind FROM objects ORDER BY kind")]
    except sqlite3.Error:
        return []


@contextlib.contextmanager
def _reading(directory: Path) -> Iterator[sqlite3.Connection]:
    # Not immutable: another process may be writing, and readers of a catalog in WAL mode do not wait for it.
    uri = f"file:{quote(str(directory / places.CATALOG))}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=1.0)) as connection:
        yield connection
