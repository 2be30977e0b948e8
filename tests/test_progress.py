"""How far long work is: what is counted, and what somebody sees of it."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pexpect
import pytest

import workbench as wb
from tests.processes import environment
from workbench import archive, progress
from workbench.session import putting
from workbench.store import copying


class Seen:
    """A display that writes down what it is shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, float]] = []
        self.ended: list[tuple[str, bool]] = []
        self.left = 0.0
        self.interrupt = False

    def show(self, work: progress.Work) -> None:
        """Write down how far it is; or be somebody who presses Ctrl-C when he sees it."""
        self.shown.append((work.what, work.fraction))
        if self.interrupt:
            raise KeyboardInterrupt

    def end(self, work: progress.Work, *, failed: bool) -> None:
        """Write down how it ended."""
        self.ended.append((work.what, failed))
        self.left += 1 - work.fraction


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, store_directory: Path) -> Iterator[Seen]:
    """Somebody who sees every step at once, of small work, too."""
    del store_directory
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "_TURN", 0.0)
    monkeypatch.setattr(putting, "_LONG", 1)
    monkeypatch.setattr(copying, "_STEP", 4 << 20)
    monkeypatch.setattr(archive, "_PIECE", 1 << 20)
    display = Seen()
    previous = progress.show_with(display)
    yield display
    progress.show_with(previous)


ARRAY = np.arange(4 << 20, dtype="f8")  # 32 MiB, eight chunks


def twice() -> None:
    """Put into fresh memory, then into what is recycled."""
    for _ in range(2):
        wb.put(ARRAY, "x")
        wb.delete("x")


def saved(folder: Path) -> str:
    """A file with the array."""
    wb.put(ARRAY, "x")
    wb.save("x", folder / "x.wb")
    return str(folder / "x.wb")


def loaded(folder: Path) -> None:
    """Load it under another name."""
    wb.load(folder / "x.wb", "y")


def persisted() -> None:
    """Persist a frame of four partitions, without a cluster."""
    with dask.config.set(scheduler="sync"):
        dd.from_pandas(pd.DataFrame({"a": range(8)}), npartitions=4).persist_shared("frame")


@pytest.mark.parametrize(
    ("act", "what"),
    [
        (lambda _: twice(), ["put x", "put x"]),
        (lambda folder: loaded(folder) if saved(folder) else None, ["put x", "save x", "load {folder}/x.wb"]),
        (lambda _: persisted(), ["persist_shared"]),
    ],
    ids=["put", "files", "persist_shared"],
)
def test_long_work_is_shown_from_its_beginning_to_its_end(
    seen: Seen, tmp_path: Path, act: Callable[[Path], Any], what: list[str]
) -> None:
    """Putting, saving, loading and persisting tell how far they are: more each time, all of it at the end."""
    act(tmp_path)
    assert seen.ended == [(each.format(folder=tmp_path), False) for each in what]
    for each in {title for title, _ in seen.shown}:
        fractions = [fraction for title, fraction in seen.shown if title == each]
        assert 0 <= fractions[0] < 1 and len(set(fractions)) >= 3
        assert what.count(each) > 1 or fractions == sorted(fractions)
    assert seen.left == pytest.approx(0, abs=1e-3)


def test_ctrl_c_leaves_nothing(seen: Seen, tmp_path: Path) -> None:
    """Whoever interrupts a put, a save or a load in its middle has the store, and the folder, as they were."""
    file = saved(tmp_path)
    seen.interrupt = True
    for act in (
        lambda: wb.put(ARRAY, "new"),
        lambda: wb.save("x", tmp_path / "again.wb"),
        lambda: wb.load(file, "y"),
        persisted,
    ):
        with pytest.raises(KeyboardInterrupt):
            act()
        assert seen.ended[-1][1]
        assert [info.name for info in wb.ls(parts=True)] == ["x"]
        assert [path.name for path in tmp_path.iterdir()] == ["x.wb"]
        assert wb.memory().writing == 0
    seen.interrupt = False
    wb.put(ARRAY, "new")
    assert np.array_equal(wb.get("new"), ARRAY)


def test_work_within_work_is_not_shown(seen: Seen) -> None:
    """Who does several things sees one bar; where nobody looks, there is none."""
    with progress.working("all", 10) as work, progress.working("part", 10) as part:
        part.advance(5)
        work.advance(10)
    assert seen.shown == [("all", 1.0)]
    progress.show_with(None)
    with progress.working("unseen", 10) as work:
        work.advance(10)
    assert seen.ended == [("all", False)]


def test_short_work_is_not_shown(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over before somebody could read it has no bar."""
    monkeypatch.setattr(progress, "PATIENCE", 60.0)
    wb.put(ARRAY, "x")
    assert seen.shown == seen.ended == []


def test_line_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written over itself, says how far and how long yet, and is empty at the end; names are only text."""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    terminal = io.StringIO()
    previous = progress.show_with(progress.TerminalLine(terminal))
    with progress.working("put a\nb", 4 << 20) as work:
        work.advance(1 << 20)
    progress.show_with(previous)
    first, last = terminal.getvalue().split("\r")[1:]
    assert first.startswith("\x1b[K[#####...............] put a\\nb: 1.0 MiB of 4.0 MiB, ") and first.endswith(
        " s left"
    )
    assert last == "\x1b[K"


def test_what_is_counted_is_said_to_its_end() -> None:
    """What stays in a notebook says how many of how many there were; one is not many."""
    work = progress.Work("persist_shared", 6, "partition")
    assert work.text == "persist_shared: 0 of 6 partitions"
    work.reach(6)
    assert work.summary.startswith("persist_shared: 6 of 6 partitions in ")
    assert progress.Work("persist_shared", 1, "partition").text == "persist_shared: 0 of 1 partition"
    assert progress.Work("put x", 4 << 20).text == "put x: 0 B of 4.0 MiB"


_SCRIPT = """
import sys, threading
import numpy as np
import workbench as wb
from workbench import progress
from workbench.session import putting
progress.PATIENCE, progress._TURN, putting._LONG = 0.0, 0.0, 1
array = np.zeros(4 << 20)
def put(name):
    wb.put(array, name)
    wb.delete(name)
if sys.argv[1] == "thread":
    thread = threading.Thread(target=put, args=("x",))
    thread.start()
    thread.join()
else:
    put("x")
print("done")
"""


@pytest.mark.parametrize(
    ("argument", "setting", "is_shown"), [("main", "on", True), ("main", "off", False), ("thread", "on", False)]
)
def test_a_script_at_a_terminal_shows_its_long_work(
    store_directory: Path, argument: str, setting: str, is_shown: bool
) -> None:
    """As a line that is gone at the end; what other threads do, such as tasks of a worker, is not shown, and the setting turns it off."""
    command = [sys.executable, "-c", _SCRIPT, argument]
    variables = environment(store_directory, WORKBENCH_PROGRESS=setting)
    script = pexpect.spawn(command[0], command[1:], env=variables, encoding="utf-8", timeout=60)
    script.expect(pexpect.EOF)
    script.close()
    text = str(script.before)
    assert script.exitstatus == 0 and text.endswith("done\r\n")
    assert ("] put x: " in text) == is_shown
    if is_shown:
        assert text.endswith("\r\x1b[Kdone\r\n")
    piped = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=True)
    assert (piped.stdout, piped.stderr) == ("done\n", "")
