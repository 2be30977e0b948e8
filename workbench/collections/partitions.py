"""What tasks do with partitions: put one where it was computed, map one where it is.

Covers the functions that run in workers (and, without a cluster, in threads of this process). A worker uses its host's store through its
plugin; any other process uses its session. Read next: ``persisting.py``, ``opening.py``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from workbench import codecs
from workbench.errors import ClusterError, ObjectNotFoundError
from workbench.objects import ObjectId, Ref, partition_id

if TYPE_CHECKING:
    import pandas as pd

    from workbench.cluster import WorkbenchWorkerPlugin
    from workbench.store import Store

_handouts = codecs.HandOuts()


def put_partition(part: Any, index: pd.Series, dataset: ObjectId) -> pd.DataFrame:
    """Put one partition into this host's store, and return what the manifest needs to know."""
    import pandas as pd

    number = int(index.iloc[0])
    target = partition_id(dataset, number)
    store = _store()
    if not store.exists(target):
        store.put(
            codecs.encode(part, is_shared=store.is_shared),
            id=target,
            tags={"dataset": dataset, "partition": str(number)},
        )
    info = store.info(target)
    columns = {"id": [target], "kind": [info.kind], "nbytes": [info.nbytes], "rows": [len(part)]}
    return pd.DataFrame(columns, index=[number])


def load_partition(ref: Ref) -> Any:
    """Return a partition: mapped if this host has it, else brought here first.

    Raises
    ------
    ObjectNotFoundError
        The dataset was deleted meanwhile.
    ClusterError
        Only lost nodes have it, and none came back in time; or this worker lacks the workbench's plugin.
    """
    plugin = _plugin()
    if plugin is None:
        from workbench.current import current_session

        return current_session().get(ref)
    try:
        record = plugin.store.read(ref)
    except ObjectNotFoundError:
        plugin.fetch_now(ref.id)
        record = plugin.store.read(ref)
    decoded = codecs.decode(record.header, record.buffers)
    _handouts.add(decoded)
    return decoded.value


def _store() -> Store:
    plugin = _plugin()
    if plugin is not None:
        return plugin.store
    from workbench.current import current_session

    return current_session().store


def _plugin() -> WorkbenchWorkerPlugin | None:
    """Return the plugin of the worker that runs this task, or None outside of a worker."""
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return None
    plugin: Any = worker.plugins.get("workbench")
    if plugin is None or "workbench" not in worker.handlers:
        raise ClusterError(
            f"The worker at {worker.address} has no workbench plugin, so it has no store. Start workers with "
            "`--preload workbench.cluster`, or connect once with wb.connect(client), which adds the plugin."
        )
    found: WorkbenchWorkerPlugin = plugin
    return found
