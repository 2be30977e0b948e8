"""Whatever nodes announce, in whatever order, lost, doubled or cut off: the catalog is the union of what they hold."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.cluster.test_catalog import info
from workbench.cluster import announcements
from workbench.cluster.catalog import ClusterCatalog
from workbench.cluster.nodes import Order
from workbench.objects import ObjectId, ObjectInfo

NODES = tuple(letter * 32 for letter in "abc")
NAMES = ("x", "y", "z")
EXAMPLES = int(os.environ.get("WORKBENCH_CATALOG_EXAMPLES", "15"))


class Host:
    """A node's store, in a few lines: objects, names, what is deleted everywhere; and what it has not announced yet."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.objects: dict[ObjectId, ObjectInfo] = {}
        self.names: dict[str, ObjectId] = {}
        self.changed: set[ObjectId] = set()
        self.removed: list[ObjectId] = []
        self.gone: set[ObjectId] = set()
        self.sequence = 0
        self.known = False

    def put(self, what: ObjectInfo, name: str | None) -> None:
        """Put an object; a name that another one had goes over to it, as in a store."""
        if what.id in self.gone:
            return
        self.objects[what.id] = what
        self.changed.add(what.id)
        if name is not None:
            loser = self.names.get(name)
            self.names[name] = what.id
            if loser is not None and loser != what.id:
                self.changed.add(loser)
                self.let_go(loser)

    def rename(self, target: ObjectId, name: str) -> None:
        """Give an object a name in place of those that it has."""
        loser = self.names.get(name)
        self.names = {each: owner for each, owner in self.names.items() if owner != target}
        self.names[name] = target
        self.changed.add(target)
        if loser is not None and loser != target:
            self.changed.add(loser)
            self.let_go(loser)

    def let_go(self, target: ObjectId) -> None:
        """Delete an object that has lost its last name."""
        if target not in self.names.values():
            self.delete(target)

    def bury(self, target: ObjectId) -> None:
        """Delete an object that is deleted everywhere, and remember that."""
        self.delete(target)
        self.gone.add(target)

    def delete(self, target: ObjectId) -> None:
        """Delete an object with its names."""
        if self.objects.pop(target, None) is not None:
            self.names = {name: each for name, each in self.names.items() if each != target}
            self.removed.append(target)

    def obey(self, order: Order) -> None:
        """Do what the scheduler says."""
        if order.verb == "delete":
            self.bury(order.object)
        elif order.verb == "rename":
            if order.name is not None and order.was is not None and self.names.get(order.was) == order.object:
                self.rename(order.object, order.name)
        elif order.name is not None and self.names.get(order.name) == order.object:
            del self.names[order.name]
            self.changed.add(order.object)
            if not order.keep:
                self.let_go(order.object)

    def names_of(self, target: ObjectId) -> set[str]:
        """The names that an object has here."""
        return {name for name, each in self.names.items() if each == target}

    def described(self, target: ObjectId) -> ObjectInfo:
        """An object with the names that it has here."""
        names = tuple(sorted(self.names_of(target)))
        return dataclasses.replace(self.objects[target], names=names, name=names[0] if names else None)

    def say(self) -> Iterator[dict[str, object]]:
        """What the announcer would send: changes, or everything in pages of two."""
        full = not self.known
        if full:
            added, removed = list(self.objects), []
        else:
            added, removed = [each for each in self.changed if each in self.objects], self.removed
            removed = [each for each in removed if each not in self.objects]
        self.changed, self.removed, self.known = set(), [], True
        pages = [added[start : start + 2] for start in range(0, len(added), 2)] or [[]]
        for place, page in enumerate(pages):
            self.sequence += 1
            yield {
                "node": self.node,
                "sequence": self.sequence,
                "full": full,
                "begins": full and place == 0,
                "ends": full and place == len(pages) - 1,
                "added": announcements.pack(self.described(each) for each in page),
                "removed": removed if place == 0 else [],
                "capacity": 1000,
                "used": 10,
                "parts": {},
                "gone": sorted(self.gone) if full and place == 0 else [],
            }


