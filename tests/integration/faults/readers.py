"""Processes that read and verify whatever a store has, over and over, and say at once when a byte is wrong."""

from __future__ import annotations

import contextlib
import os
import random
import select
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tests.processes import environment
from workbench.errors import ObjectNotFoundError
from workbench.store import Record, Store
from workbench.testing import contents

_HELD = 3
"""Objects that a reader keeps mapped for a while, and verifies again before it lets go."""


class Readers:
    """Several readers of one store after another; as a context manager, they end at its end."""

    def __init__(self, count: int = 2) -> None:
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", __name__, str(seed)],
                # They read, and nothing else.
                env=environment(Path("/nowhere"), WORKBENCH_RESTORE_AFTER="never", WORKBENCH_SPILL_DIRECTORY="off"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
            for seed in range(count)
        ]

    @contextlib.contextmanager
    def watching(self, directory: Path, prefix: str = "") -> Iterator[None]:
        """Read what has names that begin with a prefix while the block runs; fail if a reader saw a wrong byte, or nothing at all."""
        for process in self._processes:
            self._say(process, f"{directory}\t{prefix}")
            assert self._hear(process) == "ready"
        try:
            yield
        finally:
            for process in self._processes:
                self._say(process, "stop")
            verified = [int(self._hear(process)) for process in self._processes]
        assert min(verified) > 0, verified

    def check(self) -> None:
        """Fail if a reader has ended."""
        for process in self._processes:
            assert process.poll() is None, (
                "a reader has ended: it saw what it must not see (its traceback is on stderr)"
            )

    @staticmethod
    def _say(process: subprocess.Popen[str], line: str) -> None:
        assert process.stdin is not None
        process.stdin.write(line + "\n")

    @staticmethod
    def _hear(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (
            f"a reader has ended with {process.wait(10)}: it saw what it must not see (its traceback is on stderr)"
        )
        return line.rstrip("\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait(30)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()


def read_all(store: Store, prefix: str, held: deque[Record], source: random.Random) -> int:
    """Read all that there is in a random order; return how many objects were verified."""
    verified = 0
    infos = [info for info in store.ls() if (info.name or "").startswith(prefix)]
    source.shuffle(infos)
    for info in infos:
        try:
            record = store.read(source.choice(info.names) if info.names else info.id)
        except ObjectNotFoundError:
            continue
        contents.verify(record)
        verified += 1
        if source.random() < 0.2:
            held.append(record)
        if len(held) > _HELD:
            contents.verify(held.popleft())
    return verified


def watch(directory: str, prefix: str, source: random.Random) -> int:
    """Read a store until a line comes on standard input; return how many objects were verified."""
    held: deque[Record] = deque()
    verified = 0
    with Store.open(directory) as store:
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            verified += read_all(store, prefix, held, source)
        verified += read_all(store, prefix, held, source)
        for record in held:
            contents.verify(record)
    return verified


def main() -> None:
    """Watch one store after another."""
    source = random.Random(int(sys.argv[1]))
    os.nice(5)  # those who write and die come first
    while line := sys.stdin.readline():
        directory, prefix = line.rstrip("\n").split("\t")
        verified = watch(directory, prefix, source)
        assert sys.stdin.readline() == "stop\n"
        print(verified, flush=True)


if __name__ == "__main__":
    main()
