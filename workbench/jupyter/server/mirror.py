"""All objects of this host and its cluster, kept up by what changes, and as rows for the panel.

Covers joining the two catalogs object by object: what one change costs does not depend on how many objects there are. Partitions of a dataset are no
rows: the dataset is one, with the bytes, the nodes and the holders of all of them. Pure; who asks the catalogs is ``hub.py``, what a row looks like is in
``snapshot.py``, and what is sent of them in ``deltas.py``.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

from workbench.finding import folded
from workbench.jupyter.server.deltas import Board
from workbench.jupyter.server.snapshot import dumps, gather, merge, object_json
from workbench.objects import MISSING, Holder, ObjectId, ObjectInfo

__all__ = ["Mirror"]

Side = dict[ObjectId, ObjectInfo]


class Mirror:
    """What is known of all objects.

    Parameters
    ----------
    board : Board
        Gets the rows.
    limit : int
        Rows at most; the newest objects have them.
    root : str
        The folder that the server shows.
    patience : float
        Seconds that partitions must have been missing before their dataset's row says so: this host and the other nodes tell of what is
        made, moved or deleted one after the other.
    """

    def __init__(self, board: Board, limit: int, root: str, patience: float = 1.0) -> None:
        self._board = board
        self._limit = limit
        self._root = root
        self._patience = patience
        self._doubtful: dict[ObjectId, float] = {}
        self._here: Side = {}
        self._there: Side = {}
        self._members: defaultdict[str, set[ObjectId]] = defaultdict(set)
        self._expires: dict[ObjectId, float] = {}
        self._place: tuple[str | None, str] = None, ""
        self._leases: Sequence[Holder] = ()
        self._holders: dict[ObjectId | None, list[Holder]] = {}
        self._touched: set[ObjectId] = set()
        self._rows: dict[ObjectId, tuple[float, str]] = {}
        self._was_hiding = False

    @property
    def is_overfull(self) -> bool:
        """Whether so many objects came that those which are too old to be shown should be forgotten: begin anew."""
        return max(len(self._here), len(self._there)) > 4 * self._limit

    @property
    def hidden(self) -> int:
        """Rows beyond the limit."""
        return max(0, len(self._rows) - self._limit)

    @property
    def deleted(self) -> list[Holder]:
        """Who maps what was deleted."""
        return self._holders.get(None, [])

    # -- what is told ----------------------------------------------------------------------------------------------

    def set_place(self, node: str | None, name: str) -> None:
        """Say which store this host has, and what the host is called."""
        if (node, name) != self._place:
            self._place = node, name
            self._touched.update(self._here, self._there)

    def begin_here(self, infos: Iterable[ObjectInfo]) -> None:
        """Say everything that this host has."""
        self._begin(self._here, infos)

    def begin_there(self, infos: Iterable[ObjectInfo]) -> None:
        """Say everything that the cluster has."""
        self._begin(self._there, infos)

    def change_here(self, changed: Iterable[ObjectInfo], removed: Iterable[ObjectId] = ()) -> None:
        """Say what changed on this host."""
        self._change(self._here, changed, removed)

    def change_there(self, changed: Iterable[ObjectInfo], removed: Iterable[ObjectId] = ()) -> None:
        """Say what changed in the cluster."""
        self._change(self._there, changed, removed)

    def set_leases(self, leases: Sequence[Holder]) -> set[ObjectId]:
        """Say who holds what; return the objects that somebody took or let go."""
        before = {(lease.pid, lease.object) for lease in self._leases}
        now = {(lease.pid, lease.object) for lease in leases}
        self._leases = leases
        return {object_id for _, object_id in before ^ now if object_id is not None}

    # -- what follows ----------------------------------------------------------------------------------------------

    def settle(self, rest: str) -> bool:
        """Bring the board up to date; `rest` stands for what is not in rows. Return whether it has a new version."""
        self._expire()
        self._gather()
        now = time.monotonic()
        self._touched.update(object_id for object_id, moment in self._doubtful.items() if moment <= now)
        touched, self._touched = self._touched, set()
        for object_id in list(touched):
            info = self._find(object_id)
            if info is not None and (owner := info.tags.get("dataset")) is not None:
                touched.add(ObjectId(owner))
        changed: set[ObjectId] = set()
        removed: set[ObjectId] = set()
        for object_id in touched:
            row = self._row(object_id)
            if row is None:
                self._rows.pop(object_id, None)
                removed.add(object_id)
            elif self._rows.get(object_id) != row:
                self._rows[object_id] = row
                changed.add(object_id)
        return self._show(changed, removed, rest)

    def _show(self, changed: set[ObjectId], gone: set[ObjectId], rest: str) -> bool:
        removed: set[str] = {*gone}
        if self.hidden and (changed or removed):
            newest = sorted(self._rows, key=lambda object_id: (self._rows[object_id][0], object_id), reverse=True)
            visible = set(newest[: self._limit])
            changed = (changed & visible) | {object_id for object_id in visible if object_id not in self._board.ids}
            removed |= self._board.ids - visible
            self._was_hiding = True
        elif not self.hidden and self._was_hiding:
            changed = changed | {object_id for object_id in self._rows if object_id not in self._board.ids}
            self._was_hiding = False
        return self._board.update({object_id: self._rows[object_id] for object_id in changed}, removed, rest)

    def _begin(self, side: Side, infos: Iterable[ObjectInfo]) -> None:
        found = {info.id: info for info in infos}
        self._change(side, found.values(), [object_id for object_id in side if object_id not in found])

    def _change(self, side: Side, changed: Iterable[ObjectInfo], removed: Iterable[ObjectId]) -> None:
        for info in changed:
            if side.get(info.id) != info:
                side[info.id] = info
                self._touch(info)
                if info.ttl is not None:
                    self._expires[info.id] = info.created + info.ttl
                if (owner := info.tags.get("dataset")) is not None:
                    self._members[owner].add(info.id)
        for object_id in removed:
            gone = side.pop(object_id, None)
            if gone is None:
                continue
            self._touch(gone)
            if self._find(object_id) is None:
                self._expires.pop(object_id, None)
                if (owner := gone.tags.get("dataset")) is not None:
                    self._members[owner].discard(object_id)
                    if not self._members[owner]:
                        del self._members[owner]

    def _touch(self, info: ObjectInfo) -> None:
        self._touched.add(info.id)
        if (owner := info.tags.get("dataset")) is not None:
            self._touched.add(ObjectId(owner))
        if info.kind == "dataset":
            self._touched.update(self._members.get(info.id, ()))

    def _expire(self) -> None:
        now = time.time()
        over = [object_id for object_id, moment in self._expires.items() if moment <= now]
        self._change(self._here, (), over)
        self._change(self._there, (), over)

    def _gather(self) -> None:
        holders: defaultdict[ObjectId | None, list[Holder]] = defaultdict(list)
        for holder in gather(self._leases, self._dataset_of):
            holders[holder.object].append(holder)
        for object_id in holders.keys() | self._holders.keys():
            if object_id is not None and holders.get(object_id) != self._holders.get(object_id):
                self._touched.add(object_id)
        self._holders = dict(holders)

    def _find(self, object_id: str) -> ObjectInfo | None:
        return self._here.get(ObjectId(object_id)) or self._there.get(ObjectId(object_id))

    def _dataset_of(self, object_id: ObjectId) -> ObjectInfo | None:
        """Return the manifest of the dataset that an object is a partition of, if it is one and that is known."""
        info = self._find(object_id)
        owner = None if info is None else info.tags.get("dataset")
        manifest = None if owner is None else self._find(owner)
        return manifest if manifest is not None and manifest.kind == "dataset" else None

    def _merged(self, object_id: ObjectId) -> ObjectInfo | None:
        return merge(self._here.get(object_id), self._there.get(object_id), *self._place)

    def _row(self, object_id: ObjectId) -> tuple[float, str] | None:
        info = self.info(object_id)
        if info is None or self._dataset_of(object_id) is not None:
            self._doubtful.pop(object_id, None)
            return None
        return info.created, dumps(object_json(self._proven(info), self._holders.get(object_id, ()), self._root))

    def _proven(self, info: ObjectInfo) -> ObjectInfo:
        """Leave out that partitions of a dataset are missing as long as they may be on their way."""
        if not any(MISSING in note for note in info.notes):
            self._doubtful.pop(info.id, None)
            return info
        now = time.monotonic()
        # Of what is proven it is for ever, so that it is not looked at again.
        moment = self._doubtful.setdefault(info.id, now + self._patience)
        if moment <= now or moment == math.inf:
            self._doubtful[info.id] = math.inf
            return info
        return dataclasses.replace(info, notes=tuple(note for note in info.notes if MISSING not in note))

    # -- questions -------------------------------------------------------------------------------------------------

    def info(self, object_id: ObjectId) -> ObjectInfo | None:
        """Return one object as it is shown, or None."""
        info = self._merged(object_id)
        if info is None or info.kind != "dataset":
            return info
        return folded([info, *self.members(object_id)])[0]

    def members(self, dataset: ObjectId) -> list[ObjectInfo]:
        """Return the partitions of a dataset, always in the same order, so that its row is the same if nothing changed."""
        merged = (self._merged(member) for member in sorted(self._members.get(dataset, ())))
        return [info for info in merged if info is not None]

    def holders(self, object_id: ObjectId) -> list[Holder]:
        """Return who holds an object."""
        return self._holders.get(object_id, [])
