"""What travels between clients, scheduler and workers: plain values for msgpack, checked on arrival.

Covers the envelope (a verb and its arguments, a result or an error) and the wire form of objects' descriptions. Nothing
here is pickled, so that the scheduler never unpickles; payloads of objects are ``transfer.py``'s. Read next: ``catalog.py``.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from workbench.errors import ClusterError, ObjectNotFoundError, WorkbenchError
from workbench.objects import Key, ObjectId, ObjectInfo, Ref, Replica, is_object_id, no_key, to_json
from workbench.store.reading import nearest_names

logger = logging.getLogger("workbench.messages")

PROTOCOL = 4
"""Changes when a node of an older version could not understand a message any more."""

OP = "workbench"
"""The one operation that scheduler and workers add to Dask's own."""

PLUGIN = "workbench"
"""Name of the plugins."""

Verb = Callable[..., Awaitable[Any]]

_MOST_ITEMS: Final = 1_000_000
_LONGEST_TEXT: Final = 1 << 20
"""What one message may carry; more is refused before anything is done with it."""


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
        raise no_key(key)
    return key


def info_to_wire(info: ObjectInfo) -> dict[str, Any]:
    """Return what is known of an object as plain values."""
    return {
        "id": info.id,
        "names": list(info.names),
        "kind": info.kind,
        "type": info.type,
        "shape": None if info.shape is None else list(info.shape),
        "dtypes": info.dtypes,
        "nbytes": info.nbytes,
        "shared_nbytes": info.shared_nbytes,
        "created": info.created,
        "last_used": info.last_used,
        "pinned": info.pinned,
        "ttl": info.ttl,
        "tags": info.tags,
        "replicas": to_json(info.replicas),
        "notes": list(info.notes),
    }


