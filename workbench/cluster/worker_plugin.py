"""A worker's side of the workbench: its host's store, what it serves to other nodes, and what it pulls from them.

Covers the wiring only: announcing is ``announcer.py``, copying is ``transfer.py``, memory accounting is ``memory.py``. All workers of
a host share one store. Read next: ``transfer.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from distributed.comm.core import connect
from distributed.core import Status
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.protocol.pickle import dumps

from workbench import connection
from workbench.cluster import belonging, line_server, lines, memory, messages, metrics, transfer, visiting
from workbench.cluster.announcer import Announcer
from workbench.cluster.fetching import Fetching
from workbench.cluster.threads import sync
from workbench.errors import ClusterError, NodeNotFoundError, ObjectNotFoundError, TransferError
from workbench.objects import ObjectId, to_json
from workbench.store import Store, node_name
from workbench.store.directory import is_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from distributed import Worker

    from workbench.cluster.client import ClusterClient

logger = logging.getLogger("workbench.worker")

_PAUSE: Final = 0.2
"""Seconds between two looks for a node that was lost."""
_ATTEMPTS: Final = 3
"""Transfers of one object that may fail, each with all sources that there are then."""
JOINING: Final = 30.0
"""Seconds for which a task waits until its own host has joined the cluster."""
_GOODBYE: Final = 2.0
"""Seconds that the scheduler has to hear that this worker leaves."""
_ENDING: Final = 20.0
"""Seconds that everything has to end which this worker does for others; then it ends without."""

_here: list[WorkbenchWorkerPlugin] = []


def current() -> WorkbenchWorkerPlugin | None:
    """Return the plugin of the worker that this process is, or None."""
    return _here[-1] if _here else None


class WorkbenchWorkerPlugin(WorkerPlugin):
    """Opens the host's store for a worker, and connects it with the cluster.

    Parameters
    ----------
    directory : str, optional
        The store; the worker's own setting ``workbench.directory`` (``WORKBENCH_DIR``) if it is not given.

    Attributes
    ----------
    store : Store
    client : ClusterClient
        The cluster, for tasks that run in this worker.
    """

    name = messages.PLUGIN
    idempotent = True

    store: Store
    client: ClusterClient

    def __init__(self, directory: str | None = None) -> None:
        self._directory = directory
        self._tasks: set[asyncio.Task[Any]] = set()
        self._undo: list[Callable[[], None]] = []

    def __reduce__(self) -> tuple[type[WorkbenchWorkerPlugin], tuple[str | None]]:
        return WorkbenchWorkerPlugin, (self._directory,)

    # -- Dask's hooks ----------------------------------------------------------------------------------------------

    async def setup(self, worker: Worker) -> None:
        """Open the store and begin to announce; called by Dask.

        Raises
        ------
        StoreError, ClusterError
            If the store cannot be used, or belongs to another cluster; the worker then works without the workbench.
        """
        from workbench.cluster.client import ClusterClient

        self._worker = worker
        await belonging.refuse_second(worker, self._directory)
        self.store = await asyncio.to_thread(Store.open, self._directory, process=("worker", str(worker.name)))
        await asyncio.to_thread(self.store.upkeep.warm_up_for_worker)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="workbench-transfer")
        limits = transfer.Limits.read()
        self._server = line_server.Server(self.store, limits.seconds)
        linked = lines.Lines(self._connect, limits.seconds, checks=transfer.checks())
        self._fetching = Fetching(
            self.store, self._ask_worker, self._ask_scheduler, self._executor, linked, limits, self._spawn
        )
        self.client = ClusterClient(worker)
        self._announcer = Announcer(
            self.store, node_name(), self._address, worker.scheduler.address, self._ask_scheduler
        )
        verbs = (
            "read",
            "fetch",
            "cancel",
            "delete",
            "drop",
            "keep",
            "tag",
            "unbind",
            "rename",
            "mark_drained",
            "mapped",
            "forecast",
            "flush",
            "announce_from_now_on",
        )
        self._verbs: dict[str, messages.Verb] = {verb: getattr(self, f"_{verb}") for verb in verbs}
        worker.handlers[messages.OP] = self._handle
        worker.handlers[visiting.OP] = self._receive
        worker.handlers[lines.OP] = self._server.handle
        files = is_memory(self.store.directory)
        self._undo.append(memory.correct_worker(worker, files=files))
        self._undo.append(metrics.show("worker", lambda: metrics.of_worker(self)))
        self._spawn(self._correct_nanny(worker, files))
        self._spawn(self._announcer.run())
        _here.append(self)

    async def teardown(self, worker: Worker) -> None:
        """Let go of the store, which stays; called by Dask."""
        if self in _here:
            _here.remove(self)
        if not hasattr(self, "_executor"):
            return
        await self._end(self._end_all())
        with contextlib.suppress(OSError, ClusterError, TimeoutError):  # the scheduler may have gone first
            async with asyncio.timeout(_GOODBYE):
                await self._ask_scheduler("leave", worker=worker.contact_address or worker.address)
        if worker.handlers.get(messages.OP) == self._handle:
            runs_on = worker.status in (Status.running, Status.paused)
            for op in (messages.OP, visiting.OP, lines.OP):
                if runs_on:
                    worker.handlers.pop(op, None)
                else:  # others may not have heard of it yet, and Dask logs a traceback for a handler that is missing
                    worker.handlers[op] = self._refuse
        for undo in self._undo:
            undo()
        # In threads, as both wait for what other threads have begun; those may wait for this one.
        await self._end(asyncio.to_thread(self._executor.shutdown))
        connection.remove(self.store.directory)
        await asyncio.to_thread(self.store.close)

    async def _end(self, ending: Coroutine[Any, Any, None]) -> None:
        _, late = await asyncio.wait({asyncio.create_task(ending)}, timeout=_ENDING)
        if late:
            logger.error("What this worker does for others has not ended within %.0f s. It is left behind.", _ENDING)

    async def _end_all(self) -> None:
        tasks = self._tasks.copy()
        while tasks:
            for task in tasks:
                task.cancel()
            # Once may not be enough: what is awaited can have swallowed it.
            _, tasks = await asyncio.wait(tasks, timeout=1.0)
        await self._fetching.close()
        await self._server.close()

    @property
    def worker_name(self) -> str:
        """What Dask calls this worker."""
        return str(self._worker.name)

    @property
    def transfers(self) -> tuple[int, int]:
        """Numbers of transfers to this worker that are under way, and that were begun."""
        return self._fetching.running, self._fetching.begun

    @property
    def announced(self) -> int:
        """Number of announcements that this worker has made."""
        return self._announcer.announced

    def _address(self) -> str | None:
        # The scheduler refuses workers that have not registered with it yet, and a preload runs before that.
        running = self._worker.status in (Status.running, Status.paused)
        return self._worker.contact_address or self._worker.address if running else None

    async def _correct_nanny(self, worker: Worker, files: bool) -> None:
        if not worker.nanny:
            return
        plugin = memory.WorkbenchNannyPlugin(files=files)
        # Sent to this worker's own nanny, which has the same environment, and not to all through the scheduler.
        nanny: Any = worker.nanny  # its address, whatever the annotation says
        answer = await worker.rpc(nanny).plugin_add(plugin=dumps(plugin), name=plugin.name)
        if answer.get("status") != "OK":
            logger.error("The nanny at %s did not take the workbench's plugin: %s", worker.nanny, answer)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        async def run() -> None:
            with contextlib.suppress(OSError):  # the other side has gone
                await work

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- messages --------------------------------------------------------------------------------------------------

    async def _handle(
        self, comm: Any, verb: Any = None, arguments: Any = None, version: Any = None, **_: Any
    ) -> dict[str, Any]:
        return await messages.answer(self._verbs, verb, arguments, version, comm.peer_address)

    async def _refuse(self, **_: Any) -> dict[str, Any]:
        ended = ClusterError(f"The worker at {self._worker.address_safe} ends, and does nothing for others any more.")
        return {"error": messages.error_to_wire(ended)}

    async def _receive(self, comm: Any, meta: Any = None, name: Any = None, version: Any = None) -> Any:
        return await visiting.receive(self.store, self._executor, self._announcer.flush, comm, meta, name, version)

    async def _ask_scheduler(self, verb: str, **arguments: Any) -> Any:
        ask = getattr(self._worker.scheduler, messages.OP)
        reply = await ask(verb=verb, arguments=arguments, version=messages.PROTOCOL)
        return messages.unwrap(reply, f"The scheduler at {self._worker.scheduler.address}")

    async def _ask_worker(self, address: str, verb: str, **arguments: Any) -> Any:
        ask = getattr(self._worker.rpc(address), messages.OP)
        reply = await ask(verb=verb, arguments=arguments, version=messages.PROTOCOL)
        return messages.unwrap(reply, f"The worker at {address}")

    async def _connect(self, address: str) -> Any:
        return await connect(address, **self._worker.connection_args)

    # -- verbs -----------------------------------------------------------------------------------------------------

    async def _read(self, target: Any, offset: Any, nbytes: Any, meta: Any = False) -> dict[str, Any]:
        return transfer.serve(self.store, messages.object_id(target), int(offset), int(nbytes), meta=bool(meta))

    async def _fetch(self, target: Any, sources: Any, names: Any, transfer: Any = None, cached: Any = False) -> None:
        object_id = messages.object_id(target)
        token = None if transfer is None else str(transfer)
        called = [messages.name(name) for name in names]
        await self._fetching.fetch(object_id, [str(source) for source in sources], token, called, cached=bool(cached))
        # The object may have been here already, or have come for somebody who knew fewer names.
        with contextlib.suppress(ObjectNotFoundError):  # it was deleted just now
            if not await asyncio.to_thread(self.store.adopt, object_id, called) and called and not cached:
                # Newer objects have all of its names here: it stays, as one that lost a conflict.
                await asyncio.to_thread(self.store.set_tag, object_id, "conflict", called[0])
        await self._announcer.flush()

    async def _cancel(self, transfer: Any) -> None:
        await self._fetching.cancel(str(transfer))

    async def _delete(self, targets: Any) -> None:
        """Delete objects everywhere: they do not come here any more."""
        await asyncio.to_thread(self.store.bury, messages.object_ids(targets))
        # The answer must not overtake an announcement that still has the objects in it.
        await self._announcer.flush()

    async def _drop(self, targets: Any) -> None:
        """Delete the replicas here; others stay."""
        for target in messages.object_ids(targets):
            with contextlib.suppress(ObjectNotFoundError):
                await asyncio.to_thread(self.store.delete, target)
        # The answer must not overtake an announcement that still has the objects in it.
        await self._announcer.flush()

    async def _tag(self, targets: Any, tag: Any, value: Any) -> None:
        text = None if value is None else messages.text(value)
        for target in messages.object_ids(targets):
            with contextlib.suppress(ObjectNotFoundError):
                await asyncio.to_thread(self.store.set_tag, target, messages.text(tag), text)
        await self._announcer.flush()

    async def _mark_drained(self, drained: Any) -> None:
        await asyncio.to_thread(setattr, self.store, "drained", messages.flag(drained))

    async def _mapped(self) -> list[str]:
        holders = await asyncio.to_thread(self.store.holders)
        return list({holder.object: None for holder in holders if holder.object is not None})

    async def _forecast(self, nbytes: Any) -> dict[str, Any]:
        wire: dict[str, Any] = to_json(await asyncio.to_thread(self.store.forecast, messages.nbytes(nbytes)))
        return wire

    async def _keep(self, targets: Any) -> None:
        for target in messages.object_ids(targets):
            with contextlib.suppress(ObjectNotFoundError):  # it was dropped a moment ago, and the announcement says so
                await asyncio.to_thread(self.store.keep, target)
        await self._announcer.flush()

    async def _unbind(self, target: Any, name: Any, keep: Any = False) -> None:
        await asyncio.to_thread(
            self.store.unbind, messages.name(name), messages.object_id(target), keep=messages.flag(keep)
        )

    async def _rename(self, target: Any, name: Any, was: Any = None) -> None:
        object_id, to = messages.object_id(target), messages.name(name)
        if was is None:
            await asyncio.to_thread(self.store.rename, object_id, to)
        else:
            with contextlib.suppress(ObjectNotFoundError):  # it was deleted just now
                await asyncio.to_thread(self.store.rename, object_id, to, was=messages.name(was))
        await self._announcer.flush()

    async def _flush(self) -> None:
        await self._announcer.flush()

    async def _announce_from_now_on(self) -> None:
        self._announcer.start_over()

    # -- readers ---------------------------------------------------------------------------------------------------

    async def fetch(self, object_id: ObjectId) -> None:
        """Make a replica of an object on this host, if there is none; a node that was just lost is waited for.

        Raises
        ------
        ObjectNotFoundError
            If no node has it.
        TransferError
            If it could not be brought here.
        ClusterError
            If only nodes have it that are lost for longer than a nanny takes to start a worker, or if this host does not join the cluster.
        """
        failures, begin = 0, time.monotonic()
        while not self.store.exists(object_id):
            found = await self._ask_scheduler("where", key=object_id)
            if found["sources"]:
                try:
                    # Through the scheduler, which knows of other processes on this host that wish for it now.
                    await self._ask_scheduler("bring", key=object_id, node=self.store.id, cached=True)
                except NodeNotFoundError as error:
                    if time.monotonic() - begin > JOINING:
                        raise ClusterError(
                            f"Object {object_id} cannot be brought to {node_name()}: this host has not joined the cluster within {JOINING:.0f} s. "
                            f"The log of its worker at {self._worker.address_safe} says why; start that worker again."
                        ) from error
                except TransferError:
                    failures += 1
                    if failures == _ATTEMPTS:
                        raise
                else:
                    return
            elif not found["soon"]:
                names = ", ".join(str(replica["node_name"]) for replica in found["replicas"])
                raise ClusterError(
                    f"Object {object_id} is only on {names}, and no worker runs there any more. Start one there: the object "
                    "is in that host's store."
                )
            await asyncio.sleep(_PAUSE)

    def fetch_now(self, object_id: ObjectId) -> None:
        """As :meth:`fetch`, for a task's thread."""
        sync(self._worker.loop, self.fetch, object_id)
