"""What a store does in the background: one thread, started when there is something to do, which ends when there is nothing.

It brings hot objects back to memory, warms the pool up, and gives pages back that nobody uses. None of that may matter to anybody: a task
that fails is logged, a process that ends does not wait for it (the thread is a daemon), a fork leaves it behind.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

logger = logging.getLogger("workbench.store")

Task = Callable[[Callable[[], bool]], None]
"""Called with a function that tells whether to stop soon: the store is being closed."""

_PATIENCE: Final = 10.0
"""Seconds that closing a store waits for the task that runs."""


class Background:
    """Runs tasks one after another, each at its time."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._condition = threading.Condition()
        self._tasks: list[tuple[float, int, str, Task]] = []
        self._known: set[str] = set()
        self._count = 0
        self._thread: threading.Thread | None = None
        self._closed = False

    def is_closed(self) -> bool:
        """Tell whether tasks should stop."""
        return self._closed

    def do(self, name: str, task: Task, *, after: float = 0.0) -> None:
        """Run a task, unless one with the same name waits already.

        Parameters
        ----------
        name : str
            For the log.
        task : callable
        after : float
            Seconds to wait before.
        """
        with self._condition:
            if self._closed or name in self._known:
                return
            self._known.add(name)
            self._count += 1
            heapq.heappush(self._tasks, (time.monotonic() + after, self._count, name, task))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="workbench-store", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError as error:
                    # No thread can be started: too many, or the interpreter is ending.
                    logger.debug("Nothing is done in the background: %s", error)
                    self._thread = None
                    self._tasks.clear()
                    self._known.clear()
            self._condition.notify()

    def _run(self) -> None:
        while True:
            found = self._next()
            if found is None:
                return
            name, task = found
            try:
                task(self.is_closed)
            except Exception as error:  # noqa: BLE001  # nobody waits for it; it is tried again when there is a reason
                logger.debug("%s failed in the background: %r", name, error)
            del task

    def _next(self) -> tuple[str, Task] | None:
        with self._condition:
            while self._tasks and not self._closed:
                wait = self._tasks[0][0] - time.monotonic()
                if wait <= 0:
                    _, _, name, task = heapq.heappop(self._tasks)
                    self._known.discard(name)
                    return name, task
                self._condition.wait(wait)
            self._thread = None
            return None

    def close(self) -> None:
        """Drop what waits, and wait a moment for what runs."""
        with self._condition:
            self._closed = True
            self._tasks.clear()
            self._known.clear()
            thread = self._thread
            self._condition.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE)

    def reset_after_fork(self) -> None:
        """In a forked child: the thread is not there, and its lock may have been held."""
        self._reset()
