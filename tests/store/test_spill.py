"""Spilling to disk and back: what a full store does, what a user asks for, and what is left when processes die in between."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Process, run
from tests.store.encoding import encoded, same
from tests.store.mounts import root_only, tmpfs
from workbench.errors import ObjectNotFoundError, StoreError, StoreFullError
from workbench.store import Store, spilled_files

MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the stores of a test spill to."""
    return tmp_path / "spill"


@pytest.fixture
def store(store_directory: Path, root: Path) -> Iterator[Store]:
    """An empty store of 64 MiB that spills, and brings nothing back by itself."""
    with Store.open(store_directory, capacity=64 * MIB, spill_directory=root, restore_after="never") as opened:
        yield opened


def state(store: Store) -> dict[str | None, str]:
    """Where each object is."""
    return {info.name: info.replicas[0].state for info in store.ls()}


def on_disk(store: Store, root: Path) -> list[str]:
    """The spilled files, by the number of their segment."""
    return sorted(path.name.partition("-")[0] for path in (root / store.id).glob("*.segment"))


def is_consistent(store: Store, root: Path) -> bool:
    """Whether every file on disk is a spilled segment's, no more and no less, and there is nothing to put right."""
    links = [path for path in store.directory.iterdir() if path.is_symlink()]
    targets = sorted(str(path.readlink()) for path in links)
    files = sorted(str(path) for path in (root / store.id).glob("*.segment"))
    return targets == files and store.doctor() == []


def test_spilled_object_is_read_where_it_lies(store: Store, root: Path) -> None:
    """Its bytes are the same, mapped from the disk, read-only; memory is given back, and counted as spilled."""
    wanted = encoded(5 * MIB, 100, 70_000)
    ref = store.put(wanted, "x")
    before = store.memory()
    last_used = store.info("x").last_used
    store.spill("x")
    after = store.memory()
    assert state(store) == {"x": "disk"}
    assert after.spilled >= 5 * MIB
    assert after.used == before.used - after.spilled
    assert store.info("x").last_used == pytest.approx(last_used, abs=0.001)
    assert same(store.read("x"), wanted)
    assert same(store.read(ref), wanted)
    assert all(buffer.readonly for buffer in store.read("x").buffers)
    record = store.read("x")
    assert str(root / store.id) in Path("/proc/self/maps").read_text()
    assert [holder.name for holder in store.holders("x")] == ["x"]
    del record
    (file,) = (root / store.id).glob("*.segment")
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    assert is_consistent(store, root)
    assert sum(path.stat().st_blocks for path in store.directory.glob("*.segment") if not path.is_symlink()) == 0


def test_restored_object_is_in_memory_again(store: Store, root: Path) -> None:
    """Everything is as before, who maps the disk keeps what it has, and the disk is given back."""
    wanted = encoded(5 * MIB)
    store.put(wanted, "x")
    before = store.memory()
    store.spill("x")
    reader = store.read("x")
    store.restore("x")
    assert same(reader, wanted)
    del reader
    gc.collect()
    assert state(store) == {"x": "memory"}
    assert store.memory() == before
    assert same(store.read("x"), wanted)
    assert on_disk(store, root) == []
    assert is_consistent(store, root)
    store.restore("x")
    store.spill("x")
    store.spill("x")
    assert state(store) == {"x": "disk"}


def test_another_process_reads_on_while_its_object_comes_and_goes(store: Store, store_directory: Path) -> None:
    """A reader that never stops sees the same bytes, whatever is done to the segment meanwhile."""
    wanted = encoded(300_000, seed=5)
    store.put(wanted, "x")
    with Process(store_directory) as reader:
        reader.do(
            "from tests.store.encoding import encoded, same; from workbench.store import Store; store = Store.open()"
        )
        reader.start(
            "import time\nwanted = encoded(300_000, seed=5)\nend, result = time.monotonic() + 3, 0\n"
            "while time.monotonic() < end:\n"
            "    record = store.read('x'); assert same(record, wanted); del record\n    result += 1"
        )
        turns = 0
        while turns < 100:
            with contextlib.suppress(StoreError):
                store.spill("x")
            store.restore("x")
            turns += 1
        assert reader.finish() > 20
    assert same(store.read("x"), wanted)


