"""Saving objects to files at any URL, and loading them.

Covers which objects go into a file, what they are when they come back, and what is left when something fails: nothing. The bytes of a file are
``archive.py``'s, where it lies is ``urls.py``'s, and the store's side is ``store/raw.py``: neither direction decodes an object.

A file holds one object, or a dataset with all of its partitions. What comes back is a new object, as if it had been put: with an id of its own, because
deleted ids stay deleted in a cluster; with the same bytes, description, tags and name; without the pin and the time to live, which
were wishes about the place where it was. Its tag ``origin`` is the id of what was saved, so that it need not be loaded twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import traceback
import warnings
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from workbench import finding, progress
from workbench.archive import ArchiveReader, ArchiveWriter
from workbench.blame import users_level
from workbench.errors import LastReplicaError, NameConflictError, ObjectNotFoundError, SavedFileError, TransferError
from workbench.exporting import FORMATS
from workbench.objects import Key, ObjectId, ObjectInfo, Ref, is_object_id, new_object_id, partition_id
from workbench.store import Store, check_name
from workbench.texts import counted
from workbench.urls import URL, reading, shown, writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workbench.cluster.client import ClusterClient

__all__ = ["load", "save"]

_SAVED: Final = ("id", "kind", "description", "sizes", "nbytes", "created", "tags")
"""What a file has of an object's description, beside its header and payload."""


def save(store: Store, cluster: ClusterClient | None, key: Key, url: URL, options: dict[str, Any] | None) -> Ref:
    """Write an object to a file; see :meth:`Session.save`."""
    info = finding.resolve(store, cluster, key)
    partitions = _partitions(store, cluster, info) if info.kind == "dataset" else []
    name = key if isinstance(key, str) and not is_object_id(key) else info.name
    about = {"name": name, "root": info.id, "origin": _origin(info), "objects": len(partitions) + 1}
    whole = finding.describe(store, cluster, info.id)
    nbytes = whole.nbytes + whole.shared_nbytes
    try:
        with writing(url, options) as file, progress.working(f"save {name or info.id}", nbytes):
            archive = ArchiveWriter(file, about)
            for object_id in (*partitions, info.id):
                with _at_hand(store, cluster, object_id), store.export(object_id) as export:
                    archive.add({field: export.meta[field] for field in _SAVED}, export.meta["header"], export)
    except BaseException as error:
        # Python and notebooks keep the last error, and with its frames what they refer to: pieces of the mapped object.
        for each in (error, error.__cause__):
            if each is not None:
                traceback.clear_frames(each.__traceback__)
        raise
    _warn_of_suffix(url, name or info.id)
    return dataclasses.replace(info.ref, nbytes=nbytes)


def _warn_of_suffix(url: URL, called: str) -> None:
    """Warn of a file whose name promises another format: neither pandas nor a spreadsheet could read it."""
    suffix = PurePath(os.fspath(url)).suffix.lower().removeprefix(".")
    if suffix in FORMATS:
        warnings.warn(
            f"{shown(url)} is a file that wb.load reads, whatever its name says: nothing else takes it for {suffix}. To convert {called!r}, write what wb.get returns, or "
            f"`workbench get {called} FILE.{suffix}` at a terminal.",
            UserWarning,
            stacklevel=users_level(),
        )


def _origin(info: ObjectInfo) -> str:
    return info.tags.get("origin", info.id)


def _partitions(store: Store, cluster: ClusterClient | None, dataset: ObjectInfo) -> list[ObjectId]:
    """Return the ids of all partitions of a dataset, in their order.

    Raises
    ------
    ObjectNotFoundError
        Some are neither here nor in the cluster.
    """
    found = {int(part.tags["partition"]): part.id for part in finding.members(store, cluster, dataset)}
    wanted = int(dataset.tags.get("partitions", len(found)))
    if len(found) < wanted:
        where, step = "in the cluster", "Compute the dataset anew."
        if cluster is None:
            where, step = "on this host", "Connect to the cluster with wb.connect(), and save it again."
        raise ObjectNotFoundError(
            f"The dataset {dataset.name or dataset.id!r} has {counted(wanted, 'partition')}, and only {len(found)} of them {'is' if len(found) == 1 else 'are'} {where}. "
            f"Nothing was saved. {step}"
        )
    return [found[number] for number in sorted(found)]


@contextlib.contextmanager
def _at_hand(store: Store, cluster: ClusterClient | None, object_id: ObjectId) -> Iterator[None]:
    """See to it that an object is on this host for a while; a replica that was brought here for that goes again."""
    if cluster is None or store.exists(object_id):
        yield
        return
    cluster.fetch(object_id, store)
    try:
        yield
    finally:
        # If the others are gone meanwhile, this one stays.
        with contextlib.suppress(LastReplicaError, ObjectNotFoundError):
            cluster.drop(object_id, store.id)


