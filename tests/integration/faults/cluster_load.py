"""One user of a cluster, as a notebook is: puts, gets, moves and deletes objects until it is told to stop, or is killed.

Run as ``python -m tests.integration.faults.cluster_load SCHEDULER LOG PREFIX SEED COUNTER``. It writes to LOG what it is about to do, and then how
that ended: ``cluster_truth.py`` reads it. Whatever the cluster answers while parts of it are dead is fine, as long as it is an error of the workbench's or
Dask's own in bounded time; bytes that are wrong are not. On standard input, a word stops it (it writes the word down
when it rests), and ``go`` starts it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

import dask.dataframe as dd
from distributed import CancelledError, KilledWorker, default_client

import workbench as wb
from tests.integration.faults.cluster_truth import PARTITIONS, WrongBytesError, array, label_of, labels, partition

NAMES = 6
"""Names of each user's objects; twice as many of its datasets as are two."""
PATIENCE = 150
"""Seconds after which an operation that has not ended at all is wrong: tasks wait 30 s for a node that is lost, and machines are busy."""
_SIZES = (100, 20_000, 300_000, 3_000_000, 3_000_000, 20_000_000)
_EXPECTED: Final[tuple[type[BaseException], ...]] = (
    wb.WorkbenchError,
    OSError,
    TimeoutError,
    CancelledError,
    KilledWorker,
)


class HangsError(BaseException):
    """Something took much longer than it may."""


def computed(number: int, title: str, counter: str) -> Any:
    """Make a partition, and note that it was made."""
    with Path(counter).open("a") as file:
        file.write(f"{title}/{number}\n")
    return partition(number, title)