def test_what_cannot_be_spilled_says_why(store: Store, store_directory: Path) -> None:
    """In the catalog, pinned, mapped (by whom), or there is nowhere to spill to: with the next step."""
    store.put(encoded(100), "small")
    store.put(encoded(MIB), "pinned", pin=True)
    store.put(encoded(MIB), "held")
    with pytest.raises(StoreError, match=r"'small' lies in the catalog itself .*there is nothing to spill"):
        store.spill("small")
    with pytest.raises(StoreError, match=r"'pinned' is pinned, .*wb\.unpin"):
        store.spill("pinned")
    with Process(store_directory) as reader:
        reader.do(
            "from workbench.store import Store; store = Store.open(); store.set_process('kernel', 'analysis.ipynb'); "
            "record = store.read('held')"
        )
        with pytest.raises(StoreError, match=rf"'held' is mapped by kernel analysis\.ipynb \(pid {reader.pid}\)"):
            store.spill("held")
    store.spill("held")
    with pytest.raises(ObjectNotFoundError):
        store.spill("nothing")
    with Store.open(store_directory, spill_directory=False) as without:
        without.put(encoded(MIB), "x")
        with pytest.raises(StoreError, match=r"'x' cannot be spilled: workbench\.spill-directory is off"):
            without.spill("x")


def test_pin_brings_an_object_back_and_keeps_it(store: Store) -> None:
    """A pinned object is in memory, from the moment in which it is pinned."""
    wanted = encoded(MIB)
    store.put(wanted, "x")
    store.spill("x")
    store.pin("x")
    assert state(store) == {"x": "memory"}
    assert store.info("x").pinned
    store.unpin("x")
    store.spill("x")
    assert state(store) == {"x": "disk"}


def test_full_store_spills_what_was_used_longest_ago(store: Store, root: Path) -> None:
    """Least recently used first, and no more than is needed; pinned and mapped objects stay."""
    objects = {name: encoded(10 * MIB, seed=seed) for seed, name in enumerate(["pinned", "held", "a", "b", "c"])}
    for number, (name, wanted) in enumerate(objects.items()):
        store.put(wanted, name, pin=name == "pinned")
        (path,) = (p for p in store.directory.glob("*.segment") if p.stat().st_mtime == number + 1)
        os.utime(path, (1000 + number, number + 1))
    held = store.read("held")
    del held
    held = store.read("held")
    record = store.read("a")  # used a moment ago
    del record
    gc.collect()
    held = store.read("held")
    more = encoded(25 * MIB, seed=9)
    store.put(more, "more")
    assert state(store) == {
        "pinned": "memory",
        "held": "memory",
        "a": "memory",
        "b": "disk",
        "c": "disk",
        "more": "memory",
    }
    assert store.memory().used <= 64 * MIB
    assert same(held, objects["held"])
    for name, wanted in objects.items():
        assert same(store.read(name), wanted)
    assert same(store.read("more"), more)
    assert is_consistent(store, root)


def test_ten_times_the_capacity(store: Store, root: Path) -> None:
    """Whatever was put can be got, wherever it is, and the memory in use never exceeds the capacity."""
    for seed in range(32):
        store.put(encoded(20 * MIB, seed=seed), str(seed))
        assert store.memory().used <= 64 * MIB
    for seed in range(0, 32, 5):
        assert same(store.read(str(seed)), encoded(20 * MIB, seed=seed))
    for seed in range(32):
        store.delete(str(seed))
    assert on_disk(store, root) == []
    assert store.memory().spilled == 0
    assert is_consistent(store, root)


