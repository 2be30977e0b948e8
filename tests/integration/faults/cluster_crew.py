"""A cluster whose processes are killed, and started again as a supervisor of a real one would: scheduler, nannies, workers, users.

Covers three hosts on one machine (each a store and a nanny), two users, killing, and looking at what is there when all is at rest again. A worker that
was killed is its nanny's to start again; a nanny or a scheduler, the supervisor's, which is this class: Dask's workers end when their scheduler
is gone. What the users did is in ``cluster_truth.py``, what they do in ``cluster_load.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import psutil

import workbench as wb
from tests.integration.faults.cluster_truth import Truth, label_of
from tests.processes import environment
from workbench.testing import inconsistencies

HOSTS: Final = {"a": 2, "b": 1, "c": 1}
"""How many workers each host has."""
NANNIES: Final = [f"{host}-{number}" for host, workers in HOSTS.items() for number in range(1, workers + 1)]
KINDS: Final = {"worker": 4, "kernel": 3, "nanny": 2, "scheduler": 1}
"""What is killed, and how often beside the others."""
REST: Final = 200.0
"""Seconds until everything must be there again; a cluster that starts anew takes five on an idle machine."""
_LINES: Final = 25
"""Of what a program said, in an error."""
_SETTINGS: Final = {
    "WORKBENCH_CAPACITY": "512 MiB",
    "WORKBENCH_CONNECT_TIMEOUT": "5",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "10s",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "50",
}


@dataclass
class _User:
    """One user: its process, and the log that was read up to `read` bytes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    read: int = 0
    paused: bool = False

    def lines(self) -> Iterator[dict[str, object]]:
        """Yield what it wrote since the last time, whole lines only."""
        with self.log.open("rb") as file:
            file.seek(self.read)
            said = file.read()
        whole = said[: said.rfind(b"\n") + 1]
        self.read += len(whole)
        for line in whole.splitlines():
            yield json.loads(line)