def load(
    store: Store,
    cluster: ClusterClient | None,
    url: URL,
    name: str | None,
    options: dict[str, Any] | None,
    *,
    verify: bool = True,
) -> Ref:
    """Bring an object from a file into the store; see :meth:`Session.load`."""
    if name is not None:
        check_name(name)
    with reading(url, options) as file, progress.working(f"load {shown(url)}", file.nbytes):
        archive = ArchiveReader(file, shown(url))
        root, origin, saved_name = _parse_about(archive, shown(url))
        bound = name if name is not None else saved_name
        holder = None if bound is None else _holder(store, cluster, bound)
        if holder is not None and _origin(holder) == origin and _is_complete(store, cluster, holder):
            if verify:
                archive.verify()
            return _ref(store, cluster, Ref(holder.id, bound, holder.kind, holder.nbytes))
        if holder is not None and name is None:
            raise NameConflictError(
                f"{shown(url)} holds an object that was called {bound!r}, and here another object has that name. Nothing was loaded. "
                "Give a name: wb.load(url, name); whatever has it now is then replaced."
            )
        ref = _load_all(store, archive, root, bound)
    if ref.kind == "dataset" and cluster is not None:
        _announce(store, cluster, ref.id)
    return _ref(store, cluster, ref)


def _ref(store: Store, cluster: ClusterClient | None, ref: Ref) -> Ref:
    """Return a reference that says of a dataset how large all of it is."""
    if ref.kind != "dataset":
        return ref
    whole = finding.describe(store, cluster, ref.id)
    return dataclasses.replace(ref, nbytes=whole.nbytes + whole.shared_nbytes)


def _parse_about(archive: ArchiveReader, url: str) -> tuple[ObjectId, str, str | None]:
    about = archive.about
    try:
        root, origin, name = str(about["root"]), str(about["origin"]), about["name"]
        if name is not None:
            check_name(name)
        if int(about["objects"]) < 1 or not is_object_id(root):
            raise ValueError(f"{about['objects']} objects, of which {root!r} is the last")
    except (KeyError, TypeError, ValueError) as error:
        raise SavedFileError(f"{url} is damaged: its beginning does not say what it holds ({error!r}).") from error
    return ObjectId(root), origin, name


def _holder(store: Store, cluster: ClusterClient | None, name: str) -> ObjectInfo | None:
    try:
        return finding.resolve(store, cluster, name)
    except ObjectNotFoundError:
        return None


def _is_complete(store: Store, cluster: ClusterClient | None, info: ObjectInfo) -> bool:
    wanted = int(info.tags.get("partitions", 0))
    return info.kind != "dataset" or len(finding.members(store, cluster, info)) >= wanted


def _load_all(store: Store, archive: ArchiveReader, root: ObjectId, name: str | None) -> Ref:
    made: list[ObjectId] = []
    target = new_object_id()
    try:
        for _ in range(int(archive.about["objects"])):
            ref = _load_one(store, archive, root, target, made)
        archive.finish()
        if ref.id != target:
            raise archive.damaged(f"it does not end with the object {root} that it promises")
        if name is not None:
            _bind(store, name, target)
    except BaseException:
        _remove(store, made)
        raise
    return Ref(target, name, ref.kind, ref.nbytes)


def _load_one(store: Store, archive: ArchiveReader, root: ObjectId, target: ObjectId, made: list[ObjectId]) -> Ref:
    meta, header = archive.describe()
    try:
        tags = dict(meta["tags"])
        if meta["id"] == root:
            new, tags["origin"] = target, archive.about["origin"]
        else:
            new, tags["dataset"] = partition_id(target, int(tags["partition"])), target
        meta |= {"id": new, "tags": tags, "header": header, "created": time.time(), "ttl": None, "pinned": False}
        with store.import_(meta) as replica:
            archive.copy(replica.nbytes, replica.write)
            made.append(new)
            return replica.seal()
    except (TransferError, KeyError, TypeError, ValueError) as error:
        raise archive.damaged(f"the description of an object does not fit ({error})") from error


def _bind(store: Store, name: str, object_id: ObjectId) -> None:
    replaced = store.info(name) if store.exists(name) else None
    parts = store.ls(dataset=replaced.id) if replaced is not None and replaced.kind == "dataset" else []
    store.bind(name, object_id)
    if replaced is not None and not store.exists(replaced.id):
        _remove(store, [part.id for part in parts])


def _remove(store: Store, objects: list[ObjectId]) -> None:
    for object_id in objects:
        with contextlib.suppress(ObjectNotFoundError):
            store.delete(object_id)


def _announce(store: Store, cluster: ClusterClient, dataset: ObjectId) -> None:
    """Bring the manifest of a dataset to every node, so that it can be opened wherever its name is known."""
    running = [node.id for node in cluster.nodes() if node.workers]
    if store.id in running:
        cluster.bring(dataset, running)
