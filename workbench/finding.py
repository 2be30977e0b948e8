"""Finding objects: one by its key, many by a pattern, in this host's store and, when connected, in the cluster.

Covers where a session looks and in which order; it changes nothing. Without a cluster the store's own indexed queries answer, so a page of a
million objects costs no more than a page of a hundred. Read next: ``store/listings.py``, ``cluster/client.py``.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from workbench import connection
from workbench.errors import NodeNotFoundError, ObjectNotFoundError
from workbench.objects import MISSING, Key, NodeInfo, ObjectId, ObjectInfo, Ref, fold_datasets, format_nbytes, no_key
from workbench.store import Store, node_name
from workbench.store.namespaces import kinds_in
from workbench.store.reading import replaced
from workbench.texts import counted

if TYPE_CHECKING:
    from workbench.cluster.client import ClusterClient
    from workbench.store import Record
    from workbench.store.listings import Order

SortOrder = Literal["created", "name", "nbytes", "last_used", "kind"]

SORT_ORDERS: Final[tuple[str, ...]] = get_args(SortOrder)

PATTERN_OF_ALL: Final = "*"
"""For stores and clusters: also of objects without a name."""
ANY_NAME: Final = "?*"

_KINDS: Final = frozenset(
    {"array", "dataframe", "series", "index", "table", "batch", "polars", "sparse", "dataset", "object"}
)
"""Of the workbench's own codecs; others may have more."""

_BY_CATALOG: Final[dict[SortOrder, Order]] = {"created": "created", "name": "name", "kind": "kind"}
_PAGED: Final[frozenset[SortOrder]] = frozenset({"created", "name"})
"""What a cluster has an index for."""
_LARGEST_FIRST: Final = frozenset({"created", "last_used", "nbytes"})
_POLL_LOCAL: Final = 0.005
_POLL_CLUSTER: Final = 0.2
"""Seconds between two looks for an object that is awaited."""


def resolve(store: Store, cluster: ClusterClient | None, key: Key) -> ObjectInfo:
    """Return the object that a key names, with its replicas; this host's names come first.

    Raises
    ------
    ObjectNotFoundError
        The message lists the nearest names.
    """
    if not isinstance(key, (str, Ref)):
        raise no_key(key)
    if store.exists(key):
        info = store.info(key)
        found = in_cluster(cluster, info.id)
        return info if found is None else _as_here(found, info)
    if cluster is None:
        raise not_here(store, cluster, key)
    try:
        return cluster.locate(key)
    except ObjectNotFoundError as error:  # it knows the names of all nodes
        raise (store.gone(key) or error) from None


def not_here(store: Store, cluster: ClusterClient | None, key: Key) -> ObjectNotFoundError:
    """Return the error that says that `key` names nothing in reach; to a session that is not connected, where else to look."""
    error = store.not_found(key)
    hint = "" if cluster is not None else connection.hint(store.directory)
    return ObjectNotFoundError(f"{error} {hint}") if hint else error


def describe(store: Store, cluster: ClusterClient | None, key: Key) -> ObjectInfo:
    """Return the object that a key names; a dataset with the bytes and the nodes of its partitions."""
    info = resolve(store, cluster, key)
    if info.kind != "dataset":
        return _with_what_it_keeps(store, info)
    return folded([info, *members(store, cluster, info)])[0]


def _with_what_it_keeps(store: Store, info: ObjectInfo) -> ObjectInfo:
    """Note of a part of a larger object that was deleted how much of that it keeps in this host's memory."""
    nbytes = store.kept_in_vain(info)
    if not nbytes:
        return info
    note = (
        f"it keeps {format_nbytes(nbytes)} more of a larger object that was deleted; they are given back when there is no room, or by `workbench doctor`, "
        "once nobody maps it"
    )
    return dataclasses.replace(info, notes=(*info.notes, note))


def folded(infos: Sequence[ObjectInfo]) -> list[ObjectInfo]:
    """Show each dataset as one object, and note if some of its partitions, of which all that are in reach are given, are missing."""
    parts = {info.id: info for info in infos if "dataset" in info.tags}.values()
    lost = Counter(info.tags["dataset"] for info in parts if is_lost(info))
    reached = Counter(info.tags["dataset"] for info in parts if not is_lost(info))
    return [
        _noted(info, reached[info.id], lost[info.id]) if info.kind == "dataset" else info
        for info in fold_datasets(infos)
    ]


def is_lost(info: ObjectInfo) -> bool:
    """Tell whether only nodes on which no worker runs have an object."""
    return bool(info.replicas) and all(replica.state == "lost" for replica in info.replicas)


