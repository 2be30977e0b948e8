"""Processes that are killed in the middle of something, dozens a second.

A zygote has imported everything and forks victims, so that a kill costs a fork rather than the start of an interpreter. A victim dies
in one of two ways: by its own hand before the n-th line that it executes in ``workbench/store``, or at any instant, when its time is over.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

from tests.processes import environment
from workbench import store as package
from workbench.store import Store
from workbench.testing import contents
from workbench.testing.operations import Operation, Performer

_COUNTS = struct.Struct("<qq")
OPEN = Operation("doctor", key="open")
"""Stands for opening the store."""


@dataclass(frozen=True, slots=True)
class Death:
    """How a victim ended: killed or not, after how many lines, and how many operations it had done.

    `places` has, of one that was not to be killed, for each line of code when it was executed first and last.
    """

    killed: bool
    lines: int
    done: int
    places: tuple[tuple[int, int], ...] = ()


class Zygote:
    """Forks victims on request; as a context manager, it is killed at the end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            env=environment(Path("/nowhere")),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def kill_at_line(
        self, directory: Path, before: Sequence[Operation], deed: Operation, line: int, settings: Mapping[str, str]
    ) -> Death:
        """Let a victim do some operations, then one more, and die before a line of that one (0: never)."""
        request = {"directory": str(directory), "before": before, "deeds": [deed], "line": line}
        return self._ask({**request, "settings": dict(settings)})

    def kill_after(
        self, directory: Path, deeds: Sequence[Operation], seconds: float, settings: Mapping[str, str]
    ) -> Death:
        """Let a victim do one operation after another, and kill it so many seconds after its birth."""
        request = {"directory": str(directory), "before": [], "deeds": deeds, "seconds": seconds}
        return self._ask({**request, "settings": dict(settings)})

    def _ask(self, request: dict[str, Any]) -> Death:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request, default=Operation.to_json) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the zygote ended with {self._process.wait(10)}")
        status, lines, done, places = json.loads(answer)
        assert status in (0, -signal.SIGKILL), f"a victim ended with {status}"
        return Death(status != 0, lines, done, tuple((first, last) for first, last in places))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait(30)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def count_lines(each: Callable[[FrameType], None]) -> Callable[..., Any]:
    """Return a trace function that calls `each` before every line of the store's code."""
    inside = f"{Path(package.__file__).parent}/"

    def local(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            each(frame)
        return local

    def trace(frame: FrameType, _event: str, _argument: Any) -> Any:
        return local if frame.f_code.co_filename.startswith(inside) else None

    return trace


class _Victim:
    def __init__(self, counts: mmap.mmap, request: Mapping[str, Any]) -> None:
        self._counts = counts
        self._request = request
        self._line = request.get("line", 0)
        self._lines = self._done = 0
        self._places: dict[tuple[str, int], tuple[int, int]] = {}

    def live(self) -> None:
        os.environ.update(self._request.get("settings", {}))
        deeds = [Operation.from_json(fields) for fields in self._request["deeds"]]
        if deeds == [OPEN]:
            self._trace()
            Store.open(self._request["directory"])
        else:
            performer = Performer(Store.open(self._request["directory"]))
            for fields in self._request["before"]:
                performer.perform(Operation.from_json(fields))
            if "line" in self._request:
                self._trace()
            for deed in deeds:
                performer.perform(deed)
                self._done += 1
                self._note()
        sys.settrace(None)
        self._note()
        places = json.dumps(list(self._places.values())).encode()
        self._counts[_COUNTS.size : _COUNTS.size + len(places)] = places

    def _trace(self) -> None:
        trace = count_lines(self._step)
        threading.settrace(trace)
        sys.settrace(trace)

    def _step(self, frame: FrameType) -> None:
        self._lines += 1
        if not self._line:
            place = frame.f_code.co_filename, frame.f_lineno
            self._places[place] = self._places.get(place, (self._lines, 0))[0], self._lines
        if self._lines == self._line:
            self._note()
            os.kill(os.getpid(), signal.SIGKILL)

    def _note(self) -> None:
        _COUNTS.pack_into(self._counts, 0, self._lines, self._done)


def _fork(request: Mapping[str, Any]) -> tuple[int, int, int, Any]:
    counts = mmap.mmap(-1, 1 << 20)
    lifeline = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(lifeline[0])
            _Victim(counts, request).live()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(lifeline[1])
    if "seconds" in request:
        # The pipe is closed when the victim ends by itself.
        select.select([lifeline[0]], [], [], request["seconds"])
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(lifeline[0])
    lines, done = _COUNTS.unpack_from(counts, 0)
    places = counts[_COUNTS.size :].rstrip(b"\0")
    return os.waitstatus_to_exitcode(status), lines, done, json.loads(places or b"[]")


def _warm_up() -> None:
    # What is imported late, and made at first use, is made here rather than in each victim.
    with tempfile.TemporaryDirectory() as directory, Store.open(directory, capacity=8 << 20) as store:
        store.put(contents.make("x", (40_000, 1 << 20)))


def main() -> None:
    """Fork a victim for each line of standard input."""
    _warm_up()
    for line in sys.stdin:
        print(json.dumps(_fork(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
