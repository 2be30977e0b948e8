"""Real processes for tests: a Python script that does one thing after another, on request."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[1]
_LOOP = """
import json, sys
scope = {}
for line in sys.stdin:
    result = None
    try:
        scope.pop("result", None)
        exec(json.loads(line), scope)
        answer = {"result": scope.get("result")}
    except BaseException as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
"""


def environment(directory: Path, **more: str) -> dict[str, str]:
    """The environment of a process that uses the store in `directory`."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "WORKBENCH_DIR": str(directory), "PYTHONPATH": path, **more}


def run(code: str, directory: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment(directory, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Process:
    """A living Python process that runs code when asked; what the code binds to ``result`` comes back.

    Use it as a context manager: it is killed at the end.
    """

    def __init__(self, directory: Path, *, via: Sequence[str] = (), **more: str) -> None:
        # `via`: what stands before the command, such as ``ip netns exec a``.
        self._process = subprocess.Popen(
            [*via, sys.executable, "-c", _LOOP],
            env=environment(directory, **more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def start(self, code: str) -> None:
        """Begin to run code; :meth:`finish` waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(textwrap.dedent(code)) + "\n")
        self._process.stdin.flush()

    def finish(self) -> Any:
        """Wait for the code and return its ``result``; raise if it failed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"process {self.pid} ended with {self._process.wait(10)}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def do(self, code: str) -> Any:
        """Run code and return its ``result``."""
        self.start(code)
        return self.finish()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill with SIGKILL and wait for the end."""
        self._process.kill()
        self._process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def completions(directory: Path, line: str) -> list[str]:
    """Return what ``workbench`` offers a shell at the end of a line (argcomplete's protocol), for a store."""
    answers = directory.parent / "answers"
    variables = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(answers)}
    point = {"COMP_LINE": line, "COMP_POINT": str(len(line))}
    command = [str(Path(sys.executable).with_name("workbench"))]
    subprocess.run(command, env=environment(directory, **variables, **point), timeout=60, check=True)
    return sorted(word.strip() for word in answers.read_text().splitlines())


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    """Switch off Python's garbage collector, as it is in effect in a process that is idle."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
