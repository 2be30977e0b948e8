"""References in Dask: a function that is given one gets the object that it stands for.

Covers what makes a :class:`~workbench.objects.Ref` a Dask collection, so that ``dask.delayed(f)(ref)`` and ``dask.compute(ref)`` work with every scheduler:
the protocol of Dask's own collections, given to the class from here, because ``objects.py`` knows nothing of Dask. On a cluster, tasks of
``client.submit(f, ref)`` and ``client.map(f, refs)``, and references in lists, tuples, sets and dicts among their arguments, are handled on the
scheduler by ``cluster/resolving.py``; the tasks that this module makes, too, so that an object is mapped in the task that uses it and never lies in
Dask's memory.

Not resolved: references in objects of the user's own classes, in results of tasks, and in what was scattered. Where a function wants
the reference itself, it is given ``ref.id``.
"""

from __future__ import annotations

from typing import Any

from workbench.objects import Ref


def load_reference(ref: Ref) -> Any:
    """Return the object of a reference, in a task of any scheduler; ``cluster/resolving.py`` knows such tasks by this function's name."""
    from workbench.cluster import mapping

    plugin = mapping.plugin_of_task()
    if plugin is not None:
        return mapping.map_object(plugin, ref)
    from workbench.current import current_session

    return current_session().get(ref)


def register_references() -> None:
    """Make references Dask collections; importing Dask is left to who uses them as such."""
    protocol: dict[str, Any] = {
        "__dask_graph__": _graph,
        "__dask_keys__": _keys,
        "__dask_tokenize__": _tokenize,
        "__dask_postcompute__": _postcompute,
        "__dask_postpersist__": _postpersist,
        "__dask_optimize__": None,
        "__dask_scheduler__": staticmethod(_scheduler),
    }
    for name, method in protocol.items():
        setattr(Ref, name, method)


def _key(ref: Ref) -> str:
    return f"workbench-ref-{ref.id}"


def _graph(ref: Ref) -> dict[str, Any]:
    from dask.task_spec import Task

    return {_key(ref): Task(_key(ref), load_reference, ref)}


def _keys(ref: Ref) -> list[str]:
    return [_key(ref)]


def _tokenize(ref: Ref) -> tuple[str, str]:
    return ("workbench.Ref", ref.id)


def _postcompute(ref: Ref) -> tuple[Any, tuple[()]]:  # noqa: ARG001  # Dask's signature
    from dask.delayed import single_key

    return single_key, ()


def _postpersist(ref: Ref) -> tuple[Any, tuple[Ref]]:
    return _same, (ref,)


def _same(graph: Any, ref: Ref, **rename: Any) -> Ref:  # noqa: ARG001  # Dask's signature; the object is shared already
    return ref


def _scheduler(graph: Any, keys: Any, **options: Any) -> Any:
    import dask.threaded

    return dask.threaded.get(graph, keys, **options)
