"""Frozen values that everyone passes: ids, references, descriptions of objects, nodes, holders and memory.

Covers only values: nothing here opens a file, talks to a cluster or imports a heavy library. Sizes are in
bytes, times in seconds since the epoch. Read next: ``errors.py``, then ``codecs/__init__.py``.
"""

from __future__ import annotations

import dataclasses
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NewType, TypeAlias

from workbench.cards import card
from workbench.texts import fields_of, html_fields, printable, text_fields
from workbench.texts import format_nbytes as format_nbytes  # noqa: PLC0414  # whoever has the values writes their sizes

ObjectId = NewType("ObjectId", str)
"""32 hexadecimal digits; the same on every node that has a replica."""

Key: TypeAlias = "str | Ref"
"""What names an object: its name, its id or a :class:`Ref`."""


def no_key(value: Any) -> TypeError:
    """Return the error of a value that names no object."""
    if hasattr(value, "id"):
        step = " Use its `.id`."
    elif value is None or isinstance(value, (int, float, list, tuple, dict, set)):
        step = ""
    else:
        step = " Put it first: wb.put(value, name) returns a Ref."
    return TypeError(f"A key is a name, an id or a Ref, not {type(value).__name__}.{step}")


REPLICAS_TAG = "replicas"
"""The tag that says how many nodes shall have an object; it travels with each replica."""


MISSING: Final = " partitions are in reach"
"""What the note of a dataset of which partitions are missing says after their number and that of all."""


def wished_replicas(tags: Mapping[str, str]) -> int:
    """Return how many nodes shall have the object with these tags; 1 where nobody wished for more."""
    text = tags.get(REPLICAS_TAG, "")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) <= 6 else 1


def new_object_id() -> ObjectId:
    """Return a new id: 48 bits of time in milliseconds, then 80 random bits.

    Ids that grow with time are appended to the catalog's index rather than scattered over it. The layout is that of
    UUID version 7 (RFC 9562, section 5.7) without its version bits.
    """
    return ObjectId(f"{int(time.time() * 1000):012x}{os.urandom(10).hex()}")


def partition_id(dataset: ObjectId, index: int) -> ObjectId:
    """Return the id of a partition: the same each time, so that a task that runs twice puts it once.

    It begins as the dataset's own does, so that the catalog finds a dataset's partitions by a range of ids (``store/listings.py``).
    """
    import hashlib  # it loads OpenSSL, which a notebook without datasets does not need

    digest = hashlib.sha256(f"{dataset}/{index}".encode()).hexdigest()
    return ObjectId(dataset[:12] + digest[:20])


_OBJECT_ID = re.compile("[0-9a-f]{32}").fullmatch


def is_object_id(text: str) -> bool:
    """Tell whether `text` has the form of an object id."""
    return _OBJECT_ID(text) is not None


class Shown:
    """A value that shows itself to people: its fields, one a line; a notebook shows a table."""

    __slots__ = ()

    def fields(self) -> list[tuple[str, str]]:
        """Return what is shown: pairs of a title and a text."""
        return [(title, text) for title, text in fields_of(self) if text]

    def __str__(self) -> str:
        return text_fields(self.fields())

    def _repr_html_(self) -> str:
        return html_fields(self.fields())


@dataclass(frozen=True, slots=True)
class Ref:
    """A small, picklable reference to an object; it holds no memory.

    Parameters
    ----------
    id : ObjectId
    name : str or None
        The name the object was put under, if any.
    kind : str
    nbytes : int
        Size of the object that it stands for, in bytes.
    """

    id: ObjectId
    name: str | None = None
    kind: str = "object"
    nbytes: int = 0

    def __str__(self) -> str:
        name = f"{printable(self.name)}  " if self.name is not None else ""
        return f"{name}{self.kind}, {format_nbytes(self.nbytes)}  (id {self.id})"

    def _repr_mimebundle_(self, **_asked: Any) -> dict[str, Any]:
        return card("object", [to_json(self)], 1)


class Composite(ABC):
    """An object that stands for others: whoever gets it is given one value made of them."""

    @abstractmethod
    def assemble(self, object_id: ObjectId, get: Callable[[Ref], Any]) -> Any:
        """Return the value.

        Parameters
        ----------
        object_id : ObjectId
            What this object is known by where it was found.
        get : callable
            Returns the object of a reference.
        """


