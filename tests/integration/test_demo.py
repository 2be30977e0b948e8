"""The demonstration starts everything that it promises, and stops without leaving anything."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.processes import ROOT, environment

SHM = Path("/dev/shm")


@pytest.fixture
def demo(memory_directory: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the demonstration as from a terminal, whose Ctrl-C reaches the whole process group."""
    config = {"JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench.jupyter.demo", "--no-browser"],
        cwd=ROOT,
        env=environment(memory_directory / "store", **config),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.stdout is not None
    process.stdout.close()


def read_until(output: IO[str], pattern: str) -> tuple[str, re.Match[str]]:
    """Read lines until one fits."""
    seen = ""
    for line in output:
        seen += line
        if found := re.search(pattern, line):
            return seen, found
    raise AssertionError(f"ended without {pattern!r}:\n{seen}")


def get(url: str, token: str) -> Any:
    """Ask JupyterLab."""
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_demo_runs_and_ends(demo: subprocess.Popen[str], memory_directory: Path, number: signal.Signals) -> None:
    """JupyterLab answers with a token, beside a cluster of two nodes; a signal ends all, and nothing is left."""
    assert demo.stdout is not None
    _, found = read_until(demo.stdout, r"(http://127\.0\.0\.1:\d+)(/lab/tree/notebooks/\S+)\?token=(\w+)")
    base, token = found[1], found[3]
    deadline = time.monotonic() + 30
    while len((state := get(f"{base}/workbench/api/state", token))["nodes"]) < 2:
        assert time.monotonic() < deadline, state
    assert state["cluster"]["state"] == "connected"
    workspace = get(f"{base}/lab/api/workspaces/default", token)
    assert workspace["data"]["layout-restorer:data"]["left"]["current"] == "workbench-panel"
    assert list(memory_directory.glob("workbench-demo-*"))

    read_until(demo.stdout, "Ctrl-C")
    if number == signal.SIGINT:
        os.killpg(demo.pid, number)
    else:
        demo.send_signal(number)
    rest = demo.stdout.read()
    assert demo.wait(30) == 0
    assert "Traceback" not in rest and "Stopped." in rest, rest
    assert list(memory_directory.iterdir()) == []
    with pytest.raises(OSError, match="refused"):
        get(f"{base}/api/status", token)


def test_demo_needs_a_checkout(tmp_path: Path) -> None:
    """Where there are no notebooks it says so in a line."""
    program = "import sys, workbench.jupyter.demo as demo; demo.NOTEBOOK = 'nowhere.ipynb'; sys.exit(demo.main([]))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("demo: There is no nowhere.ipynb")
