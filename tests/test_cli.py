"""The command line: real processes, their output and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from tests.processes import environment

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(store_directory: Path) -> Run:
    """Return a function that runs ``workbench`` on the test's store."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "workbench.cli", *words],
            env=environment(store_directory, COLUMNS="100"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_ls_shows_a_table_and_json(cli: Run) -> None:
    """What is in the store is listed for people and for programs."""
    assert cli("ls").stdout == "no objects\n"
    assert json.loads(cli("ls", "--json").stdout) == []
    ref = wb.put(np.arange(1000), "a\nb")
    table = cli("ls").stdout
    assert len(table.splitlines()) == 2 and r"a\nb" in table
    (found,) = json.loads(cli("ls", "--json").stdout)
    assert (found["id"], found["name"], found["nbytes"]) == (ref.id, "a\nb", ref.nbytes)
    assert json.loads(cli("ls", "x*", "--json").stdout) == []


def test_verbs_without_a_cluster(cli: Run) -> None:
    """Info, where, nodes, memory, holders, pin, doctor and delete work on the store of this host."""
    wb.put(np.arange(10), "x")
    assert "numpy.ndarray" in cli("info", "x").stdout
    assert len(json.loads(cli("where", "x", "--json").stdout)) == 1
    assert [node["state"] for node in json.loads(cli("nodes", "--json").stdout)] == ["local"]
    assert json.loads(cli("memory", "--json").stdout)["sealed"] > 0
    assert cli("holders").stdout == "no holders\n"
    assert cli("doctor").stdout == "nothing to report\n"
    assert json.loads(cli("doctor", "--json").stdout) == []
    assert cli("pin", "x").returncode == 0 and wb.info("x").pinned
    assert cli("delete", "x").returncode == 0 and not wb.exists("x")


def test_zombies_are_listed_with_who_keeps_them(cli: Run) -> None:
    """What is deleted, but still mapped, has its old name and a mark, and its bytes are in `memory`."""
    wb.put(np.arange(100_000), "x")
    array = wb.get("x")
    wb.delete("x")
    assert "x (deleted)" in cli("holders").stdout and str(os.getpid()) in cli("holders").stdout
    (zombie,) = json.loads(cli("holders", "--json").stdout)
    assert (zombie["pid"], zombie["name"], zombie["state"], zombie["object"]) == (os.getpid(), "x", "deleted", None)
    assert json.loads(cli("memory", "--json").stdout)["deleted"] == zombie["nbytes"] >= array.nbytes
    del array
    assert cli("holders").stdout == "no holders\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("info", "nope"), 1, "There is no object 'nope'"),
        (("move", "x", "--to", "y"), 1, "LocalCluster"),
        (("ls", "--directory", "/proc/1/workbench"), 1, "/proc/1/workbench"),
        (("ls", "--scheduler", "not an address"), 1, "not an address"),
        (("ls", "--sort", "colour"), 2, "invalid choice"),
        (("replicate", "x"), 2, "required"),
        (("fly",), 2, "invalid choice"),
        ((), 2, "VERB"),
    ],
)
def test_errors_are_a_message_and_an_exit_code(cli: Run, words: tuple[str, ...], code: int, message: str) -> None:
    """A failure is 1 and one line, a wrong call is 2 and how it is right; never a traceback."""
    wb.put(np.arange(10), "x")
    ended = cli(*words)
    assert ended.returncode == code
    assert ended.stdout == ""
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    if code == 1:
        assert len(ended.stderr.splitlines()) == 1 and ended.stderr.startswith("workbench: ")


def test_help_and_version(cli: Run) -> None:
    """The overview names each verb and fits a screen; the version is the package's."""
    shown = cli("--help").stdout
    assert all(
        f"  {verb} " in shown for verb in ("ls", "info", "where", "nodes", "move", "replicate", "drop", "doctor")
    )
    assert len(shown.splitlines()) <= 40
    assert "--to" in cli("move", "--help").stdout
    assert cli("--version").stdout == f"workbench {wb.__version__}\n"


def test_reader_that_leaves_early_is_no_error(store_directory: Path) -> None:
    """``workbench ls | head -1`` ends without a complaint."""
    for number in range(300):
        wb.put(number, f"object with a rather long name, to fill the pipe, number {number}")
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench.cli", "ls", "--json"],
        env=environment(store_directory),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    os.read(read, 1)
    os.close(read)
    _, complaint = process.communicate(timeout=60)
    assert complaint == ""