def test_nothing_is_spilled_in_vain(store: Store) -> None:
    """If all that can be spilled would not be enough, nothing is, and the error says what would free how much."""
    store.put(encoded(10 * MIB), "free to go")
    store.put(encoded(20 * MIB), "pinned", pin=True)
    store.put(encoded(25 * MIB), "held")
    record = store.read("held")
    with pytest.raises(StoreFullError) as caught:
        store.put(encoded(40 * MIB), "x")
    message = str(caught.value)
    assert "held has 25.0 MiB, held by script" in message
    assert f"(pid {os.getpid()}, this process)" in message
    assert "pinned has 20.0 MiB, pinned: wb.unpin('pinned') lets it be spilled" in message
    assert state(store) == {"free to go": "memory", "pinned": "memory", "held": "memory"}
    del record
    gc.collect()
    store.put(encoded(30 * MIB), "x")
    assert state(store) == {"free to go": "disk", "pinned": "memory", "held": "disk", "x": "memory"}


def test_full_store_names_first_what_would_be_enough(store: Store) -> None:
    """Pinned objects that nobody maps stand before larger ones that are mapped; what is missing, what is pinned and what is left out are told."""
    for name, size in (("a", 9), ("b", 8)):
        store.put(encoded(size * MIB), name, pin=True)
    for name in "cdef":
        store.put(encoded(10 * MIB), name)
    held = [store.read(name) for name in "cdef"]
    with pytest.raises(StoreFullError) as caught:
        store.put(encoded(15 * MIB), "x")
    message = str(caught.value)
    assert re.search(r"of its capacity of 64\.0 MiB are used\. 8\.\d MiB are missing", message)
    assert "a has 9.0 MiB, pinned: wb.unpin('a') lets it be spilled, which alone is enough. b has 8.0 MiB" in message
    assert "3 more have 30.0 MiB (e, d, c). Pinned are 17.0 MiB in 2 objects." in message
    store.unpin("a")
    store.put(encoded(15 * MIB), "x")
    assert state(store)["a"] == "disk"
    del held


def test_object_that_shares_a_pinned_ones_segment_stays(store: Store) -> None:
    """Pins act on memory: what a pinned object lies in is not spilled for the sake of another."""
    store.put(encoded(20 * MIB), "x")
    record = store.read("x")
    part = encoded(1)
    shared = type(part)(part.description, part.header, (record.buffers[0][: 5 * MIB],))
    store.put(shared, "part", pin=True)
    del record, shared
    gc.collect()
    with pytest.raises(StoreError, match=r"'x' shares memory with 'part', which is pinned"):
        store.spill("x")
    store.unpin("part")
    store.spill("x")
    assert state(store) == {"part": "disk", "x": "disk"}
    store.delete("x")
    assert same(store.read("part"), encoded(20 * MIB)) is False
    assert bytes(store.read("part").buffers[0]) == bytes(encoded(20 * MIB).buffers[0][: 5 * MIB])
    store.restore("part")
    assert state(store) == {"part": "memory"}


def test_pinned_object_that_shares_a_spilled_ones_memory_brings_it_back(store: Store) -> None:
    """A slice of an object that is on disk is put with a pin: both are in memory then."""
    store.put(encoded(20 * MIB), "x")
    store.spill("x")
    record = store.read("x")
    part = encoded(1)
    store.put(type(part)(part.description, part.header, (record.buffers[0][: 5 * MIB],)), "part", pin=True)
    assert state(store) == {"x": "memory", "part": "memory"}
    assert bytes(store.read("part").buffers[0]) == bytes(encoded(20 * MIB).buffers[0][: 5 * MIB])


def test_deleted_object_leaves_nothing_on_disk(store: Store, root: Path) -> None:
    """Not when it is deleted, nor when its name is taken, nor when its time is over; who maps it keeps it."""
    for name in ("deleted", "rebound", "unbound"):
        store.put(encoded(MIB), name)
        store.spill(name)
    record = store.read("deleted")
    store.delete("deleted")
    store.put(encoded(10), "rebound")
    store.unbind("unbound", store.resolve("unbound"))
    assert same(record, encoded(MIB))
    assert on_disk(store, root) == []
    assert store.memory().spilled == 0
    ref = store.put(encoded(MIB), "short", ttl=0.5)
    store.spill("short")
    while store.exists(ref):
        pass
    store.doctor()
    assert on_disk(store, root) == []
    assert is_consistent(store, root)


