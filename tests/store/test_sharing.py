"""Structural sharing: what lies in shared memory already is referred to, and every byte is counted once."""

from __future__ import annotations

import gc
import os
import signal
import stat
from pathlib import Path

import pytest

from tests.processes import Process, run
from tests.store.encoding import encoded, same
from workbench.objects import Description, Encoded
from workbench.store import Store
from workbench.testing.consistency import assert_consistent

MIB = 1 << 20


def of(*buffers: memoryview, header: bytes = b"header") -> Encoded:
    """An object with these buffers."""
    return Encoded(Description("array", "test.Object", (1,), {"": "uint8"}), header, buffers)


def sealed(store: Store) -> int:
    """Bytes in segments."""
    return int(store.catalog.rows("SELECT coalesce(sum(nbytes), 0) FROM segments WHERE state = 'sealed'")[0][0])


def test_memory_that_is_used_again_is_read_only_again(store: Store) -> None:
    """Who needed room has tried to take the segment of a deleted object, which is still mapped here and put once more."""
    store.put(encoded(300_000), "x")
    record = store.read("x")
    store.delete("x")
    store.allocator.free.release()
    store.put(Encoded(Description("array", "test.Object", (1,), {}), b"header", record.buffers), "y")
    [path] = store.directory.glob("*.segment")
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert same(store.read("y"), encoded(300_000))


def test_buffers_that_are_mapped_are_referred_to(store: Store) -> None:
    """A second object of the same buffers and a new one costs the new one; info tells what is owned and what is shared."""
    first = encoded(MIB, 2 * MIB, seed=1)
    store.put(first, "first")
    new = memoryview(os.urandom(MIB))
    before = sealed(store)
    store.put(of(*store.read("first").buffers, new), "second")
    assert sealed(store) - before == MIB
    assert same(store.read("second"), of(*first.buffers, new))
    info = store.info("second")
    assert (info.nbytes, info.shared_nbytes) == (MIB + len(b"header"), 3 * MIB)
    assert (store.info("first").nbytes, store.info("first").shared_nbytes) == (3 * MIB + len(b"header"), 0)
    assert_consistent(store)


def test_slices_cost_nothing(store: Store) -> None:
    """An object that is a part of a mapped buffer has no segment of its own."""
    whole = encoded(4 * MIB)
    store.put(whole, "whole")
    part = store.read("whole").buffers[0][MIB : 3 * MIB]
    before = store.memory()
    ref = store.put(of(part), "part")
    assert ref.nbytes == 2 * MIB + len(b"header")
    assert store.memory().sealed - before.sealed < 4096
    assert bytes(store.read("part").buffers[0]) == bytes(whole.buffers[0][MIB : 3 * MIB])


def test_short_buffers_are_copied(store: Store) -> None:
    """A few bytes of a large segment do not keep all of it alive."""
    store.put(encoded(4 * MIB), "large")
    store.put(of(store.read("large").buffers[0][:1000]), "small")
    store.delete("large")
    gc.collect()
    assert sealed(store) == 0
    assert len(store.read("small").buffers[0]) == 1000


def test_deleting_the_owner_keeps_what_others_need(store: Store) -> None:
    """The oldest of those that refer to a segment owns it when its owner is deleted, and the last one frees it."""
    content = encoded(2 * MIB, seed=3)
    store.put(content, "a")
    for name in "bc":
        store.put(of(*store.read("a").buffers), name)
    assert [store.info(name).shared_nbytes for name in "abc"] == [0, 2 * MIB, 2 * MIB]
    store.delete("a")
    assert [(store.info(name).nbytes, store.info(name).shared_nbytes) for name in "bc"] == [
        (2 * MIB + len(b"header"), 0),
        (len(b"header"), 2 * MIB),
    ]
    store.delete("c")
    assert same(store.read("b"), content)
    assert_consistent(store)
    store.delete("b")
    assert sealed(store) == 0
    assert_consistent(store)


def test_deleted_object_that_is_still_mapped_can_be_shared_again(store: Store) -> None:
    """Its segment is free in the catalog, but held: a put that refers to it makes it the new object's own."""
    content = encoded(MIB, seed=5)
    store.put(content, "x")
    held = store.read("x")
    store.delete("x")
    assert store.memory().deleted == MIB
    before = store.catalog.used
    store.put(of(*held.buffers), "y")
    assert store.catalog.used - before < 4096
    assert (store.memory().deleted, store.info("y").shared_nbytes) == (0, 0)
    del held
    gc.collect()
    store.put(encoded(MIB, seed=6))
    assert same(store.read("y"), content)
    assert_consistent(store)