class User:
    """Does one thing after another."""

    def __init__(self, scheduler: str, log: Path, prefix: str, seed: str, counter: str) -> None:
        self._scheduler, self._prefix, self._counter = scheduler, prefix, counter
        self._source = random.Random(f"{seed} {log.name}")
        self._log = log.open("a", buffering=1)
        self._label = 0
        self._paused = False
        self._connected = False
        self._generation = log.stem

    def note(self, **what: Any) -> None:
        """Write a line; it is in the file when this returns."""
        self._log.write(json.dumps(what) + "\n")

    def live(self) -> None:
        """Go on until standard input ends."""
        signal.signal(signal.SIGALRM, _hangs)
        while True:
            wait = None if self._paused else 0
            if select.select([sys.stdin], [], [], wait)[0]:
                told = os.read(0, 1 << 16).decode().split()
                if not told:
                    return
                self._paused = told[-1] != "go"
                if self._paused:
                    self.note(paused=told[-1])
                continue
            if not self._connected or not is_connected():
                self._connect()
            else:
                self._step()

    def _connect(self) -> None:
        try:
            with self._bounded("connect"):
                wb.connect(self._scheduler)
            self._connected = True
        except _EXPECTED:
            time.sleep(0.1)  # not to wait for something: so that the dead have the processor to come back

    def _step(self) -> None:
        verbs = {"put": 5, "get": 6, "replicate": 4, "move": 4, "delete": 2, "persist": 2, "open": 3}
        verb = self._source.choices(list(verbs), list(verbs.values()))[0]
        with contextlib.suppress(*_EXPECTED), self._bounded(verb):
            getattr(self, f"_{verb}")()

    @contextlib.contextmanager
    def _bounded(self, verb: str) -> Iterator[None]:
        signal.alarm(PATIENCE)
        try:
            yield
        except WrongBytesError as error:
            self.note(wrong=str(error))
            raise
        except HangsError:
            said = traceback.format_exc()[-1500:]
            self.note(wrong=f"{verb} did not end within {PATIENCE} s: {said}\nTasks of the cluster: {_tasks()}")
            raise
        except _EXPECTED as error:
            self._end(type(error).__name__)
            self._connected = self._connected and not isinstance(error, (wb.ClusterError, CancelledError))
            raise
        except RuntimeError as error:
            if "no Client active" not in str(error):
                self.note(wrong=f"{verb}: {traceback.format_exc()[-2000:]}")
                raise
            # Dask's client has closed itself, because the scheduler was away for ten seconds.
            self._end(type(error).__name__)
            self._connected = False
            raise wb.ClusterError(str(error)) from error
        except BaseException:
            self.note(wrong=f"{verb}: {traceback.format_exc()[-2000:]}")
            raise
        finally:
            signal.alarm(0)

    def _begin(self, verb: str, **more: Any) -> None:
        self.note(begin=verb, **more)

    def _end(self, error: str | None = None) -> None:
        self.note(end=True, error=error)

    def _name(self, mine: bool = False) -> str:
        prefix = self._prefix if mine else self._source.choice("pq")
        return f"{prefix}-{self._source.randrange(NAMES)}"

    def _dataset(self, mine: bool = False) -> str:
        prefix = self._prefix if mine else self._source.choice("pq")
        return f"{prefix}-set-{self._source.randrange(2)}"

    def _new_label(self) -> str:
        self._label += 1
        return f"{self._generation}.{self._label}"

    def _put(self) -> None:
        name, label = self._name(mine=True), self._new_label()
        value = array(label, self._source.choice(_SIZES))
        self._begin("put", name=name, label=label)
        wb.put(value, name)
        self._end()

    def _get(self) -> None:
        name = self._name()
        self._begin("get", name=name)
        label_of(wb.get(name))
        self._end()

    def _replicate(self) -> None:
        name = self._source.choice([self._name(), self._dataset()])
        self._begin("replicate", name=name)
        wb.replicate(name, n=self._source.choice([2, 3])).wait(60)
        self._end()

    def _move(self) -> None:
        name, node = self._source.choice([self._name(), self._dataset()]), self._source.choice("abc")
        self._begin("move", name=name, to=node)
        wb.move(name, to=node).wait(60)
        self._end()

    def _delete(self) -> None:
        name = self._source.choice([self._name(mine=True), self._dataset(mine=True)])
        self._begin("delete", name=name)
        wb.delete(name)
        self._end()

    def _persist(self) -> None:
        name, label = self._dataset(mine=True), self._new_label()
        made = dd.from_map(
            computed, range(PARTITIONS), title=label, counter=self._counter, meta=partition(0, "").iloc[:0]
        )
        self._begin("persist", name=name, label=label)
        made.persist_shared(name)
        self._end()

    def _open(self) -> None:
        name = self._dataset()
        self._begin("open", name=name)
        parts = wb.open(name).map_partitions(labels, meta=("label", object)).compute()
        if len(set(parts)) != 1 or len(parts) != PARTITIONS:
            raise WrongBytesError(f"the dataset {name} has the parts {list(parts)}")
        self._end()


def is_connected() -> bool:
    """Tell whether the session still has its cluster: one whose scheduler was killed goes on with its own store, after a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return wb.current_session().cluster is not None


def _tasks() -> Any:
    """Return what the scheduler says of the tasks that have not ended, and what the workers do; or why nobody can say."""
    signal.alarm(20)
    try:
        client = default_client()
        return client.run_on_scheduler(_unfinished), client.call_stack()
    except (Exception, HangsError) as error:  # it is about an error already
        return repr(error)


def _unfinished(dask_scheduler: Any) -> list[tuple[Any, ...]]:
    tasks = [task for task in dask_scheduler.tasks.values() if task.state not in ("memory", "released")]
    return [
        (task.key, task.state, task.worker_restrictions, task.processing_on and task.processing_on.address)
        for task in tasks
    ]


def _hangs(_number: int, _frame: FrameType | None) -> None:
    raise HangsError


def main() -> None:
    """Live."""
    scheduler, log, prefix, seed, counter = sys.argv[1:]
    User(scheduler, Path(log), prefix, seed, counter).live()


if __name__ == "__main__":
    main()
