"""The benchmark for users: it says what it should, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from workbench import bench
from workbench.store import default_directory


def test_figures_and_nothing_left(store_directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each figure is a positive number, the large ones have a ratio to memcpy, and the directory is gone."""
    figures = bench.measure(1 << 20)
    assert [figure.what.partition(" of ")[0] for figure in figures] == [
        "memcpy",
        "first put",
        "put",
        "get",
        "get",
        "puts",
        "gets",
    ]
    assert all(figure.value > 0 for figure in figures)
    assert [figure.what for figure in figures if figure.ratio is not None] == [
        "first put of 1.0 MiB",
        "put of 1.0 MiB again",
    ]
    assert list(store_directory.parent.iterdir()) == []


def test_what_a_killed_run_left_is_removed(store_directory: Path) -> None:
    """Directories of dead processes go with the next run; those of living ones stay."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    start = default_directory().parent / f"workbench-{os.geteuid()}.bench-"
    left, used = Path(f"{start}{dead.pid}"), Path(f"{start}1")
    left.mkdir()
    used.mkdir()
    with bench._directory() as directory:
        assert sorted(default_directory().parent.iterdir()) == sorted([used, directory])
    shutil.rmtree(used)


def test_an_interrupted_run_leaves_nothing(store_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle: the store of the run is removed all the same."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "_frame", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.measure(1 << 20)
    assert list(store_directory.parent.iterdir()) == []
