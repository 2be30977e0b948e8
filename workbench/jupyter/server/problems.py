"""Errors that only the server has, and the HTTP status of each error of the workbench."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from workbench.errors import (
    ClusterError,
    LastReplicaError,
    NameConflictError,
    NodeNotFoundError,
    NodeStateError,
    ObjectNotFoundError,
    OperationCancelledError,
    StoreError,
    StoreFullError,
    TransferError,
    WorkbenchError,
)

__all__ = [
    "BadRequestError",
    "ElsewhereError",
    "NotPossibleError",
    "OperationNotFoundError",
    "OutOfReachError",
    "PreviewError",
    "PreviewMemoryError",
    "PreviewTimeoutError",
    "status_of",
]


class BadRequestError(WorkbenchError):
    """What was asked for cannot be meant."""

    kind = "bad-request"


class NotPossibleError(WorkbenchError):
    """The state of an object does not allow what was asked for."""

    kind = "not-possible"


class ElsewhereError(NotPossibleError):
    """Only other nodes have the object, and what was asked for is done on this host.

    Parameters
    ----------
    message : str
    partitions : sequence of int
        Of a dataset: those that are needed and are not here; empty where nobody has looked.
    """

    kind = "elsewhere"

    def __init__(self, message: str = "", partitions: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.partitions = tuple(partitions)


class OutOfReachError(NotPossibleError):
    """No running node has the object, or the part of it that was asked for: nothing can be brought here."""

    kind = "out-of-reach"


class OperationNotFoundError(WorkbenchError):
    """No operation has this id; those that ended long ago are forgotten."""

    kind = "operation-not-found"


class PreviewError(WorkbenchError):
    """The process that makes previews could not make this one."""

    kind = "preview"


class PreviewTimeoutError(PreviewError):
    """It took too long."""

    kind = "preview-timeout"


class PreviewMemoryError(PreviewError):
    """It took too much memory."""

    kind = "preview-memory"


# The first class that fits; so a class stands before its bases.
_STATUS: Final[tuple[tuple[type[WorkbenchError], int], ...]] = (
    (ObjectNotFoundError, 404),
    (NodeNotFoundError, 404),
    (OperationNotFoundError, 404),
    (LastReplicaError, 409),
    (NodeStateError, 409),
    (NotPossibleError, 409),
    (NameConflictError, 409),
    (OperationCancelledError, 409),
    (PreviewTimeoutError, 504),
    (PreviewMemoryError, 413),
    (PreviewError, 502),
    (StoreFullError, 507),
    (TransferError, 502),
    (StoreError, 503),
    (ClusterError, 503),
)


def status_of(error: WorkbenchError) -> int:
    """Return the HTTP status of an error of the workbench."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 400)
