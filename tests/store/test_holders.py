"""Who holds what, told by real processes: forks, children whose parent died, containers, other file systems."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Process, environment
from tests.store.encoding import encoded
from workbench.errors import StoreFullError
from workbench.objects import Encoded
from workbench.store import Store, processes

MIB = 1 << 20
SETUP = """
import os, signal
from tests.store.encoding import encoded
from workbench.store import Store
store = Store.open()
"""


def mapped(pid: int, directory: Path) -> int:
    """Bytes of a store that a process maps read-only, as the kernel counts them."""
    total = 0
    lines = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    for at, line in enumerate(lines):
        if f" {directory}/" in line and ".segment" in line and " r--s " in line:
            assert lines[at + 1].startswith("Size:")
            total += int(lines[at + 1].split()[1]) << 10
    return total


def test_each_process_is_listed_with_what_it_maps(store: Store, store_directory: Path) -> None:
    """Two processes with two objects are four holders, and their bytes are what the kernel says that they map."""
    for name in "xy":
        store.put(encoded(MIB, seed=ord(name)), name)
    with Process(store_directory) as first, Process(store_directory) as second:
        for process in (first, second):
            process.do(SETUP + "held = [store.read('x'), store.read('x'), store.read('y')]")
        found = store.holders()
        assert [
            (holder.pid, holder.name) for holder in sorted(found, key=lambda each: (each.pid, each.name or ""))
        ] == [(pid, name) for pid in sorted([first.pid, second.pid]) for name in "xy"]
        for process in (first, second):
            nbytes = sum(holder.nbytes for holder in found if holder.pid == process.pid)
            assert nbytes == mapped(process.pid, store_directory) >= 2 * MIB
        assert {holder.pid for holder in store.holders("x")} == {first.pid, second.pid}
        second.do("del held[:2]")
        assert {holder.pid for holder in store.holders("x")} == {first.pid}
        assert {holder.pid for holder in store.holders("y")} == {first.pid, second.pid}


@pytest.fixture
def child(store: Store, store_directory: Path) -> Iterator[tuple[Process, int]]:
    """A process that has mapped x and forked, and the child, which waits."""
    store.put(encoded(MIB), "x")
    with Process(store_directory) as parent:
        pid = parent.do(
            SETUP
            + """
            store.set_process("kernel", "analysis.ipynb")
            held = store.read("x")
            result = os.fork()
            if result == 0:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                signal.pause()
            """.replace("\n            ", "\n")
        )
        try:
            yield parent, pid
        finally:
            os.kill(pid, signal.SIGKILL)


def test_forked_child_is_a_holder_of_its_own(child: tuple[Process, int], store: Store) -> None:
    """A child that inherited a mapping is listed beside its parent, and says whose child it is."""
    parent, pid = child
    found = {holder.pid: holder for holder in store.holders("x")}
    assert found.keys() == {parent.pid, pid}
    assert found[parent.pid].label == "analysis.ipynb"
    assert found[pid].label == f"analysis.ipynb (forked by pid {parent.pid})"
    assert found[pid].nbytes == found[parent.pid].nbytes


def test_parent_that_let_go_is_no_holder_any_more(child: tuple[Process, int], store: Store) -> None:
    """The kernel lists the lease under the parent, which took it; but only the child maps the memory."""
    parent, pid = child
    parent.do("del held")
    assert [holder.pid for holder in store.holders("x")] == [pid]


def test_orphan_is_named_rather_than_its_dead_parent(child: tuple[Process, int], store: Store) -> None:
    """When the parent was killed, its child still holds what both had, and what was deleted meanwhile."""
    parent, pid = child
    parent.kill()
    assert [holder.pid for holder in store.holders("x")] == [pid]
    store.delete("x")
    (zombie,) = store.holders()
    assert (zombie.pid, zombie.object, zombie.name, zombie.state) == (pid, None, "x", "deleted")
    assert store.memory().deleted == zombie.nbytes


def test_deleted_objects_keep_the_names_that_they_had(store: Store) -> None:
    """What is still mapped is listed under the last name of the object, else its id, however it came to its end."""
    held = {}
    for name in ("deleted", "unbound", "rebound", "twice", "ended"):
        held[name] = store.read(store.put(encoded(MIB), name))
    nameless = store.put(encoded(MIB))
    held[nameless.id] = store.read(nameless)
    held["again"] = store.read("twice")
    store.delete("deleted")
    store.unbind("unbound", held["unbound"].id)
    store.put(encoded(10), "rebound")
    held["second"] = store.read(store.put(encoded(MIB, seed=1), "twice"))
    store.put(encoded(10), "twice")
    store.delete(nameless)
    store.delete("ended")
    found = store.holders()
    nbytes = {holder.name: holder.nbytes for holder in found}
    assert nbytes == dict.fromkeys(["deleted", "unbound", "rebound", "ended", nameless.id], MIB) | {"twice": 2 * MIB}
    assert {(holder.pid, holder.object, holder.state) for holder in found} == {(os.getpid(), None, "deleted")}
    assert store.memory().deleted == 7 * MIB == sum(nbytes.values())
    held.clear()
    assert (store.holders(), store.memory().deleted) == ([], 0)


def test_shared_segments_count_once_for_each_process(store: Store) -> None:
    """Bytes belong to the object that owns them; another one that uses them shows them as shared, until it inherits them."""
    first = encoded(MIB, MIB)
    store.put(first, "first")
    mine = store.read("first")
    both = Encoded(first.description, first.header, (mine.buffers[0], encoded(3 * MIB, seed=9).buffers[0]))
    store.put(both, "second")
    also = store.read("second")

    def table() -> dict[str | None, tuple[int, int, str]]:
        return {holder.name: (holder.nbytes, holder.shared_nbytes, holder.state) for holder in store.holders()}

    assert table() == {"first": (2 * MIB, 0, "memory"), "second": (3 * MIB, 2 * MIB, "memory")}
    assert sum(holder.nbytes for holder in store.holders()) == mapped(os.getpid(), store.directory)
    assert [(holder.nbytes, holder.shared_nbytes) for holder in store.holders("second")] == [(3 * MIB, 2 * MIB)]
    store.delete("first")
    assert table() == {"second": (5 * MIB, 0, "memory")}
    store.delete("second")
    assert table() == {"second": (5 * MIB, 0, "deleted")}
    del mine, also, both


def test_process_without_a_file_is_named_by_its_command(store: Store, store_directory: Path) -> None:
    """A child that closed its store still has what it mapped, and is called what it was started as."""
    store.put(encoded(MIB), "x")
    with Process(store_directory) as reader:
        reader.do(SETUP + "held = store.read('x'); store.close()")
        (holder,) = store.holders()
        assert (holder.pid, holder.kind, holder.name) == (reader.pid, "script", "x")
        assert holder.label.startswith(f"{sys.executable} -c ")
        assert time.time() - 300 < holder.since < time.time()


def test_times_of_living_leases_outlast_the_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that maps and gives back thousands of segments keeps a short file, and the times of those that it still has."""
    monkeypatch.setattr(processes, "_MOST_NBYTES", 2000)
    monkeypatch.setattr(processes, "_EXACTNESS", 0.0)
    store.set_process("script", "begun anew")
    store.put(encoded(MIB), "x")
    before = time.time()
    held = store.read("x")
    after = time.time()
    store.put(encoded(MIB), "y")
    for _ in range(500):
        store.read("y")
    (file,) = store.directory.glob("holder-*")
    assert file.stat().st_size < 4000
    store.set_process("kernel", "a.ipynb")
    (holder,) = store.holders()
    assert before - 0.001 <= holder.since <= after + 0.001
    assert (holder.kind, holder.label) == ("kernel", "a.ipynb")
    del held