def test_two_threads_that_delete_at_once_leave_nothing_on_disk(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One looks for files to remove while the other is in the middle of its transaction."""
    for name in "ab":
        store.put(encoded(300_000), name)
        store.spill(name)
    spiller, main = store.writer.spiller, threading.current_thread()
    forget, discard = spiller.forget, spiller.discard_deleted
    begun, looked = threading.Event(), threading.Event()

    def forgets(*arguments: Any) -> bool:
        done = forget(*arguments)
        if threading.current_thread() is main:
            begun.set()
            assert looked.wait(30)
        return done

    def discards() -> None:
        if threading.current_thread() is not main:
            assert begun.wait(30)
        discard()
        looked.set()

    monkeypatch.setattr(spiller, "forget", forgets)
    monkeypatch.setattr(spiller, "discard_deleted", discards)
    other = threading.Thread(target=store.delete, args=("b",))
    other.start()
    while store.exists("b"):
        time.sleep(0.001)
    store.delete("a")
    other.join(30)
    assert on_disk(store, root) == []
    assert is_consistent(store, root)


def test_restore_makes_room_as_a_put_does(store: Store) -> None:
    """Others are spilled for it; without room it says so and the object stays readable."""
    for name in ("x", "y"):
        store.put(encoded(40 * MIB, seed=ord(name)), name)
    assert state(store) == {"x": "disk", "y": "memory"}
    store.restore("x")
    assert state(store) == {"x": "memory", "y": "disk"}
    record = store.read("x")
    with pytest.raises(StoreFullError, match=r"no room for 40\.0 MiB"):
        store.restore("y")
    with pytest.raises(StoreFullError):
        store.pin("y")
    assert not store.info("y").pinned
    assert same(store.read("y"), encoded(40 * MIB, seed=ord("y")))
    assert same(record, encoded(40 * MIB, seed=ord("x")))


@root_only
def test_disk_that_is_full_loses_nothing_and_is_named(store_directory: Path, tmp_path: Path) -> None:
    """Before anything is written, or in the middle of it: the object stays in memory, no file is left, and the error says so."""
    with (
        tmpfs(tmp_path / "disk", "size=30m,mode=700") as disk,
        Store.open(store_directory, capacity=64 * MIB, spill_directory=disk) as store,
    ):
        for name in ("a", "b", "c"):
            store.put(encoded(20 * MIB, seed=ord(name)), name)
        store.put(encoded(20 * MIB), "x")
        before = state(store)
        assert sorted(before.values()) == ["disk", "memory", "memory", "memory"]
        with pytest.raises(StoreFullError, match=r"Nothing more was spilled: the disk of .* has 10\.0 MiB left"):
            store.put(encoded(20 * MIB), "y")
        with pytest.raises(StoreFullError, match=r"'b' cannot be spilled.*has 10\.0 MiB left"):
            store.spill("b")
        assert state(store) == before
        for name in ("a", "b", "c"):
            assert same(store.read(name), encoded(20 * MIB, seed=ord(name)))
        gc.collect()
        # It fills up between the check and the write.
        copy = spilled_files.copy

        def fill_first(*arguments: object) -> None:
            with (disk / "filler").open("wb") as filler, pytest.raises(OSError, match="No space"):
                filler.write(bytes(60 * MIB))
            copy(*arguments)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(store.spiller.place), "refusal", lambda *_: "")
            patch.setattr(spilled_files, "copy", fill_first)
            with pytest.raises(StoreFullError, match=r"writing to .* failed \(No space left on device"):
                store.put(encoded(20 * MIB), "y")
        assert state(store) == before
        assert is_consistent(store, disk)
        (disk / "filler").unlink()
        store.delete("a")


@pytest.mark.parametrize("code", [5, 30, 122])
def test_disk_that_fails_loses_nothing(store: Store, root: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the device, a file system that became read-only, a quota: named, and everything stays as it was."""

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    store.put(encoded(40 * MIB), "x")
    before = store.memory()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StoreFullError, match=rf"writing to .* failed \({os.strerror(code)}"):
            store.put(encoded(40 * MIB), "y")
    assert store.memory() == before
    assert same(store.read("x"), encoded(40 * MIB))
    assert on_disk(store, root) == []
    assert is_consistent(store, root)


