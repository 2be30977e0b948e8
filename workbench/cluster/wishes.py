"""How many replicas users wish for, as the replicas themselves say it.

The wish is a tag that travels with each replica (:data:`~workbench.objects.REPLICAS_TAG`), so it is known again when a scheduler has started anew
and the nodes have announced. Where replicas differ, because one of them was away when the wish changed, the larger wish holds: a replica
too many loses nothing. Covers remembering; what follows from it is in ``policies.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from workbench.objects import ObjectId, wished_replicas


class Wishes:
    """The wishes for more than one replica, by object and node."""

    def __init__(self) -> None:
        self._wishes: dict[ObjectId, dict[str, int]] = {}

    def note(self, object_id: ObjectId, node: str, tags: Mapping[str, str]) -> None:
        """Note what the replica on a node says."""
        wished = wished_replicas(tags)
        if wished > 1:
            self._wishes.setdefault(object_id, {})[node] = wished
        else:
            self.forget(object_id, node)

    def forget(self, object_id: ObjectId, node: str) -> None:
        """Note that the replica on a node has gone, or wishes for no other."""
        known = self._wishes.get(object_id)
        if known is not None:
            known.pop(node, None)
            if not known:
                del self._wishes[object_id]

    def of(self, object_id: ObjectId, nodes: Collection[str]) -> int:
        """Return the largest wish among the replicas on some nodes, at least 1."""
        known = self._wishes.get(object_id, {})
        return max((wished for node, wished in known.items() if node in nodes), default=1)

    def objects(self) -> list[ObjectId]:
        """Return the objects of which more than one replica is wished."""
        return list(self._wishes)