def _noted(dataset: ObjectInfo, reached: int, lost: int) -> ObjectInfo:
    note = missing_note(dataset, reached, lost)
    return dataclasses.replace(dataset, notes=(*dataset.notes, note)) if note else dataset


def missing_note(dataset: ObjectInfo, reached: int, lost: int = 0) -> str:
    """Return what to say of a dataset of whose partitions so many are in reach, and others only on lost nodes; empty if that is all."""
    total = dataset.tags.get("partitions", "")
    if not total.isdecimal() or reached >= int(total):
        return ""
    if lost == int(total) - reached:
        return f"{reached} of {total}{MISSING}; the others are only on nodes that are lost: no worker runs there"
    return f"{reached} of {total}{MISSING}; the others are on other nodes, or have ended with them"


def incomplete_datasets(store: Store) -> Iterator[str]:
    """Yield a sentence for each dataset of which this host's store lacks partitions."""
    for info in store.ls(kind="dataset"):
        if missing_note(info, reached := len(store.ls(dataset=info.id))):
            yield (
                f"The dataset {info.name or info.id!r} has {counted(int(info.tags['partitions']), 'partition')}, of which {reached} {'is' if reached == 1 else 'are'} here. If the "
                "others have ended with their nodes, compute it anew, or delete it."
            )


def incomplete(store: Store, cluster: ClusterClient | None, dataset: ObjectId) -> ObjectNotFoundError:
    """Return the error of a dataset of which a partition cannot be found."""
    try:
        info = describe(store, cluster, dataset)
    except ObjectNotFoundError:
        return ObjectNotFoundError(
            f"The dataset {dataset!r} is gone: it was deleted or replaced meanwhile. Get it again by its name."
        )
    number = info.tags.get("partitions", "")
    title, total = (
        f"The dataset {info.name or info.id!r}",
        counted(int(number), "partition") if number.isdecimal() else "its partitions",
    )
    if cluster is not None:
        reached = len(members(store, cluster, info))
        return ObjectNotFoundError(
            f"{title} has {total}, of which this host and the cluster have {reached}. If the others were on nodes that have ended, "
            "compute the dataset anew."
        )
    return ObjectNotFoundError(
        f"{title} has {total}, of which this host's store, {store.directory}, has {len(store.ls(dataset=info.id))}. Connect to the "
        f"cluster that has the others, with {connection.how_to_connect(store.directory)}, and get it again. If it has ended together with its nodes, compute the dataset anew."
    )


def members(store: Store, cluster: ClusterClient | None, dataset: ObjectInfo) -> list[ObjectInfo]:
    """Return the partitions of a dataset, in no order: those of this host and, when connected, of the cluster."""
    if cluster is None:
        return store.ls(dataset=dataset.id)
    found = {info.id: info for info in (*store.ls(dataset=dataset.id), *cluster.members(dataset.id))}
    return list(found.values())


def in_cluster(cluster: ClusterClient | None, key: Key) -> ObjectInfo | None:
    """Return what the cluster knows of an object; None without a cluster, or if it knows nothing."""
    if cluster is None:
        return None
    try:
        return cluster.locate(key)
    except ObjectNotFoundError:
        return None


def listing(
    store: Store,
    cluster: ClusterClient | None,
    pattern: str = PATTERN_OF_ALL,
    *,
    sort_by: SortOrder = "created",
    kind: str | None = None,
    tags: Mapping[str, str | None] | None = None,
    node: str | None = None,
    parts: bool = False,
    unnamed: bool = False,
    limit: int | None = None,
) -> list[ObjectInfo]:
    """List objects; see :meth:`Session.ls`."""
    if sort_by not in SORT_ORDERS:
        raise ValueError(f"sort_by is {sort_by!r}; it can be {', '.join(SORT_ORDERS[:-1])} or {SORT_ORDERS[-1]}.")
    how: dict[str, Any] = {"sort_by": sort_by, "tags": tags, "node": node, "parts": parts, "unnamed": unnamed}
    found = _listing(store, cluster, pattern, kind=kind, limit=limit, **how)
    if found or kind is None or kind in _KINDS:
        return found
    # There is no index of types, so what is no kind may cost a look at all objects.
    every = _listing(store, cluster, pattern, kind=None, limit=None, **how)
    return [info for info in every if _is_called(info, kind)][:limit]


def _is_called(info: ObjectInfo, kind: str) -> bool:
    """Tell whether a word says what an object is: its kind or its type, whole or the last part of it, in any case."""
    return kind.casefold() in (info.kind.casefold(), (of := info.type.casefold()), of.rpartition(".")[2])