def test_rebinding_a_name_to_what_it_shares_with_itself(store: Store) -> None:
    """A name that is rebound to an object made of the old one's buffers keeps them."""
    content = encoded(MIB, seed=7)
    store.put(content, "x")
    for _ in range(5):
        store.put(of(*store.read("x").buffers), "x")
        gc.collect()
    assert same(store.read("x"), content)
    assert [info.shared_nbytes for info in store.ls()] == [0]
    assert sealed(store) == MIB
    assert_consistent(store)


def test_other_stores_memory_is_copied(store: Store, memory_directory: Path) -> None:
    """Only this store's segments can be referred to."""
    with Store.open(memory_directory / "other", capacity=64 * MIB) as other:
        other.put(encoded(MIB), "x")
        store.put(of(*other.read("x").buffers), "x")
        assert sealed(store) == MIB


def test_two_openings_of_a_store_share(store: Store, store_directory: Path) -> None:
    """What one opening mapped, a put by another opening in the same process refers to."""
    with Store.open(store_directory) as other:
        other.put(encoded(MIB), "x")
        store.put(of(*other.read("x").buffers), "y")
    assert sealed(store) == MIB


def test_writer_that_dies_while_sharing_leaves_the_owner_alone(store: Store, store_directory: Path) -> None:
    """After a kill -9 within the sealing transaction, the segment that was referred to is as it was."""
    content = encoded(MIB, seed=8)
    store.put(content, "x")
    done = run(
        """
        import os, signal
        from tests.store.test_sharing import of
        from workbench.store import Store, writing
        store = Store.open()
        held = store.read("x")
        original = writing.Writer._insert
        def die(*args):
            original(*args)
            os.kill(os.getpid(), signal.SIGKILL)
        writing.Writer._insert = die
        store.put(of(*held.buffers), "y")
        """,
        store_directory,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert store.doctor() == []
    assert same(store.read("x"), content)
    assert not store.exists("y")
    assert_consistent(store)


def test_another_process_recycles_only_what_nobody_refers_to(store: Store, store_directory: Path) -> None:
    """While one process deletes and puts, the shared buffers of another's objects never change."""
    content = encoded(2 * MIB, seed=9)
    store.put(content, "base")
    with Process(store_directory) as other:
        other.do(
            "from tests.store.encoding import encoded, same\nfrom tests.store.test_sharing import of\n"
            "from workbench.store import Store\nstore = Store.open()"
        )
        for number in range(20):
            store.put(of(*store.read("base").buffers), "view")
            store.delete("base")
            gc.collect()
            other.do(f"store.put(encoded(2 << 20, seed={100 + number}), 'noise')")
            assert same(store.read("view"), content)
            store.put(of(*store.read("view").buffers), "base")
            store.delete("view")
        gc.collect()
        assert_consistent(store)


def test_several_puts_are_one_step(store: Store) -> None:
    """Objects that are put together become visible together; one that does not fit keeps all of them out."""
    contents = [encoded(100, seed=1), encoded(MIB, seed=2), encoded(10, 70_000, seed=3)]
    refs = store.put_many(contents, ["a", None, "c"])
    assert [same(record, wanted) for record, wanted in zip(store.read_many(refs), contents, strict=True)] == [True] * 3
    assert store.names() == {"a": refs[0].id, "c": refs[2].id}
    before = store.memory()
    with pytest.raises(MemoryError, match="no room"):
        store.put_many([encoded(100), of(memoryview(bytes(300 * MIB)))], ["a", "d"])
    assert store.names() == {"a": refs[0].id, "c": refs[2].id}
    assert store.memory().sealed == before.sealed
    assert_consistent(store)


def test_what_was_mapped_on_disk_is_whole_when_it_is_put_again(store_directory: Path, tmp_path: Path) -> None:
    """Who maps a file on disk has no lease on what was restored from it since: parts of that may have been given back, and are written anew."""
    with Store.open(
        store_directory, capacity=64 * MIB, spill_directory=tmp_path / "spill", restore_after="never"
    ) as store:
        wanted = encoded(2 * MIB, 2 * MIB)
        store.put(wanted, "whole")
        store.spill("whole")
        kept = store.read("whole")
        store.put(of(kept.buffers[0]), "first")
        store.restore("whole")
        store.delete("whole")
        assert "given back" in "".join(store.doctor())
        store.put(of(kept.buffers[1]), "second")
        del kept
        gc.collect()
        assert same(store.read("first"), of(wanted.buffers[0]))
        assert same(store.read("second"), of(wanted.buffers[1]))
        assert_consistent(store)
