"""Names of objects, and deleting: how an object loses its name, its row and its segments.

Covers the statements within a transaction (:meth:`Names.bind_row`, :meth:`Names.delete_row`), and the verbs that are a transaction of their own. An
object goes with its last name, unless it is pinned; its segments go to the oldest of the other objects that use them, or become free. Who maps
them keeps what it has. Putting is in ``writing.py``, what becomes of free segments in ``allocation.py``.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Final

from workbench.errors import NameConflictError, StoreFullError
from workbench.objects import Key, ObjectId, is_object_id
from workbench.store import rows
from workbench.store.allocation import Allocator
from workbench.store.catalog import expired
from workbench.store.reading import Reader, find_with_seq
from workbench.store.rows import PLACE
from workbench.store.spill import Spiller
from workbench.store.upkeep import Upkeep

_HOLDER: Final = """
SELECT object, created > (SELECT created FROM objects WHERE seq = ?)
FROM names JOIN objects ON seq = object WHERE name = ?"""
"""Who has a name, and whether that is newer than an object."""
_HAS: Final = "SELECT 1 FROM names WHERE name = ? AND object = ?"
_LONGEST_NAME: Final = 10_000
"""Characters."""


class Names:
    """Binds names and deletes objects of one store.

    Parameters
    ----------
    reader : Reader
    allocator : Allocator
    spiller : Spiller
    upkeep : Upkeep
    """

    def __init__(self, reader: Reader, allocator: Allocator, spiller: Spiller, upkeep: Upkeep) -> None:
        self.reader = reader
        self.catalog = reader.catalog
        self.allocator = allocator
        self.spiller = spiller
        self.upkeep = upkeep

    def bind(self, name: str, key: Key) -> None:
        """Give an object a name, atomically taking it from the object that had it."""
        check_name(name)
        with self.catalog.write() as write:
            seq, object_id = self.find(write, key)
            replaced = self.bind_row(write, name, seq)
            write.execute("INSERT INTO changes (object, what) VALUES (?, 'named')", (object_id,))
        if replaced:
            self.trim()

    def rename(self, key: Key, name: str, *, was: str | None = None) -> None:
        """Give an object a name in place of those that it has, in one step; with `was`, only if it has that name now.

        If another object had the name, that goes as with :meth:`bind`.

        Raises
        ------
        ObjectNotFoundError
        """
        check_name(name)
        with self.catalog.write() as write:
            seq, object_id = self.find(write, key)
            if was is not None and write.execute(_HAS, (was, seq)).fetchone() is None:
                return
            replaced = self.bind_row(write, name, seq)
            write.execute("DELETE FROM names WHERE object = ? AND name != ?", (seq, name))
            write.execute("INSERT INTO changes (object, what) VALUES (?, 'named')", (object_id,))
        if replaced:
            self.trim()

    def adopt(self, key: Key, names: Sequence[str]) -> int:
        """Give a replica the names that its object has on other nodes, but none that a newer object has here.

        Returns
        -------
        int
            How many of them it has now.

        Raises
        ------
        ObjectNotFoundError
        """
        for name in names:
            check_name(name)
        with self.catalog.write() as write:
            seq, object_id = self.find(write, key)
            has, taken, replaced = self.adopt_rows(write, names, seq)
            if taken:
                write.execute("INSERT INTO changes (object, what) VALUES (?, 'named')", (object_id,))
        if replaced:
            self.trim()
        return has

    def adopt_rows(self, write: sqlite3.Connection, names: Sequence[str], seq: int) -> tuple[int, int, bool]:
        """As :meth:`adopt`; return how many it has now, how many of these are new, and whether objects that had them were deleted."""
        has = taken = 0
        replaced = False
        for name in names:
            row = write.execute(_HOLDER, (seq, name)).fetchone()
            if row is not None and row[0] == seq:
                has += 1
            elif row is None or not row[1]:
                has, taken = has + 1, taken + 1
                replaced |= self.bind_row(write, name, seq)
        return has, taken, replaced

    def unbind(self, name: str, object_id: ObjectId, *, keep: bool = False) -> None:
        """Take a name from an object, if it still has it; the object goes with its last name, unless it is pinned.

        Parameters
        ----------
        name : str
        object_id : ObjectId
        keep : bool
            The object lost a conflict over the name with another node: it stays, with the tag ``conflict``, whose value is the name.
        """
        with self.catalog.write() as write:
            statement = "SELECT seq, pinned, id FROM objects WHERE seq = (SELECT object FROM names WHERE name = ?)"
            row = write.execute(statement, (name,)).fetchone()
            if row is None or rows.object_id(row[0], row[2]) != object_id:
                return
            write.execute("DELETE FROM names WHERE name = ?", (name,))
            write.execute("INSERT INTO changes (object, what) VALUES (?, 'named')", (object_id,))
            if keep:
                self.tag_conflict(write, name, row[0], object_id)
                return
            gone = not row[1] and not write.execute("SELECT 1 FROM names WHERE object = ?", (row[0],)).fetchone()
            if gone:
                self.delete_row(write, row[0], was=name)
        if gone:
            self.trim()

    def tag_conflict(self, write: sqlite3.Connection, name: str, seq: int, object_id: ObjectId) -> None:
        """Note, within a transaction, that an object lost a name to one of another node."""
        tag = "UPDATE objects SET tags = json_set(coalesce(tags, '{}'), '$.conflict', ?) WHERE seq = ?"
        write.execute(tag, (name, seq))
        write.execute("INSERT INTO changes (object, what, name) VALUES (?, 'conflict', ?)", (object_id, name))

    def find(self, write: sqlite3.Connection, key: Key) -> tuple[int, ObjectId]:
        """Find an object within the transaction, so that its name cannot be rebound in between."""
        found = find_with_seq(lambda statement, parameters: write.execute(statement, parameters).fetchone(), key)
        if found is None or expired(found[1][4]):
            raise self.reader.not_found(key, write)
        return found[0], found[1][0]

    def bind_row(self, write: sqlite3.Connection, name: str, seq: int) -> bool:
        """Bind a name; return whether the object that had it was deleted."""
        old = write.execute("SELECT object FROM names WHERE name = ?", (name,)).fetchone()
        write.execute(
            "INSERT INTO names VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET object = excluded.object", (name, seq)
        )
        if old is not None and old[0] != seq:
            kept = write.execute(
                "SELECT pinned OR EXISTS (SELECT 1 FROM names WHERE object = seq), id FROM objects WHERE seq = ?",
                (old[0],),
            ).fetchone()
            if kept is not None and not kept[0]:
                self.delete_row(write, old[0], was=name)
                return True
            if kept is not None:
                # Who gets the name may be gone before anybody looks.
                lost = rows.object_id(old[0], kept[1])
                write.execute("INSERT INTO changes (object, what) VALUES (?, 'named')", (lost,))
        return False

    def delete(self, key: Key) -> None:
        """Delete an object; who maps it keeps what it has, until it lets go.

        Raises
        ------
        ObjectNotFoundError
            If no object has this name or id.
        """
        try:
            self._delete_found(key)
        except StoreFullError:
            # The catalog needs a few pages to forget an object, and the file system has none: take them from the pool.
            if not self.allocator.free.empty():
                raise
            self._delete_found(key)
        self.trim()

    def _delete_found(self, key: Key) -> None:
        with self.catalog.write() as write:
            self.delete_row(write, self.find(write, key)[0])

    def delete_expired(self) -> int:
        """Delete the objects whose `ttl` is over; return how many there were."""
        with self.catalog.write() as write:
            over = write.execute("SELECT seq FROM objects WHERE expires < ?", (time.time(),)).fetchall()
            for (seq,) in over:
                self.delete_row(write, seq)
        if over:
            self.trim()
        return len(over)

    def delete_row(self, write: sqlite3.Connection, seq: int, was: str = "") -> None:
        """Delete an object; `was` is the name that it had a moment ago, if that has been taken from it."""
        used = [row[0] for row in write.execute("SELECT segment FROM uses WHERE object = ?", (seq,))]
        if used and not was:
            statement = "SELECT id, (SELECT min(name) FROM names WHERE object = seq) FROM objects WHERE seq = ?"
            text, name = write.execute(statement, (seq,)).fetchone()
            was = name or rows.object_id(seq, text)
        # The names last: the history of changes tells the first of them.
        write.execute("DELETE FROM objects WHERE seq = ?", (seq,))
        write.execute("DELETE FROM names WHERE object = ?", (seq,))
        write.execute("DELETE FROM uses WHERE object = ?", (seq,))
        for segment in used:
            heir = write.execute("SELECT min(object) FROM uses WHERE segment = ?", (segment,)).fetchone()[0]
            if heir is None and not self.spiller.forget(write, segment):
                write.execute(
                    "UPDATE segments SET state = 'free', freed = ?, was = ? WHERE segment = ?",
                    (time.time(), was, segment),
                )
            elif heir is not None and heir > seq:
                self._inherit(write, heir, segment)

    def _inherit(self, write: sqlite3.Connection, seq: int, segment: int) -> None:
        """Give a segment, whose owner was deleted, to the oldest of those that refer to it."""
        text, layout = write.execute("SELECT id, layout FROM objects WHERE seq = ?", (seq,)).fetchone()
        nbytes = sum(size for place, _, size in PLACE.iter_unpack(layout) if place == segment)
        write.execute("UPDATE objects SET shared = shared - ? WHERE seq = ?", (nbytes, seq))
        write.execute("INSERT INTO changes (object, what) VALUES (?, 'inherited')", (rows.object_id(seq, text),))

    def trim(self) -> None:
        """After the commit of a deletion: the disk, the surplus of the pool, and the catalog's own pages are given back."""
        self.spiller.discard_deleted()
        self.upkeep.freed()
        row = self.catalog.row("SELECT sum(nbytes) FROM segments WHERE state = 'free'")
        if row is not None and (row[0] or 0) > self.allocator.pool.limit:
            self.allocator.free.release(keep=self.allocator.pool.limit)
        self.catalog.compact()


def check_name(name: str) -> None:
    """Refuse what cannot be a name.

    Raises
    ------
    TypeError
        If it is not text.
    NameConflictError
        If it is empty or blank, too long, contains a null character, or looks like an object id.
    """
    if not isinstance(name, str):
        raise TypeError(f"A name is text, not {type(name).__name__}.")
    try:
        name.encode()
    except UnicodeEncodeError:
        encodable = False
    else:
        encodable = True
    if not name.strip() or len(name) > _LONGEST_NAME or "\0" in name or not encodable:
        raise NameConflictError(
            f"{name[:50]!r} cannot be a name: names have 1 to {_LONGEST_NAME} characters of Unicode, none of them null, not only blanks."
        )
    if is_object_id(name):
        raise NameConflictError(f"{name!r} cannot be a name: it has the form of an object id.")
