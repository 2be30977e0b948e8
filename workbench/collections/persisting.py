"""``persist_shared``: a Dask collection is computed once, and its partitions stay in shared memory.

Covers the order of steps: partitions first, each in the store of the worker that computed it, then the manifest, whose name makes the
dataset visible. A dataset that had the name before stays whole until then. Nothing is kept in Dask's own memory.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Final

from workbench import codecs, progress
from workbench.collections import arrays, frames
from workbench.collections.manifest import Manifest
from workbench.collections.opening import collection as open_collection
from workbench.collections.partitions import current_store
from workbench.current import current_session
from workbench.errors import ClusterError, CodecError, ObjectNotFoundError, WorkbenchError
from workbench.lazy import is_persistable, no_dataset
from workbench.objects import ObjectId, Ref, new_object_id, partition_id
from workbench.session import Session
from workbench.store import check_name

if TYPE_CHECKING:
    from workbench.cluster.client import ClusterClient

logger = logging.getLogger("workbench.collections")

_TURN: Final = 1.0
"""Seconds between two looks at how far it is."""


def persist_shared(collection: Any, name: str | None = None, *, replicas: int = 1) -> Any:
    """Compute a Dask DataFrame, Series or Array into shared memory.

    Parameters
    ----------
    collection : dask.dataframe.DataFrame, dask.dataframe.Series or dask.array.Array
    name : str, optional
        What others open it by. A dataset that had the name before is deleted, with its partitions.
    replicas : int
        How many nodes shall have each partition; more than one needs a cluster.

    Returns
    -------
    dask.dataframe.DataFrame, dask.dataframe.Series or dask.array.Array
        The same collection, lazy; its tasks map the partitions.

    Raises
    ------
    StoreFullError
        A node has no room. No dataset was made, and the partitions that were put are deleted.
    CodecError
        What the partitions consist of cannot be shared or pickled; nothing was computed if the meta tells that already.
    ClusterError
        A worker lacks the workbench's plugin, there are fewer nodes than `replicas`, or the cluster went before the end.
    TransferError
        The dataset is there, but not every partition is on as many nodes as `replicas`; what is missing is made when that can be done.
    """
    if not is_persistable(type(collection)):
        raise no_dataset(type(collection))
    if name is not None:
        check_name(name)
    if not isinstance(replicas, int) or replicas < 1:
        raise ValueError(f"replicas is {replicas!r}; it must be a whole number from 1 on.")
    _check_meta(collection)
    session = current_session()
    if replicas > 1:
        session.require_nodes(replicas)
    dataset = new_object_id()
    # Asked for once: a cluster that goes in between is an error, and no reason to put the rest of the dataset elsewhere.
    cluster = session.cluster
    try:
        manifest = _put_partitions(cluster, collection, dataset)
    except BaseException:
        _remove(session, cluster, dataset, npartitions(collection))
        raise
    try:
        _put_manifest(session, cluster, manifest, name)
    except WorkbenchError:  # the answer was no
        _remove(session, cluster, dataset, len(manifest.partitions))
        raise
    # Without an answer (the worker or the scheduler died, Ctrl-C) it may be there, in place of the dataset that had the name before: nothing
    # is taken back then, or both would be lost.
    if cluster is not None:
        _spread(cluster, manifest)
    if replicas > 1:
        session.make_replicas(Ref(dataset, name, "dataset", 0), replicas)
    return open_collection(manifest, name)


def _check_meta(collection: Any) -> None:
    """Refuse, before anything is computed, what could not be put afterwards: the meta is what the partitions are, without data."""
    meta = collection._meta  # noqa: SLF001  # Dask has no public name for it
    try:
        codecs.encode(meta)
    except CodecError as error:
        kind = type(meta)
        raise CodecError(
            f"This collection cannot be persisted as a dataset, and nothing was computed: its partitions are of {kind.__module__}.{kind.__qualname__}, "
            f"which cannot be shared. {error} Or turn them into what can be shared first, with map_partitions or map_blocks."
        ) from error


def _put_partitions(cluster: ClusterClient | None, collection: Any, dataset: ObjectId) -> Manifest:
    put_tasks, manifest = (
        (arrays.put_tasks, arrays.manifest) if is_array(collection) else (frames.put_tasks, frames.manifest)
    )
    put = put_tasks(collection, dataset)
    total = npartitions(collection)
    with progress.working("persist_shared", total, "partition") as work:
        computed = _compute_here(put, work) if cluster is None else _compute(cluster, put, dataset, work)
    return manifest(collection, dataset, computed)


def _compute_here(put: Any, work: progress.Work) -> Any:
    """Compute without a cluster, in this process."""
    from dask.callbacks import Callback

    if not progress.is_shown():
        return put.compute()

    def told(_key: Any, _result: Any, tasks: Any, state: Any, _thread: Any) -> None:
        work.reach(work.total * len(state["finished"]) // len(tasks))

    with Callback(posttask=told):
        computed = put.compute()
    work.reach(work.total)
    return computed


def _compute(cluster: ClusterClient, put: Any, dataset: ObjectId, work: progress.Work) -> Any:
    """Compute on a cluster; Ctrl-C and any other error stop its tasks."""
    future = cluster.client.compute(put)
    try:
        while progress.is_shown() and not future.done():
            with contextlib.suppress(TimeoutError):
                future.result(timeout=_TURN)
            # As far as the catalog knows; whoever asks for one page only need not know of all.
            work.reach(len(cluster.members(dataset)))
        computed = future.result()
        work.reach(work.total)
        return computed
    except BaseException as error:
        with contextlib.suppress(Exception):  # of a client that has closed; why it has is on its way
            future.cancel(reason="persist_shared did not end", msg="persist_shared was given up")
        if isinstance(error, CancelledError):
            raise ClusterError(f"persist_shared did not end, and nothing of it stays. Dask says: {error}") from error
        raise


def npartitions(collection: Any) -> int:
    """Return how many partitions, or blocks, a Dask collection has."""
    return math.prod(collection.numblocks) if is_array(collection) else int(collection.npartitions)


def is_array(collection: Any) -> bool:
    """Tell whether a Dask collection is an array, without importing what it is not."""
    module = sys.modules.get("dask.array")
    return module is not None and isinstance(collection, module.Array)


def _put_manifest(session: Session, cluster: ClusterClient | None, manifest: Manifest, name: str | None) -> None:
    running = [] if cluster is None else [node.id for node in cluster.nodes() if node.workers]
    if cluster is None or session.store.id in running:
        replaced = _members_of(session, name) if cluster is None and name is not None else []
        session.store.put(manifest.encode(), name, id=manifest.id, tags=manifest.tags)
        for member in replaced:
            with contextlib.suppress(ObjectNotFoundError):
                session.store.delete(member)
    else:
        # This process's store is no node of the cluster: a worker puts the manifest.
        cluster.client.submit(_put_from_worker, manifest, name, pure=False).result()


def _spread(cluster: ClusterClient, manifest: Manifest) -> None:
    """Give every node the manifest, so that a dataset can be opened wherever one of its names is known."""
    # A node that is lost at this moment fetches it when somebody asks there.
    with contextlib.suppress(WorkbenchError):
        cluster.bring(manifest.id, [node.id for node in cluster.nodes() if node.workers])


def _put_from_worker(manifest: Manifest, name: str | None) -> None:
    current_store().put(manifest.encode(), name, id=manifest.id, tags=manifest.tags)


def _members_of(session: Session, name: str) -> list[ObjectId]:
    """Return the partitions of the dataset that has a name now; in a cluster the scheduler sees to them."""
    if not session.store.exists(name):
        return []
    old = session.store.info(name)
    return [info.id for info in session.store.ls(dataset=old.id)]


def _remove(session: Session, cluster: ClusterClient | None, dataset: ObjectId, npartitions: int) -> None:
    targets = [dataset, *(partition_id(dataset, index) for index in range(npartitions))]
    if cluster is None:
        for target in targets:
            if session.store.exists(target):
                session.store.delete(target)
        return
    try:
        cluster.forget(targets)
    except ClusterError as error:
        # It has gone. Its nodes will know from this host, if it is one of them, when they have a scheduler again.
        logger.info("What was put of dataset %s could not be deleted in the cluster: %s", dataset, error)
        session.store.bury(targets)
