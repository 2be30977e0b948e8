"""The cluster's catalog: the union of what its nodes announce, as pure data.

Covers nodes, their workers, objects, names and replicas, and what an announcement changes. It sends nothing: what a node
must be told is returned as orders, and ``scheduler_plugin.py`` gives them. Read next: ``placement.py``.

Names: a replica carries its object's names, so a name can be bound on several nodes. Where they disagree, the newest object
has the name (ids grow with time), and the older binding is undone where it lies. The outcome does not depend on the order in
which announcements arrive.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from workbench.cluster.messages import not_found
from workbench.cluster.nodes import Announcement, Node, Order
from workbench.cluster.wishes import Wishes
from workbench.errors import NodeNotFoundError
from workbench.objects import ObjectId, ObjectInfo, Replica, is_object_id

_TOMBSTONES: Final = 100_000
"""Deleted ids that are remembered, so that a node that was away does not bring them back."""


class ClusterCatalog:
    """Who has what. Every method returns at once and touches nothing but this object."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.wishes = Wishes()
        self._holders: dict[ObjectId, dict[str, None]] = {}
        self._bindings: dict[str, dict[str, ObjectId]] = {}
        self._names_of: dict[ObjectId, dict[str, None]] = {}
        self._members: dict[str, dict[ObjectId, None]] = {}
        self._tombstones: OrderedDict[ObjectId, None] = OrderedDict()
        self._of_worker: dict[str, str] = {}

    # -- nodes -----------------------------------------------------------------------------------------------------

    def join(self, node_id: str, name: str, worker: str, label: str) -> Node:
        """Add a worker to its node, making the node if it is new; two nodes never have the same name."""
        node = self.nodes.get(node_id)
        if node is None:
            node = self.nodes[node_id] = Node(node_id, self._free_name(name))
        elif node.name != name and not node.workers:
            node.name = self._free_name(name, but=node_id)
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
                node.sequence = -1
            node.workers.pop(worker, None)
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

    def announce(self, said: Announcement) -> list[Order] | None:
        """Apply an announcement.

        Returns
        -------
        list of Order, or None
            What nodes must be told; None if announcements were lost, so that the node must say everything again.
        """
        node = self.nodes.get(said.node)
        if node is None or (not said.full and said.sequence != node.sequence + 1):
            return None
        node.sequence, node.capacity, node.used = said.sequence, said.capacity, said.used
        orders: list[Order] = []
        gone = set(said.removed)
        unbound = set(said.unbound)
        if said.full:
            gone |= node.objects.keys() - {info.id for info in said.added}
            unbound |= node.names.keys() - said.names.keys()
        for info in said.added:
            if info.id in self._tombstones:
                orders.append(Order(node.id, "delete", info.id))
            else:
                gone.discard(info.id)
                self.add_replica(node, info)
        for object_id in gone:
            orders += self._removed(node, object_id, explicit=not said.full)
        for name in unbound:
            self._unbind(node, name)
        for name, object_id in said.names.items():
            orders += self._bind(node, name, object_id)
        return orders

    def add_replica(self, node: Node, info: ObjectInfo) -> None:
        """Note that a node has an object."""
        node.objects[info.id] = info
        self._holders.setdefault(info.id, {})[node.id] = None
        self.wishes.note(info.id, node.id, info.tags)
        if (dataset := info.tags.get("dataset")) is not None:
            self._members.setdefault(dataset, {})[info.id] = None

    def remove_replica(self, node: Node, object_id: ObjectId) -> bool:
        """Note that a node has an object no longer; return whether that was the last one."""
        info = node.objects.pop(object_id, None)
        self.wishes.forget(object_id, node.id)
        holders = self._holders.get(object_id, {})
        holders.pop(node.id, None)
        for name in {*(info.names if info else ()), *self._names_of.get(object_id, ())}:
            if node.names.get(name) == object_id:
                self._unbind(node, name)
        if holders or info is None:
            return False
        self._holders.pop(object_id, None)
        if (dataset := info.tags.get("dataset")) is not None:
            members = self._members.get(dataset, {})
            members.pop(object_id, None)
            if not members:
                self._members.pop(dataset, None)
        return True

    def _removed(self, node: Node, object_id: ObjectId, *, explicit: bool) -> list[Order]:
        info = node.objects.get(object_id)
        last = self.remove_replica(node, object_id)
        if not (last and explicit and info is not None and info.kind == "dataset"):
            return []
        # A manifest that was deleted or rebound takes its partitions along. One that a node merely did not have any more
        # when it came back (explicit is False then) does not: its host may have lost it.
        return [order for member in self.members(object_id) for order in self.delete(member)]

    # -- names -----------------------------------------------------------------------------------------------------

    def _bind(self, node: Node, name: str, object_id: ObjectId) -> list[Order]:
        before = self.holder_of(name)
        node.names[name] = object_id
        bound = self._bindings.setdefault(name, {})
        bound[node.id] = object_id
        winner = self._newest(bound)
        self._name_changed(name, before, winner)
        return [
            Order(at, "unbind", loser, name)
            for at, loser in bound.items()
            if loser != winner and self.nodes[at].workers
        ]

    def _unbind(self, node: Node, name: str) -> None:
        before = self.holder_of(name)
        node.names.pop(name, None)
        bound = self._bindings.get(name, {})
        bound.pop(node.id, None)
        if not bound:
            self._bindings.pop(name, None)
        self._name_changed(name, before, self._newest(bound))

    def _name_changed(self, name: str, before: ObjectId | None, after: ObjectId | None) -> None:
        if before is not None and before != after:
            names = self._names_of.get(before, {})
            names.pop(name, None)
            if not names:
                self._names_of.pop(before, None)
        if after is not None:
            self._names_of.setdefault(after, {})[name] = None

    def holder_of(self, name: str) -> ObjectId | None:
        """Return the id of the object that has a name, or None."""
        return self._newest(self._bindings.get(name, {}))

    def _newest(self, bound: dict[str, ObjectId]) -> ObjectId | None:
        """Return the newest of the objects that nodes bind a name to; ids of different nodes say nothing about their age."""

        def age(binding: tuple[str, ObjectId]) -> tuple[float, ObjectId]:
            node, object_id = binding
            info = self.nodes[node].objects.get(object_id)
            return (0.0 if info is None else info.created, object_id)

        return max(bound.items(), key=age)[1] if bound else None

    # -- questions -------------------------------------------------------------------------------------------------

    def resolve(self, key: str) -> ObjectId:
        """Return the id of the object that a name or an id stands for.

        Raises
        ------
        ObjectNotFoundError
        """
        found = ObjectId(key) if is_object_id(key) else self.holder_of(key)
        if found is None or found not in self._holders:
            raise not_found(key, self._bindings)
        return found

    def holders(self, object_id: ObjectId) -> list[Node]:
        """Return the nodes that have an object, lost ones included."""
        return [self.nodes[node] for node in self._holders.get(object_id, {})]

    def wished(self, object_id: ObjectId) -> int:
        """Return how many nodes shall have an object."""
        return self.wishes.of(object_id, [node.id for node in self.holders(object_id) if node.workers])

    def members(self, object_id: ObjectId) -> list[ObjectId]:
        """Return the partitions of a dataset; empty for other objects."""
        return list(self._members.get(object_id, {}))

    def info(self, object_id: ObjectId) -> ObjectInfo:
        """Return what is known of an object, with its names and its replicas; those on running nodes first.

        Raises
        ------
        ObjectNotFoundError
        """
        holders = sorted(self.holders(object_id), key=lambda node: not node.workers)
        if not holders:
            raise not_found(object_id, self._bindings)
        known = [node.objects[object_id] for node in holders]
        names = tuple(sorted(self._names_of.get(object_id, ())))
        return dataclasses.replace(
            known[0],
            name=names[0] if names else None,
            names=names,
            last_used=max(info.last_used for info in known),
            replicas=tuple(
                Replica(node.id, node.name, "memory" if node.workers else "lost", node.objects[object_id].nbytes)
                for node in holders
            ),
        )

    def ls(self, pattern: str = "*", *, kind: str | None = None, node: str | None = None) -> list[ObjectInfo]:
        """List objects, newest first; ``*`` also gives those without a name."""
        ids: Iterable[ObjectId] = self._holders if node is None else self.find_node(node).objects
        found = [self.info(object_id) for object_id in ids]
        if kind is not None:
            found = [info for info in found if info.kind == kind]
        if pattern != "*":
            found = [info for info in found if any(fnmatch.fnmatchcase(name, pattern) for name in info.names)]
        return sorted(found, key=lambda info: (info.created, info.id), reverse=True)

    # -- deleting --------------------------------------------------------------------------------------------------

    def delete(self, object_id: ObjectId) -> list[Order]:
        """Forget an object, and return what nodes must be told; a dataset takes its partitions along."""
        orders = []
        for target in [object_id, *self.members(object_id)]:
            self._tombstones[target] = None
            while len(self._tombstones) > _TOMBSTONES:
                self._tombstones.popitem(last=False)
            for node in self.holders(target):
                self.remove_replica(node, target)
                if node.workers:
                    orders.append(Order(node.id, "delete", target))
        return orders
