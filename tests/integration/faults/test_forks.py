"""Every way in which Python starts processes: what was mapped before stays readable, and the children use the store as anybody does."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from collections.abc import Iterator
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from workbench.session import Session
from workbench.testing import assert_consistent

# From 3.12 on, Python warns of forks beside threads: that is what is tested here.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning"),
]

ITEMS, NBYTES = 12, 200_000


def use_store(directory: str) -> None:
    """Begin a child: a fork server has the environment of the test that started it."""
    os.environ["WORKBENCH_DIR"] = directory


def total(key: Any) -> float:
    """What a child does: get, look, and put something of its own."""
    array = wb.get(key)
    assert not array.flags.writeable
    wb.put(array * 2, f"double {key.name}")
    return float(array.sum())


@pytest.fixture
def session(store_directory: Path) -> Iterator[Session]:
    """The current session, which children of any kind find by the environment."""
    with Session(store_directory, capacity=128 << 20) as opened:
        previous = wb.use_session(opened)
        yield opened
        wb.use_session(previous)


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def context(request: pytest.FixtureRequest) -> BaseContext:
    """One of the ways to start a process."""
    method: str = request.param
    return multiprocessing.get_context(method)


def test_children_get_and_put(session: Session, context: BaseContext) -> None:
    """A pool of processes gets what the parent put, and the parent what they put, while the parent holds views."""
    arrays = [np.full(NBYTES // 8, float(n)) for n in range(ITEMS)]
    refs = [session.put(array, f"{n}") for n, array in enumerate(arrays)]
    held = [session.get(ref) for ref in refs]
    with context.Pool(2, use_store, (str(session.store.directory),)) as pool:
        assert pool.map(total, refs) == [float(array.sum()) for array in arrays]
        pool.close()
        pool.join()
    for n, array in enumerate(arrays):
        assert (held[n] == array).all()
        assert (session.get(f"double {n}") == 2 * array).all()
    del held
    gc.collect()
    assert session.holders() == []
    assert session.store.doctor() == []
    assert_consistent(session.store)


class Dataset:
    """Like a PyTorch dataset: it holds references or mapped arrays, and hands out one item at a time."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __getitem__(self, index: int) -> Any:
        item = self.items[index]
        return wb.get(item) if isinstance(item, wb.Ref) else item


def serve(directory: str, dataset: Dataset, wanted: Any, answers: Any) -> None:
    """What a worker of a data loader does: an item for each index, until there is none."""
    use_store(directory)
    threading.Thread(target=sum, args=((),)).start()
    for index in iter(wanted.get, None):
        answers.put((index, os.getpid(), float(np.asarray(dataset[index]).sum())))


@pytest.mark.parametrize("hold", ["references", "arrays"])
@pytest.mark.parametrize("workers", [3])
def test_workers_of_a_data_loader(session: Session, context: BaseContext, hold: str, workers: int) -> None:
    """Workers that live long serve items from shared memory, started while the parent holds views and its threads put and get."""
    refs = [session.put(np.full(NBYTES // 8, float(n)), f"{n}") for n in range(ITEMS)]
    dataset = Dataset([session.get(ref) for ref in refs] if hold == "arrays" else list(refs))
    stop = threading.Event()

    def disturb() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            session.put(np.arange(turn % 5_000 + 10.0), "busy")
            assert session.get("busy")[-1] == turn % 5_000 + 9

    thread = threading.Thread(target=disturb)
    thread.start()
    wanted, answers = context.SimpleQueue(), context.SimpleQueue()
    arguments = (str(session.store.directory), dataset, wanted, answers)
    processes = [context.Process(target=serve, args=arguments) for _ in range(workers)]  # type: ignore[attr-defined]
    try:
        for process in processes:
            process.start()
        for epoch in range(3):
            for index in range(ITEMS):
                wanted.put((index + epoch) % ITEMS)
            found = {index: value for index, _, value in (answers.get() for _ in range(ITEMS))}
            assert found == {index: index * (NBYTES // 8) for index in range(ITEMS)}
    finally:
        stop.set()
        thread.join()
        for _ in processes:
            wanted.put(None)
        for process in processes:
            process.join(30)
            process.kill()
            process.join()
            process.close()
        wanted.close()
        answers.close()
    assert session.store.doctor() == []
    assert_consistent(session.store)
