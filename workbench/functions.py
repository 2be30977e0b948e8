"""The verbs of the package as functions, each of which acts on the current session of this process.

Covers nothing but that: what a verb does, and its docstring, are the session's (``session/``); which session is the current one: ``current.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from workbench.current import active_session, current_session
from workbench.objects import Holder, Key, Memory, Namespace, NodeInfo, ObjectInfo, Place, Ref, Replica
from workbench.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt
    import pyarrow as pa
    from distributed import Client

    from workbench.cluster.operations import Operation, Operations
    from workbench.cluster.plans import Plan
    from workbench.creating import NewArray, NewTable
    from workbench.finding import SortOrder
    from workbench.listing import Listing
    from workbench.urls import URL
    from workbench.watching import Watch

F = TypeVar("F", bound=Callable[..., Any])


def _documented(function: F) -> F:
    """Give a function the docstring of the session's method of the same name; what stands in it is for who reads this file."""
    function.__doc__ = getattr(Session, function.__name__).__doc__
    return function


@_documented
def put(
    obj: Any,
    name: str | None = None,
    *,
    pin: bool = False,
    ttl: float | None = None,
    replicas: int = 1,
    tags: dict[str, str] | None = None,
) -> Ref:
    """Share an object under a name; see :meth:`Session.put`."""
    return current_session().put(obj, name, pin=pin, ttl=ttl, replicas=replicas, tags=tags)


@_documented
def get(key: Key, *, timeout: float | None = None) -> Any:
    """Return a shared object, mapped read-only; see :meth:`Session.get`."""
    return current_session().get(key, timeout=timeout)


@_documented
def put_many(
    objects: Mapping[str, Any] | Iterable[Any], *, ttl: float | None = None, tags: dict[str, str] | None = None
) -> list[Ref]:
    """Share several objects in one step, by name or without names; see :meth:`Session.put_many`."""
    return current_session().put_many(objects, ttl=ttl, tags=tags)


@overload
def create(
    shape: int | Sequence[int],
    dtype: npt.DTypeLike = ...,
    name: str | None = ...,
    *,
    order: Literal["C", "F"] = ...,
    pin: bool = ...,
    ttl: float | None = ...,
    tags: dict[str, str] | None = ...,
) -> NewArray: ...
@overload
def create(
    shape: pa.Schema,
    *,
    name: str | None = ...,
    pin: bool = ...,
    ttl: float | None = ...,
    tags: dict[str, str] | None = ...,
) -> NewTable: ...
@_documented
def create(
    shape: Any,
    dtype: npt.DTypeLike = float,
    name: str | None = None,
    *,
    order: Literal["C", "F"] = "C",
    pin: bool = False,
    ttl: float | None = None,
    tags: dict[str, str] | None = None,
) -> NewArray | NewTable:
    """Fill an array in place, or let a table grow, in shared memory from the start; see :meth:`Session.create`."""
    created: NewArray | NewTable = current_session().create(
        shape, dtype, name, order=order, pin=pin, ttl=ttl, tags=tags
    )
    return created


@_documented
def get_many(keys: Iterable[Key]) -> list[Any]:
    """Return several shared objects; see :meth:`Session.get_many`."""
    return current_session().get_many(keys)


@_documented
def exists(key: Key) -> bool:
    """Tell whether an object has this name or id."""
    return current_session().exists(key)


@_documented
def info(key: Key) -> ObjectInfo:
    """Return what is known about an object; see :meth:`Session.info`."""
    return current_session().info(key)


@_documented
def ls(
    pattern: str | None = None,
    *,
    sort_by: SortOrder = "created",
    kind: str | None = None,
    tags: Mapping[str, str | None] | None = None,
    node: Place | None = None,
    parts: bool = False,
    unnamed: bool = False,
    limit: int | None = None,
) -> Listing[ObjectInfo]:
    """List objects; see :meth:`Session.ls`."""
    return current_session().ls(
        pattern, sort_by=sort_by, kind=kind, tags=tags, node=node, parts=parts, unnamed=unnamed, limit=limit
    )


@_documented
def rename(key: Key, name: str, *, replace: bool = False) -> Ref:
    """Give an object another name; see :meth:`Session.rename`."""
    return current_session().rename(key, name, replace=replace)


@_documented
def delete(key: Key) -> None:
    """Delete an object everywhere; who has it mapped keeps it. See :meth:`Session.delete`."""
    current_session().delete(key)


@_documented
def delete_unnamed() -> Listing[ObjectInfo]:
    """Delete all objects that have no name and are not pinned; see :meth:`Session.delete_unnamed`."""
    return current_session().delete_unnamed()


@_documented
def pin(key: Key) -> None:
    """Keep an object in memory on this host, and keep it when its last name goes; its `ttl` still deletes it."""
    current_session().pin(key)


@_documented
def unpin(key: Key) -> None:
    """Undo :func:`pin`."""
    current_session().unpin(key)


@_documented
def spill(key: Key) -> None:
    """Move an object from memory to disk, where it stays readable; see :meth:`Session.spill`."""
    current_session().spill(key)


@_documented
def restore(key: Key) -> None:
    """Bring a spilled object back to memory; see :meth:`Session.restore`."""
    current_session().restore(key)


@_documented
def holders(key: Key | None = None) -> Listing[Holder]:
    """List the processes of this host that have an object mapped; see :meth:`Session.holders`."""
    return current_session().holders(key)


@_documented
def memory() -> Memory:
    """Tell where the bytes of this host's store are."""
    return current_session().memory()


