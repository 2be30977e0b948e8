"""What becomes of tasks that have references, without a cluster; with one: ``tests/integration/test_cluster_references.py``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from dask.base import collections_to_expr
from dask.delayed import delayed
from dask.task_spec import Alias, DataNode, GraphNode, List, Task, TaskRef

from tests.cluster.test_catalog import number
from workbench.cluster import resolving
from workbench.cluster.mapping import mapped, replace_references
from workbench.cluster.resolving import references, resolved
from workbench.collections.partitions import load
from workbench.objects import Ref

ONE, TWO = Ref(number(1)), Ref(number(2), "two")


def take(*args: Any, **kwargs: Any) -> Any:
    """Stands for a user's function."""
    return args, kwargs


def inner(value: Any) -> list[str]:
    """Names of the functions of all tasks within a task, in the order of its arguments."""
    found = []
    if isinstance(value, Task):
        found.append(value.func.__name__)
        for argument in (*value.args, *value.kwargs.values()):
            found += inner(argument)
    elif type(value) is dict:
        for item in value.values():
            found += inner(item)
    return found


@pytest.mark.parametrize(
    ("task", "functions"),
    [
        (Task("k", take, ONE, 1, x=TWO), ["take", "mapped", "mapped"]),
        (Task("k", take, [1, {"deep": (TWO,)}]), ["take", "mapped"]),
        (Task("k", take, List(TaskRef("other"), ONE)), ["take", "to_container", "mapped"]),
        (
            Task("k", take, {"inner": Task("inner", take, ONE), "data": DataNode("data", [TWO])}),
            ["take", "take", "mapped", "mapped"],
        ),
    ],
)
def test_references_become_tasks_that_map_them(task: Task, functions: list[str]) -> None:
    """Wherever they are; the task's key and dependencies stay, and all references are still found in it."""
    new = resolved(task, {})
    assert inner(new) == functions
    assert (new.key, new.dependencies) == (task.key, task.dependencies)
    assert list(references(new)) == list(references(task))
    assert list(references(task))


@pytest.mark.parametrize(
    "task",
    [Task("k", take, 1, [2, {"x": "y"}], TaskRef("other")), Task("k", load, ONE, None), Task("k", len, "a" * 32)],
)
def test_other_tasks_stay_as_they_are(task: Task) -> None:
    """A task without references, and one of the workbench itself, is the very same afterwards."""
    assert resolved(task, {}) is task


def states(collection: Any, wanted: str) -> dict[Any, Any]:
    """The scheduler's view of a collection's graph."""
    graph: dict[Any, GraphNode] = dict(collections_to_expr([collection]).optimize().__dask_graph__())
    # As the scheduler does: what is but the key of another task is an alias.
    graph = {key: Alias(key, task.key) if isinstance(task, TaskRef) else task for key, task in graph.items()}
    found = {
        key: SimpleNamespace(
            key=key, state="released", run_spec=task, who_wants={1} if key == wanted else set(), dependencies=[]
        )
        for key, task in graph.items()
    }
    for key, task in graph.items():
        found[key].dependencies = [found[before] for before in task.dependencies]
    return found


def test_what_dask_puts_between_a_reference_and_its_user_carries_nothing() -> None:
    """No task of delayed(f)(ref) but f maps the object, so that Dask never has it in its memory. When Dask makes other tasks, this fails."""
    call = delayed(take)(ONE, [TWO])
    tasks = states(call, call.key)
    resolving.resolve_tasks(cast("Any", SimpleNamespace(tasks=tasks)), list(tasks))
    users = {key for key, state in tasks.items() if {"mapped", "mapped_there"} & set(inner(state.run_spec))}
    assert users == {call.key}
    assert {state.run_spec.func.__name__ for key, state in tasks.items() if key != call.key} <= {
        "carry",
        "_identity",
        "List",
    }
    assert set(references(tasks[call.key].run_spec)) == {ONE.id, TWO.id}


def test_a_reference_that_a_client_wants_is_loaded() -> None:
    """Also when the task was made to carry nothing before."""
    alone = delayed(ONE)
    for before in (None, resolving.carry):
        tasks = states(alone, alone.key)
        if before is not None:
            tasks[alone.key].run_spec = Task(alone.key, before, ONE)
            tasks[alone.key].dependencies = []
        resolving.resolve_tasks(cast("Any", SimpleNamespace(tasks=tasks)), list(tasks))
        assert {"mapped", "mapped_there"} & set(inner(tasks[alone.key].run_spec))


def test_containers_without_references_are_not_copied() -> None:
    """Only what has a reference in it is made anew."""
    plain = [1, {"x": (2,)}]
    got = replace_references([plain, {"r": ONE}, {3}], lambda ref: ref.id)
    assert got == [plain, {"r": ONE.id}, {3}]
    assert got[0] is plain
    assert mapped.__module__ == "workbench.cluster.mapping"
