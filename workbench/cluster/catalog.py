"""The cluster's catalog: the union of what its nodes announce, as pure data.

Covers nodes, their workers, and what an announcement changes. It sends nothing: what a node
must be told is returned as orders, and ``scheduler_plugin.py`` gives them. Objects and listings are ``inventory.py``'s, and who has a name is
decided in ``names.py``: the object that was created last, whatever the order of announcements. Read next: ``inventory.py``, ``names.py``.

The union is merged by three rules. An announcement that is not the next one of its node changes nothing, and the node says everything again, in pages
(a resync): what it does not mention then, it does not have any more. What was deleted in the cluster stays deleted, also on a node that was away: ``tombstones.py``.
What went from a store in another way while no worker ran there, as when its name was bound anew, is gone from that node only: other replicas stay.
"""

from __future__ import annotations

from collections.abc import Collection, Container
from itertools import islice
from typing import Any, Final

from workbench.cluster.indexes import Page
from workbench.cluster.inventory import Inventory
from workbench.cluster.journal import Journal
from workbench.cluster.messages import not_found
from workbench.cluster.names import Names
from workbench.cluster.nodes import Announcement, Node, Order
from workbench.cluster.records import Entry
from workbench.cluster.tombstones import Tombstones
from workbench.cluster.wishes import Wishes
from workbench.errors import NodeNotFoundError
from workbench.objects import ObjectId, ObjectInfo, is_object_id

_AT_ONCE: Final = 1000
"""Objects that are forgotten in one step at the end of a resync."""


