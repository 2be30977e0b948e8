"""Tasks that are given references get the objects: their arguments are rewritten on the scheduler, before they are scheduled.

Dask has no hook for what a worker does with a task's arguments, and ``client.submit`` none for what it sends. But a scheduler plugin's ``update_graph`` sees
each new task before it is scheduled, and a task is public data (``dask.task_spec``): a function and its arguments, which may be tasks themselves.
So an argument that is a reference, or a list, tuple, set or dict with references in it, becomes a task within the task: it maps the object in the
task's own thread, on the worker where the task runs. The dependencies of a task stay as they are.

``dask.delayed(f)(ref)`` makes a task of its own for the reference (``collections/references.py``), whose result would be kept by Dask and
sent around. Such a *carrier*, and what Dask puts between it and its user, is made to carry nothing, unless a client wants its result; the tasks
that depend on it map the object by themselves.

References are not looked for in objects of the user's own classes. Functions of the workbench itself take references as they are.
Read next: ``mapping.py``, ``locality.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from dask.task_spec import Alias, DataNode, GraphNode, Task, TaskRef

from workbench.cluster.mapping import mapped
from workbench.objects import ObjectId, Ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from dask.typing import Key
    from distributed.scheduler import Scheduler, TaskState

_DEEPEST: Final = 50
_LOADER: Final = ("workbench.collections.references", "load_reference")
"""Module and name of the function whose tasks are carriers; it lies above this module."""


def references(value: Any, depth: int = 0) -> Iterator[ObjectId]:
    """Yield the ids of all references in a task, in tasks fused into it, and in containers among their arguments."""
    if isinstance(value, Ref):
        yield value.id
    elif depth > _DEEPEST:
        return
    elif isinstance(value, Task):
        for argument in (*value.args, *value.kwargs.values()):
            yield from references(argument, depth + 1)
    elif isinstance(value, DataNode):
        yield from references(value.value, depth + 1)
    elif isinstance(value, dict):
        for item in value.values():
            yield from references(item, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from references(item, depth + 1)


def resolve_tasks(scheduler: Scheduler, keys: Iterable[Key]) -> None:
    """Rewrite new tasks that are given references, and those that depend on carriers."""
    for key in keys:
        task = scheduler.tasks.get(key)
        if task is None or task.state != "released" or not isinstance(task.run_spec, (Task, Alias)):
            continue
        ref = _carried(task)
        if ref is not None and not task.who_wants:
            if _origin(task.run_spec) is not None:
                task.run_spec = Task(key, carry, ref)
        elif isinstance(task.run_spec, Alias):
            if ref is not None:
                task.run_spec = Task(key, mapped_there, TaskRef(task.run_spec.target), ref)
        elif ref is not None and task.run_spec.func is carry:
            # It was made to carry nothing when others used it, and is wanted now.
            task.run_spec = Task(key, mapped, ref)
        else:
            found = {before.key: ref for before in task.dependencies if (ref := _carried(before)) is not None}
            task.run_spec = resolved(task.run_spec, found)


def carry(ref: Ref) -> None:  # it stays in the task, where locality looks for it
    """Do nothing: who depends on this task maps the object by itself."""


def mapped_there(carried: None, ref: Ref) -> Any:  # noqa: ARG001  # what keeps the dependency
    """Return the object of a reference that came by a carrier."""
    return mapped(ref)


def resolved(task: Task, carried: Mapping[Key, Ref]) -> Task:
    """Return a task whose references are replaced by tasks that map them; the same one if it has none.

    Parameters
    ----------
    task : Task
    carried : mapping of key to Ref
        Its dependencies that are carriers.
    """
    if _is_ours(task.func):
        return task
    args = tuple(_argument(argument, carried) for argument in task.args)
    kwargs = {name: _argument(argument, carried) for name, argument in task.kwargs.items()}
    changed = any(new is not old for new, old in zip(args, task.args, strict=True))
    if not changed and all(kwargs[name] is old for name, old in task.kwargs.items()):
        return task
    new = copy.copy(task)
    new.args, new.kwargs = args, kwargs
    return new


def _argument(value: Any, carried: Mapping[Key, Ref]) -> Any:
    if isinstance(value, (TaskRef, Alias)):
        ref = carried.get(value.key if isinstance(value, TaskRef) else value.target)
        return value if ref is None else Task(None, mapped_there, value, ref)
    if isinstance(value, Task):
        return resolved(value, carried)
    if type(value) is dict and any(isinstance(item, GraphNode) for item in value.values()):
        # The tasks that are fused into one.
        tasks = {key: _argument(item, carried) for key, item in value.items()}
        return tasks if any(tasks[key] is not item for key, item in value.items()) else value
    if next(references(value), None) is None:
        return value
    if isinstance(value, DataNode):
        return Task(value.key, mapped, value.value)
    return Task(None, mapped, value)


def _is_ours(function: Callable[..., Any]) -> bool:
    return _named(function)[0].startswith("workbench.")


def _named(function: Callable[..., Any]) -> tuple[str, str]:
    return str(getattr(function, "__module__", "")), str(getattr(function, "__name__", ""))


def _origin(spec: Any) -> Ref | None:
    """Return the reference that a task was made for."""
    for _ in range(_DEEPEST):
        if not isinstance(spec, Task) or not spec.args:
            return None
        if spec.func is carry or _named(spec.func) == _LOADER:
            return next((argument for argument in spec.args if isinstance(argument, Ref)), None)
        if not _passes_on(spec):
            return None
        spec = spec.args[0]  # it is a task within the task, or the key of another
    return None


def _carried(task: TaskState) -> Ref | None:
    """Return the reference whose object is a task's result, and nothing else."""
    for _ in range(_DEEPEST):
        ref = _origin(task.run_spec)
        if ref is not None or not _passes_on(task.run_spec) or len(task.dependencies) != 1:
            return ref
        task = next(iter(task.dependencies))
    return None


def _passes_on(spec: Any) -> bool:
    # Dask wraps the tasks of a collection among the arguments of delayed(f) in others that only give them new keys. One that is not recognised
    # here, because Dask has changed, gives the right result all the same, and is slower.
    return isinstance(spec, Alias) or (
        isinstance(spec, Task)
        and _named(spec.func)[0].startswith("dask.")
        and _named(spec.func)[1] in ("_identity", "identity")
        and len(spec.args) == 1
        and isinstance(spec.args[0], (Task, TaskRef))
        and not spec.kwargs
    )
