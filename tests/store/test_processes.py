"""Several processes on one store: crashes, forks, stopped writers, threads, racing readers."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Process, run
from tests.store.encoding import encoded, same
from workbench.errors import ObjectNotFoundError
from workbench.store import Store, directory

MIB = 1 << 20

SETUP = """
import os, signal
from tests.store.encoding import encoded, same
from workbench.store import Store
from workbench.store import allocation, segments, writing as module
store = Store.open()
def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)
"""

# Where a put of a large object can be killed: what is replaced by death, in the order of steps.
STEPS = {
    "after the file was made": "segments.create = (lambda make: lambda path: (make(path), die()))(segments.create)",
    "after the reservation": "allocation.Allocator.write = die",
    "in the middle of writing": (
        "def half(file, pieces, offsets):\n    os.pwrite(file.fileno(), b'x' * 1_000_000, 0)\n    die()\nsegments.pwrite = half"
    ),
    "after writing": "module.Writer.seal_all = die",
    "within the sealing transaction": (
        "seal = allocation.Allocator.seal\n"
        "def then_die(*args):\n    seal(*args)\n    die()\nallocation.Allocator.seal = then_die"
    ),
}


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.mark.parametrize("step", STEPS)
def test_writer_that_dies_leaves_nothing_visible_and_nothing_behind(
    store: Store, store_directory: Path, step: str
) -> None:
    """After a kill -9 at any step of a put, the store has what it had, and the next opener reclaims the bytes."""
    wanted = encoded(MIB)
    store.put(wanted, "x")
    used = store.memory().used
    done = run(f"{SETUP}\n" + STEPS[step] + "\nstore.put(encoded(5_000_000, seed=7), 'x')", store_directory)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert same(store.read("x"), wanted)
    with Store.open(store_directory) as other:
        assert other.memory().used == used
        assert len(list(store_directory.glob("*.segment"))) == 1
        assert [info.name for info in other.ls()] == ["x"]
        assert other.doctor() == []


@pytest.mark.parametrize("step", ["after the reservation", "after writing", "within the sealing transaction"])
def test_writer_that_dies_in_a_recycled_segment_leaves_nothing(store: Store, store_directory: Path, step: str) -> None:
    """The same when the segment came from the pool."""
    store.put(encoded(5_000_000), "x")
    store.delete("x")
    done = run(f"{SETUP}\n" + STEPS[step] + "\nstore.put(encoded(5_000_000, seed=7), 'x')", store_directory)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert store.ls() == []
    store.doctor()
    assert store.memory().used == 0
    assert list(store_directory.glob("*.segment")) == []


def test_full_store_reclaims_a_dead_writers_bytes(store: Store, store_directory: Path) -> None:
    """Who needs room finds what a dead writer reserved, without anybody calling the doctor."""
    done = run(f"{SETUP}\nallocation.Allocator.write = die\nstore.put(encoded(200 << 20))", store_directory)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert store.memory().writing >= 200 * MIB
    store.put(encoded(100 * MIB), "x")


def test_living_writer_is_not_reclaimed(store: Store, store_directory: Path) -> None:
    """A writer that is stopped in mid-put keeps its reservation, others go on, and its put succeeds in the end."""
    with Process(store_directory) as writer:
        writer.do(SETUP)
        writer.do(
            "original = segments.pwrite\ndef slow(*a):\n    os.kill(os.getpid(), signal.SIGSTOP); original(*a)\nsegments.pwrite = slow"
        )
        writer.start("store.put(encoded(5_000_000, seed=7), 'slow')")
        wait_until(lambda: store.memory().writing > 0)
        assert store.doctor() == []
        wanted = encoded(MIB)
        store.put(wanted, "x")
        assert same(store.read("x"), wanted)
        assert not store.exists("slow")
        writer.signal(signal.SIGCONT)
        writer.finish()
        assert same(store.read("slow"), encoded(5_000_000, seed=7))


def test_reader_keeps_what_it_has_when_the_writer_is_killed(store: Store, store_directory: Path) -> None:
    """An object outlives the process that put it, for those who have it and for those who come later."""
    with Process(store_directory) as writer:
        writer.do(SETUP + "store.put(encoded(5_000_000, seed=7), 'x')")
        early = store.read("x")
        writer.kill()
    assert same(early, encoded(5_000_000, seed=7))
    with Process(store_directory) as reader:
        assert reader.do(SETUP + "result = same(store.read('x'), encoded(5_000_000, seed=7))")


def test_holders_names_every_process_and_forgets_the_dead(store: Store, store_directory: Path) -> None:
    """A lease is listed with pid, kind, label, time and bytes, until its process is killed."""
    store.put(encoded(MIB), "x")
    before = time.time()
    with Process(store_directory) as reader:
        reader.do(SETUP + "store.set_process('kernel', 'analysis.ipynb'); record = store.read('x')")
        (holder,) = store.holders("x")
        assert (holder.pid, holder.kind, holder.label, holder.name) == (reader.pid, "kernel", "analysis.ipynb", "x")
        assert before <= holder.since <= time.time()
        assert holder.nbytes >= MIB
        store.delete("x")
        (zombie,) = store.holders()
        assert (zombie.pid, zombie.object, zombie.name, zombie.state) == (reader.pid, None, "x", "deleted")
        assert store.memory().deleted >= MIB
        reader.kill()
    assert store.holders() == []
    assert store.memory().deleted == 0
    assert len(list(store_directory.glob("holder-*"))) <= 2


def test_fork_keeps_reading_and_gets_its_own_connections(store: Store) -> None:
    """A forked child reads what it inherited, reads and puts anew, and its end frees nothing of the parent's."""
    wanted = encoded(MIB)
    store.put(wanted, "x")
    store.put(encoded(4 * MIB), "warm")
    store.delete("warm")
    inherited = store.read("x")
    pid = os.fork()
    if pid == 0:
        ok = False
        try:
            ok = same(inherited, wanted) and same(store.read("x"), wanted)
            for seed in range(3):
                store.put(encoded(4 * MIB, seed=seed), f"child-{seed}")
                ok = ok and same(store.read(f"child-{seed}"), encoded(4 * MIB, seed=seed))
        finally:
            os._exit(0 if ok else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert same(inherited, wanted)
    for seed in range(3):
        assert same(store.read(f"child-{seed}"), encoded(4 * MIB, seed=seed))
    assert [holder.pid for holder in store.holders("x")] == [os.getpid()]


def test_threads_share_one_store(store: Store) -> None:
    """Puts, reads and deletes from several threads at once keep every object intact."""
    failures: list[str] = []

    def work(number: int) -> None:
        for turn in range(30):
            wanted = encoded((turn % 3) * 40_000 + 100, MIB if turn % 5 == 0 else 0, seed=number * 100 + turn)
            store.put(wanted, f"{number}")
            if not same(store.read(f"{number}"), wanted):
                failures.append(f"{number} {turn}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(store.ls()) == 4


def test_racing_reader_sees_whole_objects_only(store: Store, store_directory: Path) -> None:
    """While another process rebinds a name thousands of times, recycling its segments, a reader never sees a mixture."""
    store.put(encoded(200_000, seed=0, header=b"0"), "x")
    with Process(store_directory) as writer:
        writer.start(
            SETUP + "objects = [encoded(200_000, seed=n, header=b'%d' % n) for n in range(4)]\n"
            "for turn in range(3000):\n    store.put(objects[turn % 4], 'x')\nresult = turn"
        )
        wanted = [encoded(200_000, seed=number, header=b"%d" % number) for number in range(4)]
        turns = 0
        finished: list[int] = []
        waiter = threading.Thread(target=lambda: finished.append(writer.finish()))
        waiter.start()
        while waiter.is_alive():
            record = store.read("x")
            assert same(record, wanted[int(record.header)])
            turns += 1
        waiter.join()
    assert finished == [2999]
    assert turns > 20
    del record
    gc.collect()
    store.doctor()
    assert store.memory().writing == 0


def test_reader_of_an_object_that_goes_gets_an_error_or_all_of_it(store: Store, store_directory: Path) -> None:
    """A name that is deleted and put again is either there, complete, or not found."""
    with Process(store_directory) as writer:
        writer.start(
            SETUP + "o = encoded(100_000, seed=3)\n"
            "for turn in range(1500):\n    store.put(o, 'x'); store.delete('x')\nresult = turn"
        )
        waiter = threading.Thread(target=writer.finish)
        waiter.start()
        found = missing = 0
        while waiter.is_alive():
            try:
                assert same(store.read("x"), encoded(100_000, seed=3))
                found += 1
            except ObjectNotFoundError:
                missing += 1
        waiter.join()
    assert found + missing > 20


def test_many_processes_open_a_new_store_at_once(store_directory: Path) -> None:
    """Whoever is first makes the catalog; all share it."""
    processes = [Process(store_directory) for _ in range(4)]
    try:
        for number, process in enumerate(processes):
            process.start(SETUP + f"store.put(encoded(100_000, seed={number}), 'n{number}'); result = store.id")
        assert len({process.finish() for process in processes}) == 1
        with Store.open(store_directory) as store:
            assert sorted(store.names()) == ["n0", "n1", "n2", "n3"]
    finally:
        for process in processes:
            with process:
                pass


def test_living_process_puts_on_after_another_died_with_a_new_file(store: Store, store_directory: Path) -> None:
    """The number of a dead process's file is used again by those that live on, without anybody calling the doctor."""
    done = run(
        f"{SETUP}\n" + STEPS["after the file was made"] + "\nstore.put(encoded(5_000_000), 'x')", store_directory
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    for seed in range(3):
        wanted = encoded(5_000_000, seed=seed)
        store.put(wanted, str(seed))
        assert same(store.read(str(seed)), wanted)


def test_reader_never_takes_a_half_recycled_segment_for_its_object(store: Store, store_directory: Path) -> None:
    """A reader that was stopped between opening a file and locking it finds no object when the file was recycled meanwhile."""
    store.put(encoded(5_000_000, seed=1), "x")
    with Process(store_directory) as reader:
        reader.do(
            SETUP + "import fcntl\nlock = fcntl.flock\n"
            "def late(*a):\n    fcntl.flock = lock; os.kill(os.getpid(), signal.SIGSTOP); lock(*a)\n"
            "fcntl.flock = late"
        )
        reader.start(
            "try:\n    result = same(store.read('x'), encoded(5_000_000, seed=1))\n"
            "except KeyError:\n    result = 'not found'"
        )
        wait_until(lambda: Path(f"/proc/{reader.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        store.delete("x")
        done = run(
            f"{SETUP}\nfrom workbench.store import copying\n"
            "def half(destination, source, *, populate):\n    destination[: len(source) // 2] = 0; die()\n"
            "copying._copy_span = half\nstore.put(encoded(5_000_000, seed=2), 'y')",
            store_directory,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        reader.signal(signal.SIGCONT)
        assert reader.finish() == "not found"


def test_forked_child_outlives_its_parents_store(store_directory: Path) -> None:
    """When the parent closes its store, the child still sees what others put, and takes nothing for an orphan."""
    parent = Store.open(store_directory, capacity=64 * MIB)
    parent.put(encoded(100_000), "before")
    ask, answer = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.read(ask[0], 1)
            found = parent.doctor()
            parent.put(encoded(100_000, seed=9), "child")
            os.write(answer[1], f"{sorted(parent.names())} {found}".encode())
        finally:
            os._exit(0)
    parent.close()
    with Store.open(store_directory) as other:
        for seed in range(3):
            other.put(encoded(100_000, seed=seed), f"other{seed}")
        os.write(ask[1], b"x")
        assert os.waitpid(pid, 0)[1] == 0
        said = os.read(answer[0], 1000).decode()
        assert said == "['before', 'child', 'other0', 'other1', 'other2'] []"
        for seed in range(3):
            assert same(other.read(f"other{seed}"), encoded(100_000, seed=seed))
        assert same(other.read("child"), encoded(100_000, seed=9))
    for descriptor in (*ask, *answer):
        os.close(descriptor)


def test_fork_waits_for_a_put_in_another_thread(store: Store) -> None:
    """A process that forks while a thread writes gets a child that can write as well."""
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            store.put(encoded(2000), "thread")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(10):
            pid = os.fork()
            if pid == 0:
                store.put(encoded(2000), f"child{number}")
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        thread.join()
    assert len(store.ls("child*")) == 10


def test_who_reads_while_another_thread_forks_waits_for_it(store: Store) -> None:
    """What is closed for the moment of a fork is not closed for the other threads: they go on as soon as it is open again."""
    wanted = encoded(100_000)
    store.put(wanted, "x")
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(same(store.read("x"), wanted)))
    store.suspend()
    try:
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    finally:
        store.resume()
    thread.join(30)
    assert found == [True]


def test_fork_waits_for_a_store_that_another_thread_opens(
    store: Store, memory_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's bookkeeping of its connections would go to the child, whose own would take no real lock or wait for one that nobody has."""
    begun, forked = threading.Event(), threading.Event()
    warn = directory.warn_if_too_large
    forked_in_between: list[bool] = []

    def slowly(*arguments: Any) -> None:
        begun.set()
        forked_in_between.append(forked.wait(0.5))
        warn(*arguments)

    def open_other() -> None:
        Store.open(memory_directory / "other", capacity=64 * MIB).close()

    monkeypatch.setattr(directory, "warn_if_too_large", slowly)
    thread = threading.Thread(target=open_other)
    thread.start()
    assert begun.wait(30)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    forked.set()
    assert os.waitpid(pid, 0)[1] == 0
    thread.join(30)
    assert forked_in_between == [False]
    store.put(encoded(100), "x")


STORM = """
import random, warnings
warnings.simplefilter("ignore", ResourceWarning)  # what Ctrl-C cuts off from its owner closes itself, and says so
random.seed({seed})
objects = [encoded(size, seed=size) for size in (1000, 100_000, 3 << 20, 20 << 20)]
signal.signal(signal.SIGALRM, signal.default_int_handler)
interrupts = 0
for _ in range(400):
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.random() * random.choice((0.0005, 0.004, 0.02)))
            store.put(random.choice(objects), "x")
            if random.random() < 0.3:
                store.delete("x")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interrupts += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
    store.settle()
result = interrupts
"""


def test_ctrl_c_at_any_moment(store: Store, store_directory: Path) -> None:
    """Hundreds of interrupts at random moments of puts and deletes leave a store that everybody can use, and no byte uncounted."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    with Process(store_directory) as interrupted:
        interrupted.do(SETUP)
        assert interrupted.do(STORM.format(seed=seed)) > 20
        # While it lives, the others and it itself go on.
        wanted = encoded(100_000, seed=5)
        store.put(wanted, "other")
        assert same(store.read("other"), wanted)
        assert interrupted.do(
            "store.put(encoded(30 << 20, seed=6), 'own'); result = same(store.read('other'), encoded(100_000, seed=5))"
        )
        assert same(store.read("own"), encoded(30 << 20, seed=6))
    store.doctor()
    assert store.memory().writing == 0
    files = sum(path.stat().st_blocks * 512 for path in store_directory.glob("*.segment"))
    counted = store.catalog.rows("SELECT coalesce(sum(nbytes), 0) FROM segments")[0][0]
    assert files <= counted
    store.put(encoded(150 * MIB), "large")
