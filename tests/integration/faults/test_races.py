"""Readers that race with recycling: by chance, hundreds of thousands of times, and at every line of a get, on purpose."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.integration.faults.scenes import SCENES
from tests.integration.faults.zygote import count_lines
from tests.processes import Process
from tests.store.encoding import encoded
from tests.store.test_processes import wait_until
from workbench.errors import ObjectNotFoundError
from workbench.store import Store
from workbench.testing import Actor, Model, Operation, inconsistencies, operations
from workbench.testing.operations import Performer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RACES = int(os.environ.get("WORKBENCH_RACES") or 0)
"""Iterations that must be reached, however long that takes; without it, a million, if some seconds allow that."""
SECONDS = 20.0
PATIENCE = 300.0
"""Seconds that another process may take to start, on a machine that does much else."""
PLACES = 10_000 if RACES else 60
"""Lines of a step at which its process is made to stand still."""

WRITER = """
from tests.store.encoding import encoded
from workbench.store import Store
store = Store.open()
objects = [encoded({nbytes}, seed=n, header=b'%d' % n) for n in range(5)]
turn = 0
while not os.path.exists({stop!r}):
    for n in (0, 1, 2, 3, 4):
        store.put(objects[n], 'x')
        turn += 1
    store.delete('x')
result = turn
"""


@pytest.mark.parametrize(("nbytes", "share"), [(4096, 1.0), (70_000, 0.2)])
def test_reader_that_races_with_recycling_never_sees_a_wrong_byte(
    store_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nbytes: int, share: float
) -> None:
    """One process puts, rebinds and deletes, recycling the same few segments; whatever another one gets is whole, or not found."""
    monkeypatch.setenv("WORKBENCH_INLINE", "0")
    wanted = {b"%d" % n: bytes(encoded(nbytes, seed=n).buffers[0]) for n in range(5)}
    with Store.open(store_directory, capacity=64 << 20) as store, Process(store_directory) as writer:
        writer.start("import os\n" + WRITER.format(nbytes=nbytes, stop=str(tmp_path / "stop")))
        started = time.monotonic()
        while not store.exists("x"):
            assert time.monotonic() < started + PATIENCE, "the writer has not begun"
            time.sleep(0.01)
        found = missing = 0
        deadline = time.monotonic() + SECONDS * share
        while found + missing < (RACES or 1_000_000) * share and (RACES or time.monotonic() < deadline):
            try:
                record = store.read("x")
                found += 1
            except ObjectNotFoundError:
                missing += 1
                continue
            assert bytes(record.buffers[0]) == wanted[record.header]
            del record  # so that the next one opens, locks and maps anew
        (tmp_path / "stop").touch()
        rebound = writer.finish()
        print(f"{found} objects found, {missing} not, among {rebound} puts")
        assert found > 1000
        assert rebound > 1000
        assert store.doctor() == []


def at_each_line(deed: Callable[[], object], meanwhile: Callable[[], None], line: int) -> int:
    """Do something, with something else before its n-th line in the store's code; return how many lines it has."""
    lines = 0

    def step(_: object) -> None:
        nonlocal lines
        lines += 1
        if lines == line:
            sys.settrace(None)
            meanwhile()

    sys.settrace(count_lines(step))
    try:
        deed()
    finally:
        sys.settrace(None)
    return lines


def test_get_with_recycling_before_any_of_its_lines(store: Store, store_directory: Path) -> None:
    """Wherever a reader is when another process deletes its object and recycles the segment, it gets all of it, or nothing."""
    reader = Performer(store)
    with Actor() as other:
        other.open(store_directory)

        def replace(turn: int) -> None:
            other.perform(Operation("delete", key="x"))
            for n in range(2):
                other.perform(Operation("put", name=f"after {n}", label=f"after {turn} {n}", sizes=(100_000,)))

        def hold() -> None:
            answers.append(reader.perform(Operation("hold", key="x")))

        line, lines = 0, 1
        answers: list[str | None] = []
        while line <= lines:
            line += 1
            other.perform(Operation("put", name="x", label=f"before {line}", sizes=(100_000,)))
            lines = max(lines, at_each_line(hold, partial(replace, line), line))
            assert reader.verify_held() in ({}, {"x": f"before {line}"})
            assert answers[-1] in (f"before {line}", "error: object-not-found")
            reader.held.clear()
            if other.perform(Operation("read", key="x")) == f"before {line}":
                other.perform(Operation("delete", key="x"))
        other.close()
    assert f"before {line - 1}" in answers
    assert "error: object-not-found" in answers
    assert len(answers) > 20


