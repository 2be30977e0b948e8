"""The demonstration: ``python -m workbench.jupyter.demo`` (``make demo``) starts a cluster of two nodes and JupyterLab beside it.

Covers starting and stopping. Everything lies in directories of its own that go when it stops: the user's own store, layout and
settings of JupyterLab stay as they are. What is shown is ``notebooks/01-share-a-dataframe.ipynb``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from workbench.errors import WorkbenchError
from workbench.store import default_directory

__all__ = ["main"]

NOTEBOOK = "notebooks/01-share-a-dataframe.ipynb"
_PATIENCE = 60.0
"""Seconds until JupyterLab must answer."""
_FAREWELL = 10.0
"""Seconds that JupyterLab has to stop its kernels."""

# What JupyterLab would have saved if somebody had opened the panel (packages/application/src/layoutrestorer.ts).
_LAYOUT = {
    "layout-restorer:data": {
        "main": {"dock": None},
        "left": {"collapsed": False, "visible": True, "current": "workbench-panel", "widgets": ["workbench-panel"]},
        "right": {"collapsed": True, "visible": True, "widgets": []},
        "relativeSizes": [0.3, 0.7, 0],
    }
}
_QUIET = {"@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false"}}


def main(argv: Sequence[str] | None = None) -> int:
    """Start everything, wait for Ctrl-C, and stop everything.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after the program's name; those of the process if None.

    Returns
    -------
    int
        The exit code.
    """
    args = _parse(argv)
    root = _find_root()
    if root is None:
        return _fail(f"There is no {NOTEBOOK} here. Run the demonstration in a checkout of the workbench.")
    signal.signal(signal.SIGTERM, _stop)
    try:
        with contextlib.ExitStack() as stack:
            store = stack.enter_context(_own_store())
            _start_cluster(stack)
            lab = stack.enter_context(_Lab.start(root, args.port))
            _say(
                f"\n    {lab.url}\n\nPress Ctrl-C here to stop everything; nothing is left behind. The store is {store}."
            )
            if args.browser:
                webbrowser.open(lab.url)
            return lab.wait()
    except KeyboardInterrupt:
        _say("Stopped.")
        return 0
    except (WorkbenchError, _LabError) as error:
        return _fail(str(error))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m workbench.jupyter.demo",
        description="Start a two-node cluster and JupyterLab with the first notebook.",
    )
    parser.add_argument("--no-browser", dest="browser", action="store_false", help="only print the URL")
    parser.add_argument("--port", type=int, help="port of JupyterLab (default: the first free one from 8888 on)")
    return parser.parse_args(argv)


def _find_root() -> Path | None:
    return next((root for root in (Path.cwd(), Path(__file__).parents[2]) if (root / NOTEBOOK).exists()), None)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # a program for a terminal


def _fail(message: str) -> int:
    print(f"demo: {message}", file=sys.stderr)  # noqa: T201
    return 1


@contextlib.contextmanager
def _own_store() -> Iterator[Path]:
    """Give the demonstration a store beside the user's own, for every process that it starts."""
    parent = default_directory().parent
    _sweep(parent)
    directory = Path(tempfile.mkdtemp(prefix=f"workbench-demo-{os.getpid()}-", dir=parent))
    os.environ |= {"WORKBENCH_DIR": str(directory / "store"), "WORKBENCH_NAMESPACE": "default"}
    try:
        yield directory / "store"
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what demonstrations left that were killed; their process id is in the name."""
    for path in parent.glob("workbench-demo-*-*"):
        pid = path.name.split("-")[2]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(path, ignore_errors=True)


def _start_cluster(stack: contextlib.ExitStack) -> None:
    from workbench.cluster.local import LocalCluster

    _say("Starting a cluster of two nodes and JupyterLab ...")
    # Ctrl-C reaches every process of the terminal. The workers are stopped by us, so they inherit that it is ignored.
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stack.enter_context(LocalCluster(nodes=2, dashboard_address=":0"))
    finally:
        signal.signal(signal.SIGINT, heard)


class _LabError(Exception):
    """JupyterLab did not start; the message has the end of its log."""


class _Lab:
    """A JupyterLab with a token, on the loopback interface, with the panel open."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, token: str, log: Path) -> None:
        self._process = process
        self._base = f"http://127.0.0.1:{port}"
        self._token = token
        self._log = log

    @property
    def url(self) -> str:
        """Where the notebook is."""
        return f"{self._base}/lab/tree/{NOTEBOOK}?token={self._token}"

    @classmethod
    @contextlib.contextmanager
    def start(cls, root: Path, port: int | None) -> Iterator[_Lab]:
        """Start it, wait until it answers, and stop it with its kernels at the end.

        Raises
        ------
        _LabError
        """
        with tempfile.TemporaryDirectory(prefix="workbench-demo-") as private:
            token, chosen = secrets.token_hex(24), port or _free_port()
            log = Path(private, "jupyterlab.log")
            with log.open("wb") as output:
                # In a session of its own: Ctrl-C is ours, and JupyterLab would ask whether it is meant.
                process = subprocess.Popen(  # noqa: S603  # a fixed program
                    _command(root, chosen),
                    env=_environment(Path(private), token),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            lab = cls(process, chosen, token, log)
            try:
                lab._wait_until_ready()
                yield lab
            finally:
                lab._end()

    def wait(self) -> int:
        """Wait until JupyterLab ends by itself; somebody may shut it down in its menu."""
        return self._process.wait()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        headers = {"Authorization": f"token {self._token}"}
        request = urllib.request.Request(f"{self._base}/api/status", headers=headers)  # noqa: S310  # http, our own
        while True:
            try:
                with urllib.request.urlopen(request, timeout=5):  # noqa: S310  # likewise
                    return
            except (urllib.error.URLError, OSError):
                ended = self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    lines = self._log.read_text(errors="replace").splitlines()[-15:]
                    how = "ended" if ended else f"did not answer within {_PATIENCE:.0f} s"
                    raise _LabError("\n".join([f"JupyterLab {how}. The end of its log:", *lines])) from None
                time.sleep(0.1)

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _free_port() -> int:
    for port in (*range(8888, 8908), 0):
        with contextlib.suppress(OSError), contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise _LabError("No port of 127.0.0.1 is free.")


def _command(root: Path, port: int) -> list[str]:
    options = [
        "--no-browser",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}",
    ]
    if os.geteuid() == 0:
        options.append("--ServerApp.allow_root=True")  # in a container
    return [sys.executable, "-m", "jupyterlab", *options]


def _environment(private: Path, token: str) -> dict[str, str]:
    """Write JupyterLab's layout and settings into a private directory, so that the user's own stay as they are."""
    from jupyterlab.commands import get_user_settings_dir
    from jupyterlab_server.workspaces_handler import WorkspacesManager

    workspaces, settings = private / "workspaces", private / "settings"
    workspaces.mkdir()
    manager = WorkspacesManager(str(workspaces))
    manager.save("default", json.dumps({"data": _LAYOUT, "metadata": {"id": "default"}}))
    own = Path(get_user_settings_dir())
    if own.is_dir():
        shutil.copytree(own, settings)
    for name, content in _QUIET.items():
        path = settings / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
    return {
        **os.environ,
        "JUPYTER_TOKEN": token,
        "JUPYTERLAB_WORKSPACES_DIR": str(workspaces),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
    }


if __name__ == "__main__":
    sys.exit(main())
