from __future__ import annotations

from typing import Any

import dask
import dask.dataframe as dd
import pandas as pd
import pytest
from dask.task_spec import DataNode, List, Task

from tests.cluster.test_catalog import number
from workbench.cluster.resolving import references
from workbench.objects import Ref

ONE, TWO = Ref(number(1)), Ref(number(2), "two")


def load(ref: Ref) -> pd.DataFrame:
    """Stands for the loader of partitions; it is never called."""
    raise AssertionError(ref)


@pytest.mark.parametrize(
    ("task", "found"),
    [
        (Task("k", load, ONE), [1]),
        (Task("k", load, ref=TWO), [2]),
        (Task("k", load, [ONE, {"deep": (TWO,)}]), [1, 2]),
        (Task("k", load, List(ONE, Task("inner", load, TWO))), [1, 2]),
        (DataNode("k", ONE), [1]),
        (Task("k", load, "a" * 32), []),
        (None, []),
    ],
)
def test_references_are_found_wherever_they_are(task: Any, found: list[int]) -> None:
    """In arguments, in containers, and in tasks within tasks."""
    assert list(references(task)) == [number(value) for value in found]


def test_a_container_that_contains_itself_ends() -> None:
    """A graph may hold anything."""
    loop: list[Any] = [ONE]
    loop.append(loop)
    assert set(references(Task("k", load, loop))) == {number(1)}


def test_references_survive_the_query_planner_and_fusing() -> None:
    """The optimised graph of a query on an opened dataset has one fused task for each partition, with its reference."""
    meta = pd.DataFrame({"x": [1.0], "s": ["a"]}).iloc[:0]
    with dask.config.set({"dataframe.convert-string": False}):
        frame = dd.from_map(load, [ONE, TWO], meta=meta, enforce_metadata=False)
    query = (frame[frame.x > 0].x + 1).optimize()
    graph = query.__dask_graph__()
    assert sorted(tuple(references(task)) for task in graph.values() if tuple(references(task))) == [
        (number(1),),
        (number(2),),
    ]
    assert len(graph) == 2