@dataclass(frozen=True, slots=True)
class Description:
    """What a codec tells about an object without anyone having to decode it.

    Parameters
    ----------
    kind : str
        ``array``, ``dataframe``, ``series``, ``index``, ``table``, ``batch``, ``polars``, ``sparse``, ``dataset`` or
        ``object``.
    type : str
        Qualified name of the Python type, for example ``pandas.DataFrame``.
    shape : tuple of int, or None
        Rows and columns, or the shape of the array; None where the object has none.
    dtypes : dict of str to str
        Column name to dtype; a single dtype under the empty name.
    notes : tuple of str
        What a user should know, for example which columns had to be pickled and are copied on each get.
    """

    kind: str
    type: str
    shape: tuple[int, ...] | None = None
    dtypes: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Encoded:
    """An object as a header and buffers, ready to be written.

    Parameters
    ----------
    description : Description
    header : bytes
        Small, private: it is copied on each get.
    buffers : tuple of memoryview
        Contiguous bytes (format ``B``, one dimension), in the order in which the decoder wants them back. Where the encoder was
        allowed to, also bytes of two dimensions, which the writer brings together: rows, each contiguous, with gaps between them.
    """

    description: Description
    header: bytes
    buffers: tuple[memoryview, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the header and of all buffers."""
        return len(self.header) + sum(buffer.nbytes for buffer in self.buffers)


@dataclass(frozen=True, slots=True)
class Replica(Shown):
    """One sealed copy of an object on one node.

    Parameters
    ----------
    node : str
        Id of the node.
    node_name : str
    state : str
        ``memory``, ``disk`` or ``cached``.
    nbytes : int
    """

    node: str
    node_name: str
    state: str
    nbytes: int


@dataclass(frozen=True, slots=True, repr=False)
class ObjectInfo(Shown):
    """Everything the catalog knows about one object.

    `name` is the first of `names`, or None. `nbytes` are the bytes that the object owns, `shared_nbytes` those that it
    refers to in other objects' segments. `last_used` is when a process last mapped it. `ttl` is in seconds from
    `created`, or None. `notes` say what could not be shared. `inline`: it is so small that it lies in the catalog of this
    host's store itself.
    """

    id: ObjectId
    name: str | None
    names: tuple[str, ...]
    kind: str
    type: str
    shape: tuple[int, ...] | None
    dtypes: dict[str, str]
    nbytes: int
    shared_nbytes: int
    created: float
    last_used: float
    pinned: bool
    ttl: float | None
    tags: dict[str, str]
    replicas: tuple[Replica, ...] = ()
    notes: tuple[str, ...] = ()
    inline: bool = field(default=False, compare=False, repr=False)

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_asked: Any) -> dict[str, Any]:
        return card("object", [to_json(self)], 1)

    @property
    def ref(self) -> Ref:
        """The reference to this object."""
        return Ref(self.id, self.name, self.kind, self.nbytes + self.shared_nbytes)


@dataclass(frozen=True, slots=True)
class NodeInfo(Shown):
    """A host as the cluster sees it: one store and the workers that share it.

    `address` is the address of one of its workers, empty where it has none; `workers` are all of them. What is `used` are the bytes that are `sealed`
    (objects), `pooled` (no objects: kept ready for the next put), `writing` (being put), `held` (deleted, and still mapped by somebody) and `cached` (replicas
    that can be fetched again); bytes that are `spilled` lie on disk and do not count. How they are divided is None where a node has not said it yet, and on
    other nodes than this one as it was some quarter of a second ago. `heartbeat` is when the scheduler last heard of one of its workers, in seconds since the epoch by the scheduler's
    clock; None without a cluster. `state` is ``running``, ``draining`` (it runs, gets no replicas any more, and may have something that is only there),
    ``drained`` (nothing is only there), ``lost`` (it was there, and no worker of it is left), or ``local``
    (this host's store, no cluster).
    """

    id: str
    name: str
    address: str
    workers: tuple[str, ...]
    capacity: int
    used: int
    state: str
    pooled: int = 0
    sealed: int | None = None
    writing: int | None = None
    held: int | None = None
    spilled: int | None = None
    cached: int | None = None
    heartbeat: float | None = None

    @classmethod
    def local(cls, node: str, name: str, memory: Memory) -> NodeInfo:
        """Return this host as a node of its own, without a cluster."""
        return cls(
            *(node, name, "", (), memory.capacity, memory.used, "local", memory.pooled),
            *(memory.sealed, memory.writing, memory.deleted, memory.spilled, memory.cached),
        )

    def _repr_mimebundle_(self, **_asked: Any) -> dict[str, Any]:
        return card("nodes", [to_json(self)], 1)


def name_drained(nodes: Iterable[NodeInfo]) -> str:
    """Write which nodes are drained and how each is given back, as sentences that follow others; empty if none is."""
    names = (node.name for node in nodes if node.state in ("draining", "drained"))
    return "".join(f" {name} is drained: wb.undrain({name!r}) gives it back." for name in names)


Place: TypeAlias = "str | NodeInfo | Replica"
"""What names a node: its name or id, or what :func:`nodes` and :func:`where` return of it."""


def node_text(node: Place) -> str:
    """Return the name or id that stands for a node.

    Raises
    ------
    TypeError
        It is neither text nor a node.
    """
    if isinstance(node, NodeInfo):
        return node.name
    if isinstance(node, Replica):
        return node.node_name
    if not isinstance(node, str):
        raise TypeError(f"A node is a name, an id or one of wb.nodes(), not {type(node).__name__}.")
    return node


@dataclass(frozen=True, slots=True)
class OperationInfo(Shown):
    """A move, a replication, a drop, a drain, a rebalancing or a keeping-up of replicas, as it was when it was asked about.

    `object` is empty where it is about a node or about all; `to` are ids of nodes. `state` is ``running``, ``done``, ``failed`` or ``cancelled``;
    `rate` is bytes per second in the last seconds, `eta` seconds left; both are None where nothing is known. `reasons` say why it does what it
    does, and why it does not do what it could not; `error` is why it failed.
    """

    id: str
    verb: str
    object: str
    name: str | None
    to: tuple[str, ...]
    state: str
    done_nbytes: int
    total_nbytes: int
    rate: float | None
    eta: float | None
    started: float
    ended: float | None
    reasons: tuple[str, ...]
    error: str

    def _repr_mimebundle_(self, **_asked: Any) -> dict[str, Any]:
        return card("operations", [to_json(self)], 1)


@dataclass(frozen=True, slots=True)
class Holder(Shown):
    """A process that has a lease on an object, or on what is left of one.

    Parameters
    ----------
    pid : int
    kind : str
        ``kernel``, ``worker``, ``server`` or ``script``.
    label : str
        Which one: notebook path, worker name, script path.
    since : float
        When the process mapped the object, in seconds since the epoch.
    nbytes : int
        Bytes that it maps of the object's own segments, which may be larger than the object (see :class:`Memory`). Each segment belongs to one object, so the sum over the holders of one process is
        what it maps.
    object : ObjectId or None
        None when the object was deleted.
    name : str or None
        The object's name; of a deleted one, the name (else the id) that it had.
    shared_nbytes : int
        Bytes that it maps of the segments that the object shares with an older one.
    state : str
        ``memory``; ``disk`` when the object is spilled, so that what is mapped is a file; ``deleted`` when only the process keeps the memory.
    cause : str
        What in the process keeps it, where the process tells: a notebook says that of its variables and outputs after each cell.
    """

    pid: int
    kind: str
    label: str
    since: float
    nbytes: int
    object: ObjectId | None = None
    name: str | None = None
    shared_nbytes: int = 0
    state: str = "memory"
    cause: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Memory(Shown):
    """Where the bytes of one store are; each byte is counted once, whoever maps it.

    `sealed` + `pooled` + `writing` + `deleted` (deleted but still mapped) + `cached` is what is used; `free` is what is
    left of `capacity`; `spilled` bytes lie on disk and do not count. What is counted are segments, which is what the machine gives: one that is used again
    may be larger than the object in it, by up to a quarter or 1 MiB.
    """

    capacity: int
    sealed: int
    pooled: int
    writing: int
    deleted: int
    spilled: int
    cached: int
    free: int

    @property
    def used(self) -> int:
        """Bytes in use, the pool included."""
        return self.sealed + self.pooled + self.writing + self.deleted + self.cached

    def __repr__(self) -> str:
        return str(self)

    def fields(self) -> list[tuple[str, str]]:
        """Return what is shown: each kind of bytes, and what it is."""
        pairs = [("capacity", format_nbytes(self.capacity)), ("used", format_nbytes(self.used))]
        pairs += [
            (name, f"{format_nbytes(getattr(self, name)):<12}{what}")
            for name, what in _BYTES.items()
            if getattr(self, name) or name in {"sealed", "pooled"}
        ]
        return [
            *pairs,
            ("free", format_nbytes(self.free)),
            ("spilled", f"{format_nbytes(self.spilled):<12}on disk, not used"),
        ]


_BYTES: Final = {
    "sealed": "objects, whole segments",
    "pooled": "no objects: kept ready for the next put, given back when it is not needed",
    "writing": "being put",
    "deleted": "deleted, and still mapped by somebody",
    "cached": "replicas that can be fetched again",
}
"""The kinds of bytes that are used, as :class:`Memory` has them."""


@dataclass(frozen=True, slots=True)
class Namespace(Shown):
    """One of several stores of a user side by side.

    `name` is empty for a store whose directory was chosen by hand. `objects` (a number), `used` and `capacity` are None where its catalog cannot
    be read. `pooled` bytes of what is used are no objects. `current` tells whether it is the one in use.
    """

    name: str
    directory: str
    objects: int | None
    used: int | None
    capacity: int | None
    current: bool
    pooled: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Diagnosis:
    """What ``workbench doctor`` found: a sentence for each thing.

    Parameters
    ----------
    damage : tuple of str
        What is broken, and stays so until somebody acts.
    reclaimed : tuple of str
        What dead processes had left; it is put right.
    left : tuple of str
        What nobody living uses, and somebody may still want.
    """

    damage: tuple[str, ...] = ()
    reclaimed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return "\n".join((*self.damage, *self.reclaimed, *self.left)) or "nothing to report"


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured on this host; `ratio` is to memcpy in the same run, where that says something."""

    what: str
    value: float
    unit: str
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Event(Shown):
    """Something that happened to an object in this host's store.

    `what` is ``put``, ``delete``, ``name`` (it got or lost a name), ``pin``, ``unpin``, ``tag``, ``spill``, ``restore``, ``keep`` (a cached replica
    became an ordinary one) or ``conflict``. `names` are those that it has after that, or had when it was deleted; `name` is the first of them, or None; of a
    conflict, `name` is the name that the object has lost to one of another node. `time` is when the watcher noticed.
    """

    what: str
    id: ObjectId
    name: str | None
    names: tuple[str, ...]
    time: float


def fold_datasets(infos: Iterable[ObjectInfo]) -> list[ObjectInfo]:
    """Show each dataset as one object: with the bytes and the nodes of its partitions, which are left out.

    A partition says in its tag ``dataset`` which dataset it belongs to (the id of its manifest); one whose manifest is
    not in `infos` is kept, so that no memory is hidden.
    """
    infos = list(infos)
    manifests = {info.id for info in infos if info.kind == "dataset"}
    parts: dict[str, list[ObjectInfo]] = {}
    folded = []
    for info in infos:
        owner = info.tags.get("dataset")
        if owner in manifests:
            parts.setdefault(owner, []).append(info)
    for info in infos:
        if info.tags.get("dataset") in manifests:
            continue
        members = parts.get(info.id, [])
        folded.append(_fold(info, members) if members else info)
    return folded


def _fold(manifest: ObjectInfo, members: list[ObjectInfo]) -> ObjectInfo:
    return dataclasses.replace(
        manifest,
        nbytes=manifest.nbytes + sum(member.nbytes for member in members),
        shared_nbytes=manifest.shared_nbytes + sum(member.shared_nbytes for member in members),
        last_used=max(member.last_used for member in members),
        replicas=_fold_replicas(members),
    )


def _fold_replicas(members: Iterable[ObjectInfo]) -> tuple[Replica, ...]:
    found: dict[str, Replica] = {}
    for member in members:
        for replica in member.replicas:
            nbytes = replica.nbytes + (found[replica.node].nbytes if replica.node in found else 0)
            found[replica.node] = dataclasses.replace(replica, nbytes=nbytes)
    return tuple(found.values())


def to_json(value: Any) -> Any:
    """Turn a value of this module (or a list, tuple or dict of them) into what JSON and msgpack can carry."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value
