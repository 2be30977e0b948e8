"""What a dry run shows: the steps that an operation would take, what each destination would give up for them, and what is refused.

Covers values and how they look as text and HTML. Where they come from is ``actions.py``.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from workbench.objects import ObjectId
from workbench.texts import counted, format_nbytes, html_table, text_table

_SHOWN = 50
_AS_ONE: Final = frozenset({"move", "replicate"})
"""Verbs whose operation fails as a whole with its first copy that does, and drops nothing then."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: ``copy`` to a node, ``drop`` from a node, or ``refuse``: what should be done and cannot be. Sizes in bytes."""

    verb: str
    object: ObjectId
    name: str | None
    node: str
    node_name: str
    nbytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class Room:
    """What one destination would do to make room for `nbytes`.

    `free` bytes are free; `pooled` bytes of free segments, `cached` bytes of replicas for readers and `spilled` bytes of `objects` (names, or ids) would go; `missing` bytes would still be
    missing, for the reason `trouble`.
    """

    node_name: str
    nbytes: int
    free: int
    pooled: int
    cached: int
    spilled: int
    objects: tuple[str, ...]
    missing: int
    trouble: str

    @property
    def text(self) -> str:
        """What would go, in words."""
        parts = []
        if self.pooled:
            parts.append(f"gives back {format_nbytes(self.pooled)} of its pool")
        if self.cached:
            parts.append(f"drops {format_nbytes(self.cached)} of cached replicas")
        if self.spilled:
            named = ", ".join(self.objects[:3]) + (
                f" and {len(self.objects) - 3} more" if len(self.objects) > 3 else ""
            )
            parts.append(f"spills {format_nbytes(self.spilled)} ({named})")
        if self.missing:
            parts.append(f"has no room for {format_nbytes(self.missing)}. {self.trouble}".strip())
        return "; ".join(parts) or "nothing"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operation would do; nothing was done. It shows itself as tables.

    Attributes
    ----------
    verb : str
    name : str
        The object, the node, or all nodes.
    steps : tuple of Step
        Copies and drops, in order.
    refused : tuple of Step
        What should be done and cannot be, or would be begun and fail for want of room; `reason` says why.
    rooms : tuple of Room
        For each destination, what it would evict or spill.
    """

    verb: str
    name: str
    steps: tuple[Step, ...]
    refused: tuple[Step, ...]
    rooms: tuple[Room, ...]

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Plan:
        """Return the plan that the scheduler wrote down."""
        steps = [Step(**step) for step in wire["steps"]]
        rooms = tuple(Room(**{**room, "objects": tuple(room["objects"])}) for room in wire["rooms"])
        steps = _without_room(steps, rooms, as_one=wire["verb"] in _AS_ONE)
        done = tuple(step for step in steps if step.verb != "refuse")
        return cls(wire["verb"], wire["name"], done, tuple(step for step in steps if step.verb == "refuse"), rooms)

    @property
    def nbytes(self) -> int:
        """Bytes that would travel."""
        return sum(step.nbytes for step in self.steps if step.verb == "copy")

    def _title(self) -> str:
        copies = sum(step.verb == "copy" for step in self.steps)
        drops = counted(len(self.steps) - copies, "drop")
        text = f"{self.verb} {self.name} (dry run): {copies} {'copy' if copies == 1 else 'copies'}, {format_nbytes(self.nbytes)}; {drops}"
        if not self.refused:
            return text
        full = [room.node_name for room in self.rooms if room.missing]
        return f"{text}; {len(self.refused)} refused" + (f": no room on {', '.join(full)}" if full else "")

    def _tables(self) -> list[tuple[list[str], list[list[str]]]]:
        steps = [*self.steps, *self.refused]
        rows = [
            [step.verb, step.name or step.object, step.node_name, format_nbytes(step.nbytes), step.reason]
            for step in steps[:_SHOWN]
        ]
        if len(steps) > _SHOWN:
            rows.append([f"... {len(steps) - _SHOWN} more", "", "", "", ""])
        rooms = [
            [room.node_name, format_nbytes(room.nbytes), format_nbytes(room.free), room.text] for room in self.rooms
        ]
        return [
            (["step", "object", "node", "size", "reason"], rows),
            (["node", "gets", "free", "gives up"], rooms),
        ]

    def __repr__(self) -> str:
        return "\n\n".join([self._title(), *(text_table(*table) for table in self._tables() if table[1])])

    def _repr_html_(self) -> str:
        tables = "".join(html_table(*table) for table in self._tables() if table[1])
        return f"<div><p>{html.escape(self._title())}</p>{tables}</div>"


def _without_room(steps: Iterable[Step], rooms: Iterable[Room], *, as_one: bool) -> list[Step]:
    """Return the steps with those refused that a destination has no room for: the first ones that fit are copied there, as would be done."""
    full = {room.node_name: room for room in rooms if room.missing}
    left = {name: room.nbytes - room.missing for name, room in full.items()}
    found: list[Step] = []
    stay: set[ObjectId] = set()
    for step in steps:
        if step.verb == "drop" and (step.object in stay or (as_one and stay)):
            continue
        if step.verb == "copy" and step.node_name in full:
            left[step.node_name] -= step.nbytes
            if left[step.node_name] < 0:
                left[step.node_name] += step.nbytes
                stay.add(step.object)
                found.append(replace(step, verb="refuse", reason=_why_refused(full[step.node_name])))
                continue
        found.append(step)
    return found


def _why_refused(room: Room) -> str:
    whole = f"{format_nbytes(room.missing)} of the {format_nbytes(room.nbytes)} that it would get do not fit there"
    return f"{room.node_name} would refuse it (StoreFullError): {whole}. {room.trouble}".strip()