def test_writers_and_their_warm_memory_are_no_holders(store: Store) -> None:
    """The writable mapping that a writer keeps of a segment is no lease: nothing is held by it."""
    store.put(encoded(4 * MIB), "x")
    assert store.holders() == []
    store.delete("x")
    memory = store.memory()
    assert (memory.deleted, store.holders()) == (0, [])
    assert memory.pooled >= 4 * MIB


def test_who_holds_what_is_on_disk_does_not_fill_the_store(store_directory: Path, tmp_path: Path) -> None:
    """The error of a full store names who keeps its memory, not who maps files on disk."""
    with Store.open(store_directory, capacity=16 * MIB, spill_directory=tmp_path / "s", restore_after="never") as store:
        store.put(encoded(MIB), "spilled")
        store.spill("spilled")
        held = store.read("spilled")
        assert [holder.state for holder in store.holders()] == ["disk"]
        store.put(encoded(10 * MIB), "pinned", pin=True)
        with pytest.raises(StoreFullError) as caught:
            store.put(encoded(8 * MIB))
        assert "Who holds most" not in str(caught.value)
        mine = store.read("pinned")
        with pytest.raises(StoreFullError, match=rf"Who holds most: .* \(pid {os.getpid()}, this process\) 10.0 MiB"):
            store.put(encoded(8 * MIB))
        del held, mine


