"""The verbs of a store that change nothing: reading, listing, and who holds what.

Each is handed to the part that does it. Read next: ``reading.py``, ``queries.py``, ``changing.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from workbench.errors import ObjectNotFoundError
from workbench.objects import Holder, Key, Memory, ObjectId, ObjectInfo
from workbench.store import eviction, history, listings, queries
from workbench.store.free_segments import most_for
from workbench.store.holders import holders as list_holders
from workbench.store.holders import segments_of
from workbench.store.notices import Notices
from workbench.store.opened import Opened
from workbench.store.reading import Record


class Looking(Opened):
    """Reads and lists objects."""

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self, key: Key) -> Record:
        """Map an object.

        Raises
        ------
        ObjectNotFoundError
            If no object has this name or id; the message lists the nearest names.
        """
        return self.reader.read(key)

    def read_many(self, keys: Sequence[Key]) -> list[Record]:
        """Map several objects; see :meth:`read`."""
        return self.reader.read_many(keys)

    def resolve(self, key: Key) -> ObjectId:
        """Return the id of the object that `key` names.

        Raises
        ------
        ObjectNotFoundError
        """
        return self.reader.resolve(key)

    def exists(self, key: Key) -> bool:
        """Tell whether an object has this name or id."""
        return self.reader.exists(key)

    def gone(self, key: Key) -> ObjectNotFoundError | None:
        """Return the error of an object that was here, and expired or was replaced; None where nobody knows of one."""
        return self.reader.gone(key)

    def not_found(self, key: Key) -> ObjectNotFoundError:
        """Return the error that says that `key` names nothing here, with the nearest names."""
        return self.reader.not_found(key)

    # -- listing ---------------------------------------------------------------------------------------------------

    def info(self, key: Key) -> ObjectInfo:
        """Return what the catalog knows about one object."""
        while True:
            object_id = self.resolve(key)
            found = queries.one(self.catalog, self.directory, object_id)
            if found:
                return found[0]
            # Rebound or deleted in between: the next look tells which.

    def ls(
        self,
        pattern: str = "*",
        *,
        kind: str | None = None,
        tags: Mapping[str, str | None] | None = None,
        limit: int | None = None,
        sort_by: listings.Order = "created",
        parts: bool = True,
        unnamed: bool = False,
        dataset: ObjectId | None = None,
    ) -> list[ObjectInfo]:
        """List objects.

        Parameters
        ----------
        pattern : str
            Shell pattern for the names; ``"*"`` also lists the objects without a name.
        kind : str, optional
            Only objects of this kind.
        tags : mapping of str to str, optional
            Only objects that have all these tags; with None as its value, a tag of any value.
        limit : int, optional
            At most so many; they cost no more, however many objects there are.
        sort_by : str
            ``created`` (newest first, in the order in which they became visible here), ``name`` (those without one last) or ``kind``.
        parts : bool
            Also list the partitions of datasets that are here.
        unnamed : bool
            Only objects without a name.
        dataset : ObjectId, optional
            Only the partitions of this dataset.
        """
        return listings.listing(
            self.catalog,
            self.directory,
            pattern,
            kind=kind,
            tags=tags,
            limit=limit,
            sort_by=sort_by,
            parts=parts,
            unnamed=unnamed,
            dataset=dataset,
        )

    def count(self) -> int:
        """Return how many objects there are, partitions and those whose time is over included."""
        return queries.count(self.catalog)

    def names(self) -> dict[str, ObjectId]:
        """Return every name with the id of its object."""
        return queries.all_names(self.catalog)

    def data_version(self) -> bytes:
        """Return what changes when anybody changes the catalog: to be compared, and cheap enough to ask a thousand times a second."""
        return self.catalog.version()

    def notices(self) -> Notices | None:
        """Return what tells an event loop that somebody commits, or None where the kernel does not; see :class:`~workbench.store.notices.Notices`."""
        return Notices.open(self.catalog.path)

    def changes(self, since: queries.Version | None = None) -> queries.Changes:
        """Return what changed since a version; of None, or of what is too long ago, that everything has to be read (:meth:`page`)."""
        return queries.changes(self.catalog, self.directory, since)

    def page(self, after: int, until: queries.Version, limit: int) -> tuple[list[ObjectInfo], int | None]:
        """Return the next objects of all that there were at a version, oldest first; see :func:`queries.page`."""
        return queries.page(self.catalog, self.directory, after, until, limit)

    def news(self, since: queries.Version | None = None) -> history.News | None:
        """Return what happened since a version as a few ids and names (None: everything that there is); None if nothing did."""
        return history.news(self.catalog, since)

    def forecast(self, nbytes: int) -> eviction.Forecast:
        """Return what the store would give up to make room for so many bytes; nothing is changed."""
        return eviction.forecast(self.writer, nbytes)

    def holders(self, key: Key | None = None) -> list[Holder]:
        """List the processes that have a lease on one object, or on anything."""
        return list_holders(self.catalog, self.directory, None if key is None else self.reader.resolve(key))

    def mapped(self) -> frozenset[int]:
        """Return the numbers of the segments that this process has mapped."""
        return self.reader.mapped()

    def segment_at(self, address: int) -> int | None:
        """Return the number of the segment that is mapped at an address, where the caller has a view of it."""
        return self.reader.segment_at(address)

    def nbytes_of(self, numbers: Iterable[int]) -> int:
        """Return how many bytes segments have."""
        return queries.nbytes_of(self.catalog, numbers)

    def kept_in_vain(self, info: ObjectInfo) -> int:
        """Return how many bytes of its segments an object keeps that no object uses; 0 for what recycling alone explains."""
        kept, used = queries.alone_nbytes(self.catalog, info.id), info.nbytes + info.shared_nbytes
        return kept - used if kept > most_for(used) else 0

    def set_causes(self, causes: Mapping[int, str]) -> None:
        """Say what in this process keeps which segments, for lists of holders.

        Parameters
        ----------
        causes : mapping of int to str
            Number of a segment to a text for people.
        """
        self._parts.process.set_causes(causes)

    def segments_of(self, key: Key) -> frozenset[int]:
        """Return the numbers of the segments of an object; of deleted ones that had this name and are still mapped, too.

        Raises
        ------
        ObjectNotFoundError
        """
        return segments_of(self.reader, key)

    def memory(self) -> Memory:
        """Tell where the bytes are; each is counted once."""
        return queries.memory(self.catalog, self.directory)
