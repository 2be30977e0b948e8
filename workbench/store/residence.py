"""Where an object is kept, as its user wishes: pinned in memory, spilled to disk, restored.

Covers what is refused and why, and which segments an object means; moving one segment is in ``spill.py`` and ``restore.py``, what the
store spills by itself in ``eviction.py``.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Final

from workbench.errors import StoreError, StoreFullError
from workbench.objects import Key, ObjectId
from workbench.store import segments
from workbench.store.allocation import OutOfRoomError
from workbench.store.background import Background
from workbench.store.holders import holders
from workbench.store.mappings import Mapping
from workbench.store.restore import Restorer
from workbench.store.rows import object_id, parse_tags
from workbench.store.writing import Writer
from workbench.texts import process_text

logger = logging.getLogger("workbench.store")

_USED: Final = "SELECT s.segment, s.state, s.nbytes FROM uses JOIN segments s USING (segment) WHERE object = ?"
_PINNED: Final = """
SELECT o.seq, o.id, (SELECT min(name) FROM names WHERE object = o.seq) FROM uses u JOIN uses v USING (segment) JOIN objects o ON o.seq = v.object
WHERE u.object = ? AND o.pinned ORDER BY o.seq <> u.object"""


class Residence:
    """Pins, spills and restores the objects of one store.

    Parameters
    ----------
    writer : Writer
    restorer : Restorer
    background : Background
    restore_after : float, optional
        Seconds: a spilled object that is mapped again so soon after its last use goes back to memory; None: never by itself.
    """

    def __init__(self, writer: Writer, restorer: Restorer, background: Background, restore_after: float | None) -> None:
        self.writer = writer
        self.catalog = writer.catalog
        self.spiller = writer.spiller
        self.restorer = restorer
        self.background = background
        self.restore_after = restore_after

    def pin(self, key: Key) -> None:
        """Keep an object in memory, where it is brought if it is on disk; see :meth:`Store.pin`."""
        while not self._pin_if_in_memory(key):
            self.restore(key)

    def _pin_if_in_memory(self, key: Key) -> bool:
        with self.catalog.write() as write:
            seq, identity = self.writer.names.find(write, key)
            if any(row[1] == "spilled" for row in write.execute(_USED, (seq,))):
                return False
            write.execute("UPDATE objects SET pinned = 1 WHERE seq = ?", (seq,))
            write.execute("DELETE FROM cached WHERE object = ?", (seq,))
            write.execute("INSERT INTO changes (object, what) VALUES (?, 'pinned')", (identity,))
        return True

    def unpin(self, key: Key) -> None:
        """Undo :meth:`pin`."""
        with self.catalog.write() as write:
            seq, identity = self.writer.names.find(write, key)
            write.execute("UPDATE objects SET pinned = 0 WHERE seq = ?", (seq,))
            write.execute("INSERT INTO changes (object, what) VALUES (?, 'pinned')", (identity,))

    def set_tag(self, key: Key, tag: str, value: str | None) -> None:
        """Give an object a tag, or take it away (None)."""
        with self.catalog.write() as write:
            seq, identity = self.writer.names.find(write, key)
            row = write.execute("SELECT tags FROM objects WHERE seq = ?", (seq,)).fetchone()
            tags = parse_tags(row[0])
            if tags.get(tag) == value:
                return
            tags = {**tags, tag: value} if value is not None else {k: v for k, v in tags.items() if k != tag}
            write.execute("UPDATE objects SET tags = ? WHERE seq = ?", (json.dumps(tags) if tags else None, seq))
            write.execute("INSERT INTO changes (object, what) VALUES (?, 'tagged')", (identity,))

    def keep(self, key: Key) -> None:
        """Make an ordinary replica of a cached one; see :meth:`Store.keep`."""
        with self.catalog.write() as write:
            seq, identity = self.writer.names.find(write, key)
            if write.execute("DELETE FROM cached WHERE object = ?", (seq,)).rowcount:
                write.execute("INSERT INTO changes (object, what) VALUES (?, 'kept')", (identity,))

    def can_be_spilled(self, key: Key) -> bool:
        """Tell whether an object lies in segments, and not in the catalog."""
        with self.catalog.write() as write:
            return write.execute(_USED, (self.writer.names.find(write, key)[0],)).fetchone() is not None

    # -- to disk ---------------------------------------------------------------------------------------------------

    def spill(self, key: Key) -> None:
        """Move an object to disk; see :meth:`Store.spill`."""
        with self.catalog.write() as write:
            seq, identity = self.writer.names.find(write, key)
            used = write.execute(_USED, (seq,)).fetchall()
            pinned = write.execute(_PINNED, (seq,)).fetchone()
        name = _name(key)
        if not used:
            raise StoreError(
                f"{name} lies in the catalog itself (objects up to workbench.inline do), so there is nothing to spill."
            )
        there = [row for row in used if row[1] == "sealed"]
        if pinned is not None and there:
            raise StoreError(_pinned_message(name, seq, pinned))
        if self.spiller.place.path is None and there:
            raise StoreError(f"{name} cannot be spilled: {self.spiller.place.reason}.")
        self._refuse_if_mapped(name, identity)
        trouble = self.spiller.place.refusal(sum(row[2] for row in there), self.spiller.spilled_nbytes())
        if not trouble and there:
            self.spiller.spill([row[0] for row in there])
            trouble = self.spiller.trouble
        if trouble:
            raise StoreFullError(f"{name} cannot be spilled, and stays in memory. {trouble} Nothing was lost.")
        self._check_spilled(name, identity, seq)

    def _refuse_if_mapped(self, name: str, identity: ObjectId) -> None:
        found = holders(self.catalog, self.writer.reader.directory, identity)
        who = [process_text(holder.kind, holder.label, holder.pid) for holder in found if holder.state == "memory"]
        if who:
            raise StoreError(
                f"{name} is mapped by {', '.join(who)}, so it cannot be spilled. Delete the variables that hold it there, then try again."
            )

    def _check_spilled(self, name: str, identity: ObjectId, seq: int) -> None:
        left = [row for row in self.catalog.rows(_USED, (seq,)) if row[1] == "sealed"]
        if left:
            # Somebody mapped or pinned it in this moment; usually there is a name for who it was.
            self._refuse_if_mapped(name, identity)
            raise StoreError(f"{name} was not spilled: it is mapped by another process, or was pinned. Try again.")

    # -- back to memory --------------------------------------------------------------------------------------------

    def restore(self, key: Key) -> None:
        """Bring an object back to memory; see :meth:`Store.restore`."""
        identity = self.writer.reader.resolve(key)
        kept: list[Mapping] = []
        while True:
            with self.catalog.write() as write:
                seq, _ = self.writer.names.find(write, identity)
                spilled = [row for row in write.execute(_USED, (seq,)) if row[1] == "spilled"]
            if not spilled:
                return
            number, _, nbytes = spilled[0]
            self.writer.with_room(nbytes, lambda number=number: self.restorer.restore(number))  # type: ignore[misc]
            self._keep(number, kept)

    def _keep(self, number: int, kept: list[Mapping]) -> None:
        """Map what was restored, so that it is not spilled to make room for the rest of the object."""
        try:
            kept.append(self.writer.reader.mappings.get(number)[0])
        except (FileNotFoundError, segments.SegmentBusyError):
            return  # the next look at the catalog tells

    def on_mapped(self, mapping: Mapping) -> None:
        """Note that this process mapped a spilled segment; one that is hot goes back to memory in the background."""
        if self.restore_after is not None and time.time() - mapping.last_used < self.restore_after:
            number = mapping.segment
            self.background.do(f"Restoring segment {number}", lambda _: self._restore_hot(number))

    def _restore_hot(self, number: int) -> None:
        try:
            self.restorer.restore(number)
        except OutOfRoomError:
            logger.debug("Segment %s is hot, but there is no room for it in memory.", number)


def _name(key: Key) -> str:
    return repr(key if isinstance(key, str) else key.name or key.id)


def _pinned_message(name: str, seq: int, pinned: tuple[int, str, str | None]) -> str:
    other = pinned[2] or object_id(pinned[0], pinned[1])
    if pinned[0] == seq:
        return f"{name} is pinned, so it stays in memory. Unpin it first: wb.unpin({other!r})."
    return f"{name} shares memory with {other!r}, which is pinned, so it stays there. Unpin that first: wb.unpin({other!r})."
