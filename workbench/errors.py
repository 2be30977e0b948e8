"""The error tree.

Every error names the object or the place, the state it is in and the next step, and has a stable ``kind``
that travels to the JupyterLab panel and to the command line, where class names would mean nothing.

::

    WorkbenchError                      kind
    ├── ObjectNotFoundError (KeyError)  object-not-found
    ├── NameConflictError   (ValueError)    name-conflict
    ├── StoreError          (OSError)       store
    │   └── StoreFullError  (MemoryError)   store-full
    ├── CodecError          (TypeError)     codec
    ├── SavedFileError      (OSError)       saved-file
    ├── ClusterError        (RuntimeError)  cluster
    │   ├── NodeNotFoundError (LookupError) node-not-found
    │   ├── NodeStateError              node-state
    │   ├── LastReplicaError            last-replica
    │   └── TransferError   (OSError)       transfer
    └── OperationCancelledError             operation-cancelled

What it does not cover: wrong types of arguments, which are plain ``TypeError`` as everywhere in Python.
"""

from __future__ import annotations

from typing import ClassVar, Final

UNCHANGED: Final = "Nothing was written and nothing was lost."
"""What the error of a full store says."""

__all__ = [
    "ClusterError",
    "CodecError",
    "LastReplicaError",
    "NameConflictError",
    "NodeNotFoundError",
    "NodeStateError",
    "ObjectNotFoundError",
    "OperationCancelledError",
    "SavedFileError",
    "StoreError",
    "StoreFullError",
    "TransferError",
    "WorkbenchError",
]


class WorkbenchError(Exception):
    """Root of all errors that the workbench raises on purpose."""

    kind: ClassVar[str] = "workbench"

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        # KeyError, one of the second bases, would show the repr of the message.
        return self.message


class ObjectNotFoundError(WorkbenchError, KeyError):
    """No object has this name or id; the message lists the nearest names."""

    kind = "object-not-found"


class NameConflictError(WorkbenchError, ValueError):
    """The name cannot be used: it is not a valid name, or it is another object's id."""

    kind = "name-conflict"


class StoreError(WorkbenchError, OSError):
    """The store cannot be used: its directory, its catalog, its version or its permissions."""

    kind = "store"


class StoreFullError(StoreError, MemoryError):
    """The store has no room for these bytes; nothing was written and nothing was lost."""

    kind = "store-full"


class CodecError(WorkbenchError, TypeError):
    """The object cannot be encoded, or its bytes cannot be decoded here."""

    kind = "codec"


class SavedFileError(WorkbenchError, OSError):
    """A saved object cannot be written to or read from its URL: out of reach, damaged, incomplete, or in a newer format."""

    kind = "saved-file"


class ClusterError(WorkbenchError, RuntimeError):
    """The cluster cannot be reached, or a part of it lacks the workbench's plugins."""

    kind = "cluster"


class NodeNotFoundError(ClusterError, LookupError):
    """No node has this name or id; the message lists the nodes there are."""

    kind = "node-not-found"


class NodeStateError(ClusterError):
    """A node is drained or lost, or there are too few nodes, for what was asked for; nothing was begun."""

    kind = "node-state"


class LastReplicaError(ClusterError):
    """The replica is the last one of its object: dropping it would lose the object, and a user must say that twice."""

    kind = "last-replica"


class TransferError(ClusterError, OSError):
    """An object could not be brought to a node; its source is untouched."""

    kind = "transfer"


class OperationCancelledError(WorkbenchError):
    """The move or replication was cancelled; no half replica is left."""

    kind = "operation-cancelled"
