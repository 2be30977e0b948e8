"""What travels between clients, scheduler and workers: plain values for msgpack, checked on arrival.

Covers the envelope (a verb and its arguments, a result or an error) and the wire form of objects' descriptions. Nothing
here is pickled, so that the scheduler never unpickles; payloads of objects are ``transfer.py``'s. Read next: ``catalog.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from workbench.errors import ClusterError, ObjectNotFoundError, WorkbenchError
from workbench.objects import Key, ObjectId, ObjectInfo, Ref, is_object_id, to_json

PROTOCOL = 1
"""Changes when a node of an older version could not understand a message any more."""

OP = "workbench"
"""The one operation that scheduler and workers add to Dask's own."""

PLUGIN = "workbench"
"""Name of the plugins."""

Verb = Callable[..., Awaitable[Any]]


def key_text(key: Key) -> str:
    """Return the name or id that stands for a key.

    Raises
    ------
    TypeError
        If it is neither text nor a reference.
    """
    if isinstance(key, Ref):
        return key.id
    if not isinstance(key, str):
        raise TypeError(f"A key is a name, an id or a Ref, not {type(key).__name__}.")
    return key


def info_to_wire(info: ObjectInfo) -> dict[str, Any]:
    """Return what is known of an object as plain values."""
    wire: dict[str, Any] = to_json(info)
    return wire


def info_from_wire(wire: Any) -> ObjectInfo:
    """Return what :func:`info_to_wire` wrote down; its replicas are left out, for the receiver knows them better.

    Raises
    ------
    ClusterError
        If a field is missing or is not what it should be.
    """
    try:
        shape = wire["shape"]
        names = tuple(_text(name) for name in wire["names"])
        return ObjectInfo(
            id=object_id(wire["id"]),
            name=names[0] if names else None,
            names=names,
            kind=_text(wire["kind"]),
            type=_text(wire["type"]),
            shape=None if shape is None else tuple(int(size) for size in shape),
            dtypes=_texts(wire["dtypes"]),
            nbytes=nbytes(wire["nbytes"]),
            shared_nbytes=nbytes(wire["shared_nbytes"]),
            created=float(wire["created"]),
            last_used=float(wire["last_used"]),
            pinned=bool(wire["pinned"]),
            ttl=None if wire["ttl"] is None else float(wire["ttl"]),
            tags=_texts(wire["tags"]),
            notes=tuple(_text(note) for note in wire["notes"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(error) from error


def object_id(value: Any) -> ObjectId:
    """Return `value` if it is an object id, or raise ClusterError."""
    if not isinstance(value, str) or not is_object_id(value):
        raise ClusterError(f"A message of the cluster is damaged: {value!r:.80} is not an object id.")
    return ObjectId(value)


def object_ids(values: Iterable[Any]) -> list[ObjectId]:
    """Return a list of object ids, or raise ClusterError."""
    return [object_id(value) for value in values]


def bindings(value: Any) -> dict[str, ObjectId]:
    """Return names with their objects' ids, or raise ClusterError."""
    if not isinstance(value, Mapping):
        raise damaged(TypeError(f"{type(value).__name__} instead of names"))
    return {_checked(name): object_id(target) for name, target in value.items()}


def nbytes(value: Any) -> int:
    """Return a size in bytes, or raise ValueError."""
    size = int(value)
    if size < 0:
        raise ValueError(f"{size} is not a size")
    return size


def damaged(error: Exception) -> ClusterError:
    """Return the error for a message that does not have the form it should have."""
    return ClusterError(
        f"A message of the cluster is damaged or of another version ({error!r:.200}). "
        "Install the same version of the workbench on the scheduler, the workers and the clients."
    )


def _checked(name: Any) -> str:
    try:
        return _text(name)
    except TypeError as error:
        raise damaged(error) from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of text")
    return value


def _texts(value: Any) -> dict[str, str]:
    return {_text(key): _text(item) for key, item in value.items()}


def _errors(kind: type[WorkbenchError]) -> dict[str, type[WorkbenchError]]:
    found = {kind.kind: kind}
    for derived in kind.__subclasses__():
        found.update(_errors(derived))
    return found


def error_to_wire(error: BaseException) -> dict[str, str]:
    """Return an error as its stable kind and its message."""
    if isinstance(error, WorkbenchError):
        return {"kind": error.kind, "message": str(error)}
    if isinstance(error, (TypeError, ValueError)):
        return {"kind": "bad-input", "message": str(error)}
    return {"kind": ClusterError.kind, "message": f"{type(error).__name__}: {error}"}


def error_from_wire(wire: Mapping[str, Any]) -> Exception:
    """Return the error that :func:`error_to_wire` wrote down."""
    kind, message = str(wire.get("kind")), str(wire.get("message"))
    if kind == "bad-input":
        return ValueError(message)
    return _errors(WorkbenchError).get(kind, ClusterError)(message)


async def answer(verbs: Mapping[str, Verb], verb: Any, arguments: Any, version: Any) -> dict[str, Any]:
    """Run the verb that a message asks for and return the reply; errors become part of it.

    An exception that left a handler would be pickled by Dask, and unpickled by whoever asked.
    """
    try:
        if version != PROTOCOL:
            raise ClusterError(
                f"This node speaks version {PROTOCOL} of the workbench's protocol, and was asked in version {version}. "
                "Install the same version of the workbench everywhere."
            )
        if not isinstance(verb, str) or verb not in verbs or not isinstance(arguments, Mapping):
            raise damaged(ValueError(f"verb {verb!r:.40}"))
        return {"result": await verbs[verb](**arguments)}
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001  # the reply is the only way back to who asked
        return {"error": error_to_wire(error)}


def unwrap(reply: Any, what: str) -> Any:
    """Return the result of a reply, or raise the error that it carries.

    Parameters
    ----------
    reply : object
        What :func:`answer` returned on the other side; None if there was nobody to answer.
    what : str
        Who was asked, for the message: ``"The scheduler at tcp://..."``.
    """
    if reply is None:
        raise ClusterError(
            f"{what} has no workbench plugin. Start it with `--preload workbench.cluster`, "
            "or connect once with wb.connect(client), which adds the plugin to the whole cluster."
        )
    if not isinstance(reply, Mapping) or not ("result" in reply or "error" in reply):
        raise ClusterError(f"{what} gave an answer that the workbench does not understand: {reply!r:.200}")
    if "error" in reply:
        raise error_from_wire(reply["error"])
    return reply["result"]


def not_found(key: str, names: Iterable[str]) -> ObjectNotFoundError:
    """Return the error that says that no node has `key`, with the nearest names."""
    import difflib

    names = list(names)
    nearest = difflib.get_close_matches(key[:200], names, n=3, cutoff=0.5)
    if nearest:
        step = "Did you mean " + " or ".join(repr(name) for name in nearest) + "?"
    else:
        step = "wb.ls() lists what there is." if names else "No node has named objects yet."
    return ObjectNotFoundError(f"There is no object {key[:200]!r} in the cluster. {step}")