@_documented
def save(key: Key, url: URL, *, storage_options: dict[str, Any] | None = None) -> Ref:
    """Write an object to a file at any URL, with checksums; see :meth:`Session.save`."""
    return current_session().save(key, url, storage_options=storage_options)


@_documented
def load(
    url: URL, name: str | None = None, *, storage_options: dict[str, Any] | None = None, verify: bool = True
) -> Ref:
    """Share an object from a file that :func:`save` wrote; see :meth:`Session.load`."""
    return current_session().load(url, name, storage_options=storage_options, verify=verify)


@_documented
def watch(pattern: str = "*", *, timeout: float | None = None) -> Watch:
    """Watch what happens to objects of this host from now on, in a ``for`` loop; see :meth:`Session.watch`."""
    return current_session().watch(pattern, timeout=timeout)


def namespaces() -> Listing[Namespace]:
    """List this user's stores side by side; :func:`use` changes to another one.

    Returns
    -------
    Listing of Namespace
        With objects, use and capacity of each; the one in use is marked. Looking at them changes nothing.
    """
    from workbench.listing import Listing
    from workbench.store.namespaces import namespaces

    session = active_session()
    return Listing(namespaces(None if session is None else session.store.directory), of=Namespace)


def remove_namespace(name: str) -> Namespace:
    """Remove one of this user's stores with all that is in it, in memory and on disk.

    Parameters
    ----------
    name : str
        Of the namespace, as :func:`namespaces` lists it.

    Returns
    -------
    Namespace
        What it held.

    Raises
    ------
    StoreError
        There is no such store, or a process has it open or still maps objects of it (this one counts, too); nothing was removed.
    """
    from workbench.removing import remove_namespace

    return remove_namespace(name)


@_documented
def connect(where: Any = None, *, security: Any = None, timeout: float | None = None) -> Client:
    """Connect to a Dask cluster; see :meth:`Session.connect`."""
    return current_session().connect(where, security=security, timeout=timeout)


@_documented
def nodes() -> Listing[NodeInfo]:
    """List the nodes of the cluster; without one, this host."""
    return current_session().nodes()


@_documented
def where(key: Key) -> Listing[Replica]:
    """List the replicas of an object."""
    return current_session().where(key)


@overload
def move(key: Key, to: Place, *, dry_run: Literal[False] = ...) -> Operation: ...
@overload
def move(key: Key, to: Place, *, dry_run: bool) -> Operation | Plan: ...
@_documented
def move(key: Key, to: Place, *, dry_run: bool = False) -> Operation | Plan:
    """Move an object to a node; see :meth:`Session.move`."""
    return current_session().move(key, to, dry_run=dry_run)


@overload
def replicate(
    key: Key, n: int | None = ..., *, to: Place | Iterable[Place] | None = ..., dry_run: Literal[False] = ...
) -> Operation: ...
@overload
def replicate(
    key: Key, n: int | None = ..., *, to: Place | Iterable[Place] | None = ..., dry_run: bool
) -> Operation | Plan: ...
@_documented
def replicate(
    key: Key, n: int | None = None, *, to: Place | Iterable[Place] | None = None, dry_run: bool = False
) -> Operation | Plan:
    """Make more replicas of an object; see :meth:`Session.replicate`."""
    return current_session().replicate(key, n, to=to, dry_run=dry_run)


@_documented
def drop(key: Key, node: Place, *, force: bool = False, dry_run: bool = False) -> Operation | Plan:
    """Remove the replica of an object on one node; the last one only with `force`. See :meth:`Session.drop`."""
    return current_session().drop(key, node, force=force, dry_run=dry_run)


@overload
def drain(node: Place, *, dry_run: Literal[False] = ...) -> Operation: ...
@overload
def drain(node: Place, *, dry_run: bool) -> Operation | Plan: ...
@_documented
def drain(node: Place, *, dry_run: bool = False) -> Operation | Plan:
    """Empty a node before its host goes away: afterwards nothing is only there; see :meth:`Session.drain`."""
    return current_session().drain(node, dry_run=dry_run)


@_documented
def undrain(node: Place) -> None:
    """Give a drained node back; see :meth:`Session.undrain`."""
    current_session().undrain(node)


@overload
def rebalance(*, dry_run: Literal[False] = ...) -> Operation: ...
@overload
def rebalance(*, dry_run: bool) -> Operation | Plan: ...
@_documented
def rebalance(*, dry_run: bool = False) -> Operation | Plan:
    """Even out how full the nodes are; see :meth:`Session.rebalance`."""
    return current_session().rebalance(dry_run=dry_run)


@_documented
def operations() -> Operations:
    """List the operations of the cluster that run or ended not long ago; see :meth:`Session.operations`."""
    return current_session().operations()


def open(key: Key) -> Any:  # noqa: A001  # the verb of the design  # as in the public API
    """Open a dataset that ``persist_shared`` put: a lazy Dask DataFrame, Series or Array whose partitions are mapped, not copied.

    Parameters
    ----------
    key : str or Ref
        Name, id or reference of the dataset.

    Returns
    -------
    dask.dataframe.DataFrame, dask.dataframe.Series or dask.array.Array
        With the divisions, chunks and dtypes that were put; computing it needs a Dask client where a cluster has the partitions.

    Raises
    ------
    ObjectNotFoundError
        There is no such dataset; the message lists the nearest names.
    TypeError
        The key names another object than a dataset.
    """
    from workbench.collections import open_dataset

    return open_dataset(key)
