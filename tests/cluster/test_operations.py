from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, cast

import pytest

from workbench import progress
from workbench.cluster.client import ClusterClient
from workbench.cluster.operations import Operation
from workbench.cluster.running import Running
from workbench.errors import OperationCancelledError, StoreFullError, TransferError
from workbench.objects import ObjectId


class Answers:
    """A cluster whose operation goes through given states, one for each question."""

    def __init__(self, *wires: dict[str, Any]) -> None:
        self._wires: Iterator[dict[str, Any]] = iter(wires)
        self.waited: list[float] = []

    def operation(self, _: str) -> dict[str, Any]:
        """Answer as :meth:`ClusterClient.operation` does."""
        return next(self._wires)

    def wait(self, _: str, seconds: float) -> dict[str, Any]:
        """Answer as :meth:`ClusterClient.wait` does."""
        self.waited.append(seconds)
        return next(self._wires)

    def cancel(self, _: str) -> dict[str, Any]:
        """Answer as :meth:`ClusterClient.cancel` does."""
        return wire("cancelled", error={"kind": "operation-cancelled", "message": "cancelled"})


def wire(state: str = "running", done: int = 0, **more: Any) -> dict[str, Any]:
    """An operation as the scheduler describes it."""
    fields = {"id": "1", "verb": "move", "object": "a" * 32, "name": "<flights>", "to": ["b" * 32], "error": None}
    return {**fields, "state": state, "done_nbytes": done, "total_nbytes": 2048, **more}


def operation(*wires: dict[str, Any]) -> tuple[Operation, Answers]:
    """An operation that runs, and the cluster that it asks."""
    answers = Answers(*wires)
    return Operation(cast("ClusterClient", answers), wire()), answers


def test_progress_is_what_it_is_when_asked() -> None:
    """From 0 to 1; an operation that has ended is not asked about again."""
    running, _ = operation(wire(done=512), wire(done=1024), wire("done", done=2048))
    assert [running.progress for _ in range(4)] == [0.25, 0.5, 1.0, 1.0]
    assert running.state == "done"


def test_waiting_ends_when_it_is_done() -> None:
    """Waiting is done in turns of a second, so that Ctrl-C is heard."""
    running, answers = operation(wire(done=512), wire("done"))
    assert running.wait() is running
    assert answers.waited == [1.0, 1.0]


def test_waiting_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a long operation sees how far it is, in shorter turns."""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    terminal = io.StringIO()
    previous = progress.show_with(progress.TerminalLine(terminal))
    running, answers = operation(wire(done=512), wire("done", done=2048))
    running.wait()
    progress.show_with(previous)
    assert "move <flights>: 512 B of 2.0 KiB" in terminal.getvalue()
    assert answers.waited == [0.25, 0.25]


def test_waiting_for_a_failed_operation_raises_why_it_failed() -> None:
    """The error is that of the place where it failed."""
    running, _ = operation(wire("failed", error={"kind": "store-full", "message": "node-2 is full"}))
    with pytest.raises(StoreFullError, match="node-2 is full"):
        running.wait()


def test_waiting_can_end_before_the_operation() -> None:
    """A timeout says that the operation goes on."""
    running, _ = operation(wire())
    with pytest.raises(TimeoutError, match="The move of '<flights>' still runs after 0 seconds. It goes on"):
        running.wait(0)


def test_a_cancelled_operation_is_an_error_for_who_waits() -> None:
    """Who waits hears that there is no result; cancelling twice does nothing."""
    running, _ = operation()
    running.cancel()
    running.cancel()
    assert running.state == "cancelled"
    with pytest.raises(OperationCancelledError):
        running.wait()


def test_it_tells_how_fast_it_is_and_how_long_it_takes_yet() -> None:
    """The scheduler's figures, as numbers and in what is shown; an operation that has ended has none."""
    going = wire(done=1024, rate=512.0, eta=2.0, reasons=["south was asked for"])
    running, _ = operation(going, going, going, going, wire("done", done=2048, rate=None, eta=None))
    assert (running.rate, running.eta, running.reasons) == (512.0, 2.0, ("south was asked for",))
    assert "running, 1.0 KiB of 2.0 KiB, 512 B/s, 2 s left" in repr(running)
    assert running.state == "done"
    assert (running.rate, running.eta) == (None, None)
    assert running.info.done_nbytes == 2048


def test_it_shows_a_bar_in_text_and_in_html() -> None:
    """A notebook shows a progress element, with names escaped."""
    running, _ = operation(wire(done=1024), wire(done=1024))
    assert repr(running) == "<Operation move '<flights>': running, 1.0 KiB of 2.0 KiB [##########..........]>"
    shown = running._repr_html_()
    assert '<progress value="0.5000" max="1"' in shown
    assert "&lt;flights&gt;" in shown


def test_an_object_is_called_by_its_name_where_it_has_one() -> None:
    """Errors know objects by their ids; who waits for an operation is told what people call them."""
    titles = {ObjectId("a" * 32): "flights", ObjectId("b" * 32): "image, partition 3", ObjectId("c" * 32): None}
    for object_id, title in titles.items():
        error = TransferError(f"Object {object_id} is only on node-2. The object {object_id} stays.")
        ended = Running("1", "move", ObjectId("a" * 32), "flights", [], title=titles.get)
        ended.end(error)
        called = f"{title!r} ({object_id})" if title else object_id
        assert ended.to_wire()["error"]["message"] == f"Object {called} is only on node-2. The object {called} stays."
