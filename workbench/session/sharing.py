"""The verbs of a session about objects that are there: get, find, list, name and delete.

Each is a short sentence over a store and a cluster; how they do it is theirs. Read next: ``store/store.py``, ``finding.py``.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from workbench import codecs, finding
from workbench.arguments import check_keys, check_kind, check_number, check_pattern, check_seconds, check_wanted_tags
from workbench.errors import ClusterError, NameConflictError, ObjectNotFoundError
from workbench.finding import SortOrder
from workbench.listing import Listing
from workbench.objects import Composite, Key, ObjectInfo, Place, Ref, node_text
from workbench.session.putting import Putting
from workbench.store import Record, check_name

if TYPE_CHECKING:
    from workbench.cluster.client import ClusterClient


_TOGETHER: Final = 500
"""Objects that are deleted by one question."""


class Sharing(Putting):
    """Gets, finds, names and deletes objects."""

    def get(self, key: Key, *, timeout: float | None = None) -> Any:
        """Return an object, mapped read-only: no copy, whoever put it.

        A dataset is returned as one frame, series or array, as computing it would. One partition is mapped; several are copied into one array, or put
        together by pandas, which copies all columns but those of Arrow (strings). ``wb.open`` copies nothing.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.
        timeout : float, optional
            Seconds to wait for the object to appear; None: not at all.

        Returns
        -------
        object
            Equal to what was put. Arrays are read-only; assigning to a column of a frame copies that column, for this process alone.

        Raises
        ------
        ObjectNotFoundError
            If there is no such object (within the timeout); the message lists the nearest names.
        """
        if timeout is not None:
            check_seconds("timeout", timeout)
        record = self._read(key)
        if record is None:
            try:
                record = finding.await_record(self.store, self.cluster, key, timeout)
            except ObjectNotFoundError as error:
                raise error.with_traceback(None) from None  # where nothing was found says no more
        return self._decode(record)

    def _read(self, key: Key) -> Record | None:
        try:
            return self.store.read(key)
        except ObjectNotFoundError:
            return None

    def _decode(self, record: Record) -> Any:
        value = codecs.decode(record.header, record.buffers)
        if isinstance(value, Composite):
            try:
                return value.assemble(record.id, self.get)
            except ObjectNotFoundError as error:
                raise finding.incomplete(self.store, self.cluster, record.id) from error
            except ClusterError as error:
                info = self.store.info(record.id)
                raise type(error)(f"The dataset {info.name or info.id!r} lacks a partition here. {error}") from None
        return value

    def get_many(self, keys: Iterable[Key]) -> list[Any]:
        """Return several objects, each as :meth:`get` does. For many small ones, references are several times as fast as names.

        Parameters
        ----------
        keys : iterable of str or Ref

        Returns
        -------
        list of object

        Raises
        ------
        ObjectNotFoundError
            If one of them is not there.
        """
        check_keys(keys)
        wanted = list(keys)
        records = None
        with contextlib.suppress(ObjectNotFoundError):
            records = self.store.read_many(wanted)
        return [self.get(key) for key in wanted] if records is None else [self._decode(record) for record in records]

    def exists(self, key: Key) -> bool:
        """Tell whether an object has this name or id, here or, when connected, in the cluster.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.

        Returns
        -------
        bool
        """
        if self.store.exists(key):
            return True
        return finding.in_cluster(self.cluster, key) is not None

    def info(self, key: Key) -> ObjectInfo:
        """Return what is known about an object: kind, type, shape, dtypes, sizes, names, tags and where its replicas are.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.

        Returns
        -------
        ObjectInfo
            Sizes in bytes, times in seconds since the epoch; `notes` say what could not be shared. A dataset has the bytes of its partitions.

        Raises
        ------
        ObjectNotFoundError
            The message lists the nearest names.
        """
        return finding.describe(self.store, self.cluster, key)

    def ls(
        self,
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
        """List objects.

        Parameters
        ----------
        pattern : str, optional
            Shell pattern for the names; ``"*"`` fits every name. Without one, objects without a name are listed, too.
        sort_by : str
            ``created`` (newest first), ``name``, ``nbytes`` (largest first), ``last_used`` or ``kind``.
        kind : str, optional
            Only objects of this kind, such as ``"dataframe"``, or of a type of this name, such as ``"DataFrame"`` of any library or
            ``"pandas.DataFrame"``.
        tags : mapping of str to str, optional
            Only objects that have all these tags; with None as its value, a tag of any value.
        node : str or NodeInfo, optional
            A node, or its name or id: only what it has.
        parts : bool
            Also list the partitions of datasets, which else count as part of their dataset; the table says of which dataset each is.
        unnamed : bool
            Only objects without a name; :meth:`delete_unnamed` deletes them.
        limit : int, optional
            At most so many, the first ones in this order.

        Returns
        -------
        Listing of ObjectInfo
            A sequence that shows itself as a table; ``to_pandas()`` makes a DataFrame of it. Its `hint` says what there is instead of what was not found.
        """
        if isinstance(pattern, int):
            raise TypeError(
                f"pattern is {pattern!r}; it is text, such as 'runs/*'. To list only so many: limit={pattern}."
            )
        check_pattern(pattern)
        check_kind(kind)
        check_wanted_tags(tags)
        if limit is not None:
            limit = check_number("limit", limit, 0, "objects")
        found = finding.listing(
            self.store,
            self.cluster,
            finding.PATTERN_OF_ALL if pattern is None else finding.ANY_NAME if pattern == "*" else pattern,
            sort_by=sort_by,
            kind=kind,
            tags=tags,
            node=None if node is None else node_text(node),
            parts=parts,
            unnamed=unnamed,
            limit=limit,
        )
        hint = "" if found or limit == 0 else finding.why_none(self.store, self.cluster, pattern, kind)
        return Listing(found, of=ObjectInfo, hint=hint)

    def rename(self, key: Key, name: str, *, replace: bool = False) -> Ref:
        """Give an object another name, in place of those that it has; when connected, on all nodes. Who has it mapped notices nothing.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference; an object without a name gets one.
        name : str
        replace : bool
            If another object has the name, delete that one; else it is an error.

        Returns
        -------
        Ref
            To the object, by its new name.

        Raises
        ------
        ObjectNotFoundError
            The message lists the nearest names.
        NameConflictError
            Another object has the name, or it cannot be a name; nothing was changed.
        """
        check_name(name)
        cluster = self.cluster
        info = finding.describe(self.store, cluster, key)
        if cluster is not None and finding.in_cluster(cluster, info.id) is not None:
            cluster.rename(info.id, name, replace=replace)
        elif not replace and self.store.exists(name) and self.store.resolve(name) != info.id:
            raise NameConflictError(
                f"Another object is called {name[:200]!r} already. Choose another name, or say replace=True to delete that one."
            )
        else:
            self.store.rename(info.id, name)
        return dataclasses.replace(info.ref, name=name)

    def delete(self, key: Key) -> None:
        """Delete an object everywhere: here and, when connected, in the cluster, also on its nodes that are away. Who has it mapped keeps what it has.

        Where no cluster runs it deletes here, and the other nodes do it when this host is in a cluster with them again.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.

        Raises
        ------
        ObjectNotFoundError
            The message lists the nearest names.
        """
        cluster = self.cluster
        here = self.store.info(key) if self.store.exists(key) else None
        there = finding.in_cluster(cluster, key)
        if here is None and there is None:
            raise finding.not_here(self.store, cluster, key)
        # A moment after it was bound on another node, a name may still mean an older object here: then both go.
        targets = list({info.id: None for info in (here, there) if info is not None})
        if cluster is not None:
            # Also what the cluster does not know: nodes that have it may not have joined yet.
            cluster.forget(targets)
        for target in targets:
            if self.store.exists(target):
                self.store.delete_whole(target)

    def delete_all(self, objects: Iterable[ObjectInfo]) -> Listing[ObjectInfo]:
        """Delete several objects everywhere; return those that this call deleted, without those that were gone already."""
        wanted = list(objects)
        if (cluster := self.cluster) is not None:
            batches = (wanted[start : start + _TOGETHER] for start in range(0, len(wanted), _TOGETHER))
            return Listing([info for batch in batches for info in self._delete_together(cluster, batch)], of=ObjectInfo)
        deleted = []
        for info in wanted:
            with contextlib.suppress(ObjectNotFoundError):
                self.delete(info.id)
                deleted.append(info)
        return Listing(deleted, of=ObjectInfo)

    def _delete_together(self, cluster: ClusterClient, batch: Sequence[ObjectInfo]) -> list[ObjectInfo]:
        """Delete some objects by one question to the cluster, which takes as long as for one of them."""
        here = {info.id: info for info in batch if self.store.exists(info.id)}
        unknown = cluster.forget([info.id for info in batch])
        members = [
            member.id for info in here.values() if info.kind == "dataset" for member in self.store.ls(dataset=info.id)
        ]
        self.store.bury([*here, *members])
        return [info for info in batch if info.id in here or info.id not in unknown]

    def delete_unnamed(self) -> Listing[ObjectInfo]:
        """Delete all objects that have no name and are not pinned, in one action; return them.

        ``ls(unnamed=True)`` shows what that would be. Who has one of them mapped keeps it.

        Returns
        -------
        Listing of ObjectInfo
        """
        return self.delete_all(finding.clearable(self.ls(unnamed=True)))
