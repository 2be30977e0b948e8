"""Tasks run where their objects are: restrictions for tasks that refer to shared objects.

Covers telling Dask's scheduler where tasks with references may run; finding the references is ``resolving.py``. ``dask.annotate(workers=)`` does
not survive the query planner of Dask DataFrame, and Dask knows nothing of sizes behind a reference; a scheduler plugin's
``update_graph`` hook, which runs after the tasks are made and before any is scheduled, sees the final, fused graph.

A task is restricted to the workers of the nodes that have most of its bytes, and so is a task that takes nothing but the
result of such a task. When those are all lost it waits: their nannies
bring them back within seconds. After a grace time it may run anywhere, to fail there with an error that says what is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from workbench.cluster import placement
from workbench.cluster.resolving import references

if TYPE_CHECKING:
    from dask.typing import Key
    from distributed.scheduler import Scheduler, TaskState

    from workbench.cluster.catalog import ClusterCatalog
    from workbench.objects import ObjectId

_UNFINISHED: Final = ("released", "waiting", "no-worker")


class Locality:
    """Restricts the tasks that refer to shared objects.

    Parameters
    ----------
    catalog : ClusterCatalog
    """

    def __init__(self, catalog: ClusterCatalog) -> None:
        self._catalog = catalog
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

    def node_lost(self, scheduler: Scheduler) -> None:
        """Find other places for the tasks of a node that lost its last worker, where there are any."""
        self._again(scheduler)

    def node_joined(self, scheduler: Scheduler) -> None:
        """Let the tasks that waited for a node run there."""
        self._again(scheduler)

    def give_up(self, scheduler: Scheduler) -> None:
        """Let the tasks that wait for lost nodes run anywhere: they will fail there, and say why."""
        for key, task in self._unfinished(scheduler):
            if not any(worker in scheduler.workers for worker in task.worker_restrictions or ()):
                task.worker_restrictions = None
                del self._restricted[key]
        self._schedule(scheduler)

    def _again(self, scheduler: Scheduler) -> None:
        for key, task in self._unfinished(scheduler):
            self._restrict(task, self._restricted[key], scheduler.workers)
        self._schedule(scheduler)

    def _unfinished(self, scheduler: Scheduler) -> list[tuple[Key, TaskState]]:
        found = []
        for key in list(self._restricted):
            task = scheduler.tasks.get(key)
            if task is None or task.state in ("memory", "erred", "forgotten"):
                del self._restricted[key]
            elif task.state in _UNFINISHED:
                found.append((key, task))
        return found

    def _restrict(self, task: TaskState, objects: Collection[ObjectId], alive: Collection[str]) -> None:
        nodes = placement.nearest(self._catalog, objects)
        workers = {worker for node in nodes for worker in node.workers if worker in alive}
        # The address of a worker that is gone keeps the task waiting: Dask looks for it among the living and finds none.
        task.worker_restrictions = workers or {node.last_address for node in nodes} or None

    def _schedule(self, scheduler: Scheduler) -> None:
        for worker in list(scheduler.running):
            runnable = scheduler.bulk_schedule_unrunnable_after_adding_worker(worker)
            if runnable:
                scheduler.transitions(runnable, stimulus_id="workbench-locality")
