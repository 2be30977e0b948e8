"""The verbs of a session about where an object is kept: in memory, on disk, in a file; who holds it, and what happens to it.

Read next: ``store/residence.py``, ``saving.py``, ``watching.py``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from workbench import connection, finding
from workbench.arguments import check_pattern, check_seconds, check_url
from workbench.errors import ClusterError, ObjectNotFoundError, StoreError
from workbench.listing import Listing
from workbench.objects import Diagnosis, Holder, Key, Memory, ObjectInfo, Ref
from workbench.session.opened import Opened
from workbench.watching import Watch

if TYPE_CHECKING:
    from workbench.urls import URL


class Keeping(Opened):
    """Pins, spills, saves and watches objects, and tells who holds them."""

    def pin(self, key: Key) -> None:
        """Keep an object in memory on this host, and keep it when its last name goes; one that is on disk is restored first.

        Of a dataset, the partitions that this host has. An object that was put with a `ttl` is deleted when that is over, pinned or not.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.

        Raises
        ------
        ObjectNotFoundError
            It is not on this host.
        StoreFullError
            It is on disk, and there is no room for it in memory; it is not pinned then.
        """
        info, parts = self._here(key, "pin")
        pinned: list[ObjectInfo] = []
        try:
            for each in (*parts, info):
                self.store.pin(each.id)
                if not each.pinned:
                    pinned.append(each)
        except BaseException:
            for each in pinned:
                with contextlib.suppress(ObjectNotFoundError):
                    self.store.unpin(each.id)
            raise

    def unpin(self, key: Key) -> None:
        """Undo :meth:`pin`: the object, of a dataset its partitions on this host, may be spilled again, and goes with its last name.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.

        Raises
        ------
        ObjectNotFoundError
            It is not on this host.
        """
        info, parts = self._here(key, "unpin")
        for each in (info, *parts):
            self.store.unpin(each.id)

    def spill(self, key: Key) -> None:
        """Move an object from this host's memory to its disk, where it stays readable; a dataset with its partitions.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.

        Raises
        ------
        StoreError
            It cannot be: it is pinned, mapped (the message says by whom), so small that it lies in the catalog, or there is nowhere to spill to.
        StoreFullError
            The disk is full; the object stays in memory.
        """
        info, parts = self._here(key, "spill")
        if info.kind != "dataset":
            self.store.spill(key)
        elif info.pinned:
            raise StoreError(f"{_title(key)} is pinned, so it stays in memory. Undo that with wb.unpin first.")
        for each in parts:
            if self.store.residence.can_be_spilled(each.id):
                self.store.spill(each.id)

    def restore(self, key: Key) -> None:
        """Bring a spilled object back to this host's memory, making room as a put does; a dataset with its partitions.

        Parameters
        ----------
        key : str or Ref
            Name, id or reference.

        Raises
        ------
        StoreFullError
            There is no room in memory. The object stays readable on disk.
        """
        info, parts = self._here(key, "restore")
        for each in parts or [info]:
            self.store.restore(each.id)

    def _here(self, key: Key, verb: str) -> tuple[ObjectInfo, list[ObjectInfo]]:
        """Return an object of this host and, of a dataset, the partitions that this host has; else say which nodes have it."""
        try:
            info = self.store.info(key)
        except ObjectNotFoundError:
            self._refuse_if_elsewhere(key, verb)
            raise
        parts = self.store.ls(dataset=info.id) if info.kind == "dataset" else []
        if info.kind == "dataset" and not parts:
            self._refuse_if_elsewhere(key, verb)
        return info, parts

    def _refuse_if_elsewhere(self, key: Key, verb: str) -> None:
        nodes: set[str] = set()
        with contextlib.suppress(ObjectNotFoundError, ClusterError):
            replicas = finding.describe(self.store, self.cluster, key).replicas
            nodes = {replica.node_name for replica in replicas if replica.node != self.store.id}
        if nodes:
            raise ObjectNotFoundError(
                f"{_title(key)} is on {', '.join(sorted(nodes))}, and not on this host, on which wb.{verb} acts. Call it in a process there, "
                f"or bring a replica here first: wb.get({_title(key)})."
            )

    def holders(self, key: Key | None = None) -> Listing[Holder]:
        """List the processes of this host that have an object mapped (None: any object, deleted ones included).

        Each says which kernel, worker or script it is, since when, and how many bytes it maps. A notebook also says what in it
        keeps the object, as of the end of its last cell; the notebook or script that asks, which of its variables do now.

        Parameters
        ----------
        key : str or Ref, optional
            Name, id or reference.

        Returns
        -------
        Listing of Holder

        Raises
        ------
        ObjectNotFoundError
            There is no such object on this host.
        """
        from workbench import script_causes

        if script_causes.noted_in_notebook(self.store) or self.store.process_kind != "script":
            return Listing(self.store.holders(key), of=Holder)
        self.store.set_causes(script_causes.causes(self.store))
        try:
            return Listing(self.store.holders(key), of=Holder)
        finally:
            self.store.set_causes({})  # the next line of the script may change it

    def memory(self) -> Memory:
        """Tell where the bytes of this host's store are; each is counted once, whoever maps it.

        Returns
        -------
        Memory
            Bytes by what they are for. The pool is used, too: memory without objects, kept ready for the next put.
        """
        return self.store.memory()

    def doctor(self, *, fix: bool = False) -> Diagnosis:
        """Reclaim what dead processes and dead clusters left, and look for damage.

        Parameters
        ----------
        fix : bool
            Also remove what somebody may still want: the stores of other nodes of clusters that were killed, with all that is in them.
        """
        from workbench import leftovers

        directory = self.store.directory
        if broken := self.store.broken_catalog():
            return Diagnosis(tuple(broken))
        reclaimed = [*self.store.reclaimed_at_opening(), *self.store.reclaim()]
        left: list[str] = []
        if (found := leftovers.connection_file(directory)) is not None:
            sentence, removed = found
            (reclaimed if removed else left).append(sentence)
        (reclaimed if fix else left).extend(leftovers.siblings(directory, remove=fix))
        if self.cluster is None and connection.read(directory) is None:
            left.extend(finding.incomplete_datasets(self.store))
        return Diagnosis(tuple(self.store.damage()), tuple(reclaimed), tuple(left))

    def save(self, key: Key, url: URL, *, storage_options: dict[str, Any] | None = None) -> Ref:
        """Write an object to a file, byte by byte as it lies in the store, with checksums; a dataset with all its partitions.

        Parameters
        ----------
        key : str or Ref
        url : str or path
            A path, or anything that fsspec knows, such as ``s3://bucket/flights.wb``. The file appears when it is complete.
        storage_options : dict, optional
            For the file system, as in pandas.

        Returns
        -------
        Ref
            To the object, which stays where it is.

        Raises
        ------
        ObjectNotFoundError
            There is no such object, or partitions of the dataset are out of reach.
        SavedFileError
            The file cannot be written there. What was there before is as it was.
        """
        from workbench import saving

        check_url(url)
        return saving.save(self.store, self.cluster, key, url, storage_options)

    def load(
        self,
        url: URL,
        name: str | None = None,
        *,
        storage_options: dict[str, Any] | None = None,
        verify: bool = True,
    ) -> Ref:
        """Share an object from a file that :meth:`save` wrote; nothing of it is decoded until somebody gets it.

        Getting an object may run code that is in it (pickle): load only files that you trust.

        Parameters
        ----------
        url : str or path
        name : str, optional
            Whatever has this name is replaced, as in :meth:`put`; None: the name that the object was saved under.
            If that is already here under the name, it is not loaded again.
        storage_options : dict, optional
            For the file system, as in pandas.
        verify : bool
            Also read and verify the file of what is already here. What is loaded is always verified.

        Returns
        -------
        Ref

        Raises
        ------
        SavedFileError
            The file is damaged, incomplete, in a newer format or out of reach. Nothing was loaded.
        NameConflictError
            No name is given, and another object has the name that it was saved under.
        StoreFullError
            There is no room; nothing was loaded.
        """
        from workbench import saving

        check_url(url)
        return saving.load(self.store, self.cluster, url, name, storage_options, verify=verify)

    def watch(self, pattern: str = "*", *, timeout: float | None = None) -> Watch:
        """Watch what happens to objects of this host's store from now on, whichever process does it.

        An object that comes and goes within 20 milliseconds may be seen going only. No other object is missed, and none is seen that was not there;
        of what is done to an object, only more than 10,000 changes within that time can hide a pin or a spill.
        Of what happened within that time, what is gone comes first, then what is new, then names, then the rest: when a name is given to a new object, the
        ``delete`` of the old one comes before the ``put``.

        Parameters
        ----------
        pattern : str
            Shell pattern for the names; ``"*"`` also gives objects without a name.
        timeout : float, optional
            Seconds after which the loop ends; None: it goes on until it is left, or :meth:`Watch.close` is called in any thread.

        Returns
        -------
        iterator of Event

        Examples
        --------
        >>> for event in session.watch("runs/*"):  # doctest: +SKIP
        ...     print(event.what, event.name)
        """
        check_pattern(pattern)
        check_seconds("timeout", timeout)
        return Watch(self.store, pattern, timeout=timeout)


def _title(key: Key) -> str:
    return repr((key.name or key.id) if isinstance(key, Ref) else key)