def test_asking_while_others_come_and_go(store: Store, store_directory: Path, tmp_path: Path) -> None:
    """While two processes map, delete, rebind and recycle, every answer is about them, with the names that there are."""
    churn = """
    import random
    source = random.Random(os.getpid())
    kept = []
    while not os.path.exists(stop):
        name = source.choice("abc")
        ref = store.put(encoded(40_000 + source.choice([0, MIB])), name)
        try:
            kept.append(store.read(source.choice([name, ref])))
        except KeyError:
            pass
        del kept[: source.choice([0, 0, 1, 5])]
    kept = []
    """
    stop = tmp_path / "stop"
    with Process(store_directory) as first, Process(store_directory) as second:
        for process in (first, second):
            process.start(SETUP + f"MIB, stop = {MIB}, {str(stop)!r}" + textwrap.dedent(churn))
        seen: set[str] = set()
        asked, deadline = 0, time.monotonic() + 60
        while asked < 50 or seen != {"memory", "deleted"}:
            assert time.monotonic() < deadline, seen
            asked += bool(seen)
            for holder in store.holders():
                seen.add(holder.state)
                assert holder.pid in (first.pid, second.pid), holder
                assert holder.name in ("a", "b", "c"), holder
                assert (holder.object is None) == (holder.state == "deleted"), holder
                assert holder.nbytes > 0, holder
            assert store.memory().deleted >= 0
        stop.touch()
        for process in (first, second):
            process.finish()
        assert (store.holders(), store.memory().deleted) == ([], 0)


def test_spilled_objects_have_holders_too(store_directory: Path, tmp_path: Path) -> None:
    """What is mapped of a spilled object is a file on disk; that stays so for who has it when the object is back in memory, or gone."""
    opened = Store.open(store_directory, spill_directory=tmp_path / "spill", restore_after="never")
    with opened as store, Process(store_directory, WORKBENCH_RESTORE_AFTER="never") as reader:

        def table() -> list[tuple[str | None, str, int]]:
            found = store.holders()
            assert {holder.pid for holder in found} <= {reader.pid}
            return [(holder.name, holder.state, holder.nbytes) for holder in found]

        for name in "xy":
            store.put(encoded(MIB), name)
            store.spill(name)
        assert (table(), store.memory().sealed) == ([], store.memory().used)
        reader.do(SETUP + "x = store.read('x'); y = store.read('y')")
        assert table() == [("x", "disk", MIB), ("y", "disk", MIB)]
        assert [holder.pid for holder in store.holders("x")] == [reader.pid]
        store.restore("x")
        store.delete("y")
        assert sorted(table(), key=str) == sorted([("x", "disk", MIB), (None, "deleted", MIB)], key=str)
        assert store.memory().deleted == 0
        reader.do("del y; again = store.read('x')")
        assert table() == [("x", "disk", MIB)]
        reader.do("del x, again; x = store.read('x')")
        assert table() == [("x", "memory", MIB)]


def unshared(*options: str) -> list[str]:
    """Return the beginning of a command that runs in namespaces of its own; skip the test where that is not allowed."""
    command = ["unshare", *options]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("namespaces cannot be made here")
    return command


IN_CONTAINER = (
    SETUP
    + """
import sys
store.set_process("kernel", "inside.ipynb")
held = store.read("x")
print(os.getpid(), flush=True)
for line in sys.stdin:
    print([[h.pid, h.kind, h.label, h.name] for h in store.holders()], store.memory().deleted, flush=True)
"""
)


