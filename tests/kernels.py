"""Real kernels for tests: ipykernel processes, started and asked through jupyter_client as a notebook does it."""

from __future__ import annotations

import ast
import json
import os
import signal
import textwrap
from pathlib import Path
from typing import Any, Self

from jupyter_client.manager import KernelManager

from tests.processes import environment

_PATIENCE = 60.0


class CellError(Exception):
    """A cell ended in an error; `name` is the type of the error in the kernel, `lines` what a reader sees."""

    def __init__(self, name: str, value: str, lines: list[str]) -> None:
        super().__init__(f"{name}: {value}")
        self.name, self.value, self.lines = name, value, lines


class Kernel:
    """A living kernel that uses the store in `directory`; a context manager that ends it."""

    def __init__(self, directory: Path, notebook: str = "analysis.ipynb", **more: str) -> None:
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(env=environment(directory, JPY_SESSION_NAME=notebook, **more))
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=_PATIENCE)
        self.pid: int = self.value("__import__('os').getpid()")

    def run(self, cell: str) -> str:
        """Run a cell; return what it printed and showed as text.

        Raises
        ------
        CellError
            If the cell failed.
        """
        shown: list[str] = []

        def collect(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                shown.append(content["text"])
            elif message["msg_type"] in {"execute_result", "display_data"}:
                shown.append(content["data"]["text/plain"] + "\n")

        reply = self._client.execute_interactive(textwrap.dedent(cell), output_hook=collect, timeout=_PATIENCE)
        content = reply["content"]
        if content["status"] != "ok":
            raise CellError(content["ename"], content["evalue"], content["traceback"])
        return "".join(shown)

    def value(self, expression: str) -> Any:
        """Return the value of an expression that JSON can carry."""
        wanted = {"value": f"__import__('json').dumps({expression})"}
        reply = self._client.execute_interactive(
            "", silent=True, user_expressions=wanted, output_hook=lambda _message: None, timeout=_PATIENCE
        )
        found = reply["content"]["user_expressions"]["value"]
        if found["status"] != "ok":
            raise CellError(found["ename"], found["evalue"], found["traceback"])
        return json.loads(ast.literal_eval(found["data"]["text/plain"]))

    def complete(self, code: str) -> list[str]:
        """Return what the kernel offers behind `code`."""
        reply = self._client.complete(code, len(code), reply=True, timeout=_PATIENCE)
        return list(reply["content"]["matches"])

    def kill(self) -> None:
        """End the kernel with SIGKILL, as the kernel's death by memory would."""
        os.kill(self.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()


def pss(*pids: int) -> int:
    """Return the proportional set size of processes in bytes: a page that n processes map counts 1/n for each."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) << 10
    return total