def test_capacity_on_disk_is_respected(store_directory: Path, root: Path) -> None:
    """With workbench.spill-capacity, so much is spilled and no more."""
    with Store.open(store_directory, capacity=64 * MIB, spill_directory=root, spill_capacity="45 MiB") as store:
        for number in range(5):
            store.put(encoded(20 * MIB), str(number))
        with pytest.raises(StoreFullError, match=r"workbench\.spill-capacity is 45\.0 MiB, and 40\.0 MiB lie in"):
            store.put(encoded(20 * MIB), "x")
        assert store.memory().spilled == 40 * MIB


def test_file_on_disk_that_is_gone_is_named(store: Store, root: Path) -> None:
    """Somebody removed it: reading says so soon, the doctor names the object, the rest stays usable."""
    store.put(encoded(MIB), "x")
    store.put(encoded(MIB), "y")
    store.spill("x")
    next((root / store.id).glob("*.segment")).unlink()
    (found,) = store.doctor()
    assert "segment 1 is missing" in found
    assert same(store.read("y"), encoded(MIB))
    store.delete("x")
    assert store.doctor() == []


SETUP = """
import os, signal
from tests.store.encoding import encoded, same
from workbench.store import Store, allocation, segments, spill, spilled_files
store = Store.open(spill_directory={root!r}, restore_after="never")
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def after(module, name):
    original = getattr(module, name)
    def call(*a, **k):
        original(*a, **k)
        die()
    setattr(module, name, call)
"""

SPILL_STEPS = {
    "with a file on disk": "spilled_files.copy = die",
    "after the copy": "after(spilled_files, 'copy')",
    "before the rename": "os.symlink = die",
    "between link and rename": "after(os, 'symlink')",
    "after the rename": "after(spilled_files, 'link')",
    "before the pages are given back": "spill._empty = die",
    "after all": "after(spill, '_empty')",
}


@pytest.mark.parametrize("step", SPILL_STEPS)
def test_process_that_dies_while_it_spills_loses_nothing(
    store: Store, store_directory: Path, root: Path, step: str
) -> None:
    """At every step: the object is whole, and the next operation leaves no byte in memory or on disk that is not counted."""
    wanted = encoded(5 * MIB, seed=3)
    store.put(wanted, "x")
    done = run(SETUP.format(root=str(root)) + SPILL_STEPS[step] + "\nstore.spill('x')", store_directory)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert same(store.read("x"), wanted)
    gc.collect()
    store.doctor()
    assert is_consistent(store, root)
    assert len(on_disk(store, root)) == (state(store) == {"x": "disk"})
    assert same(store.read("x"), wanted)
    files = sum(p.stat().st_blocks * 512 for p in store_directory.glob("*.segment") if not p.is_symlink())
    assert files <= store.memory().used
    store.restore("x")
    assert same(store.read("x"), wanted)


RESTORE_STEPS = {
    "with a reservation": "spilled_files.copy = die",
    "after the copy": "after(spilled_files, 'copy')",
    "before the rename": "os.rename = die",
    "after the rename": "after(os, 'rename')",
    "before the disk is given back": "os.unlink = die",
    "after all": "after(os, 'unlink')",
}


