"""References in Dask's tasks, with real workers: the function is given the object, on a node that has it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import dask
import dask.bag
import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from dask.base import compute, persist
from dask.delayed import delayed
from distributed import Client, get_worker

import workbench as wb
from tests.integration.clusters import places, until
from workbench.local_cluster import LocalCluster
from workbench.objects import Ref

pytestmark = pytest.mark.usefixtures("connected")

ARRAY = np.arange(100_000.0)


@pytest.fixture
def client() -> Client:
    """The client of the test's session."""
    cluster = wb.current_session().cluster
    assert cluster is not None
    return cluster.client


def where_mapped(*arrays: npt.NDArray[Any]) -> tuple[str, bool]:
    """Return the worker that this task runs on, and whether all of its arrays are mapped from its host's store."""
    plugin: Any = get_worker().plugins["workbench"]
    return get_worker().address, all(plugin.store.is_shared(array.ctypes.data, array.nbytes) for array in arrays)


def address(node: str) -> str:
    """Address of a node's worker."""
    [found] = [info.address for info in wb.nodes() if info.name == node]
    return found


@pytest.fixture
def there() -> Ref:
    """An array that is on node-2 alone, from where this process has no mapping."""
    ref = wb.put(ARRAY)
    wb.move(ref, to="node-2").wait()
    return ref


SUBMITS: dict[str, Callable[[Client, Any, Ref], Any]] = {
    "submit": lambda client, f, ref: client.submit(f, ref),
    "submit, by keyword": lambda client, f, ref: client.submit(lambda x, f=f: f(x), x=ref),
    "submit, nested": lambda client, f, ref: client.submit(
        lambda deep, f=f: f(deep["a"][0], deep["b"][1]), {"a": [ref], "b": (0, ref), "c": {1}}
    ),
    "submit, beside a future": lambda client, f, ref: client.submit(
        lambda both, f=f: f(both[1])[: both[0]], [client.submit(int, 2), ref]
    ),
    "map": lambda client, f, ref: client.map(f, [ref, ref])[1],
    "delayed": lambda client, f, ref: client.compute(delayed(f)(ref)),
    "delayed, nested": lambda client, f, ref: client.compute(
        delayed(lambda deep, f=f: f(*deep["a"]))({"a": [ref, ref]})
    ),
    "delayed beside another": lambda client, f, ref: client.compute(
        delayed(lambda x, n, f=f: f(x)[:n])(ref, delayed(int)(2))
    ),
}


@pytest.mark.parametrize("how", SUBMITS)
def test_a_task_gets_the_mapped_object_where_it_is(client: Client, there: Ref, how: str) -> None:
    """However the reference gets there: the function runs on the node that has the object, on mapped memory, and nothing is copied."""
    assert SUBMITS[how](client, where_mapped, there).result() == (address("node-2"), True)
    assert places(there.id) == {"node-2"}


def test_a_task_with_objects_of_two_nodes_fetches_the_smaller(client: Client, there: Ref) -> None:
    """It runs where most bytes are, and the other object is brought there."""
    small = wb.put(ARRAY[:20_000] + 1)
    assert client.submit(where_mapped, there, small).result() == (address("node-2"), True)
    until(lambda: places(small.id) == {"node-1", "node-2"}, "the new replica is announced")


def test_many_tasks_are_gathered_in_order(client: Client) -> None:
    """client.map over references is a loop over the objects."""
    refs = wb.current_session().put_many([np.full(5000, number) for number in range(20)])
    assert client.gather(client.map(lambda array: int(array[-1]), refs)) == list(range(20))
    assert client.submit(lambda arrays: [int(array[0]) for array in arrays], refs).result() == list(range(20))


