"""Who has a name: the bindings of all nodes, and the one rule that decides between them.

Covers bindings and what follows from a change of them, as pure data. A node binds names to its replicas; the cluster's answer follows from all
bindings together:

* Of the objects that nodes bind a name to, the one that was **created last** has it; the greater id decides between two of the same moment. Nothing else
  counts, in particular not the order in which announcements arrive, so every scheduler that hears the same ends with the same answer.
* A binding that lost is undone where it lies, by an order. Whether its object stays depends on what was meant:

  - It was **replaced** if whoever bound the name anew could know it: the node itself bound the name to it before, even if the object was moved away
    since, or the binding had been known in the cluster for :data:`SETTLED` seconds. Then it goes as it does in one store: with its last name, unless it is pinned.
  - Otherwise two bound the name **at once**, or on two sides of a partition that has healed. The loser stays, reachable by its id, and the
    order says so (``keep``): its node tags it with the name that it lost, and everybody is told.

What was replaced is remembered, so that neither a node that was away nor a transfer that was under way turns a replacement into a conflict. A scheduler that starts anew has forgotten it,
and then errs on the side of keeping.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from workbench.cluster.indexes import NameIndex
from workbench.cluster.journal import Journal
from workbench.cluster.nodes import Node, Order
from workbench.cluster.records import Entry
from workbench.objects import ObjectId

SETTLED: Final = 1.0
"""Seconds after which a binding is known wherever somebody could bind the name again; announcements take some ten milliseconds."""
_REMEMBERED: Final = 100_000
"""Replaced bindings that are remembered."""


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
        self._replaced: OrderedDict[tuple[str, ObjectId], None] = OrderedDict()

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
        before = self.holder(name)
        if not resync and not arrived:
            self._replaced.pop((name, entry.id), None)  # it was meant, however old the object is
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
        loser = node.names[name].id
        return Order(node.id, "unbind", loser, name, keep=(name, loser) not in self._replaced, winner=winner.id)

    def _remember(self, name: str, loser: Entry) -> None:
        self._replaced[name, loser.id] = None
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