@pytest.mark.parametrize("step", RESTORE_STEPS)
def test_process_that_dies_while_it_restores_loses_nothing(
    store: Store, store_directory: Path, root: Path, step: str
) -> None:
    """The same on the way back."""
    wanted = encoded(5 * MIB, seed=3)
    store.put(wanted, "x")
    store.spill("x")
    done = run(SETUP.format(root=str(root)) + RESTORE_STEPS[step] + "\nstore.restore('x')", store_directory)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert same(store.read("x"), wanted)
    gc.collect()
    store.doctor()
    assert is_consistent(store, root)
    assert len(on_disk(store, root)) == (state(store) == {"x": "disk"})
    files = sum(p.stat().st_blocks * 512 for p in store_directory.glob("*.segment") if not p.is_symlink())
    assert files <= store.memory().used
    store.restore("x")
    store.spill("x")
    assert same(store.read("x"), wanted)


def test_process_that_dies_after_it_deleted_leaves_nothing_on_disk(
    store: Store, store_directory: Path, root: Path
) -> None:
    """The row is gone, the file is still there: whoever comes next removes it."""
    store.put(encoded(MIB), "x")
    store.spill("x")
    done = run(SETUP.format(root=str(root)) + "spilled_files.discard = die\nstore.delete('x')", store_directory)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not store.exists("x")
    assert len(store.doctor()) == 1
    assert on_disk(store, root) == []
    assert is_consistent(store, root)


@pytest.mark.parametrize("step", ["spill", "restore"])
def test_interrupt_after_the_rename_is_put_right(store: Store, root: Path, step: str) -> None:
    """Ctrl-C between rename and commit: readers have the object all the time, and nothing is left of the half step."""
    wanted = encoded(5 * MIB, seed=3)
    store.put(wanted, "x")
    if step == "restore":
        store.spill("x")
    rename = os.rename

    def interrupt(*arguments: str) -> None:
        rename(*arguments)
        if str(arguments[1]).endswith(".segment"):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.spill("x") if step == "spill" else store.restore("x")
    assert same(store.read("x"), wanted)
    gc.collect()
    assert len(store.doctor()) >= 1
    assert is_consistent(store, root)
    assert state(store) == {"x": "disk" if step == "spill" else "memory"}
    assert same(store.read("x"), wanted)