@dataclass
class Crew:
    """The cluster and its users; a context manager, after which nothing of them runs."""

    home: Path
    source: random.Random
    truth: Truth = field(default_factory=Truth)
    killed: list[str] = field(default_factory=list)
    """What was killed, in this order."""

    def __enter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.scheduler = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.counter = self.home / "computed"
        self.counter.touch()
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._users: dict[str, _User] = {}
        self._generation = 0
        self._rests = 0
        self._wish = "rest-0"
        self.stores = {host: wb.Session(self.home / host, capacity=512 << 20) for host in HOSTS}
        self._session = self.stores["a"]
        self._seed = str(self.source.random())
        self.mend()
        return self

    def __exit__(self, *error: object) -> None:
        for process in [*self._programs.values(), *(user.process for user in self._users.values())]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
            if process.stdin is not None:
                process.stdin.close()
        for session in self.stores.values():
            session.close()

    # -- processes -------------------------------------------------------------------------------------------------

    def mend(self) -> None:
        """Start whatever should run and does not."""
        commands = {"scheduler": ["dask", "scheduler", "--host", "127.0.0.1", "--port", self.scheduler.split(":")[2]]}
        for name in NANNIES:
            # Each nanny is a program of its own: of two in one, one may end with its worker, and nobody would see it.
            commands[name] = [
                "dask",
                "worker",
                self.scheduler,
                "--host",
                "127.0.0.1",
                "--nthreads",
                "2",
                "--name",
                name,
            ]
            commands[name] += ["--local-directory", str(self.home / f"scratch-{name}")]
        for name, command in commands.items():
            running = self._programs.get(name)
            if running is None or running.poll() is not None:
                command += ["--no-dashboard", "--preload", "workbench.cluster"]
                self._programs[name] = self._start(command, name[0] if name in NANNIES else "a", name)
        for name, host in (("p", "a"), ("q", "b")):
            user = self._users.get(name)
            if user is None or user.process.poll() is not None:
                self._listen()
                self._start_user(name, host)

    def _start_user(self, name: str, host: str) -> None:
        self._generation += 1
        log = self.home / f"{name}{self._generation}.log"
        log.touch()
        command = [
            "tests.integration.faults.cluster_load",
            self.scheduler,
            str(log),
            name,
            self._seed,
            str(self.counter),
        ]
        if name in self._users:
            stdin = self._users[name].process.stdin
            assert stdin is not None
            with contextlib.suppress(BrokenPipeError):
                stdin.close()
        self._users[name] = _User(name, self._start(command, host, f"user-{name}", stdin=subprocess.PIPE), log)
        self._tell(self._users[name])

    def _start(
        self, command: list[str], host: str, log: str, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        with (self.home / f"{log}.out").open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", *command],
                env=environment(self.home / host, WORKBENCH_NODE=host, **_SETTINGS),
                stdin=stdin,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def workers(self) -> list[int]:
        """Pids of all workers."""
        found = []
        for name in NANNIES:
            with contextlib.suppress(psutil.NoSuchProcess):
                children = psutil.Process(self._programs[name].pid).children()
                found += [child.pid for child in children if "spawn_main" in " ".join(_command(child))]
        return found

    def kill(self, kind: str) -> None:
        """Kill one process of a kind, if there is one."""
        if kind == "worker":
            choices = sorted(self.workers())
            names = [f"worker {place}" for place in range(len(choices))]
        else:
            wanted = {"scheduler": ["scheduler"], "nanny": NANNIES, "kernel": list(self._users)}[kind]
            processes = {**self._programs, **{name: user.process for name, user in self._users.items()}}
            choices, names = [processes[name].pid for name in wanted], [f"{kind} {name}" for name in wanted]
        if not choices:
            return
        place = self.source.randrange(len(choices))
        with contextlib.suppress(ProcessLookupError):
            os.kill(choices[place], signal.SIGKILL)
            self.killed.append(names[place])

    # -- users -----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        for user in self._users.values():
            lines = list(user.lines())
            user.paused = user.paused or any(line.get("paused") == self._wish for line in lines)
            self.truth.read(user.log.stem, lines)

    def _tell(self, *users: _User) -> None:
        for user in users:
            user.paused = False
            assert user.process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                user.process.stdin.write(f"{self._wish}\n".encode())
                user.process.stdin.flush()

    def load(self, seconds: float) -> None:
        """Let the users work for some seconds."""
        self._wish = "go"
        self._tell(*self._users.values())
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.05)
            self.mend()

    def operations(self) -> int:
        """How many operations have ended."""
        self._listen()
        return sum(self.truth.counts.values())

    # -- looking ---------------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Wait until all runs again and is at rest; it must be as the truth says."""
        self._rests += 1
        self._wish = f"rest-{self._rests}"
        self._tell(*self._users.values())
        deadline = time.monotonic() + REST
        while (wrong := self._look()) and not self.truth.wrong:
            assert time.monotonic() < deadline, f"{self} is not in order: {wrong}\n{self._evidence()}"
            time.sleep(0.1)
            self.mend()
        assert not self.truth.wrong, f"{self}: {self.truth.wrong}"

    def __str__(self) -> str:
        return f"after {len(self.killed)} kills, the last {self.killed[-3:]}, the cluster in {self.home}"

    def _evidence(self) -> str:
        """What runs, and the end of what each program said."""
        said = []
        for name, process in self._programs.items():
            with contextlib.suppress(psutil.Error):
                children = [f"{child.pid} {child.status()}" for child in psutil.Process(process.pid).children()]
                said.append(f"-- {name}, pid {process.pid}, ended with {process.poll()}, children {children}")
            said += (self.home / f"{name}.out").read_text(errors="replace").splitlines()[-_LINES:]
        return "\n".join(said)

    def _look(self) -> list[str]:
        self._listen()
        if busy := [user.name for user in self._users.values() if not user.paused]:
            return [f"the users {busy} are busy"]
        try:
            if self._session.cluster is None:
                self._session.connect(self.scheduler)
            return list(self._compare())
        except (wb.ClusterError, OSError) as error:
            if self._session.cluster is not None:
                self._session.cluster.close()
                self._session.cluster = None
            return [str(error)]

    def _compare(self) -> Iterator[str]:
        session = self._session
        assert session.cluster is not None
        nodes = {node.name: node for node in session.nodes()}
        for host, workers in HOSTS.items():
            if host not in nodes or len(nodes[host].workers) != workers:
                yield f"node {host} is {nodes.get(host)}"
                return
        if running := [one for one in session.cluster.operations() if one.state == "running"]:
            yield f"operations run: {running}"
            return
        seen: dict[str, str] = {}
        for host, store in self.stores.items():
            store.store.doctor()
            yield from (f"{host}: {wrong}" for wrong in inconsistencies(store.store))
            there = {info.id: info for info in store.store.ls(parts=True)}
            told = {info.id for info in session.cluster.ls(node=host)}
            if told != there.keys():
                yield f"{host} has {sorted(there)}, and the scheduler says {sorted(told)}"
            if store.store.memory().deleted:
                yield f"{host}: nobody has anything in hand, and what was deleted is mapped: {_deleted(store)}"
        yield from self._nameless()
        for info in session.ls():
            for name in info.names:
                seen[name] = self._label(info)
        yield from self.truth.compare(seen)

    def _nameless(self) -> Iterator[str]:
        """What nobody can ever find nor delete by name: not part of anything, and put with a name."""
        everything = [info for store in self.stores.values() for info in store.store.ls(parts=True)]
        for info in everything:
            if not info.names and not {"dataset", "conflict"} & info.tags.keys():
                every = [(one.names, one.tags, one.replicas) for one in everything if one.id == info.id]
                yield f"object {info.id}, a {info.kind}, has lost its names; all of its replicas: {every}"

    def _label(self, info: wb.ObjectInfo) -> str:
        """Verify each replica of an object, and return its label."""
        found = set()
        for replica in info.replicas:
            host = next(store for store in self.stores.values() if store.store.id == replica.node)
            found.add(str(label_of(host.get(info.id)) if info.kind != "dataset" else self._label_of_dataset(info)))
        assert len(found) == 1, f"{info.name!r} has replicas {found}"
        return found.pop()

    def _label_of_dataset(self, info: wb.ObjectInfo) -> str:
        found: dict[str, set[str]] = {}
        for store in self.stores.values():
            for part in store.store.ls(dataset=info.id):
                found.setdefault(part.tags["partition"], set()).add(str(label_of(store.get(part.id))))
        assert sorted(found) == ["0", "1", "2"], f"{info.name!r} has the partitions {sorted(found)}"
        [label] = set.union(*found.values())
        return label

    def open_all(self) -> None:
        """Open every dataset and read it through the cluster: nothing is computed again, and every partition has the right bytes."""
        before = Counter(self.counter.read_text().splitlines())
        for info in self._session.ls(kind="dataset"):
            if not info.names:
                continue  # it lost a conflict over its name
            previous = wb.use_session(self._session)
            try:
                assert len(wb.open(info.names[0])) == 15_000
                parts = wb.open(info.names[0]).compute()
                assert set(parts["label"]) == set(map(str, self.truth.possible[info.names[0]]))
            finally:
                wb.use_session(previous)
        assert Counter(self.counter.read_text().splitlines()) == before

    def clear(self) -> None:
        """Delete everything; nothing must be left anywhere."""
        deadline = time.monotonic() + REST
        while self._session.ls(parts=True):
            for info in self._session.ls(parts=True):
                with contextlib.suppress(wb.ObjectNotFoundError):
                    self._session.delete(info.id)
            assert time.monotonic() < deadline, f"what is left cannot be deleted: {self._session.ls(parts=True)}"
        for host, store in self.stores.items():
            while store.store.memory().used and time.monotonic() < deadline:
                store.store.allocator.free.release()
                store.store.doctor()
                time.sleep(0.05)
            assert not store.store.memory().used, f"{host}: {store.store.memory()}\n{_deleted(store)}"
            assert not list(store.store.directory.glob("*.segment"))


def _deleted(session: wb.Session) -> list[wb.Holder]:
    """Who still maps what was deleted."""
    return [holder for holder in session.store.holders() if holder.state == "deleted"]


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return list(process.cmdline())
    return []
