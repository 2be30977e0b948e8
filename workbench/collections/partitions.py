"""What tasks do with partitions: put one where it was computed, map one where it is.

Covers the functions that run in workers (and, without a cluster, in threads of this process). A worker uses its host's store through its
plugin; any other process uses its session. A partition's id is made of its dataset's, and a name that is persisted again gets a new dataset:
so whoever has opened the old one reads the old one's partitions, or is told that they are gone. Read next: ``frames.py``, ``arrays.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench import codecs, connection, finding
from workbench.cluster import mapping
from workbench.errors import ClusterError, ObjectNotFoundError, WorkbenchError
from workbench.objects import ObjectId, Ref, partition_id
from workbench.store import node_name
from workbench.texts import counted

if TYPE_CHECKING:
    from workbench.cluster.client import ClusterClient
    from workbench.session import Session
    from workbench.store import Store


@dataclass(frozen=True)
class Source:
    """The dataset that a partition belongs to: what a task must know to say what is missing.

    Parameters
    ----------
    id : ObjectId
    name : str or None
        What it was opened by.
    nodes : tuple of str
        Names of the nodes where its partitions were put.
    """

    id: ObjectId
    name: str | None = None
    nodes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """For messages."""
        return f"The dataset {self.name or self.id!r}"

    @property
    def places(self) -> str:
        """The nodes, for messages."""
        return ", ".join(self.nodes) or "the nodes of a cluster"


@dataclass(frozen=True)
class Placed:
    """A partition that was put: what the manifest needs to know of it. `shape` is the partition's own, or ``(rows,)`` if it has none."""

    ref: Ref
    shape: tuple[int, ...]
    node: str


def put(part: Any, number: int, dataset: ObjectId) -> Placed:
    """Put one partition into this host's store; one that is there already, from a task that ran twice, stays."""
    target = partition_id(dataset, number)
    store = current_store()
    if not store.exists(target):
        store.put(
            codecs.encode(part, is_shared=store.is_shared),
            id=target,
            tags={"dataset": dataset, "partition": str(number)},
        )
    info = store.info(target)
    # Of an array without dimensions Dask may compute a scalar of NumPy's, which has a shape, too.
    shape = tuple(part.shape) if hasattr(part, "shape") else (len(part),)
    return Placed(Ref(target, None, info.kind, info.nbytes + info.shared_nbytes), shape, node_name())


def load(ref: Ref, source: Source) -> Any:
    """Return a partition: mapped if this host has it, else brought here first.

    Parameters
    ----------
    ref : Ref
    source : Source

    Raises
    ------
    ObjectNotFoundError
        The dataset was deleted or replaced meanwhile, the partition went with the only node that had it, or it is on another host and there is no cluster.
    ClusterError
        Only lost nodes have it, and none came back in time; or this worker lacks the workbench's plugin.
    """
    plugin = mapping.plugin_of_task()
    if plugin is not None:
        try:
            return mapping.map_object(plugin, ref)
        except ObjectNotFoundError as error:
            raise _missing(plugin.store, plugin.client, source) from error
        except ClusterError as error:
            raise type(error)(f"{source.title} cannot be read. {error}") from error
    from workbench.current import current_session

    session = current_session()
    try:
        return session.get(ref)
    except WorkbenchError as error:
        raise _unreachable(error, session, source) from error


def load_columns(ref: Ref, source: Source, columns: Sequence[Any] | None = None) -> Any:
    """As :func:`load`, for some columns of a frame, which are not copied; Dask's query planner says which."""
    frame = load(ref, source)
    return frame if columns is None else select(frame, columns)


def select(frame: Any, columns: Sequence[Any]) -> Any:
    """Return some columns of a frame without copying them, unlike ``frame[columns]``.

    Parameters
    ----------
    frame : pandas.DataFrame
        Without duplicates among its columns.
    columns : sequence
    """
    import pandas as pd

    places = frame.columns.get_indexer_for(pd.Index(columns, tupleize_cols=False))
    if not len(places):
        return frame.iloc[:, :0]
    start, stop = int(places[0]), int(places[-1]) + 1
    if list(places) == list(range(start, stop)):
        return frame.iloc[:, start:stop]
    # Each slice of one column is a view, and so is what is made of several: pandas copies when somebody writes.
    chosen = pd.concat([frame.iloc[:, place : place + 1] for place in places], axis=1)
    chosen.columns = frame.columns.take(places)
    chosen.attrs = dict(frame.attrs)
    return chosen


def current_store() -> Store:
    """Return the store of the worker that runs this task, or of this process's session."""
    plugin = mapping.plugin_of_task()
    if plugin is not None:
        return plugin.store
    from workbench.current import current_session

    return current_session().store


def _gone(source: Source) -> ObjectNotFoundError:
    step = "Open it again" if source.name is None else f"Open it again with wb.open({source.name!r})"
    return ObjectNotFoundError(
        f"{source.title} that was opened here is gone: it was deleted or replaced meanwhile. {step}, or compute it anew."
    )


def _missing(store: Store, cluster: ClusterClient | None, source: Source) -> ObjectNotFoundError:
    """Return the error of a partition that nobody has: its dataset is gone, or has lost some of its partitions."""
    try:
        finding.resolve(store, cluster, source.id)
    except ObjectNotFoundError:
        return _gone(source)
    return finding.incomplete(store, cluster, source.id)


def _unreachable(error: WorkbenchError, session: Session, source: Source) -> WorkbenchError:
    """Return the error of a process that is no worker and cannot get a partition."""
    if isinstance(error, ObjectNotFoundError) and (session.cluster is not None or not session.store.exists(source.id)):
        return _missing(session.store, session.cluster, source)
    if session.cluster is not None:
        return type(error)(
            f"{source.title} has partitions that this host lacks; they were put on {source.places}. {error}"
        )
    if not isinstance(error, ObjectNotFoundError):
        return type(error)(f"{source.title} cannot be read. {error}")
    manifest = session.store.info(source.id)
    total = manifest.tags.get("partitions", "")
    parts = counted(int(total), "partition") if total.isdecimal() else "its partitions"
    here = len(session.store.ls(dataset=source.id))
    return ObjectNotFoundError(
        f"{source.title} has {parts}, of which this host's store, {session.store.directory}, has {here}; they were put on "
        f"{source.places}. Connect to the cluster that has them, with {connection.how_to_connect(session.store.directory)}, and compute again. If it has ended together with its "
        "nodes, compute the dataset anew."
    )