def others_go_on(store: Store, other: Actor, possible: Sequence[operations.State], written: list[int]) -> None:
    """Let another process use the store while this one stands still."""
    assert other.state() in possible
    if store.catalog._transactions.running:
        return  # only one process at a time writes
    written.append(len(written))
    put = Operation("put", name="other", label=f"other {len(written)}", sizes=(50_000,))
    for operation in (put, Operation("doctor"), Operation("delete", key="other")):
        assert other.perform(operation) is None


@pytest.mark.parametrize(
    "name",
    [
        "put of a small object that takes a name",
        "put into a fresh large segment",
        "put into a recycled segment",
        "put into a recycled large segment",
        "put that takes a name",
        "put of what lies there already",
        "delete",
        "delete that gives the segment back",
        "doctor",
    ],
)
def test_others_go_on_whichever_line_a_writer_stands_at(
    name: str, store_directory: Path, monkeypatch: pytest.MonkeyPatch, source: random.Random
) -> None:
    """Another process reads all of what was there before or is there after; between two transactions it also puts, deletes and looks for damage."""
    scene = SCENES[name]
    for setting, value in scene.settings.items():
        monkeypatch.setenv(setting, value)
    with Store.open(store_directory, capacity=64 << 20) as store, Actor() as other:
        other.open(store_directory)
        performer = Performer(store)
        written: list[int] = []

        def play(line: int) -> int:
            model = Model()
            for operation in scene.before(f"{line}"):
                assert other.perform(operation) == model.perform(operation)
            deed, then = scene.deed(f"{line}"), model.copy()
            then.perform(deed)
            goes_on = partial(others_go_on, store, other, (model.state(), then.state()), written)
            lines = at_each_line(partial(performer.perform, deed), goes_on, line)
            assert other.state() == operations.state(store) == then.state()
            assert inconsistencies(store) == []
            for label in then.state():
                other.perform(Operation("delete", key=f"#{label}"))
            return lines

        lines = play(0)
        for line in sorted(source.sample(range(1, lines + 1), min(lines, PLACES))):
            play(line)
        other.close()
    assert written


STOP = """
import os, signal
from workbench.store import Store, spilled_files
store = Store.open()
copy = spilled_files.copy
def half(source, target, nbytes):
    copy(source, target, nbytes // 2)
    os.kill(os.getpid(), signal.SIGSTOP)
    copy(source, target, nbytes)
spilled_files.copy = half
"""


@pytest.mark.parametrize("goes_on", [True, False], ids=["continued", "killed"])
def test_others_go_on_while_a_spiller_stands_still(
    store_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goes_on: bool
) -> None:
    """With half of an object's copy on disk, others read, put, spill and delete; the spiller ends what it began, or leaves nothing."""
    monkeypatch.setenv("WORKBENCH_SPILL_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("WORKBENCH_RESTORE_AFTER", "never")
    with Store.open(store_directory, capacity=64 << 20) as store:
        performer, model = Performer(store), Model()
        for name in ("x", "y"):
            put = Operation("put", name=name, label=name, sizes=(500_000,))
            assert performer.perform(put) == model.perform(put)
        with Process(store_directory) as spiller:
            spiller.do(STOP)
            spiller.start("store.spill('x')")
            stat = Path(f"/proc/{spiller.pid}/stat")
            wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
            for operation in (
                Operation("spill", key="y"),
                Operation("put", name="z", label="z", sizes=(500_000,)),
                Operation("read", key="x"),
                Operation("delete", key="z"),
                Operation("doctor"),
            ):
                assert performer.perform(operation) == model.perform(operation)
            if goes_on:
                spiller.signal(signal.SIGCONT)
                spiller.finish()
                assert store.info("x").replicas[0].state == "disk"
        store.doctor()
        assert operations.state(store) == model.state()
        assert inconsistencies(store) == []
