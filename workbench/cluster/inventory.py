"""The objects of the cluster's catalog and the indexes over them, as pure data.

Covers objects, their replicas, datasets and listings. Names are ``names.py``'s: here they are only read. Who says that a node has something is
``catalog.py``. Read next: ``names.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import TYPE_CHECKING

from workbench.cluster.indexes import PAGE, Order, Page, Pattern, by_age, newest_first, page_by_age
from workbench.cluster.journal import Journal
from workbench.cluster.names import Names
from workbench.cluster.nodes import Node
from workbench.cluster.records import Copy, Entry, Forms, tags_of
from workbench.objects import ObjectId, ObjectInfo

if TYPE_CHECKING:
    from workbench.cluster.indexes import ByAge


class Inventory:
    """Which object is where.

    Parameters
    ----------
    names : Names
    journal : Journal
        Is told of each object about which something changes.
    """

    def __init__(self, names: Names, journal: Journal) -> None:
        self._names = names
        self._journal = journal
        self._entries: dict[ObjectId, Entry] = {}
        self._forms = Forms()
        self._by_age: ByAge = by_age()
        self._by_kind: dict[str, ByAge] = {}
        self._members: dict[ObjectId, dict[ObjectId, None]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def whole(self) -> int:
        """Number of objects that are no partitions of a dataset that is known."""
        parts = sum(len(members) for dataset, members in self._members.items() if dataset in self._entries)
        return len(self._entries) - parts

    def get(self, object_id: str) -> Entry | None:
        """Return an object, or None."""
        return self._entries.get(ObjectId(object_id))

    def members(self, dataset: ObjectId) -> list[ObjectId]:
        """Return the partitions of a dataset; empty for other objects."""
        return list(self._members.get(dataset, ()))

    def add(self, node: Node, info: ObjectInfo) -> Entry:
        """Note that a node has an object, or what has changed about its replica. What an object is (form, age, dataset) never changes."""
        self._journal.note(info.id)
        entry = self._entries.get(info.id) or self._new(info)
        copy = Copy(node, entry, info)
        old = entry.copy_on(node)
        if old is None:
            entry.copies += (copy,)
            node.entries.add(entry)
            if entry.dataset is not None:
                node.datasets[entry.dataset] += 1
        else:
            copy.names = old.names
            entry.copies = tuple(copy if other is old else other for other in entry.copies)
            node.nbytes[old.state] -= old.nbytes
        node.objects[entry.id] = copy
        node.nbytes[copy.state] += copy.nbytes
        if (tags := tags_of(info)) != entry.tags:
            entry.tags = tags
        return entry

    def _new(self, info: ObjectInfo) -> Entry:
        entry = self._entries[info.id] = Entry(info, self._forms.of(info))
        self._by_age.add(entry)
        self._by_kind.setdefault(entry.form.kind, by_age()).add(entry)
        if entry.dataset is not None:
            self._members.setdefault(entry.dataset, {})[entry.id] = None
        return entry

    def remove(self, node: Node, entry: Entry) -> bool:
        """Note that a node has an object no longer; return whether that was the last replica."""
        self._journal.note(entry.id)
        copy = node.objects.pop(entry.id)
        entry.copies = tuple(other for other in entry.copies if other is not copy)
        node.entries.remove(entry)
        node.nbytes[copy.state] -= copy.nbytes
        if entry.dataset is not None:
            node.datasets[entry.dataset] -= 1
            if not node.datasets[entry.dataset]:
                del node.datasets[entry.dataset]
        if not entry.copies:
            self._forget(entry)
        return not entry.copies

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.id]
        self._by_age.remove(entry)
        kind = self._by_kind[entry.form.kind]
        kind.remove(entry)
        if not kind:
            del self._by_kind[entry.form.kind]
        if entry.dataset is not None:
            members = self._members[entry.dataset]
            del members[entry.id]
            if not members:
                del self._members[entry.dataset]

    # -- listings --------------------------------------------------------------------------------------------------

    def page(
        self,
        pattern: str = "*",
        *,
        kind: str | None = None,
        node: Node | None = None,
        parts: bool = True,
        unnamed: bool = False,
        order: Order = "created",
        limit: int = PAGE,
        after: str | None = None,
    ) -> Page:
        """Return a page of a listing: at most `limit` objects, and where the next page begins.

        Parameters
        ----------
        pattern : str
            Shell pattern for the names; ``*`` also gives objects without a name.
        kind : str, optional
            Only objects of this kind.
        node : Node, optional
            Only objects with a replica there; without `parts`, a dataset is where its partitions are.
        parts : bool
            Also the partitions of datasets whose manifest is known.
        unnamed : bool
            Only objects without a name.
        order : str
            ``created``: newest first. ``name``: those with a name only.
        limit : int
        after : str, optional
            The cursor of the page before.

        Raises
        ------
        ValueError
            The cursor is none.
        """
        wanted = Pattern(pattern)

        def fits(entry: Entry) -> bool:
            return (
                (kind is None or entry.form.kind == kind)
                and (node is None or self._is_on(entry, node, parts))
                and (parts or not self._is_part(entry))
                and not (unnamed and entry.names)
                and wanted.fits(entry)
            )

        limit = max(1, min(limit, PAGE))
        if order == "name":
            return self._names.index.page(wanted, self._named, fits, limit, after)
        return page_by_age(self._candidates(wanted, kind, node, parts, after), fits, limit)

    def _named(self, name: str) -> Entry:
        entry = self._names.holder(name)
        assert entry is not None  # the index has what is bound
        return entry

    def _is_part(self, entry: Entry) -> bool:
        return entry.dataset is not None and entry.dataset in self._entries

    @staticmethod
    def _is_on(entry: Entry, node: Node, parts: bool) -> bool:
        return entry.id in node.objects or (not parts and entry.id in node.datasets)

    def _candidates(
        self, pattern: Pattern, kind: str | None, node: Node | None, parts: bool, after: str | None
    ) -> Iterator[Entry]:
        """Yield by age what may fit, from the index that leaves out most."""
        if not pattern.all and (names := self._names.index.few_with(pattern)) is not None:
            found = by_age()
            found.update({self._named(name) for name in names})
            return newest_first(found, after)
        if node is not None:
            here = newest_first(node.entries, after)
            if parts:
                return here
            # The manifest of a dataset may lie elsewhere than its partitions.
            away = by_age()
            away.update(
                entry
                for dataset in node.datasets
                if (entry := self._entries.get(dataset)) is not None and entry.id not in node.objects
            )
            return merge(here, newest_first(away, after), reverse=True)
        return newest_first(self._by_age if kind is None else self._by_kind.get(kind, by_age()), after)