class Merging(RuleBasedStateMachine):
    """Hosts that put, rebind, replicate and delete; announcements that are lost and doubled; nodes that go and return."""

    def __init__(self) -> None:
        super().__init__()
        self.catalog = ClusterCatalog()
        self.hosts = {node: Host(node) for node in NODES}
        self.ids = itertools.count(1)
        self.workers = itertools.count(1)
        self.orders: list[Order] = []
        self.deleted: set[ObjectId] = set()
        self.renamed: dict[ObjectId, str] = {}
        for node in NODES:
            self.join(node)

    @initialize(where=st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), max_size=3))
    def begin(self, where: list[tuple[str, str]]) -> None:
        """Named objects, each with a replica elsewhere, that everybody knows: what a run's few steps would seldom come to."""
        for name, (node, other) in zip(NAMES, where, strict=False):
            self.put(node, name)
            self.copy(node, other, max(self.hosts[node].objects))
        for host in self.hosts.values():
            self.announce_all(host)

    def join(self, node: str) -> None:
        """A worker comes up, and the scheduler hears of it."""
        worker = next(self.workers)
        self.catalog.join(node, node[0], f"tcp://{node[0]}:{worker}", str(worker))
        self.hosts[node].known = False

    @rule(node=st.sampled_from(NODES), name=st.none() | st.sampled_from(NAMES))
    def put(self, node: str, name: str | None) -> None:
        """A new object on one node, perhaps with a name that is taken somewhere."""
        self.hosts[node].put(info(next(self.ids)), name)

    @rule(source=st.sampled_from(NODES), to=st.sampled_from(NODES), data=st.data())
    def replicate(self, source: str, to: str, data: st.DataObject) -> None:
        """One more replica."""
        if found := sorted(self.hosts[source].objects):
            self.copy(source, to, data.draw(st.sampled_from(found)))

    def copy(self, source: str, to: str, target: ObjectId) -> None:
        """Make a replica, which adopts the names of the first one, but none that a newer object has there."""
        here = self.hosts[to]
        if target not in here.gone and target not in here.objects:
            here.put(self.hosts[source].objects[target], None)
            for name in sorted(self.hosts[source].names_of(target)):
                if here.names.get(name, ObjectId("")) < target:
                    here.put(here.objects[target], name)

    @rule(node=st.sampled_from(NODES), data=st.data())
    def delete_here(self, node: str, data: st.DataObject) -> None:
        """One replica less."""
        if found := sorted(self.hosts[node].objects):
            self.hosts[node].delete(data.draw(st.sampled_from(found)))

    @rule(deaf=st.sets(st.sampled_from(NODES), max_size=len(NODES) - 1), data=st.data())
    def delete_everywhere(self, deaf: set[str], data: st.DataObject) -> None:
        """An object is deleted in the cluster; some nodes do not hear of it, and at least one does."""
        found = [each.id for each in self.catalog.ls()]
        if not found:
            return
        target = data.draw(st.sampled_from(found))
        orders = self.catalog.delete(target)
        hearing = {order.node for order in orders} - deaf
        for node in {order.node for order in orders} & deaf:
            self.catalog.nodes[node].doubted = True  # as orders.py does
        if deaf & {order.node for order in orders}:
            hearing.add(next(node for node in NODES if node not in deaf))  # a witness
        for node in hearing:
            self.hosts[node].bury(target)
        self.deleted.add(target)

    @rule(node=st.sampled_from(NODES), name=st.sampled_from(NAMES), data=st.data())
    def rename_here(self, node: str, name: str, data: st.DataObject) -> None:
        """A process that is not connected renames an object."""
        if found := sorted(self.hosts[node].objects):
            target = data.draw(st.sampled_from(found))
            self.hosts[node].rename(target, name)
            self.renamed.pop(target, None)

    @rule(deaf=st.sets(st.sampled_from(NODES), max_size=len(NODES) - 1), name=st.sampled_from(NAMES), data=st.data())
    def rename_everywhere(self, deaf: set[str], name: str, data: st.DataObject) -> None:
        """A client renames an object; some nodes do not hear of it."""
        holder = self.catalog.names.holder(name)
        found = [each.id for each in self.catalog.ls() if holder is None or holder.id == each.id]
        if not found:
            return
        target = data.draw(st.sampled_from(found))
        olds = self.catalog.info(target).names
        everything_is_known = all(
            self._bound_there(host, target) == host.names_of(target) for host in self.hosts.values()
        )
        self.renamed.pop(target, None)
        self.catalog.allow_name(target, name)
        done = set()
        for node in [each.id for each in self.catalog.holders(target) if each.id not in deaf]:
            if target in self.hosts[node].objects:
                self.hosts[node].rename(target, name)
                self.announce_all(self.hosts[node])
                done.add(node)
        if done:
            self.orders += self.catalog.rename(target, olds, name, done=done)
            for order in self.orders:
                self.catalog.nodes[order.node].doubted |= (
                    order.node in deaf and order.object == target
                )  # as orders.py does
            # What the others were told when the first one announced it has come before the client's next wish.
            known = {*deaf, *done}
            self.orders = [order for order in self.orders if order.node not in known or order.object != target]
            if everything_is_known:
                self.renamed[target] = name

    def _bound_there(self, host: Host, target: ObjectId) -> set[str]:
        names = self.catalog.nodes[host.node].names
        return {name for name, entry in names.items() if entry.id == target}

    def announce_all(self, host: Host) -> None:
        """Announce until the catalog knows everything."""
        while not all(self._apply(host, page) for page in host.say()):
            pass

    @rule(
        node=st.sampled_from(NODES),
        fate=st.sampled_from(["arrives", "arrives", "is lost", "comes twice", "is cut off"]),
    )
    def announce(self, node: str, fate: str) -> None:
        """A node announces, or tries to."""
        host = self.hosts[node]
        pages = list(host.say())
        if fate == "is cut off":
            pages, host.known = pages[:1], False
        if fate == "is lost":
            pages = pages[1:]
        if fate == "comes twice":
            pages = [*pages, pages[-1]]
        for page in pages:
            if not self._apply(host, page):
                return

    def _apply(self, host: Host, page: dict[str, object]) -> bool:
        known = self.catalog.nodes[host.node].workers
        orders = self.catalog.announce(announcements.parse(page)) if known else None
        if orders is None:
            host.known = False
            return False
        self.orders += orders
        return True

    @rule()
    def orders_arrive(self) -> None:
        """The nodes do what they were told."""
        orders, self.orders = self.orders, []
        for order in orders:
            if self.catalog.nodes[order.node].workers:
                self.hosts[order.node].obey(order)

    @rule(node=st.sampled_from(NODES))
    def is_lost_and_back(self, node: str) -> None:
        """All workers of a node are replaced; what it was told meanwhile is lost."""
        for worker in list(self.catalog.nodes[node].workers):
            self.catalog.leave(worker)
        self.orders = [order for order in self.orders if order.node != node]
        self.join(node)

    @rule()
    def the_scheduler_starts_anew(self) -> None:
        """Nothing is known any more, until the nodes say it."""
        self.catalog, self.orders, self.renamed = ClusterCatalog(), [], {}
        for node in NODES:
            self.join(node)

    @invariant()
    def indexes_agree(self) -> None:
        """Every listing shows the same objects, and every name leads to the object that says it has it."""
        by_age = self.catalog.ls()
        assert [each.id for each in by_age] == sorted({each.id for each in by_age}, reverse=True)
        by_name = self.catalog.page(order="name").entries
        assert [name for entry in by_name for name in entry.names[:1]] == sorted(
            {name for each in by_age for name in each.names[:1]}
        )
        for each in by_age:
            assert all(self.catalog.resolve(name) == each.id for name in each.names)
        for node in self.catalog.nodes.values():
            here = self.catalog.ls(node=node.id)
            assert {each.id for each in here} == set(node.objects)
            assert sum(node.nbytes.values()) == sum(copy.nbytes for copy in node.objects.values())

    def teardown(self) -> None:
        """When everybody has said everything and done what was ordered, the union is exact, and nobody disagrees about a name."""
        for _ in range(6):
            for host in self.hosts.values():
                self.announce_all(host)
            self.orders_arrive()
        assert not self.orders
        for target, name in self.renamed.items():
            assert set().union(*(host.names_of(target) for host in self.hosts.values())) <= {name}
        assert not self.deleted & {each for host in self.hosts.values() for each in host.objects}
        union = {each: host for host in self.hosts.values() for each in host.objects}
        assert {each.id for each in self.catalog.ls()} == set(union)
        for host in self.hosts.values():
            assert {each.id for each in self.catalog.ls(node=host.node)} == set(host.objects)
            for name, target in host.names.items():
                assert self.catalog.resolve(name) == target


