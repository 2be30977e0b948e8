"""Cached replicas: what was fetched for readers here, and is dropped first when there is no room.

Covers which they are and how they go; who decides that one must stay is the cluster's (``cluster/manager.py``). A store never asks anybody before it
drops one, and need not: a cached replica is one as long as an ordinary one is elsewhere, and that is kept true where replicas are given up. It becomes
an ordinary one (:meth:`Store.keep <workbench.store.Store.keep>`) or is dropped in one transaction of the catalog, whichever comes first:

====================================================  =====================================================================================
what happens at the same time                         what follows
====================================================  =====================================================================================
the last ordinary replica is to be dropped (a move,   the scheduler first makes a cached one ordinary, and drops when its node has said so;
a drop, a policy)                                     where it was dropped meanwhile, the next one; with none left, that replica is the last
the node of the last ordinary replica is lost         the scheduler makes all cached ones ordinary; one that its store drops before it hears of
                                                      that is lost as it would have been without a reader
the object is deleted                                 cached ones are deleted as others are
the object is deleted in one store, without a         the scheduler makes the cached ones ordinary, as it does when a node is lost; a deletion in
cluster                                               one store does not reach other nodes
somebody pins it, or wishes for a replica here        it becomes an ordinary one
somebody puts an object that shares its memory        the row of the cached one may go, the memory stays with the other
the scheduler is gone                                 replicas are dropped here only; when it is back, it hears of all of them and keeps what it must
====================================================  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from workbench.store.writing import Writer

DROPPABLE: Final = """
SELECT s.segment, s.nbytes FROM (SELECT DISTINCT segment FROM cached JOIN uses USING (object)) JOIN segments s USING (segment)
WHERE s.state = 'sealed' AND NOT EXISTS (
    SELECT 1 FROM uses u WHERE u.segment = s.segment AND u.object NOT IN (SELECT object FROM cached))"""
"""The segments in memory that cached replicas alone use."""


def drop(writer: Writer, segments: Sequence[int]) -> int:
    """Drop the cached replicas that use some segments, if they still are cached; return how many were dropped."""
    dropped = 0
    with writer.catalog.write() as write:
        for segment in segments:
            statement = "SELECT object, object IN (SELECT object FROM cached) FROM uses WHERE segment = ?"
            users = write.execute(statement, (segment,)).fetchall()
            if all(cached for _, cached in users):
                for seq, _ in users:
                    writer.names.delete_row(write, seq)
                    dropped += 1
    return dropped
