"""What a task does with a reference: map the object that it stands for, after bringing it to this host if need be.

Covers what runs in the thread of a task, on a worker. Which worker that is, is decided by ``locality.py``; which arguments of a user's task are
references is found by ``resolving.py``. Read next: ``worker_plugin.py``.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from workbench import codecs
from workbench.cluster import messages
from workbench.errors import ClusterError, ObjectNotFoundError
from workbench.objects import Composite, Ref

if TYPE_CHECKING:
    from workbench.cluster.worker_plugin import WorkbenchWorkerPlugin


def plugin_of_task() -> WorkbenchWorkerPlugin | None:
    """Return the plugin of the worker that runs this task, or None outside of a worker.

    Raises
    ------
    ClusterError
        The worker lacks the plugin.
    """
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


def map_object(plugin: WorkbenchWorkerPlugin, ref: Ref) -> Any:
    """Return an object: mapped if this host has it, else brought here first.

    Raises
    ------
    ObjectNotFoundError
        It was deleted.
    ClusterError
        Only lost nodes have it, and none came back in time.
    """
    try:
        record = plugin.store.read(ref)
    except ObjectNotFoundError:
        try:
            plugin.fetch_now(ref.id)
        except ObjectNotFoundError as error:
            raise messages.by_name(error, ref) from None
        record = plugin.store.read(ref)
    value = codecs.decode(record.header, record.buffers)
    return value.assemble(record.id, partial(map_object, plugin)) if isinstance(value, Composite) else value


def mapped(value: Any) -> Any:
    """Return the argument of a task with objects in place of references, also those in lists, tuples, sets and dicts.

    Raises
    ------
    ObjectNotFoundError, ClusterError
        As :func:`map_object`.
    """
    plugin = plugin_of_task()
    if plugin is None:
        raise ClusterError("References are resolved in tasks of a Dask worker; elsewhere, wb.get(ref) maps an object.")
    return replace_references(value, partial(map_object, plugin))


def replace_references(value: Any, get: Any) -> Any:
    """Return a value with what `get` returns for each reference in it; containers without any are returned as they are."""
    kind = type(value)
    if kind is Ref:
        return get(value)
    if kind is dict:
        replaced = {key: replace_references(item, get) for key, item in value.items()}
        return replaced if any(replaced[key] is not item for key, item in value.items()) else value
    if kind in (list, tuple, set, frozenset):
        items = [replace_references(item, get) for item in value]
        return kind(items) if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value