def why_none(store: Store, cluster: ClusterClient | None, pattern: str | None, kind: str | None) -> str:
    """Return what to say of a listing that is empty: which kinds there are, which names are near, where else to look; empty where nothing helps."""
    said = _no_kind(store, cluster, kind) or _no_name(store, cluster, pattern)
    return " ".join(filter(None, (said, "" if cluster is not None else connection.hint(store.directory))))


def _no_kind(store: Store, cluster: ClusterClient | None, kind: str | None) -> str:
    if kind is None:
        return ""
    kinds = (
        kinds_in(store.directory) if cluster is None else sorted({info.kind for info in _everywhere(store, cluster)})
    )
    if kind.casefold() in map(str.casefold, kinds):
        return ""
    return f"Nothing that fits is of the kind or type {kind!r}. The kinds that there are: {', '.join(kinds) or 'none'}."


def _no_name(store: Store, cluster: ClusterClient | None, pattern: str | None) -> str:
    if not pattern or set(pattern) & set("*?[") or store.exists(pattern):
        return ""
    if _is_a_beginning(store, cluster, pattern):
        return f"No name is {pattern!r}. wb.ls({f'{pattern}*'!r}) lists the names that begin so."
    if cluster is None:
        return str(store.not_found(pattern))
    try:
        cluster.locate(pattern)
    except ObjectNotFoundError as error:
        return str(error)
    return ""


def _is_a_beginning(store: Store, cluster: ClusterClient | None, prefix: str) -> bool:
    pattern = f"{prefix}*"
    return bool(store.ls(pattern, limit=1) or (cluster is not None and cluster.ls(pattern, limit=1)))


def _listing(
    store: Store,
    cluster: ClusterClient | None,
    pattern: str,
    *,
    sort_by: SortOrder,
    kind: str | None,
    tags: Mapping[str, str | None] | None,
    node: str | None,
    parts: bool,
    unnamed: bool,
    limit: int | None,
) -> list[ObjectInfo]:
    if cluster is None:
        if node is not None:
            find_node([here(store)], node)
        found = _here(store, pattern, sort_by, kind, limit, tags=tags, parts=parts, unnamed=unnamed)
    elif limit is not None and sort_by in _PAGED and not tags:
        found = _page(store, cluster, pattern, sort_by, kind, node, limit, parts=parts, unnamed=unnamed)
    else:
        found = _everywhere(store, cluster)
        found = [
            info for info in (found if parts else folded(found)) if _fits(info, pattern, kind, unnamed, tags or {})
        ]
        if node is not None:
            wanted = find_node(cluster.nodes(), node)
            found = [info for info in found if any(replica.node == wanted.id for replica in info.replicas)]

    def order(info: ObjectInfo) -> Any:
        return getattr(info, sort_by) or ""

    return sorted(found, key=order, reverse=sort_by in _LARGEST_FIRST)[:limit]


def _here(
    store: Store,
    pattern: str,
    sort_by: SortOrder,
    kind: str | None,
    limit: int | None,
    *,
    tags: Mapping[str, str | None] | None,
    parts: bool,
    unnamed: bool,
) -> list[ObjectInfo]:
    # What the catalog cannot sort by, as the size of a dataset with its partitions, needs all of them.
    by_catalog = _BY_CATALOG.get(sort_by)
    found = store.ls(
        pattern,
        kind=kind,
        tags=tags,
        limit=limit if by_catalog else None,
        sort_by=by_catalog or "created",
        parts=parts,
        unnamed=unnamed,
    )
    if not parts:
        partitions = [part for info in found if info.kind == "dataset" for part in store.ls(dataset=info.id)]
        found = folded(found + partitions)
    return found


def _page(
    store: Store,
    cluster: ClusterClient,
    pattern: str,
    sort_by: SortOrder,
    kind: str | None,
    node: str | None,
    limit: int,
    *,
    parts: bool,
    unnamed: bool,
) -> list[ObjectInfo]:
    """Return the first objects of the cluster and this host, read by pages."""
    filters: dict[str, Any] = {"kind": kind, "node": node, "parts": parts, "unnamed": unnamed}
    found = cluster.ls(pattern, limit=limit, order=sort_by, **filters)
    if sort_by == "name" and pattern == PATTERN_OF_ALL and len(found) < limit:
        found += cluster.ls(limit=limit - len(found), **{**filters, "unnamed": True})
    here = {}
    if node is None or find_node(cluster.nodes(), node).id == store.id:
        order = _BY_CATALOG[sort_by]
        mine = store.ls(pattern, kind=kind, limit=limit, sort_by=order, parts=parts, unnamed=unnamed)
        here = {info.id: info for info in mine}
    found = [_as_here(info, here[info.id]) if info.id in here else info for info in found]
    known = {info.id for info in found}
    # What this process put a moment ago may not have been announced yet.
    found += [info for info in here.values() if info.id not in known and (parts or not _is_part(cluster, info))]
    if parts:
        return found
    partitions = [part for info in found if info.kind == "dataset" for part in members(store, cluster, info)]
    return folded(found + partitions)


