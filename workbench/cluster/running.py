"""One operation on the scheduler: what it does, how far it is, how long it will take, and what it could not do.

Covers the record and its wire form; who carries it out is ``manager.py``. The estimate is what is left, divided by the rate of the last seconds.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from workbench.cluster import messages
from workbench.cluster.placement import Suggestion
from workbench.errors import OperationCancelledError, WorkbenchError
from workbench.objects import ObjectId

_WINDOW: Final = 5.0
"""Seconds over which the rate is measured."""
_OBJECT: Final = re.compile(r"(?P<word>\b[Oo]bject) (?P<id>[0-9a-f]{32})\b")
_REASONS: Final = 20
"""Steps whose reasons an operation tells; a drain may have a hundred thousand."""


@dataclass(slots=True)
class Running:
    """One operation.

    `object` is empty where it is about a node, or all; `parts` maps transfers to the bytes that have arrived; `at` maps those that are under
    way to the worker that pulls; `refused` is what it could not do; `undo` is called when it is cancelled, `title` tells what
    people call an object. It is `settled` when all copies are there
    and the rest is quick: it is not cancelled any more then. `notes` say what else came of it.
    """

    id: str
    verb: str
    object: ObjectId | None
    name: str | None
    to: list[str]
    total: int = 0
    state: str = "running"
    error: Exception | None = None
    started: float = field(default_factory=time.time)
    ended: float | None = None
    parts: dict[str, int] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)
    done_steps: int = 0
    reasons: list[str] = field(default_factory=list)
    refused: dict[ObjectId, Suggestion] = field(default_factory=dict)
    undo: Callable[[], None] | None = None
    settled: bool = False
    notes: list[str] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    title: Callable[[ObjectId], str | None] = str
    _marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=200))

    @property
    def done(self) -> int:
        """Bytes that have arrived."""
        return self.total if self.state == "done" else min(self.total, sum(self.parts.values()))

    def plan(self, steps: list[Suggestion]) -> None:
        """Note what will be done, and why."""
        self.total += sum(step.nbytes for step in steps if step.verb == "copy")
        for step in steps:
            if step.verb == "refuse":
                self.refused[step.object] = step
            elif len(self.reasons) < _REASONS and step.reason not in self.reasons:
                self.reasons.append(step.reason)
            if step.verb == "copy" and step.node not in self.to:
                self.to.append(step.node)
        self.mark()

    def refuse(self, step: Suggestion, error: BaseException) -> None:
        """Note that a step could not be done."""
        self.total -= step.nbytes if step.verb == "copy" else 0
        self.refused[step.object] = Suggestion("refuse", step.object, step.node, step.nbytes, str(error))

    def mark(self) -> None:
        """Note how far it is now, for the rate."""
        self._marks.append((time.monotonic(), self.done))

    @property
    def rate(self) -> float | None:
        """Bytes per second in the last seconds, or None as long as nothing is known."""
        now = time.monotonic()
        while len(self._marks) > 2 and now - self._marks[0][0] > _WINDOW:
            self._marks.popleft()
        if self.state != "running" or not self._marks or now - self._marks[0][0] < 0.01:
            return None
        return (self.done - self._marks[0][1]) / (now - self._marks[0][0])

    def end(self, error: BaseException | None = None) -> None:
        """Note how it ended."""
        self.ended = time.time()
        if error is None:
            self.state = "done"
        elif isinstance(error, asyncio.CancelledError):
            self.state = "cancelled"
            self.error = OperationCancelledError("The operation was cancelled; no half replica is left.")
            if self.undo is not None:
                self.undo()
        else:
            self.state = "failed"
            self.error = error if isinstance(error, Exception) else RuntimeError(repr(error))
            if isinstance(error, WorkbenchError):
                error.message = _OBJECT.sub(self._by_name, error.message)

    def _by_name(self, said: re.Match[str]) -> str:
        """Write an object that an error knows by its id as people call it."""
        name = self.name if said["id"] == self.object else self.title(ObjectId(said["id"]))
        return said[0] if not name or name == said["id"] else f"{said['word']} {name!r:.200} ({said['id']})"

    def to_wire(self) -> dict[str, Any]:
        """Return the operation as plain values, as the panel shows it."""
        rate = self.rate
        return {
            "id": self.id,
            "verb": self.verb,
            "object": self.object or "",
            "name": self.name,
            "to": self.to,
            "state": self.state,
            "done_nbytes": self.done,
            "total_nbytes": self.total,
            "rate": rate,
            "eta": (self.total - self.done) / rate if rate else None,
            "error": None if self.error is None else messages.error_to_wire(self.error),
            "note": " ".join(self.notes),
            "started": self.started,
            "ended": self.ended,
            "reasons": self.reasons + [self._why_not(step) for step in list(self.refused.values())[:_REASONS]],
        }

    def _why_not(self, step: Suggestion) -> str:
        if step.object == self.object:
            return step.reason  # its name is said already
        return f"{self.title(step.object) or step.object}: {step.reason}"