def test_copy_that_others_have_overtaken_is_not_used(
    store: Store, store_directory: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one process copies a segment, another one spills it and brings it back: the copy is of memory that was given back since."""
    wanted = encoded(300_000)
    store.put(wanted, "x")
    copy = spilled_files.copy
    with Store.open(store_directory, spill_directory=root, restore_after="never") as other:

        def overtaken(*arguments: Any) -> None:
            monkeypatch.setattr(spilled_files, "copy", copy)
            other.spill("x")
            other.restore("x")
            copy(*arguments)

        monkeypatch.setattr(spilled_files, "copy", overtaken)
        with contextlib.suppress(StoreError):  # that it was not spilled
            store.spill("x")
    assert same(store.read("x"), wanted)
    gc.collect()
    assert is_consistent(store, root)
    store.spill("x")
    assert same(store.read("x"), wanted)


def test_stopped_spiller_does_not_stop_others(store: Store, store_directory: Path, root: Path) -> None:
    """A process that is stopped in the middle of spilling holds nobody up: others spill, even the same object, and it goes on later."""
    for name in ("x", "y"):
        store.put(encoded(25 * MIB, seed=ord(name)), name)
    with Process(store_directory) as stopped:
        stopped.do(SETUP.format(root=str(root)))
        stopped.do(
            "copy = spilled_files.copy\ndef slow(*a):\n    copy(*a); os.kill(os.getpid(), signal.SIGSTOP)\nspilled_files.copy = slow"
        )
        stopped.start("store.spill('x')")
        while Path(f"/proc/{stopped.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            pass
        store.put(encoded(60 * MIB), "z")
        assert state(store) == {"x": "disk", "y": "disk", "z": "memory"}
        stopped.signal(signal.SIGCONT)
        stopped.finish()
    for name in ("x", "y"):
        assert same(store.read(name), encoded(25 * MIB, seed=ord(name)))
    gc.collect()
    assert is_consistent(store, root)


def test_processes_that_fill_the_store_together(store: Store, store_directory: Path, root: Path) -> None:
    """Three processes put more than fits, each spilling for itself: nothing is lost, and the capacity is kept."""
    processes = [Process(store_directory) for _ in range(3)]
    try:
        for number, process in enumerate(processes):
            process.start(
                SETUP.format(root=str(root))
                + f"for turn in range(12):\n    store.put(encoded(6 << 20, seed=turn), f'{number}-{{turn}}')\n"
                "    assert store.memory().used <= 64 << 20\n"
                f"result = all(same(store.read(f'{number}-{{turn}}'), encoded(6 << 20, seed=turn)) for turn in range(12))"
            )
        assert [process.finish() for process in processes] == [True, True, True]
    finally:
        for process in processes:
            with process:
                pass
    for number in range(3):
        for turn in range(12):
            assert same(store.read(f"{number}-{turn}"), encoded(6 * MIB, seed=turn))
    gc.collect()
    assert is_consistent(store, root)
    assert store.memory().used <= 64 * MIB


def test_spilled_objects_are_found_by_stores_opened_later(store: Store, store_directory: Path, root: Path) -> None:
    """Also by one that spills nowhere, or somewhere else."""
    store.put(encoded(MIB), "x")
    store.spill("x")
    with Store.open(store_directory, spill_directory="off") as other:
        assert same(other.read("x"), encoded(MIB))
        other.restore("x")
        assert state(other) == {"x": "memory"}
    with Store.open(store_directory, spill_directory=root / "other") as other:
        other.spill("x")
        assert len(list((root / "other" / store.id).glob("*.segment"))) == 1
    store.restore("x")
    assert is_consistent(store, root)


def test_changes_tell_of_spilling_and_restoring(store: Store) -> None:
    """Whoever watches the store sees that an object has moved."""
    ref = store.put(encoded(MIB), "x")
    version = store.changes().version
    store.spill("x")
    changes = store.changes(version)
    assert [(info.id, info.replicas[0].state) for info in changes.added] == [(ref.id, "disk")]
    store.restore("x")
    assert [info.replicas[0].state for info in store.changes(changes.version).added] == ["memory"]


def background_is_done(store: Store) -> None:
    """Wait until the store has done what it had to do in the background."""
    done = threading.Event()
    store.background.do("test", lambda _: done.set())
    assert done.wait(60)


def age(store: Store, seconds: float) -> None:
    """Make it look as if the objects had been used longer ago."""
    for path in store.directory.glob("*.segment"):
        status = path.stat()
        os.utime(path, (status.st_atime - seconds, status.st_mtime))


def test_hot_object_goes_back_to_memory(store_directory: Path, root: Path) -> None:
    """One that is mapped twice within the time that the setting says; one use after a long time is not enough."""
    wanted = encoded(5 * MIB)
    with Store.open(store_directory, capacity=64 * MIB, spill_directory=root, restore_after="1 hour") as store:
        store.put(wanted, "x")
        store.spill("x")
        age(store, 7200)
        record = store.read("x")
        background_is_done(store)
        assert state(store) == {"x": "disk"}
        del record
        gc.collect()
        record = store.read("x")
        background_is_done(store)
        assert state(store) == {"x": "memory"}
        assert same(record, wanted)
        del record
        gc.collect()
        assert same(store.read("x"), wanted)
        gc.collect()
        assert is_consistent(store, root)


def test_hot_object_drives_nothing_out(store_directory: Path, root: Path) -> None:
    """Without room it stays where it is, is read there, and nobody notices."""
    with Store.open(store_directory, capacity=64 * MIB, spill_directory=root, restore_after="1 hour") as store:
        store.put(encoded(20 * MIB), "x")
        store.spill("x")
        store.put(encoded(50 * MIB), "y")
        for _ in range(3):
            assert same(store.read("x"), encoded(20 * MIB))
            gc.collect()
            background_is_done(store)
            assert state(store) == {"x": "disk", "y": "memory"}
        store.delete("y")
        assert same(store.read("x"), encoded(20 * MIB))
        background_is_done(store)
        assert state(store) == {"x": "memory"}
