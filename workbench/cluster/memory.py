"""Dask judges workers by memory of their own, not by shared pages that they map.

Covers the two places where Dask reads the resident set size (RSS), which counts each mapped page of a shared object once per
process: the worker's monitor (pauses, spills, reports to the dashboard) and the nanny's (kills). Everything that they do about
it stays Dask's.

Dask has no hook for this. What is overridden, checked here at run time and pinned by a test: ``SystemMonitor.get_process_memory``
of a worker (named in ``distributed.worker_memory`` as the place to mock), and the callback of the nanny's ``memory_monitor``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from distributed.diagnostics.plugin import NannyPlugin

if TYPE_CHECKING:
    from distributed import Nanny, Worker

logger = logging.getLogger("workbench.memory")

_OWN: Final = ("RssAnon:",)
_OWN_AND_FILES: Final = ("RssAnon:", "RssFile:")


def own_nbytes(pid: int | str = "self", *, files: bool = True) -> int:
    """Return the resident bytes of a process without its shared memory.

    Parameters
    ----------
    pid : int, optional
        This process, if it is not given.
    files : bool
        Count pages of files, libraries above all, as Dask does. False for a store that lies on disk, whose mapped pages are
        pages of files as well.

    Raises
    ------
    ProcessLookupError
        If there is no such process.

    Notes
    -----
    The fields are those of proc_pid_status(5), Linux 4.5 and newer.
    """
    wanted = _OWN_AND_FILES if files else _OWN
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError as error:
        raise ProcessLookupError(f"There is no process {pid}.") from error
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(wanted))


def correct_worker(worker: Worker, *, files: bool) -> Callable[[], None]:
    """Make a worker report its own memory; return what undoes it."""
    monitor: Any = worker.monitor
    if not callable(getattr(monitor, "get_process_memory", None)):
        _complain("SystemMonitor has no get_process_memory")
        return lambda: None
    monitor.get_process_memory = lambda: own_nbytes(files=files)

    def undo() -> None:
        vars(monitor).pop("get_process_memory", None)

    return undo


class WorkbenchNannyPlugin(NannyPlugin):
    """Keeps a nanny from killing a worker for the shared memory that it maps.

    Parameters
    ----------
    files : bool
        As in :func:`own_nbytes`.
    """

    name = "workbench"

    def __init__(self, *, files: bool = True) -> None:
        self._files = files

    def setup(self, nanny: Nanny) -> None:
        """Put a check before Dask's own; called by Dask, again for each new worker process."""
        manager, callbacks = nanny.memory_manager, nanny.periodic_callbacks
        periodic: Any = callbacks.get("memory_monitor")
        if periodic is None:
            return  # no limit is set
        if not all(hasattr(manager, field) for field in ("memory_limit", "memory_terminate_fraction")):
            _complain("NannyMemoryManager has no memory_limit or memory_terminate_fraction")
            return
        original = getattr(periodic.callback, "dasks_own", periodic.callback)
        periodic.callback = _Check(nanny, original, files=self._files)


class _Check:
    """Calls Dask's monitor only when the worker's own memory exceeds the limit.

    RSS is never smaller than that, so Dask's monitor comes to the same result whenever it is called.
    """

    def __init__(self, nanny: Nanny, dasks_own: Callable[[], Any], *, files: bool) -> None:
        self._nanny = nanny
        self.dasks_own = dasks_own
        self._files = files

    def __call__(self) -> Any:
        manager, pid = self._nanny.memory_manager, self._nanny.pid
        if pid and manager.memory_limit and manager.memory_terminate_fraction is not False:
            try:
                own = own_nbytes(pid, files=self._files)
            except ProcessLookupError:
                return None
            if own / manager.memory_limit <= manager.memory_terminate_fraction:
                return None
        return self.dasks_own()


def _complain(what: str) -> None:
    logger.error(
        "This version of Dask measures memory in another way (%s): workers that map large shared objects may be paused or "
        "killed. Install a version of distributed that the workbench supports.",
        what,
    )