def info_from_wire(wire: Any, replicas: tuple[Replica, ...] = ()) -> ObjectInfo:
    """Return what :func:`info_to_wire` wrote down, with these replicas in place of those in it.

    Raises
    ------
    ClusterError
        If a field is missing or is not what it should be.
    """
    try:
        shape = wire["shape"]
        names = tuple(text(each) for each in items(wire["names"]))
        return ObjectInfo(
            id=object_id(wire["id"]),
            name=names[0] if names else None,
            names=names,
            kind=text(wire["kind"]),
            type=text(wire["type"]),
            shape=None if shape is None else tuple(integer(size) for size in items(shape)),
            dtypes=texts(wire["dtypes"]),
            nbytes=nbytes(wire["nbytes"]),
            shared_nbytes=nbytes(wire["shared_nbytes"]),
            created=moment(wire["created"]),
            last_used=moment(wire["last_used"]),
            pinned=bool(wire["pinned"]),
            ttl=None if wire["ttl"] is None else moment(wire["ttl"]),
            tags=texts(wire["tags"]),
            replicas=replicas,
            notes=tuple(text(note) for note in items(wire["notes"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(error) from error


def object_id(value: Any) -> ObjectId:
    """Return `value` if it is an object id, or raise ClusterError."""
    if not isinstance(value, str) or not is_object_id(value):
        raise ClusterError(f"A message of the cluster is damaged: {value!r:.80} is not an object id.")
    return ObjectId(value)


def object_ids(values: Any) -> list[ObjectId]:
    """Return a list of object ids, or raise ClusterError."""
    return [object_id(value) for value in items(values)]


def items(value: Any, most: int = _MOST_ITEMS) -> Sequence[Any]:
    """Return a list, or raise TypeError or ValueError: it is none, or is too long."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{type(value).__name__} instead of a list")
    if len(value) > most:
        raise ValueError(f"{len(value)} items, which is more than {most}")
    return value


def text(value: Any, longest: int = _LONGEST_TEXT) -> str:
    """Return text, or raise TypeError or ValueError: it is none, or is too long."""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of text")
    if len(value) > longest:
        raise ValueError(f"text of {len(value)} characters, which is more than {longest}")
    return value


def name(value: Any) -> str:
    """Return the name of an object, or raise TypeError or ValueError: it is none."""
    if not text(value) or is_object_id(value):
        raise ValueError(f"{value!r} instead of a name")
    return str(value)


def mapping(value: Any, most: int) -> Mapping[Any, Any]:
    """Return a mapping, or raise TypeError or ValueError: it is none, or is too long."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{type(value).__name__} instead of a mapping")
    if len(value) > most:
        raise ValueError(f"{len(value)} items, which is more than {most}")
    return value


def texts(value: Any) -> dict[str, str]:
    """Return a mapping of text to text, or raise TypeError."""
    return {text(key): text(item) for key, item in mapping(value, _MOST_ITEMS).items()}


def integer(value: Any, most: int = 2**63 - 1) -> int:
    """Return a whole number from 0 on, or raise TypeError or ValueError."""
    if type(value) is not int:
        raise TypeError(f"{type(value).__name__} instead of a number")
    if not 0 <= value <= most:
        raise ValueError(f"{value!r:.40} is not between 0 and {most}")
    return value


nbytes = integer
"""A size in bytes."""


def flag(value: Any) -> bool:
    """Return True or False, or raise TypeError."""
    if not isinstance(value, bool):
        raise TypeError(f"{type(value).__name__} instead of true or false")
    return value


def moment(value: Any) -> float:
    """Return seconds, or raise TypeError or ValueError."""
    if type(value) not in (int, float):
        raise TypeError(f"{type(value).__name__} instead of seconds")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{value} is no time")
    return float(value)


def damaged(error: Exception) -> ClusterError:
    """Return the error for a message that does not have the form it should have."""
    return ClusterError(
        f"A message of the cluster is damaged or of another version ({error!r:.200}). "
        "Install the same version of the workbench on the scheduler, the workers and the clients."
    )


def _errors(kind: type[WorkbenchError]) -> dict[str, type[WorkbenchError]]:
    found = {kind.kind: kind}
    for derived in kind.__subclasses__():
        found.update(_errors(derived))
    return found


def error_to_wire(error: BaseException) -> dict[str, str]:
    """Return an error as its stable kind and its message."""
    if isinstance(error, WorkbenchError):
        return {"kind": error.kind, "message": str(error)}
    if isinstance(error, (TypeError, ValueError, OverflowError)):
        return {"kind": "bad-input", "message": f"{error!s:.1000}"}
    return {"kind": ClusterError.kind, "message": f"{type(error).__name__}: {error}"}


def error_from_wire(wire: Mapping[str, Any]) -> Exception:
    """Return the error that :func:`error_to_wire` wrote down."""
    kind, message = str(wire.get("kind")), str(wire.get("message"))
    if kind == "bad-input":
        return ValueError(message)
    return _errors(WorkbenchError).get(kind, ClusterError)(message)


async def answer(
    verbs: Mapping[str, Verb], verb: Any, arguments: Any, version: Any, who: str = "Somebody"
) -> dict[str, Any]:
    """Run the verb that a message asks for and return the reply; errors become part of it.

    An exception that left a handler would be pickled by Dask, and unpickled by whoever asked.

    Parameters
    ----------
    verbs : mapping
    verb, arguments, version : object
        What came, whatever it is.
    who : str
        Address of who asked, for the log.
    """
    try:
        if version != PROTOCOL:
            raise _another_version(version, who)
        if not isinstance(verb, str) or verb not in verbs or not isinstance(arguments, Mapping):
            raise damaged(ValueError(f"verb {verb!r:.40}"))
        if not _takes(verbs[verb], arguments):
            raise damaged(TypeError(f"{verb} does not take {sorted(map(str, arguments))!r:.150}"))
        return {"result": await verbs[verb](**arguments)}
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001  # the reply is the only way back to who asked
        return {"error": error_to_wire(error)}


_told: set[tuple[str, str]] = set()


def _another_version(version: Any, who: str) -> ClusterError:
    error = ClusterError(
        f"This node speaks version {PROTOCOL} of the workbench's protocol, and was asked in version {version!r:.20}. "
        "Install the same version of the workbench on the scheduler, the workers and the clients."
    )
    # Both sides have a log; whoever looks into this one learns who it was, once.
    host = who.rpartition(":")[0]
    if (host, f"{version!r:.20}") not in _told and len(_told) < 1000:
        _told.add((host, f"{version!r:.20}"))
        logger.warning("%s speaks version %.20r of the workbench's protocol; here it is %d.", who, version, PROTOCOL)
    return error


def _takes(verb: Verb, arguments: Mapping[Any, Any]) -> bool:
    try:
        inspect.signature(verb).bind(**arguments)
    except TypeError:
        return False
    return True


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


def by_name(error: ObjectNotFoundError, key: Key) -> ObjectNotFoundError:
    """Return an error about the object of a reference that calls it what people do: by the name that it was put under."""
    if isinstance(key, Ref) and key.name is not None:
        error.message = error.message.replace(repr(str(key.id)), f"{key.name!r} (id {key.id})", 1)
    return error


def not_found(key: str, names: Iterable[str]) -> ObjectNotFoundError:
    """Return the error that says that no node has `key`, with the nearest names."""
    # Of many names, those around the place of `key`.
    step = nearest_names(key, list(names)) or "No node has named objects yet."
    return ObjectNotFoundError(f"There is no object {key[:200]!r} in the cluster. {step}")