def test_process_in_a_container_is_named_by_what_it_says(store: Store, store_directory: Path) -> None:
    """From the host, a kernel in a container is listed with the pid that it has on the host, and its own notebook."""
    store.put(encoded(MIB), "x")
    command = [*unshared("--pid", "--fork", "--mount-proc", "--kill-child"), sys.executable, "-c", IN_CONTAINER]
    with subprocess.Popen(
        command, env=environment(store_directory), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        inside = int(process.stdout.readline())
        (holder,) = store.holders("x")
        assert (holder.kind, holder.label) == ("kernel", "inside.ipynb")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert [str(holder.pid)] == children
        assert holder.pid != inside

        # What the container sees: itself, and a process that it can know only by the file that it keeps in the store.
        mine = store.read("x")
        process.stdin.write("\n")
        process.stdin.flush()
        seen = process.stdout.readline()
        assert f"[{inside}, 'kernel', 'inside.ipynb', 'x']" in seen
        assert f"[{os.getpid()}, 'script'," in seen and "(in another container)', 'x']" in seen
        del mine
        store.delete("x")
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline().endswith(f"{store.holders()[0].nbytes}\n")
        process.stdin.close()
    assert store.holders() == []


def test_lost_lease_of_another_container_is_not_claimed(store: Store, store_directory: Path) -> None:
    """A process that cannot be seen is not listed for what it mapped and gave back."""
    store.put(encoded(MIB), "x")
    store.read("x")
    code = SETUP + "print([h.pid for h in store.holders()], store.memory().deleted)"
    command = [*unshared("--pid", "--fork", "--mount-proc"), sys.executable, "-c", code]
    done = subprocess.run(command, env=environment(store_directory), capture_output=True, text=True, check=True)
    assert done.stdout == "[] 0\n"


def test_store_on_an_overlay_knows_its_holders() -> None:
    """On overlayfs, where devices and inodes have several numbers, holders are found all the same."""
    code = """
    import os, sys
    from pathlib import Path
    from tests.store.encoding import encoded
    from workbench.store import Store
    directory = Path(sys.argv[1]) / "store"
    store = Store.open(directory, capacity=64 << 20)
    store.put(encoded(1 << 20), "x")
    held = store.read("x")
    assert [holder.pid for holder in store.holders("x")] == [os.getpid()], store.holders()
    store.delete("x")
    assert [holder.state for holder in store.holders()] == ["deleted"], store.holders()
    assert store.memory().deleted == store.holders()[0].nbytes > 0, store.memory()
    del held
    assert store.holders() == [] and store.memory().deleted == 0
    """
    with tempfile.TemporaryDirectory(prefix=f"workbench-overlay-{os.getpid()}-") as place:
        script = """
        mount -t tmpfs tmpfs "$1" && mkdir "$1"/l "$1"/u "$1"/w "$1"/m &&
        mount -t overlay overlay -o lowerdir="$1"/l,upperdir="$1"/u,workdir="$1"/w "$1"/m || exit 77
        exec "$2" -c "$3" "$1"/m
        """
        command = [*unshared("--mount"), "sh", "-c", script, "sh", place, sys.executable, textwrap.dedent(code)]
        done = subprocess.run(command, env=environment(Path(place)), capture_output=True, text=True, check=False)
        if done.returncode == 77:
            pytest.skip("an overlay cannot be mounted here")
        assert done.returncode == 0, done.stderr


def test_leases_of_other_threads_while_a_process_says_what_it_is(memory_directory: Path) -> None:
    """Whoever maps something while another thread begins the file anew is noted in it, and neither is disturbed."""
    threads: list[threading.Thread] = []

    class Mapped(list[int]):
        def __contains__(self, segment: object) -> bool:
            threads.append(threading.Thread(target=file.leased, args=(100 + len(threads),)))
            threads[-1].start()
            threads[-1].join(0.2)
            return True

    file = processes.ProcessFile(memory_directory, Mapped)
    try:
        for segment in (1, 2, 3):
            file.leased(segment)
        file.set_identity("kernel", "a.ipynb")
        for thread in threads:
            thread.join(30)
        [said] = processes.processes(memory_directory).values()
        assert (said.kind, said.label) == ("kernel", "a.ipynb")
        assert said.since.keys() == {1, 2, 3, *range(100, 100 + len(threads))}
    finally:
        file.close()
