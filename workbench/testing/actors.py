"""A process that does operations on a store when it is told to: the second one of the state machine, or one of another Python.

Covers both ends of the pipe, which carries lines of JSON: nothing is pickled, so that the other process may be of another version.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import workbench
from workbench.store import Store
from workbench.testing import operations
from workbench.testing.operations import Operation, Performer, State


class Actor:
    """Does operations in a process of its own; as a context manager, it is killed at the end.

    Parameters
    ----------
    python : path, optional
        The interpreter; this one's by default.
    environment : mapping, optional
        In addition to this process's.
    """

    def __init__(self, python: str | Path = sys.executable, environment: Mapping[str, str] | None = None) -> None:
        root = Path(workbench.__file__).parents[1]
        path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [str(python), "-c", f"from {__name__} import main; main()"],
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def open(self, directory: Path, **options: Any) -> None:
        """Open a store, closing the one before and letting go of what it holds."""
        self._ask("open", [str(directory), options])

    def close(self) -> None:
        """Close the store, and let go of what is held."""
        self._ask("close", None)

    def perform(self, operation: Operation) -> str | None:
        """Do an operation; see :meth:`Performer.perform`."""
        result: str | None = self._ask("perform", operation.to_json())
        return result

    def state(self) -> State:
        """Read and verify everything that the store has."""
        return {label: (tuple(names), pinned) for label, (names, pinned) in self._ask("state", None).items()}

    def verify_held(self) -> dict[str, str]:
        """Return what it holds, each byte verified again."""
        held: dict[str, str] = self._ask("verify_held", None)
        return held

    def begin(self, what: str, argument: Any) -> None:
        """Send a request without waiting for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([what, argument]) + "\n")
        self._process.stdin.flush()

    def finish(self) -> Any:
        """Wait for the answer to a request."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"actor {self.pid} ended with {self._process.wait(10)}")
        answer = json.loads(line)
        if "failed" in answer:
            raise AssertionError(f"in actor {self.pid}: {answer['failed']}")
        return answer["result"]

    def _ask(self, what: str, argument: Any) -> Any:
        self.begin(what, argument)
        return self.finish()

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def stop(self) -> None:
        """Kill it, and wait for its end."""
        self._process.kill()
        self._process.wait(30)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class _Servant:
    """The other end."""

    def __init__(self) -> None:
        self._performer: Performer | None = None

    def answer(self, what: str, argument: Any) -> Any:
        if what == "open":
            self.answer("close", None)
            directory, options = argument
            self._performer = Performer(Store.open(directory, **options))
        elif what == "close":
            if self._performer is not None:
                self._performer.held.clear()
                self._performer.store.close()
            self._performer = None
        elif self._performer is None:
            raise RuntimeError("no store is open")
        elif what == "perform":
            return self._performer.perform(Operation.from_json(argument))
        elif what == "state":
            return operations.state(self._performer.store)
        elif what == "verify_held":
            return self._performer.verify_held()
        return None


def main() -> None:
    """Answer one line of standard input after another."""
    servant = _Servant()
    for line in sys.stdin:
        try:
            answer = {"result": servant.answer(*json.loads(line))}
        except Exception as error:  # noqa: BLE001  # told to whoever asked
            answer = {"failed": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
