"""The verbs of a session that make objects: put, put_many and create.

Each is a short sentence over a store and a cluster; how they do it is theirs. Read next: ``store/writing.py``, ``creating.py``.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from workbench import codecs, lazy, progress
from workbench.arguments import check_flag, check_number, check_objects, check_order, check_tags, check_ttl
from workbench.blame import users_level
from workbench.creating import NewArray, NewTable
from workbench.objects import REPLICAS_TAG, Encoded, Ref
from workbench.session.nodes import Spanning
from workbench.store import InParts, InPlace, check_name

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from workbench.cluster.client import ClusterClient

_LONG: Final = 256 << 20
"""Bytes; who puts fewer has done it before anybody could see how far it is."""


def _watched(nbytes: int, name: str | None) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext() if nbytes < _LONG else progress.working(f"put {name or 'an object'}", nbytes)


def _warn_of_lazy(value: Any, name: str | None) -> None:
    named = "" if name is None else f", {name!r}"
    said = lazy.about(value, "it", name, lambda code: f"wb.put({code}{named})")
    warnings.warn(f"What was put is a {type(value).__name__}; {said}", lazy.LazyWarning, stacklevel=users_level())


class Putting(Spanning):
    """Shares objects."""

    def put(
        self,
        obj: Any,
        name: str | None = None,
        *,
        pin: bool = False,
        ttl: float | None = None,
        replicas: int = 1,
        tags: dict[str, str] | None = None,
    ) -> Ref:
        """Share an object: one copy, which every process on this host can map.

        What was got from the workbench is not written again: a frame with one more column costs that column, another name for what is there nothing. All else is
        copied into shared memory, and `obj` stays what it was, this process's own memory, until ``obj = wb.get(name)`` puts the shared one in its place.

        In a session that is connected with a cluster, on a host without a worker, the object goes to the node that has most room.

        Parameters
        ----------
        obj : object
            A DataFrame, an array, a table, or anything that can be pickled.
        name : str, optional
            What others get it by. The object that had the name before is deleted, unless another name or a pin keeps it;
            who has it mapped keeps it. An object without a name stays until it is deleted.
        pin : bool
            Keep the object in memory, and keep it when its last name goes; not beyond its `ttl`.
        ttl : float, optional
            Seconds after which the object is deleted, pinned or not.
        replicas : int
            How many nodes shall have it; more than one needs a cluster. The number is kept up, as for :meth:`replicate`.
        tags : dict of str to str, optional

        Returns
        -------
        Ref
            Small and picklable.

        Raises
        ------
        StoreFullError
            There is no room; nothing was written, nothing was lost.
        CodecError
            The object cannot be pickled.
        ClusterError
            There are fewer nodes than `replicas`; nothing was written, nothing was lost.
        TransferError
            The object is there, and has the name, but not on as many nodes as `replicas`; those that it lacks are made when that can be done.
        """
        if name is not None:
            check_order(obj, name)
            check_name(name)
        if pin is not False:
            check_flag("pin", pin)
        if ttl is not None or tags is not None:
            ttl = check_ttl(ttl)
            check_tags(tags)
        if replicas != 1:
            replicas = check_number("replicas", replicas, 1, "nodes")
            self.require_nodes(replicas)
            tags = {**(tags or {}), REPLICAS_TAG: str(replicas)}
        if lazy.is_lazy(obj):
            _warn_of_lazy(obj, name)
        if (cluster := self._visited()) is None:
            encoded = codecs.encode(obj, is_shared=self.store.is_shared, in_rows=True)
            with _watched(encoded.nbytes, name):
                ref = self.store.put(encoded, name, pin=pin, ttl=ttl, tags=tags)
        else:
            ref = cluster.put(codecs.encode(obj), name, pin=pin, ttl=ttl, tags=tags)
        if replicas != 1:
            self.make_replicas(ref, replicas)
        return ref

    def put_many(
        self,
        objects: Mapping[str, Any] | Iterable[Any],
        *,
        ttl: float | None = None,
        tags: dict[str, str] | None = None,
    ) -> list[Ref]:
        """Share several objects at once: all of them become visible in one step, or none. Several times as fast for small ones.

        From a host without a worker they are sent to nodes of the cluster one after the other; if one fails, those before it are deleted.

        Parameters
        ----------
        objects : mapping of str to object, or iterable of object
            By name, or without names.
        ttl, tags
            As for :meth:`put`, for each of them.

        Returns
        -------
        list of Ref

        Raises
        ------
        StoreFullError
            There is no room for all of them; nothing was written.
        """
        check_objects(objects)
        ttl = check_ttl(ttl)
        check_tags(tags)
        named = objects if isinstance(objects, Mapping) else None
        values = list(objects if named is None else named.values())
        for name, value in zip([None] * len(values) if named is None else named, values, strict=True):
            if lazy.is_lazy(value):
                _warn_of_lazy(value, name)
        if (cluster := self._visited()) is not None:
            names = [None] * len(values) if named is None else list(named)
            return self._send_many(cluster, dict(enumerate(zip(names, values, strict=True))), ttl=ttl, tags=tags)
        encoded = [codecs.encode(value, is_shared=self.store.is_shared, in_rows=True) for value in values]
        return self.store.put_many(encoded, None if named is None else list(named), ttl=ttl, tags=tags)

    def _send_many(
        self,
        cluster: ClusterClient,
        items: dict[int, tuple[str | None, Any]],
        *,
        ttl: float | None,
        tags: dict[str, str] | None,
    ) -> list[Ref]:
        sent: list[Ref] = []
        try:
            for name, value in items.values():
                if name is not None:
                    check_name(name)
                sent.append(cluster.put(codecs.encode(value), name, ttl=ttl, tags=tags))
        except BaseException:
            cluster.forget([ref.id for ref in sent])
            raise
        return sent

    @overload
    def create(
        self,
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
        self,
        shape: pa.Schema,
        *,
        name: str | None = ...,
        pin: bool = ...,
        ttl: float | None = ...,
        tags: dict[str, str] | None = ...,
    ) -> NewTable: ...

    def create(
        self,
        shape: Any,
        dtype: npt.DTypeLike = float,
        name: str | None = None,
        *,
        order: Literal["C", "F"] = "C",
        pin: bool = False,
        ttl: float | None = None,
        tags: dict[str, str] | None = None,
    ) -> NewArray | NewTable:
        """Make an object where it will lie, without a copy: ``with session.create(shape, dtype, "x") as array: array[:] = ...``.

        The end of the block seals it; nobody sees it before. An exception in the block gives it up. On a host without a worker of the
        cluster that the session is connected with, it is made here, and the end of the block sends it to a node.

        Parameters
        ----------
        shape : int, sequence of int, or pyarrow.Schema
            Of the array, whose contents are undefined at first (as with :func:`numpy.empty`). A schema makes a table, to which
            ``append`` adds record batches, tables or frames.
        dtype : dtype
            Of the array; a table has none, and its name may stand here.
        name, pin, ttl, tags
            As for :meth:`put`.
        order : {"C", "F"}
            Of the array.

        Returns
        -------
        NewArray or NewTable
            Context managers; their attribute ``ref`` is the object afterwards.

        Raises
        ------
        StoreFullError
            At the beginning of the block: there is no room for the array. In ``append``: none for these rows.
        """
        check_flag("pin", pin)
        ttl = check_ttl(ttl)
        check_tags(tags)
        if hasattr(shape, "empty_table") and dtype is not float:
            if name is not None or not isinstance(dtype, str):
                raise TypeError("A table's types are in its schema: create takes no dtype for it.")
            name = dtype
        if name is not None:
            check_name(name)

        def seal(made: InPlace | InParts | None, encoded: Encoded) -> Ref:
            if (cluster := self._visited()) is not None:
                return cluster.put(encoded, name, pin=pin, ttl=ttl, tags=tags)
            if made is None:
                return self.store.put(encoded, name, pin=pin, ttl=ttl, tags=tags)
            return self.store.seal(made, encoded, name, pin=pin, ttl=ttl, tags=tags)

        if hasattr(shape, "empty_table"):
            return NewTable(self.store, shape, seal)
        return NewArray(self.store, shape, dtype, order, seal)