class ClusterCatalog:
    """Who has what. Every method returns at once and touches nothing but this object."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.wishes = Wishes()
        self.journal = Journal()
        self.names = Names(self.journal)
        self.inventory = Inventory(self.names, self.journal)
        self.tombstones = Tombstones()
        self._of_worker: dict[str, str] = {}

    # -- nodes -----------------------------------------------------------------------------------------------------

    def join(self, node_id: str, name: str, worker: str, label: str) -> Node:
        """Add a worker to its node, making the node if it is new; two nodes never have the same name."""
        node = self.nodes.get(node_id)
        if node is None:
            node = self.nodes[node_id] = Node(node_id, self._free_name(name))
        elif node.name != name and not node.workers:
            node.name = self._free_name(name, but=node_id)
        if not node.workers and node.objects:
            self.journal.forget()  # its replicas were lost
        node.workers[worker] = label
        node.last_address = worker
        self._of_worker[worker] = node_id
        return node

    def _free_name(self, wanted: str, but: str | None = None) -> str:
        taken = {node.name for node in self.nodes.values() if node.id != but}
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}-{number}"
        return name

    def leave(self, worker: str) -> Node | None:
        """Remove a worker; return its node, which is lost if it has no worker left. Its objects stay known."""
        node = self.nodes.get(self._of_worker.pop(worker, ""))
        if node is not None:
            if node.announcer == worker:
                node.sequence, node.resyncing = -1, False
            node.workers.pop(worker, None)
            if not node.workers and node.objects:
                self.journal.forget()
        return node

    def node_of(self, worker: str) -> Node | None:
        """Return the node of a worker, or None."""
        return self.nodes.get(self._of_worker.get(worker, ""))

    def announced_workers(self) -> set[str]:
        """Return the workers of the nodes that have said what they hold."""
        return {worker for node in self.nodes.values() if node.sequence >= 0 for worker in node.workers}

    def find_node(self, text: str) -> Node:
        """Return the node with this id, this name, or this worker (address or name).

        Raises
        ------
        NodeNotFoundError
        """
        node = self.nodes.get(text) or self.nodes.get(self._of_worker.get(text, ""))
        if node is None:
            node = next(
                (node for node in self.nodes.values() if node.name == text or text in node.workers.values()), None
            )
        if node is None:
            names = ", ".join(sorted(node.name for node in self.nodes.values())) or "none"
            raise NodeNotFoundError(f"There is no node {text!r:.200}. The nodes are: {names}.")
        return node

    # -- announcements ---------------------------------------------------------------------------------------------

    def announce(self, said: Announcement, now: float = 0.0) -> list[Order] | None:
        """Apply an announcement.

        Parameters
        ----------
        said : Announcement
        now : float
            Seconds of a clock that only goes forward; see ``names.py``.

        Returns
        -------
        list of Order, or None
            What nodes must be told; None if announcements were lost or came twice, so that the node must say everything again.
        """
        node = self.nodes.get(said.node)
        if node is None or not self._follows(node, said):
            return None
        node.sequence, node.capacity, node.used, node.parts = said.sequence, said.capacity, said.used, said.parts
        if said.full and said.begins:
            node.unseen, node.doubted = dict.fromkeys(node.objects), False
        node.resyncing = said.full and not said.ends
        orders = [order for target in said.gone if target not in self.tombstones for order in self.delete(target)]
        if orders:
            # A store deletes what it notes as deleted in the same step: its own node need not be told.
            done = set(said.gone)
            orders = [order for order in orders if order.node != node.id or order.object not in done]
        # A name that moves from an object to the next one is known by the old object, which may be among the removed.
        before = {name: node.names.get(name) for info in said.added for name in info.names}
        added = {info.id for info in said.added}
        for object_id in said.removed:
            if object_id not in added:
                orders += self._removed(node, object_id)
        for info in said.added:
            node.unseen.pop(info.id, None)
            if self.tombstones.covers(info):
                orders.append(Order(node.id, "delete", info.id))
            else:
                arrived = info.id not in node.objects
                entry = self.add_replica(node, info)
                orders += self._rename(node, entry, info.names, before, resync=said.full, arrived=arrived, now=now)
        if said.full and said.ends:
            self.forget_unseen(node)
        return orders

    @staticmethod
    def _follows(node: Node, said: Announcement) -> bool:
        if said.full and said.begins:
            return said.sequence > node.sequence
        return said.sequence == node.sequence + 1 and said.full == node.resyncing and not node.doubted

    def forget_unseen(self, node: Node) -> bool:
        """After a resync, forget some of what the node did not mention; return whether there is more of it.

        A node merely did not have it any more when it came back: its host may have lost it, so it takes nothing else along.
        """
        if node.resyncing:
            return False
        for object_id in list(islice(node.unseen, _AT_ONCE)):
            del node.unseen[object_id]
            self.remove_replica(node, object_id)
        return bool(node.unseen)

    def add_replica(self, node: Node, info: ObjectInfo) -> Entry:
        """Note that a node has an object."""
        self.wishes.note(info.id, node.id, info.tags)
        return self.inventory.add(node, info)

    def remove_replica(self, node: Node, object_id: ObjectId) -> bool:
        """Note that a node has an object no longer; return whether that was the last one."""
        self.wishes.forget(object_id, node.id)
        copy, entry = node.objects.get(object_id), self.inventory.get(object_id)
        if copy is None or entry is None:
            return False
        for name in copy.names:
            if node.names.get(name) is entry:
                self.names.unbind(node, name)
        return self.inventory.remove(node, entry)

    def _removed(self, node: Node, object_id: ObjectId) -> list[Order]:
        entry = self.inventory.get(object_id)
        if not self.remove_replica(node, object_id) or entry is None or entry.form.kind != "dataset":
            return []
        # A manifest that was deleted or rebound takes its partitions along.
        return [order for member in self.members(object_id) for order in self.delete(member)]

    def _rename(
        self,
        node: Node,
        entry: Entry,
        names: tuple[str, ...],
        before: dict[str, Entry | None],
        *,
        resync: bool,
        arrived: bool,
        now: float,
    ) -> list[Order]:
        copy = node.objects[entry.id]
        lost = [name for name in copy.names if name not in names and node.names.get(name) is entry]
        gained = [name for name in names if name not in copy.names]
        for name in lost:
            self.names.unbind(node, name, now)
        orders = []
        for name in names:
            if not resync and name in copy.names and name not in node.names:
                continue  # it was taken from the object, which the node has not heard yet
            orders += self.names.bind(node, name, entry, before[name], resync=resync, arrived=arrived, now=now)
        copy.names = entry.names if entry.names == names else names
        if lost and gained and not resync and self.names.holder(gained[0]) is entry:
            # By a process that is not connected, in its host's store.
            orders += self.rename(entry.id, lost, gained[0], done={node.id})
        return orders

    def allow_name(self, object_id: ObjectId, name: str) -> None:
        """Note that nodes are about to be told to give an object a name."""
        if (entry := self.inventory.get(object_id)) is not None:
            self.names.allow(entry, name)

    def rename(self, object_id: ObjectId, olds: Collection[str], name: str, *, done: Container[str]) -> list[Order]:
        """Note that an object has a name in place of others, and return what the nodes must be told that have not done it, lost ones included.

        Only those that bind an old name now, and if they still do when they hear it: so two renamings at once end with both names, and not in a chase.
        """
        entry = self.inventory.get(object_id)
        if entry is None:
            return []
        self.names.rename(entry, olds, name)
        orders = []
        for node in [copy.node for copy in entry.copies if copy.node.id not in done]:
            bound = [each for each in olds if each != name and node.names.get(each) is entry]
            if bound:
                orders.append(Order(node.id, "rename", object_id, name, was=bound[0]))
            for each in bound:
                self.names.unbind(node, each)
        return orders

    # -- questions -------------------------------------------------------------------------------------------------

    def resolve(self, key: str) -> ObjectId:
        """Return the id of the object that a name or an id stands for.

        Raises
        ------
        ObjectNotFoundError
        """
        found = self.inventory.get(key) if is_object_id(key) else self.names.holder(key)
        if found is None:
            raise not_found(key, self.names.index.near(key))
        return found.id

    def holders(self, object_id: ObjectId) -> list[Node]:
        """Return the nodes that have an object, lost ones included."""
        entry = self.inventory.get(object_id)
        return [] if entry is None else [copy.node for copy in entry.copies]

    def keepers(self, object_id: ObjectId) -> list[Node]:
        """Return the nodes that have an ordinary replica of an object, lost ones included: a cached one may be dropped at any time."""
        entry = self.inventory.get(object_id)
        return [] if entry is None else [copy.node for copy in entry.copies if copy.state != "cached"]

    def wished(self, object_id: ObjectId) -> int:
        """Return how many nodes shall have an object."""
        return self.wishes.of(object_id, [node.id for node in self.holders(object_id) if node.workers])

    def members(self, object_id: ObjectId) -> list[ObjectId]:
        """Return the partitions of a dataset; empty for other objects."""
        return self.inventory.members(object_id)

    def info(self, object_id: ObjectId) -> ObjectInfo:
        """Return what is known of an object, with its names and its replicas; those on running nodes first.

        Raises
        ------
        ObjectNotFoundError
        """
        entry = self.inventory.get(object_id)
        if entry is None:
            raise not_found(object_id, ())
        return entry.info()

    def is_replaced(self, object_id: ObjectId) -> bool:
        """Tell whether others were given all names that an object had."""
        entry = self.inventory.get(object_id)
        return entry is not None and self.names.is_replaced(entry)

    def losing(self, object_id: ObjectId) -> str | None:
        """Return the name that an object has lost to another one while nodes bind it yet, which have been told; None if it has a name, or none is being taken.

        It is deleted there in a moment, or tagged as the loser of a conflict. A replica that was made of it now would be neither. What a lost node binds
        does not count: it is no source, and is told when it is back.
        """
        entry = self.inventory.get(object_id)
        if entry is None or entry.names:
            return None
        return next((name for copy in entry.copies if copy.node.workers for name in copy.names), None)

    def title(self, object_id: ObjectId) -> str | None:
        """Return what people call an object: its name, or which partition it is of which dataset; None if it has neither."""
        entry = self.inventory.get(object_id)
        if entry is None:
            return None
        if entry.names or entry.dataset is None:
            return entry.names[0] if entry.names else None
        dataset = self.inventory.get(entry.dataset)
        name = dataset.names[0] if dataset is not None and dataset.names else f"dataset {entry.dataset}"
        return f"{name}, partition {dict(entry.tags).get('partition', '?')}"

    def ls(self, pattern: str = "*", *, kind: str | None = None, node: str | None = None) -> list[ObjectInfo]:
        """List objects, newest first; ``*`` also gives those without a name. Of many, ask for pages."""
        found: list[ObjectInfo] = []
        after: str | None = None
        while True:
            page = self.page(pattern, kind=kind, node=node, after=after)
            found += [entry.info() for entry in page.entries]
            if (after := page.after) is None:
                return found

    def page(self, pattern: str = "*", *, node: str | None = None, **options: Any) -> Page:
        """Return a page of a listing; see :meth:`Inventory.page`. `node` is an id, a name or a worker.

        Raises
        ------
        NodeNotFoundError
        ValueError
            The cursor is none.
        """
        return self.inventory.page(pattern, node=None if node is None else self.find_node(node), **options)

    # -- deleting --------------------------------------------------------------------------------------------------

    def delete(self, object_id: ObjectId) -> list[Order]:
        """Forget an object, and return what nodes must be told, lost ones included; a dataset takes its partitions along."""
        orders = []
        for target in [object_id, *self.members(object_id)]:
            self.tombstones.add(target)
            if (entry := self.inventory.get(target)) is not None:
                self.names.bury(entry)
            for node in self.holders(target):
                self.remove_replica(node, target)
                orders.append(Order(node.id, "delete", target))
        return orders
