"""The pool is made ready before it is needed, given back when it is not, and never in anybody's way."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.processes import Process
from tests.store.encoding import encoded, same
from workbench.store import Store, copying, segments
from workbench.store.upkeep import Upkeep

MIB = 1 << 20


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll, with a deadline."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ready(store: Store) -> list[int]:
    """Sizes of the free segments that this process can write to at the speed of memory."""
    kept = store.allocator.pool._kept.values()
    return sorted(warm.nbytes for warm in kept if warm.populated)


def allocated(directory: Path) -> int:
    """Bytes of memory that the store's segments take."""
    return sum(path.stat().st_blocks * 512 for path in directory.glob("*.segment"))


def test_warm_up_makes_a_first_put_like_a_repeated_one(store_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The put goes into memory that is there and mapped: nothing is allocated, nothing is written by system call."""
    with Store.open(store_directory, capacity=256 * MIB, warm=64 * MIB) as store:
        wait_until(lambda: ready(store) == [64 * MIB])
        assert allocated(store_directory) == 64 * MIB
        assert store.memory().pooled == 64 * MIB
        monkeypatch.setattr(segments, "pwrite", None)
        monkeypatch.setattr(copying, "fill", None)
        wanted = encoded(60 * MIB)
        store.put(wanted, "x")
        assert same(store.read("x"), wanted)
        assert allocated(store_directory) == 64 * MIB
        assert store.memory().used < 65 * MIB


@pytest.mark.parametrize("how", ["argument", "environment", "session"])
def test_warm_up_of_several_sizes(store_directory: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of sizes, however it is said; those that are there already are not made again."""
    from workbench.session import Session

    sizes: Sequence[str] | None = ["20 MiB", "8 MiB"]
    if how == "environment":
        monkeypatch.setenv("WORKBENCH_WARM", "20 MiB, 8 MiB")
        sizes = None
    if how == "session":
        with Session(store_directory, capacity=256 * MIB, warm=sizes) as session:
            wait_until(lambda: ready(session.store) == [8 * MIB, 20 * MIB])
        return
    with Store.open(store_directory, capacity=256 * MIB, warm=sizes) as store:
        wait_until(lambda: ready(store) == [8 * MIB, 20 * MIB])
        with Store.open(store_directory, warm="18 MiB") as other:
            done = threading.Event()
            other.background.do("test", lambda _: done.set())
            assert done.wait(30)
            assert ready(other) == []
        assert store.memory().pooled == 28 * MIB


def test_two_processes_that_warm_up_at_once_make_it_once(
    store_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each looked before the other one had begun."""
    monkeypatch.setattr(Upkeep, "_count", lambda *_: 0)
    with Store.open(store_directory, capacity=256 * MIB, warm=20 * MIB) as store:
        wait_until(lambda: ready(store) == [20 * MIB])
        with Store.open(store_directory, warm=20 * MIB) as other:
            done = threading.Event()
            other.background.do("test", lambda _: done.set())
            assert done.wait(30)
        assert store.memory().pooled == 20 * MIB


@pytest.mark.parametrize(("capacity", "ready_nbytes"), [("256 MiB", 32 * MIB), ("32 MiB", 4 * MIB)])
def test_worker_makes_an_eighth_ready(
    store_directory: Path, capacity: str, ready_nbytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for the store, and only where no setting says something else."""
    with Store.open(store_directory, capacity=capacity) as store:
        store.upkeep.warm_up_for_worker()
        monkeypatch.delenv("WORKBENCH_WARM")
        store.upkeep.warm_up_for_worker()
        wait_until(lambda: ready(store) == [ready_nbytes])
        with Store.open(store_directory) as other:
            other.upkeep.warm_up_for_worker()
            done = threading.Event()
            other.background.do("test", lambda _: done.set())
            assert done.wait(30)
        assert store.memory().pooled == ready_nbytes


def test_warm_up_takes_only_room_that_nobody_uses(store_directory: Path) -> None:
    """Beyond the capacity nothing is made ready, and nothing is given up for it."""
    with Store.open(store_directory, capacity=64 * MIB) as store:
        store.put(encoded(40 * MIB), "x")
        store.upkeep.warm_up([30 * MIB])
        done = threading.Event()
        store.background.do("test", lambda _: done.set())
        assert done.wait(30)
        assert store.memory().pooled == 0
        assert [info.name for info in store.ls()] == ["x"]


def slow_warm_up(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Make warming up stop in the middle; return what tells that it is there, and what lets it go on."""
    began, go_on = threading.Event(), threading.Event()
    allocate = copying.allocate

    def slow(file: object, target: object, is_stopped: Callable[[], bool], *, threads: int) -> None:
        began.set()
        while not go_on.wait(0.005) and not is_stopped():
            pass
        allocate(file, target, is_stopped, threads=threads)  # type: ignore[arg-type]

    monkeypatch.setattr(copying, "allocate", slow)
    return began, go_on


def test_put_does_not_wait_for_a_warm_up(store_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While memory is made ready, puts go into other memory; it is ready afterwards all the same."""
    began, go_on = slow_warm_up(monkeypatch)
    with Store.open(store_directory, capacity=256 * MIB, warm=64 * MIB) as store:
        assert began.wait(30)
        store.put(encoded(60 * MIB), "x")
        assert same(store.read("x"), encoded(60 * MIB))
        assert ready(store) == []
        go_on.set()
        wait_until(lambda: ready(store) == [64 * MIB])


def test_put_that_needs_the_room_ends_a_warm_up(store_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made ready is given up for what somebody really puts."""
    began, _ = slow_warm_up(monkeypatch)
    with Store.open(store_directory, capacity=100 * MIB, warm=64 * MIB) as store:
        assert began.wait(30)
        store.put(encoded(60 * MIB), "x")
        assert same(store.read("x"), encoded(60 * MIB))
        assert store.memory().used < 61 * MIB
        assert store.doctor() == []


def test_put_waits_for_the_warm_up_of_another_process_if_there_is_no_other_room(
    store: Store, store_directory: Path
) -> None:
    """It is over in a moment, and then its memory is the pool's, which is given up."""
    with Process(store_directory, WORKBENCH_WARM="200 MiB") as other:
        other.do(
            "import time\nfrom workbench.store import Store, copying\nallocate = copying.allocate\n"
            "def slow(*a, **k):\n    time.sleep(0.5); allocate(*a, **k)\ncopying.allocate = slow\nstore = Store.open()"
        )
        wait_until(lambda: store.memory().pooled > 0)
        store.put(encoded(150 * MIB), "x")
        assert same(store.read("x"), encoded(150 * MIB))


def test_process_that_dies_while_it_warms_up_leaves_a_free_segment(store: Store, store_directory: Path) -> None:
    """Half of it ready: it is used as any other free one, or given up."""
    with Process(store_directory, WORKBENCH_WARM="64 MiB") as other:
        other.do(
            "import os, signal\nfrom workbench.store import Store, copying\n"
            "copying._populate = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
        )
        with pytest.raises(RuntimeError, match="-9"):
            other.do("import time\nstore = Store.open()\ntime.sleep(60)")
    assert store.memory().pooled == 64 * MIB
    store.put(encoded(60 * MIB), "x")
    assert same(store.read("x"), encoded(60 * MIB))
    assert store.doctor() == []
    store.put(encoded(180 * MIB), "y")


def test_larger_warm_segment_serves_a_smaller_put(store_directory: Path) -> None:
    """It is cut to size, and a process that has it mapped at its old size neither sees nor suffers anything."""
    with Store.open(store_directory, capacity=256 * MIB, warm=64 * MIB) as store:
        wait_until(lambda: ready(store) == [64 * MIB])
        with Process(store_directory) as other:
            other.do(
                "from tests.store.encoding import encoded, same; from workbench.store import Store; store = Store.open()\n"
                "store.put(encoded(30 << 20), 'x')"
            )
            assert allocated(store_directory) == 30 * MIB
            assert same(store.read("x"), encoded(30 * MIB))
            gc.collect()
            store.delete("x")
            # The mapping that this process keeps is longer than the file now.
            for seed in range(4):
                store.put(encoded(30 * MIB - seed, seed=seed), "x")
                assert same(store.read("x"), encoded(30 * MIB - seed, seed=seed))
                gc.collect()
                if seed == 1:
                    store.delete("x")
                    assert store.allocator.free.empty() >= 1
            assert other.do("result = same(store.read('x'), encoded((30 << 20) - 3, seed=3))")
        assert store.memory().used < 65 * MIB


def test_much_larger_warm_segment_is_kept_for_better(store_directory: Path) -> None:
    """Cutting off most of it would cost more than writing to new memory."""
    with Store.open(store_directory, capacity=256 * MIB, warm=64 * MIB) as store:
        wait_until(lambda: ready(store) == [64 * MIB])
        store.put(encoded(2 * MIB), "x")
        assert store.memory().pooled == 64 * MIB


def test_pool_that_is_idle_is_given_back(store_directory: Path) -> None:
    """Free segments go when nobody used them for so long; what is mapped or in use stays."""
    with Store.open(store_directory, capacity=256 * MIB, pool_idle=0.2) as store:
        for name in ("x", "held", "kept"):
            store.put(encoded(10 * MIB), name)
        record = store.read("held")
        store.delete("x")
        store.delete("held")
        wait_until(lambda: store.memory().pooled == 0)
        assert allocated(store_directory) == 20 * MIB
        assert same(record, encoded(10 * MIB))
        del record
        gc.collect()
        wait_until(lambda: store.memory().used < 11 * MIB)
        assert same(store.read("kept"), encoded(10 * MIB))


def test_pool_that_is_in_use_is_kept(store_directory: Path) -> None:
    """With the default of minutes, or "never", a segment that was freed a moment ago is there for the next put."""
    for idle in (None, "never"):
        with Store.open(store_directory, capacity=256 * MIB, pool_idle=idle) as store:
            store.put(encoded(10 * MIB), "x")
            store.delete("x")
            store.upkeep.give_back()
            assert store.memory().pooled == 10 * MIB


def test_whoever_opens_the_store_gives_idle_memory_back(store_directory: Path) -> None:
    """A process that ended left a pool behind, and nobody is there whose thread could see to it."""
    with Store.open(store_directory, capacity=256 * MIB) as store:
        store.put(encoded(10 * MIB), "x")
        store.delete("x")
        store.catalog.execute_write("UPDATE segments SET freed = 1000", ())
    with Store.open(store_directory) as store:
        wait_until(lambda: store.memory().pooled == 0)


def test_descriptors_that_run_out_are_given_back_by_the_pool(store_directory: Path) -> None:
    """5,000 segments of 64 KiB mapped at once by a process that may open 256 files: every one is right, and puts go on."""
    with Process(store_directory) as small:
        small.do("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))")
        small.do(
            "from tests.store.encoding import encoded\nfrom workbench.store import Store\n"
            "store = Store.open(capacity='1 GiB')\nkinds = [encoded(64 << 10, seed=n) for n in range(7)]\n"
            "for number in range(5000):\n    store.put(kinds[number % 7], str(number))\n"
            "records = [store.read(str(number)) for number in range(5000)]"
        )
        assert small.do(
            "result = all(record.buffers[0] == kinds[n % 7].buffers[0] for n, record in enumerate(records))"
        )
        assert (
            small.do(
                "import os\nfor number in range(40):\n    store.put(encoded(2 << 20, seed=number), f'large{number}')\n"
                "for number in range(40):\n    store.delete(f'large{number}')\n"
                "store.put(encoded(2 << 20), 'more')\nresult = len(os.listdir('/proc/self/fd'))"
            )
            < 150
        )


def test_no_descriptor_left_is_a_clear_error_and_loses_nothing(store: Store, store_directory: Path) -> None:
    """When the process itself has opened all that it may, a put and a get say so, and go on when it has closed some."""
    store.put(encoded(100_000), "x")
    with Process(store_directory) as small:
        small.do(
            "import resource, os\nfrom tests.store.encoding import encoded, same\nfrom workbench.store import Store\n"
            "store = Store.open()\nfor n in range(3):\n    store.put(encoded(2 << 20), f'warm{n}')\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"
            "def exhaust():\n    taken = []\n    try:\n        while True: taken.append(os.open('/dev/null', os.O_RDONLY))\n"
            "    except OSError: return taken\n"
        )
        # The pool's own descriptors are given up first.
        small.do("taken = exhaust()")
        assert small.do("result = same(store.read('x'), encoded(100_000))")
        small.do("taken += exhaust()")
        for action, message in (
            ("store.read('x')", r"StoreError: .*cannot be mapped \(Too many open files\): close some files"),
            (
                "store.put(encoded(100_000), 'y')",
                r"StoreError: .*has opened as many files as it may \(ulimit -n: 100\)",
            ),
        ):
            with pytest.raises(RuntimeError, match=message):
                small.do("import gc; gc.collect()\n" + action)
        small.do("for fd in taken: os.close(fd)")
        assert small.do("store.put(encoded(100_000), 'y'); result = same(store.read('x'), encoded(100_000))")
    assert same(store.read("y"), encoded(100_000))
    assert store.doctor() == []
