"""Who has a name: the bindings of all nodes, and the one rule that decides between them.

Covers bindings and what follows from a change of them, as pure data. A node binds names to its replicas; the cluster's answer follows from all
bindings together:

* Of the objects that nodes bind a name to, the one that was **created last** has it; the greater id decides between two of the same moment. Nothing else
  counts, in particular not the order in which announcements arrive, so every scheduler that hears the same ends with the same answer.
* A binding that lost is undone where it lies, by an order. Whether its object stays depends on what was meant:

  - It was **replaced** if whoever bound the name anew could know it: the node itself bound the name to it before, even if the object was moved away
    since, or the binding had been known in the cluster for :data:`SETTLED` seconds. Then it goes as it does in one store: with its last name, unless it is pinned.
    What its author had seen elsewhere, a put does not say: it asks nobody, and what is replaced wrongly is lost, what is kept wrongly is only left over.
  - Otherwise two bound the name **at once**, or on two sides of a partition that has healed. The loser stays, reachable by its id, and the
    order says so (``keep``): its node tags it with the name that it lost, and everybody is told.

* An object that is **renamed** while a node is away keeps its old names there. When the node announces them it is told to rename its replica, too; an old
  name that was given to another object meanwhile stays with that. So it goes with a replica that was on its way. A name that it is given anew counts again.
* An object that is **deleted** takes its names along: older objects that had lost one of them to it, on a node that is away or has not joined yet, do not come back
  under that name. A binding that is announced as new, after a put or a renaming, counts again.

What was replaced is remembered, so that neither a node that was away nor a transfer that was under way turns a replacement into a conflict; so are renamings. A scheduler
that starts anew has forgotten them, and then errs on the side of keeping: an object, or its old name beside the new one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from workbench.cluster.indexes import NameIndex
from workbench.cluster.journal import Journal
from workbench.cluster.nodes import Node, Order
from workbench.cluster.records import Aged, Entry
from workbench.objects import ObjectId

SETTLED: Final = 1.0
"""Seconds after which a binding is known wherever somebody could bind the name again; announcements take some ten milliseconds."""
_REMEMBERED: Final = 100_000
"""Replaced bindings, renamed objects, and names of deleted objects, that are remembered."""


class Names:
    """The names of the cluster.

    Parameters
    ----------
    journal : Journal
        Is told of each object that gets or loses a name.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.index = NameIndex()
        self._bound: dict[str, tuple[Node, ...]] = {}
        self._fresh: OrderedDict[str, tuple[float, set[str]]] = (
            OrderedDict()
        )  # since when, and who has bound it to that
        self._replaced: OrderedDict[ObjectId, set[str]] = OrderedDict()  # and the names that were bound anew
        # The names that an object had before, and the one that it was given in their place.
        self._renamed: OrderedDict[ObjectId, tuple[frozenset[str], str]] = OrderedDict()
        self._buried: OrderedDict[str, Aged] = OrderedDict()  # the newest deleted object that had the name

    def __contains__(self, name: str) -> bool:
        return name in self._bound

    def holder(self, name: str) -> Entry | None:
        """Return the object that has a name, or None."""
        nodes = self._bound.get(name)
        if nodes is None:
            return None
        return nodes[0].names[name] if len(nodes) == 1 else max(node.names[name] for node in nodes)

    def bind(
        self,
        node: Node,
        name: str,
        entry: Entry,
        previous: Entry | None,
        *,
        resync: bool,
        now: float,
        arrived: bool = False,
    ) -> list[Order]:
        """Note that a node binds a name, and return what nodes must be told.

        Parameters
        ----------
        node : Node
        name : str
        entry : Entry
        previous : Entry or None
            What the node bound the name to before this announcement.
        resync : bool
            The binding was made at any time until now.
        now : float
            Seconds of a clock that only goes forward.
        arrived : bool
            The object is new on the node: if it was replaced, a transfer has brought it with the name that it had.
        """
        if node.names.get(name) is entry and not resync:
            return []  # what followed from it was ordered when it was new
        if (told := self._outdated(node, name, entry, resync=resync, arrived=arrived, now=now)) is not None:
            return [told]
        before = self.holder(name)
        if not resync and not arrived:
            self._replaced.get(entry.id, set()).discard(name)  # it was meant, however old the object is
        node.names[name] = entry
        nodes = self._bound.get(name, ())
        if not nodes:
            self.index.add(name)
        if node not in nodes:
            nodes = self._bound[name] = (*nodes, node)
        winner = self.holder(name)
        assert winner is not None  # it is bound now
        if winner is entry and not resync:
            since, knowing = self._fresh.get(name, (now - 2 * SETTLED, ()))
            known = now - since > SETTLED or node.id in knowing
            for loser in (previous, before if known else None):
                if loser is not None and loser is not entry:
                    self._remember(name, loser)
        self._changed(name, before, winner, now)
        if winner is entry and name in self._fresh:
            self._fresh[name][1].add(node.id)
        return [self._undo(at, name, winner) for at in nodes if at.workers and at.names[name] is not winner]

    def rename(self, entry: Entry, olds: Iterable[str], new: str) -> None:
        """Note that an object has a name in place of others, wherever it is."""
        self._note_renaming(entry, frozenset(olds) | self._renamed.get(entry.id, (frozenset(), ""))[0], new)

    def allow(self, entry: Entry, name: str) -> None:
        """Note that an object is about to be given a name, which is none of before from now on, whatever a node announces in the middle of it."""
        olds, new = self._renamed.get(entry.id, (frozenset(), ""))
        if name in olds:
            self._note_renaming(entry, olds - {name}, new)

    def _note_renaming(self, entry: Entry, olds: frozenset[str], new: str) -> None:
        self._renamed.pop(entry.id, None)
        if olds - {new}:
            self._renamed[entry.id] = olds - {new}, new
        while len(self._renamed) > _REMEMBERED:
            self._renamed.popitem(last=False)

    def bury(self, entry: Entry) -> None:
        """Note that an object is deleted: no older one has its names from now on, unless it is given them anew."""
        for name in entry.names:
            for node in self._bound[name]:
                if node.names[name] < entry:
                    self.unbind(node, name)
            self._buried[name] = Aged(entry.created, entry.id)
            self._buried.move_to_end(name)
        while len(self._buried) > _REMEMBERED:
            self._buried.popitem(last=False)

    def _outdated(
        self, node: Node, name: str, entry: Entry, *, resync: bool, arrived: bool, now: float
    ) -> Order | None:
        """Return what a node must be told that announces a binding of before; None if the object may have the name."""
        renamed = self._renamed.get(entry.id)
        if renamed is not None and name in renamed[0]:
            if resync or arrived:
                if node.names.get(name) is entry:
                    self.unbind(node, name, now)
                return Order(node.id, "rename", entry.id, renamed[1], was=name)
            self.allow(entry, name)
        deleted = self._outlived(node, name, entry, resync=resync, arrived=arrived)
        return None if deleted is None else self._take(node, name, entry, deleted)

    def _outlived(self, node: Node, name: str, entry: Entry, *, resync: bool, arrived: bool) -> Aged | None:
        """Return the deleted object to which another one had lost a name that it is announced with; None if it may have it."""
        deleted = self._buried.get(name)
        if deleted is None:
            return None
        if resync:
            stale = name not in node.names  # else it was bound to something, and has been bound anew
        else:
            stale = arrived and (len(entry.copies) > 1 or self._was_replaced(name, entry))
        if not stale:
            del self._buried[name]
        return deleted if stale and entry < deleted else None

    def _was_replaced(self, name: str, entry: Entry) -> bool:
        return name in self._replaced.get(entry.id, ())

    def is_replaced(self, entry: Entry) -> bool:
        """Tell whether an object has no name any more, because others were given what it had."""
        return not entry.names and bool(self._replaced.get(entry.id))

    def unbind(self, node: Node, name: str, now: float = 0.0) -> None:
        """Note that a node does not bind a name any more."""
        before = self.holder(name)
        if node.names.pop(name, None) is None:
            return
        nodes = tuple(other for other in self._bound[name] if other is not node)
        if nodes:
            self._bound[name] = nodes
        else:
            del self._bound[name]
            self.index.remove(name)
        self._changed(name, before, self.holder(name), now)

    def _undo(self, node: Node, name: str, winner: Entry) -> Order:
        return self._take(node, name, node.names[name], winner)

    def _take(self, node: Node, name: str, loser: Entry, winner: Aged) -> Order:
        return Order(node.id, "unbind", loser.id, name, keep=not self._was_replaced(name, loser), winner=winner.id)

    def _remember(self, name: str, loser: Entry) -> None:
        self._replaced.setdefault(loser.id, set()).add(name)
        while len(self._replaced) > _REMEMBERED:
            self._replaced.popitem(last=False)

    def _changed(self, name: str, before: Entry | None, after: Entry | None, now: float) -> None:
        if before is after:
            return
        if before is not None:
            self._journal.note(before.id)
            before.names = tuple(other for other in before.names if other != name)
        if after is not None:
            self._journal.note(after.id)
            after.names = tuple(sorted({*after.names, name})) if after.names else (name,)
        self._fresh[name] = now, set()
        self._fresh.move_to_end(name)
        while self._fresh and now - next(iter(self._fresh.values()))[0] > SETTLED:
            self._fresh.popitem(last=False)
