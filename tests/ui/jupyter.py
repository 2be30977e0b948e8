"""A JupyterLab of the tests: on a port and with a token that stay, so that it can be started again under an open page."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.processes import ROOT
from tests.ui.permits import Permits
from workbench.jupyter import demo

EVERYTHING = "read write execute"


def free_port() -> int:
    """Return a port that nobody has: not the demonstration's first one, which several JupyterLabs that start at once would all find free."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return int(probe.getsockname()[1])


class JupyterLab:
    """JupyterLab as the demonstration starts it, and a file that says what its user may do with the workbench.

    Parameters
    ----------
    root : Path
        The folder that it shows.
    permits : Path
    """

    def __init__(self, root: Path, permits: Path) -> None:
        self._root = root
        self._permits = permits
        self._private = tempfile.TemporaryDirectory(prefix="workbench-test-lab-")
        self._port = free_port()
        self._token = secrets.token_hex(24)
        self._environment = demo._environment(Path(self._private.name), self._token)
        self._lab: demo._Lab | None = None

    @property
    def url(self) -> str:
        """Where the first notebook is, with the token."""
        assert self._lab is not None
        return self._lab.url

    def at(self, path: str) -> str:
        """Where a page is, with the token."""
        return f"http://127.0.0.1:{self._port}/{path}?token={self._token}"

    def permit(self, actions: str) -> None:
        """Permit these actions on the workbench, and no others."""
        self._permits.write_text(actions)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = Path(self._private.name, "jupyterlab.log")
        kind = f"{Permits.__module__}.{Permits.__qualname__}"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*demo._command(self._root, self._port), f"--ServerApp.authorizer_class={kind}"],
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._lab = demo._Lab(process, self._port, self._token, log)
        self._lab._wait_until_ready()

    def end_kernels(self) -> None:
        """Shut all kernels down, with what they have mapped."""
        for session in self._ask("GET", "sessions"):
            self._ask("DELETE", f"sessions/{session['id']}")

    def _ask(self, method: str, path: str) -> Any:
        headers = {"Authorization": f"token {self._token}"}
        url = f"http://127.0.0.1:{self._port}/api/{path}"
        request = urllib.request.Request(url, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def stop(self) -> None:
        """Stop it with its kernels."""
        if self._lab is not None:
            self._lab._end()
            self._lab = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._private.cleanup()