def _is_part(cluster: ClusterClient, info: ObjectInfo) -> bool:
    owner = info.tags.get("dataset")
    return owner is not None and in_cluster(cluster, owner) is not None


def _fits(info: ObjectInfo, pattern: str, kind: str | None, unnamed: bool, tags: Mapping[str, str | None]) -> bool:
    if any(key not in info.tags or value not in (None, info.tags[key]) for key, value in tags.items()):
        return False
    if kind is not None and info.kind != kind:
        return False
    if unnamed and info.names:
        return False
    return pattern == PATTERN_OF_ALL or any(fnmatchcase(name, pattern) for name in info.names)


def _everywhere(store: Store, cluster: ClusterClient) -> list[ObjectInfo]:
    here = {info.id: info for info in store.ls(parts=True)}
    infos = [_as_here(info, here[info.id]) if info.id in here else info for info in cluster.ls()]
    known = {info.id for info in infos}
    # What this process put a moment ago may not have been announced yet.
    return infos + [info for info in here.values() if info.id not in known]


def _as_here(info: ObjectInfo, local: ObjectInfo) -> ObjectInfo:
    """Say of this host's replica what its own store says, which may be newer: whether it is in memory or on disk, and where there is no other, pinned."""
    states = {replica.node: replica.state for replica in local.replicas}
    replicas = tuple(dataclasses.replace(each, state=states.get(each.node, each.state)) for each in info.replicas)
    pinned = local.pinned if {replica.node for replica in replicas} <= states.keys() else info.pinned or local.pinned
    return dataclasses.replace(info, replicas=replicas, pinned=pinned)


def clearable(unnamed: Sequence[ObjectInfo]) -> list[ObjectInfo]:
    """Return which of some objects without a name nobody has said to keep.

    A pin says so. A partition whose manifest is not there belongs to a dataset that is being made at this moment.
    """
    return [info for info in unnamed if not info.pinned and "dataset" not in info.tags]


def here(store: Store) -> NodeInfo:
    """Return this host as a node of its own."""
    return NodeInfo.local(store.id, node_name(), store.memory())


def find_node(nodes: Sequence[NodeInfo], node: str) -> NodeInfo:
    """Return the node with this name or id.

    Raises
    ------
    NodeNotFoundError
        The message lists the nodes there are.
    """
    for info in nodes:
        if node in (info.id, info.name):
            return info
    names = ", ".join(info.name for info in nodes) or "none"
    raise NodeNotFoundError(f"There is no node {node!r}. The nodes are: {names}.")


def _missed(store: Store, cluster: ClusterClient | None, key: Key, error: ObjectNotFoundError) -> ObjectNotFoundError:
    """Return the error of a key that means nothing; if only because its name was given to another object, the error that says so."""
    name = key.name if isinstance(key, Ref) else None
    if isinstance(key, Ref) and name is not None and (store.exists(name) or in_cluster(cluster, name) is not None):
        return replaced(key)
    return error


def await_record(store: Store, cluster: ClusterClient | None, key: Key, timeout: float | None) -> Record:
    """Map an object that is not here yet: fetched from the cluster, or put by another process within `timeout` seconds.

    Raises
    ------
    ObjectNotFoundError
        It did not appear; with a `timeout` of None it is looked for once.
    """
    deadline = time.monotonic() + (timeout or 0)
    next_look = 0.0
    missed: ObjectNotFoundError | None = None
    version = store.data_version()
    while True:
        now = time.monotonic()
        if cluster is not None and now >= next_look:
            next_look = now + _POLL_CLUSTER
            try:
                return cluster.fetch(key, store)
            except ObjectNotFoundError as error:
                missed = error.with_traceback(None)  # which leads here: a cycle would keep what the caller maps
                if timeout is None:
                    raise _missed(store, cluster, key, error) from None
        try:
            return store.read(key)
        except ObjectNotFoundError as error:
            if timeout is None:
                raise not_here(store, cluster, key) from None
            if time.monotonic() >= deadline:
                said = _missed(store, cluster, key, missed or error)
                raise ObjectNotFoundError(f"{said} It was waited for, {timeout:g} s long.") from None
        while version == (version := store.data_version()) and time.monotonic() < min(deadline, next_look or deadline):
            time.sleep(_POLL_LOCAL)
