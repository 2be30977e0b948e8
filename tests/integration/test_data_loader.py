"""PyTorch's own DataLoader over shared objects: its workers are forked or spawned, and read what the parent put where it lies."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from workbench.session import Session
from workbench.testing import assert_consistent

torch = pytest.importorskip("torch", reason="PyTorch is not installed; CONTRIBUTING.md says how to run this test")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # each spawned worker imports PyTorch
    # From 3.12 on, Python warns of forks beside threads: that is what is tested here.
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning"),
]

ROWS, COLUMNS, BATCH, WORKERS, EPOCHS = 96, 4096, 8, 2, 3


def file_of(array: np.ndarray[Any, Any]) -> int:
    """Inode of the file that this process has mapped where the array lies; 0: the array is private memory."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        area, _, _, _, inode, *_ = line.split()
        start, stop = (int(limit, 16) for limit in area.split("-"))
        if start <= address < stop:
            return int(inode)
    raise AssertionError("an array lies in memory that is not mapped")


class Rows:
    """What a user writes: it is given a shared array, or a reference that each worker resolves when it needs it first."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> tuple[Any, int, int]:
        if isinstance(self.source, wb.Ref):
            self.source = wb.get(self.source)
        array: np.ndarray[Any, Any] = self.source
        assert not array.flags.writeable
        return torch.tensor(array[index]), os.getpid(), file_of(array)


@pytest.fixture
def session(store_directory: Path) -> Iterator[Session]:
    """The current session, which workers find by the environment."""
    with Session(store_directory, capacity=64 << 20) as opened:
        previous = wb.use_session(opened)
        yield opened
        wb.use_session(previous)


@pytest.fixture
def disturbance(session: Session) -> Iterator[None]:
    """A thread that puts and gets all the time: a fork may come while it holds any lock."""
    stop = threading.Event()
    failed: list[Exception] = []

    def disturb() -> None:
        turn = 0
        try:
            while not stop.is_set():
                turn += 1
                session.put(np.arange(turn % 5_000 + 10.0), "busy")
                assert session.get("busy")[-1] == turn % 5_000 + 9
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=disturb)
    thread.start()
    yield
    stop.set()
    thread.join()
    assert failed == []


@pytest.mark.parametrize(("method", "holds"), [("fork", "array"), ("fork", "reference"), ("spawn", "reference")])
def test_workers_read_the_array_where_it_lies(
    session: Session, disturbance: None, request: pytest.FixtureRequest, method: str, holds: str
) -> None:
    """Every row comes in every epoch, from the same segment in each worker, which is a holder as long as it lives; then nothing is left."""
    wanted = np.random.default_rng(7).random((ROWS, COLUMNS))
    ref = session.put(wanted, "rows")
    mine = session.get(ref)
    loader = torch.utils.data.DataLoader(
        Rows(mine if holds == "array" else ref),
        batch_size=BATCH,
        shuffle=True,
        num_workers=WORKERS,
        multiprocessing_context=method,
        persistent_workers=True,
        timeout=200,
    )
    pids: set[int] = set()
    for _ in range(EPOCHS):
        rows = []
        for batch, workers, files in loader:
            rows += batch.numpy().tolist()
            pids |= set(workers.tolist())
            assert set(files.tolist()) == {file_of(mine)}
        assert sorted(rows) == sorted(wanted.tolist())
    assert len(pids) == WORKERS and os.getpid() not in pids
    assert pids | {os.getpid()} == {holder.pid for holder in session.holders(ref)}
    del loader, batch, workers, files, mine
    gc.collect()
    assert session.holders(ref) == []
    assert_consistent(session.store)


def test_tensors_say_that_they_are_copied(store_directory: Path) -> None:
    """Alone, in containers and in modules; a tensor has its shape and dtype, and its array is shared."""
    del store_directory
    tensor = torch.zeros((300, 500))
    wb.put(tensor, "tensor")
    info = wb.info("tensor")
    assert (info.type, info.shape, info.dtypes) == ("torch.Tensor", (300, 500), {"": "torch.float32"})
    assert "tensor.numpy()" in info.notes[0]
    for value in ({"a": tensor}, torch.nn.Linear(300, 500)):
        (note,) = wb.info(wb.put(value)).notes
        assert note.startswith("58") and "are pickled" in note and "tensor.numpy()" in note
    wb.put(tensor.numpy(), "array")
    assert wb.info("array").notes == ()
    array = wb.get("array")
    with pytest.warns(UserWarning, match="not writable"):
        assert torch.from_numpy(array).data_ptr() == array.ctypes.data and file_of(array)
