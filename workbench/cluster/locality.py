"""Tasks run where their objects are: restrictions for tasks that refer to shared objects.

Covers telling Dask's scheduler where tasks with references may run; finding the references is ``resolving.py``. ``dask.annotate(workers=)`` does
not survive the query planner of Dask DataFrame, and Dask knows nothing of sizes behind a reference; a scheduler plugin's
``update_graph`` hook, which runs after the tasks are made and before any is scheduled, sees the final, fused graph.

A task is restricted to the workers of the nodes that have most of its bytes, and so is a task that takes nothing but the
result of such a task. When those are all lost it waits: their nannies
bring them back within seconds. After a grace time it may run anywhere, to fail there with an error that says what is missing.

A restriction names workers, and those come back under other addresses. So a task for which Dask finds no worker is restricted anew at once, and again when a
worker comes or goes: whether it is new, or its result was lost, or somebody tries it again. A task is known here for as long as Dask knows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from workbench.cluster import placement
from workbench.cluster.resolving import references

if TYPE_CHECKING:
    from dask.typing import Key
    from distributed.scheduler import Scheduler, TaskState

    from workbench.cluster.catalog import ClusterCatalog
    from workbench.cluster.nodes import Node
    from workbench.objects import ObjectId


class Locality:
    """Restricts the tasks that refer to shared objects.

    Parameters
    ----------
    catalog : ClusterCatalog
    expected : callable
        Tells whether tasks shall wait for a node that is lost.
    """

    def __init__(self, catalog: ClusterCatalog, expected: Callable[[Node], bool]) -> None:
        self._catalog = catalog
        self._expected = expected
        self._restricted: dict[Key, frozenset[ObjectId]] = {}
        self._will_look = False

    def new_tasks(self, scheduler: Scheduler, keys: Iterable[Key]) -> None:
        """Restrict new tasks; those that a user restricted already are left alone."""
        known: dict[Key, frozenset[ObjectId]] = {}
        for key in keys:
            task = scheduler.tasks.get(key)
            if task is None or task.state != "released" or task.worker_restrictions or task.host_restrictions:
                continue
            objects = self._needed(task, known)
            if objects:
                self._restricted[key] = objects
                self._restrict(task, objects, scheduler.workers)

    def _needed(self, task: TaskState, known: dict[Key, frozenset[ObjectId]]) -> frozenset[ObjectId]:
        # A task whose only input is a task on an object follows it: Dask fuses such chains in most graphs, not in all.
        chain = [task]
        while chain[-1].key not in known:
            own = frozenset(references(chain[-1].run_spec))
            if own or len(chain[-1].dependencies) != 1:
                known[chain[-1].key] = own
            else:
                chain.append(next(iter(chain[-1].dependencies)))
        needed = known[chain[-1].key]
        for follower in chain:
            known[follower.key] = needed
        return needed

    def transition(self, scheduler: Scheduler, key: Key, start: str, finish: str) -> None:
        """Note that a task goes to another state (https://distributed.dask.org/en/stable/scheduling-state.html)."""
        if key not in self._restricted:
            return
        if finish == "forgotten":
            del self._restricted[key]
        elif finish == "no-worker" != start and not self._will_look:
            self._will_look = True
            asyncio.get_running_loop().call_soon(self._look, scheduler)  # Dask is in the middle of something

    def _look(self, scheduler: Scheduler) -> None:
        self._will_look = False
        if scheduler.status.name == "running":
            self.again(scheduler)

    def again(self, scheduler: Scheduler) -> None:
        """Find other places for the tasks that no worker may run: one has come or gone, or a lost node is not expected any more."""
        for task in list(scheduler.unrunnable):
            objects = self._restricted.get(task.key)
            if objects is not None:
                self._restrict(task, objects, scheduler.workers)
        for worker in list(scheduler.running):
            runnable = scheduler.bulk_schedule_unrunnable_after_adding_worker(worker)
            if runnable:
                scheduler.transitions(runnable, stimulus_id="workbench-locality")

    def _restrict(self, task: TaskState, objects: Collection[ObjectId], alive: Collection[str]) -> None:
        nodes = placement.nearest(self._catalog, objects)
        workers = {worker for node in nodes for worker in node.workers if worker in alive}
        # The address of a worker that is gone keeps the task waiting: Dask looks for it among the living and finds none.
        waiting = {node.last_address for node in nodes if self._expected(node)}
        task.worker_restrictions = workers or waiting or None
