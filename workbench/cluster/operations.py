"""What a user holds of an operation: its progress, what it takes yet, waiting for it, cancelling it.

Covers one client's view; the operation itself lives on the scheduler (``manager.py``) and goes on when this object, or the whole
process, is gone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import html
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, overload

from workbench import progress
from workbench.cluster import messages
from workbench.errors import ClusterError, WorkbenchError
from workbench.listing import Listing
from workbench.objects import ObjectId, OperationInfo, format_nbytes

if TYPE_CHECKING:
    import pandas as pd

    from workbench.cluster.client import ClusterClient

_STEP: Final = 1.0
"""Seconds of one turn of waiting, so that Ctrl-C is heard."""
_SHOWN_STEP: Final = 0.25
"""The same where somebody sees how far it is."""


class Operation:
    """A move, a replication, a drop, a drain or a rebalancing on the cluster.

    In a notebook it shows itself as a bar; with ``%load_ext workbench`` one that goes on until the operation has ended.

    Parameters
    ----------
    cluster : ClusterClient
    wire : dict
        The operation as the scheduler describes it.
    """

    def __init__(self, cluster: ClusterClient, wire: dict[str, Any]) -> None:
        self._cluster = cluster
        self._wire = wire

    @property
    def id(self) -> str:
        """Id of the operation."""
        return str(self._wire["id"])

    @property
    def verb(self) -> str:
        """``move``, ``replicate``, ``drop``, ``drain``, ``rebalance`` or ``keep-up``."""
        return str(self._wire["verb"])

    @property
    def object(self) -> ObjectId:
        """Id of the object; empty for what is about a node, or about all."""
        return ObjectId(self._wire["object"])

    @property
    def state(self) -> str:
        """``running``, ``done``, ``failed`` or ``cancelled``, as it is now."""
        return str(self._refreshed()["state"])

    @property
    def progress(self) -> float:
        """From 0 to 1, as it is now."""
        return self._fraction(self._refreshed())

    @property
    def rate(self) -> float | None:
        """Bytes per second, measured in the last seconds; None where nothing is known."""
        return _number(self._refreshed().get("rate"))

    @property
    def eta(self) -> float | None:
        """Seconds that it will take yet, at that rate; None where nothing is known."""
        return _number(self._refreshed().get("eta"))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it does what it does, and why it does not do what it could not."""
        return tuple(self._refreshed().get("reasons", ()))

    @property
    def info(self) -> OperationInfo:
        """All of it, as it is now."""
        return _info(self._refreshed())

    @property
    def last_known(self) -> OperationInfo:
        """All of it, as it was when the scheduler was asked last."""
        return _info(self._wire)

    @staticmethod
    def _fraction(wire: dict[str, Any]) -> float:
        if wire["state"] == "done" or not wire["total_nbytes"]:
            return 1.0 if wire["state"] == "done" else 0.0
        return float(wire["done_nbytes"]) / float(wire["total_nbytes"])

    def wait(self, timeout: float | None = None) -> Operation:
        """Wait until it is done. Ctrl-C ends the waiting alone: the operation goes on, and :meth:`cancel` ends it.

        Parameters
        ----------
        timeout : float, optional
            In seconds; None: as long as it takes.

        Raises
        ------
        TimeoutError
            It still runs after so many seconds; it goes on.
        OperationCancelledError
            It was cancelled, by anybody.
        ClusterError
            The cluster has gone in the middle, or the connection with it was closed.
        WorkbenchError
            Why it failed: ``TransferError``, ``StoreFullError``, ... The sources are untouched then.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with progress.working(f"{self.verb} {self._wire['name'] or self.object}", self._wire["total_nbytes"]) as work:
            while self._wire["state"] == "running":
                turn = _STEP if not progress.is_shown() else _SHOWN_STEP
                step = turn if deadline is None else min(turn, deadline - time.monotonic())
                if step <= 0:
                    raise TimeoutError(
                        f"The {self.verb} of {self._title} still runs after {timeout} seconds. It goes on; wait again."
                    )
                self._ask(self._cluster.wait, step)
                work.reach(self._wire["done_nbytes"], self._wire["total_nbytes"])
        if self._wire["error"] is not None:
            raise messages.error_from_wire(self._wire["error"])
        return self

    def cancel(self) -> None:
        """Stop it; no half replica is left, nothing is dropped, and the wished number of replicas is what it was.

        No effect when it has ended. When all copies are there and the drops have begun, it is ended instead; it says so, and is ``done`` then.
        """
        if self._wire["state"] == "running":
            self._ask(self._cluster.cancel)

    def _refreshed(self) -> dict[str, Any]:
        if self._wire["state"] == "running":
            self._ask(self._cluster.operation)
        return self._wire

    def _ask(self, verb: Callable[..., dict[str, Any]], *arguments: Any) -> None:
        """Bring the operation up to date; one whose cluster has gone in its middle has failed.

        Raises
        ------
        ClusterError
            The cluster does not answer, or the connection is closed, and the operation may go on.
        """
        try:
            self._wire = verb(self.id, *arguments)
        except ClusterError as error:
            if self._cluster.has_ended():
                why = (
                    f"The cluster at {self._cluster.was_at} has gone in the middle of the {self.verb} of {self._title}, which has ended with it. "
                    "wb.ls() lists what this host has; for the rest, start a cluster again."
                )
                self._wire = {**self._wire, "state": "failed", "error": messages.error_to_wire(ClusterError(why))}
                return
            if self._cluster.is_closed():
                raise ClusterError(
                    f"The connection with the cluster at {self._cluster.was_at} was closed. If the cluster has not, the {self.verb} of {self._title} goes on "
                    f"there: wb.connect({self._cluster.was_at!r}), and then wb.operations(), tells how far it is."
                ) from error
            raise

    @property
    def _title(self) -> str:
        if not self._wire["object"]:
            return str(self._wire["name"])
        return repr(self._wire["name"]) if self._wire["name"] else str(self._wire["object"])

    def _describe(self) -> tuple[str, float]:
        # Showing an object never fails: without an answer it is shown as it was.
        with contextlib.suppress(WorkbenchError):
            self._refreshed()
        progress, wire = self._fraction(self._wire), self._wire
        sizes = f"{format_nbytes(wire['done_nbytes'])} of {format_nbytes(wire['total_nbytes'])}"
        if wire["state"] == "done" and not wire["total_nbytes"] and wire["verb"] != "drop":
            sizes = "nothing had to be copied"
        text = f"{self.verb} {self._title}: {wire['state']}, {sizes}"
        if (rate := wire.get("rate")) and wire["state"] == "running":
            text += f", {format_nbytes(round(rate))}/s"
        if (eta := wire.get("eta")) is not None and wire["state"] == "running":
            text += f", {eta:.0f} s left"
        if wire["error"] is not None:
            text += f" ({wire['error']['message']})"
        elif wire.get("note"):
            text += f" ({wire['note']})"
        return text, progress

    def __repr__(self) -> str:
        text, progress = self._describe()
        filled = round(20 * progress)
        return f"<Operation {text} [{'#' * filled}{'.' * (20 - filled)}]>"

    def _repr_html_(self) -> str:
        text, progress = self._describe()
        return (
            f'<div><progress value="{progress:.4f}" max="1" style="width: 20em" aria-label="{html.escape(self.verb)}">'
            f"</progress> <span>{html.escape(text)}</span></div>"
        )

    def _repr_mimebundle_(self, **asked: Any) -> dict[str, Any]:
        return self.last_known._repr_mimebundle_(**asked)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _info(wire: dict[str, Any]) -> OperationInfo:
    known = {field.name: wire.get(field.name) for field in dataclasses.fields(OperationInfo)}
    known |= {"to": tuple(wire["to"]), "reasons": tuple(wire.get("reasons", ()))}
    known["error"] = wire["error"]["message"] if wire["error"] else ""
    return OperationInfo(**known)  # type: ignore[arg-type]  # the scheduler sends all of them


class Operations(Sequence[Operation]):
    """Operations, newest first, as a sequence that shows itself as a table."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._operations = tuple(operations)

    def __len__(self) -> int:
        return len(self._operations)

    @overload
    def __getitem__(self, index: int) -> Operation: ...
    @overload
    def __getitem__(self, index: slice) -> Operations: ...
    def __getitem__(self, index: int | slice) -> Operation | Operations:
        return Operations(self._operations[index]) if isinstance(index, slice) else self._operations[index]

    @property
    def infos(self) -> Listing[OperationInfo]:
        """All of them as values, as they were when they were asked about."""
        return Listing([operation.last_known for operation in self._operations], of=OperationInfo)

    def __repr__(self) -> str:
        return repr(self.infos)

    def _repr_html_(self) -> str:
        return self.infos._repr_html_()

    def _repr_mimebundle_(self, **asked: Any) -> dict[str, Any]:
        return self.infos._repr_mimebundle_(**asked)

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame with a row for each operation."""
        return self.infos.to_pandas()
