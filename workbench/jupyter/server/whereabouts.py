"""Which partitions of a dataset this host has, which only other nodes have, and which no running node has; and how a preview says so.

Pure: values in, sentences and errors out. A preview reads what is on this host. What is on another running node can be brought here, what is on none cannot, and
nobody is told to try. Who knows where the partitions are is ``hub.py`` (of the object browser, the session in the kernel).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from workbench.finding import is_lost
from workbench.jupyter.server.problems import ElsewhereError, NotPossibleError, OutOfReachError
from workbench.jupyter.server.snapshot import partition_count, partition_number
from workbench.objects import ObjectInfo

__all__ = ["Whereabouts", "whereabouts"]

_NAMED: Final = 8
"""Partitions, or nodes, that a sentence names."""
_REMEDY: Final = "compute the dataset anew, or delete it"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where the partitions of a dataset are.

    Parameters
    ----------
    title : str
        What the dataset is called.
    total : int
        Partitions that it has.
    here : frozenset of int
        Their numbers.
    elsewhere, lost : dict of int to tuple of str
        Those that only other nodes have, with the names of these: of nodes that run, and where none of these has one, of lost ones.
    elsewhere_nbytes : int
        Bytes that would have to be brought here.
    cluster : str
        ``connected``, or why it is not known what other nodes have: ``none``, ``looking``, ``unreachable``.
    """

    title: str
    total: int
    here: frozenset[int]
    elsewhere: dict[int, tuple[str, ...]]
    lost: dict[int, tuple[str, ...]]
    elsewhere_nbytes: int
    cluster: str

    @property
    def missing(self) -> list[int]:
        """Partitions that no running node has, as far as is known."""
        return [number for number in range(self.total) if number not in self.here and number not in self.elsewhere]

    def note(self) -> str:
        """Return what to say beside rows of a dataset of which this host lacks partitions."""
        others = self.total - len(self.here)
        said = f"{len(self.here)} of {self.total} partitions are on this host; the rows of the other{'' if others == 1 else 's'} cannot be shown here."
        missing = self.missing
        if self.elsewhere:
            count = len(self.elsewhere)
            which = f"{count} of them" if count < others else "It" if count == 1 else "They"
            said += f" {which} {_is(self.elsewhere)} on {_nodes(self.elsewhere.values())}."
        if missing and self.cluster != "connected":
            said += f" {self._not_known()}"
        elif missing:
            said += f" {_numbered(missing)} {_is(missing)} on no running node. {self._remedy(missing)}"
        return said

    def error(self, needed: Sequence[int], *, rows: bool = True) -> NotPossibleError:
        """Return the error of a preview that needs partitions which are not on this host.

        Parameters
        ----------
        needed : sequence of int
        rows : bool
            Whether rows of these were asked for.

        Returns
        -------
        ElsewhereError or OutOfReachError
            They can be brought here, or not.
        """
        gone = [number for number in needed if number not in self.here and number not in self.elsewhere]
        which = f"{_numbered(gone or needed)} of {self.title}"
        if rows:
            which += ", which has these rows," if len(gone or needed) == 1 else ", which have these rows,"
        if not gone:
            nodes = _nodes(self.elsewhere.get(number, ()) for number in needed)
            on = f"{_is(needed)} on {nodes}, not on this host" if nodes else f"{_is(needed)} not on this host"
            return ElsewhereError(f"{which} {on}. Replicate the dataset to this host first.", needed)
        if self.cluster != "connected":
            return OutOfReachError(f"{which} {_is(gone)} not on this host. {self._not_known()}")
        reached = len(self.here) + len(self.elsewhere)
        return OutOfReachError(
            f"{which} {_is(gone)} on no running node. {self._remedy(gone)} {reached} of {self.total} partitions are in reach."
        )

    def _remedy(self, gone: Sequence[int]) -> str:
        they = "It is" if len(gone) == 1 else "They are"
        lost = {number: self.lost[number] for number in gone if number in self.lost}
        if not lost:
            them = "it" if len(gone) == 1 else "them"
            return f"If a node has {them} that has not joined the cluster, start it; else {_REMEDY}."
        nodes = _nodes(lost.values())
        if len(lost) < len(gone):
            they = f"{_numbered(sorted(lost))} {_is(lost)}"
        several = len({name for names in lost.values() for name in names}) > 1
        return f"{they} only on {nodes}, lost because no worker runs there: start {'workers' if several else 'one'} there, or {_REMEDY}."

    def _not_known(self) -> str:
        if self.cluster == "none":
            return (
                f"No cluster runs on this host that may have the others: connect to theirs; if it has ended, {_REMEDY}."
            )
        return "The cluster does not answer, so it is not known where the others are."


def whereabouts(dataset: ObjectInfo, members: Iterable[ObjectInfo], node: str | None, cluster: str) -> Whereabouts:
    """Say where the partitions of a dataset are.

    Parameters
    ----------
    dataset : ObjectInfo
    members : iterable of ObjectInfo
        All partitions that are known, with their replicas.
    node : str or None
        Id of this host's store.
    cluster : str
        As in :class:`Whereabouts`.
    """
    known = {number: member for member in members if (number := partition_number(member)) is not None}
    here, elsewhere, lost, nbytes = set(), {}, {}, 0
    for number, member in sorted(known.items()):
        if any(replica.node == node for replica in member.replicas):
            here.add(number)
        elif is_lost(member) or not member.replicas:
            lost[number] = tuple(replica.node_name for replica in member.replicas)
        else:
            elsewhere[number] = tuple(replica.node_name for replica in member.replicas if replica.state != "lost")
            nbytes += member.nbytes + member.shared_nbytes
    title = repr((dataset.name or dataset.id)[:200])
    return Whereabouts(title, partition_count(dataset, known), frozenset(here), elsewhere, lost, nbytes, cluster)


def _numbered(numbers: Sequence[int]) -> str:
    return f"Partition{'' if len(numbers) == 1 else 's'} {_listed([str(number) for number in numbers])}"


def _nodes(names: Iterable[Collection[str]]) -> str:
    return _listed(list(dict.fromkeys(name for some in names for name in some)))


def _listed(texts: Sequence[str]) -> str:
    if len(texts) > _NAMED:
        return f"{', '.join(texts[:_NAMED])} and {len(texts) - _NAMED} more"
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else ""


def _is(numbers: Collection[int]) -> str:
    return "is" if len(numbers) == 1 else "are"