TestMerging = Merging.TestCase
TestMerging.settings = settings(max_examples=EXAMPLES, stateful_step_count=25, deadline=None)


def test_pages_put_together_are_the_listing() -> None:
    """Whatever is filtered, in pages of any size: each object once, in the same order."""
    catalog = ClusterCatalog()
    added = [
        info(value, *([f"{'ab'[value % 2]}{value:03}"] if value % 3 else []), kind=["array", "series"][value % 2])
        for value in range(1, 40)
    ]
    for node in NODES[:2]:
        catalog.join(node, node[0], f"tcp://{node[0]}:1", node[0])
        said = {
            "node": node,
            "sequence": 1,
            "full": True,
            "begins": True,
            "ends": True,
            "removed": [],
            "capacity": 9,
            "used": 1,
            "parts": {},
            "gone": [],
        }
        half = [each for each in added if (each.created % 4 < 2) == (node == NODES[0])]
        catalog.announce(announcements.parse({**said, "added": announcements.pack(half)}))
    for filters in (
        {},
        {"pattern": "a*"},
        {"pattern": "*1*"},
        {"kind": "series"},
        {"node": "a"},
        {"unnamed": True},
        {"pattern": "b*", "order": "name"},
    ):
        whole = [entry.id for entry in catalog.page(**filters).entries]
        assert len(whole) >= 5
        for size in (1, 3, 7):
            after, found = None, []
            while True:
                page = catalog.page(**filters, limit=size, after=after)
                found += [entry.id for entry in page.entries]
                if (after := page.after) is None:
                    break
            assert found == whole