def test_a_reference_alone_is_a_collection(client: Client, there: Ref) -> None:
    """dask.compute brings the object; a delayed reference is one, also when a task has used the same reference before."""
    kept = delayed(len)(there).persist()
    assert kept.compute() == len(ARRAY)
    [computed] = compute(there)
    assert np.array_equal(computed, ARRAY)
    assert np.array_equal(delayed(there).compute(), ARRAY)
    assert persist(there) == (there,)
    assert compute({"deep": [there, 1]})[0]["deep"][1] == 1


def test_without_a_cluster_the_object_is_mapped_in_this_process() -> None:
    """The threaded scheduler, too, gives the function the object."""
    frame = pd.DataFrame({"x": ARRAY})
    ref = wb.put(frame, "frame")
    total = delayed(lambda frame, deep: float(frame.x.sum() + deep["y"].x.sum()))(ref, {"y": ref})
    with ThreadPoolExecutor(2) as pool, dask.config.set(pool=pool):
        for scheduler in ("threads", "sync"):
            assert total.compute(scheduler=scheduler) == 2 * ARRAY.sum()


@dataclass
class Holding:
    """A user's own class, with a reference in it."""

    ref: Ref


def test_references_in_objects_of_ones_own_stay_references(client: Client, there: Ref) -> None:
    """They are not looked for there, nor in results; a function that wants the reference gets its id."""
    assert client.submit(lambda holding: type(holding.ref).__name__, Holding(there)).result() == "Ref"
    made = client.submit(Ref, there.id)
    assert client.submit(lambda ref: type(ref).__name__, made).result() == "Ref"
    assert client.submit(len, there.id).result() == 32


def test_a_dataset_is_given_as_a_whole(client: Client) -> None:
    """A reference to a dataset stands for one frame of all partitions."""
    dd.from_pandas(pd.DataFrame({"x": ARRAY}), npartitions=3).persist_shared("frame")
    ref = wb.info("frame").ref
    assert client.submit(lambda frame: float(frame.x.sum()), ref).result() == ARRAY.sum()


def test_an_object_that_is_gone_is_an_error_of_the_task(client: Client, there: Ref) -> None:
    """The error says which object, and the next tasks run."""
    wb.delete(there)
    with pytest.raises(wb.ObjectNotFoundError, match=there.id):
        client.submit(len, there).result()
    assert client.submit(len, wb.put(ARRAY)).result() == len(ARRAY)


def test_references_are_resolved_in_other_collections(client: Client, there: Ref) -> None:
    """They hand their arguments to tasks, too."""
    bag = dask.bag.from_sequence(range(4), npartitions=2).map(lambda number, array: number + len(array), array=there)
    assert bag.compute() == [len(ARRAY) + number for number in range(4)]
    frame = dd.from_pandas(pd.DataFrame({"x": [1, 2, 3]}), npartitions=2)
    longer = frame.map_partitions(lambda part, array: part + len(array), there, meta=frame._meta)
    assert longer.x.compute().tolist() == [len(ARRAY) + number for number in (1, 2, 3)]


def test_workers_of_one_node_share_what_a_task_is_given(lasting_cluster: LocalCluster, client: Client) -> None:
    """Tasks on one object do not keep it in Dask's memory: only small results are there."""
    ref = wb.put(ARRAY)
    futures = [client.compute(delayed(lambda array, n: float(array[n]))(ref, n)) for n in range(10)]
    assert client.gather(futures) == list(map(float, range(10)))
    managed = client.run_on_scheduler(
        lambda dask_scheduler: sum(t.nbytes for t in dask_scheduler.tasks.values() if t.nbytes > 0)
    )
    assert managed < 50_000


def test_a_reference_to_what_was_deleted_is_an_error_that_names_it(client: Client) -> None:
    """By the name that the reference has, in a task and in this process."""
    ref = wb.put(ARRAY, "flights")
    wb.delete(ref)
    for call in (lambda: client.submit(len, ref, pure=False).result(), lambda: wb.get(ref), lambda: wb.info(ref)):
        with pytest.raises(wb.ObjectNotFoundError, match="'flights'"):
            call()
