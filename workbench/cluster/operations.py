"""What a user holds of a move or a replication: its progress, waiting for it, cancelling it.

Covers one client's view; the operation itself lives on the scheduler (``manager.py``) and goes on when this object, or the whole
process, is gone.
"""

from __future__ import annotations

import contextlib
import html
import time
from typing import TYPE_CHECKING, Any, Final

from workbench.cluster import messages
from workbench.errors import WorkbenchError
from workbench.objects import ObjectId, format_nbytes

if TYPE_CHECKING:
    from workbench.cluster.client import ClusterClient

_STEP: Final = 1.0
"""Seconds of one turn of waiting, so that Ctrl-C is heard."""


class Operation:
    """A move or a replication that runs on the cluster.

    In a notebook it shows itself as a bar, as far as it has got when it is shown.

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
        """``move`` or ``replicate``."""
        return str(self._wire["verb"])

    @property
    def object(self) -> ObjectId:
        """Id of the object."""
        return ObjectId(self._wire["object"])

    @property
    def state(self) -> str:
        """``running``, ``done``, ``failed`` or ``cancelled``, as it is now."""
        return str(self._refreshed()["state"])

    @property
    def progress(self) -> float:
        """From 0 to 1, as it is now."""
        return self._fraction(self._refreshed())

    @staticmethod
    def _fraction(wire: dict[str, Any]) -> float:
        if wire["state"] == "done" or not wire["total_nbytes"]:
            return 1.0 if wire["state"] == "done" else 0.0
        return float(wire["done_nbytes"]) / float(wire["total_nbytes"])

    def wait(self, timeout: float | None = None) -> Operation:
        """Wait until it is done.

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
        WorkbenchError
            Why it failed: ``TransferError``, ``StoreFullError``, ... The sources are untouched then.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._wire["state"] == "running":
            step = _STEP if deadline is None else min(_STEP, deadline - time.monotonic())
            if step <= 0:
                raise TimeoutError(
                    f"The {self.verb} of {self._title} still runs after {timeout} seconds. It goes on; wait again."
                )
            self._wire = self._cluster.wait(self.id, step)
        if self._wire["error"] is not None:
            raise messages.error_from_wire(self._wire["error"])
        return self

    def cancel(self) -> None:
        """Stop it; no half replica is left, and nothing is dropped. No effect when it has ended."""
        if self._wire["state"] == "running":
            self._wire = self._cluster.cancel(self.id)

    def _refreshed(self) -> dict[str, Any]:
        if self._wire["state"] == "running":
            self._wire = self._cluster.operation(self.id)
        return self._wire

    @property
    def _title(self) -> str:
        return repr(self._wire["name"]) if self._wire["name"] else str(self._wire["object"])

    def _describe(self) -> tuple[str, float]:
        # Showing an object never fails: without an answer it is shown as it was.
        with contextlib.suppress(WorkbenchError):
            self._refreshed()
        progress, wire = self._fraction(self._wire), self._wire
        sizes = f"{format_nbytes(wire['done_nbytes'])} of {format_nbytes(wire['total_nbytes'])}"
        text = f"{self.verb} {self._title}: {wire['state']}, {sizes}"
        if wire["error"] is not None:
            text += f" ({wire['error']['message']})"
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
