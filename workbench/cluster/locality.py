"""Tasks run where their objects are: restrictions for tasks that refer to shared objects.

Covers telling Dask's scheduler where tasks with references may run; finding the references is ``resolving.py``. ``dask.annotate(workers=)`` does
not survive the query planner of Dask DataFrame, and Dask knows nothing of sizes behind a reference; a scheduler plugin's
``update_graph`` hook, which runs after the tasks are made and before any is scheduled, sees the final, fused graph.

A task is restricted to the workers of the nodes that have most of its bytes, and so is a task that takes nothing but the
result of such a task. When those are all lost it waits: their nannies
bring them back within seconds. After a grace time it may run anywhere, to fail there with an error that says what is missing.

A restriction names workers, and those come back under other addresses. So a task that has not ended is restricted anew whenever a worker comes or goes, and one
that has ended when it has to run again, because its result was lost or somebody retries it. A task is known here for as long as Dask knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Final

from workbench.cluster import placement
from workbench.cluster.resolving import references

if TYPE_CHECKING:
    from dask.typing import Key
    from distributed.scheduler import Scheduler, TaskState

    from workbench.cluster.catalog import ClusterCatalog
    from workbench.cluster.nodes import Node
    from workbench.objects import ObjectId

_UNFINISHED: Final = ("released", "waiting", "no-worker")
_ENDED: Final = ("memory", "erred")
"""States of tasks; see https://distributed.dask.org/en/stable/scheduling-state.html."""


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
        """Note that a task goes from one state to another."""
        objects = self._restricted.get(key)
        if objects is None:
            return
        if finish == "forgotten":
            del self._restricted[key]
        elif start in _ENDED and finish == "released":
            self._restrict(scheduler.tasks[key], objects, scheduler.workers)

    def again(self, scheduler: Scheduler) -> None:
        """Find other places for tasks that have not ended: a worker has come or gone, or a lost node is not expected any more."""
        for key, objects in self._restricted.items():
            task = scheduler.tasks.get(key)
            if task is not None and task.state in _UNFINISHED:
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
