"""Put, read, names and delete in one process."""

from __future__ import annotations

import gc
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.store.encoding import encoded, same
from workbench.errors import NameConflictError, ObjectNotFoundError, StoreFullError
from workbench.objects import Ref, new_object_id
from workbench.store import Store

MIB = 1 << 20

SIZES = [(), (0,), (1,), (1000,), (0, 5, 0, 70), (32 << 10,), (40 << 10,), (5 * MIB,), (3 * MIB, 1, 0, 4096, 100_001)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_what_was_put_is_read_back_byte_for_byte(store: Store, sizes: tuple[int, ...]) -> None:
    """Header and buffers come back exactly, inline or mapped, and the buffers are read-only."""
    wanted = encoded(*sizes)
    ref = store.put(wanted, "x")
    for key in ("x", ref.id, ref):
        record = store.read(key)
        assert same(record, wanted)
        assert all(buffer.readonly for buffer in record.buffers)


def test_large_header_is_kept_outside_the_catalog(store: Store) -> None:
    """An object that is one long pickle lies in a segment, and its header comes back."""
    wanted = encoded(10, header=b"h" * MIB)
    store.put(wanted, "x")
    assert same(store.read("x"), wanted)
    assert store.memory().sealed >= MIB


def test_buffers_are_aligned_for_vector_instructions(store: Store) -> None:
    """Each buffer of a mapped object begins at a multiple of 64 bytes."""
    import numpy as np

    store.put(encoded(100_000, 3, 77, 100_000), "x")
    for buffer in store.read("x").buffers:
        assert np.frombuffer(buffer, np.uint8).ctypes.data % 64 == 0


def test_unknown_name_lists_the_nearest(store: Store) -> None:
    """The error of a misspelt name names those that were probably meant, and is a KeyError."""
    store.put(encoded(10), "flights")
    store.put(encoded(10), "weather")
    with pytest.raises(KeyError, match=r"no object 'flihgts' .* Did you mean 'flights'\?") as caught:
        store.read("flihgts")
    assert isinstance(caught.value, ObjectNotFoundError)
    assert caught.value.kind == "object-not-found"
    with pytest.raises(ObjectNotFoundError, match=r"wb\.ls\(\) lists"):
        store.info("something else entirely")


def test_unknown_name_in_an_empty_store_says_that_it_is_empty(store: Store) -> None:
    """There are no nearest names, so the error says so."""
    with pytest.raises(ObjectNotFoundError, match="no named objects yet"):
        store.delete("x")


@pytest.mark.parametrize("key", [None, 1, b"x", ["x"]])
def test_key_of_a_wrong_type_is_a_type_error(store: Store, key: object) -> None:
    """Only names, ids and references are keys."""
    with pytest.raises(TypeError, match="A key is a name, an id or a Ref"):
        store.read(key)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 10_001, "0" * 32])
def test_name_that_cannot_be_one_is_refused(store: Store, name: str) -> None:
    """Empty, endless, null and id-like names are refused before anything is written."""
    with pytest.raises(NameConflictError, match="cannot be a name"):
        store.put(encoded(10), name)
    assert store.ls() == []


@pytest.mark.parametrize("name", ["a/b", "ü ñ 漢", "'; DROP TABLE objects; --", "<b>", "a\nb", "*", "x" * 10_000])
def test_odd_names_are_names(store: Store, name: str) -> None:
    """Whatever else is text can be a name."""
    store.put(encoded(10), name)
    assert store.info(name).name == name
    assert list(store.names()) == [name]
    store.delete(name)
    assert store.names() == {}


def test_rebinding_deletes_the_old_object_but_not_under_its_reader(store: Store) -> None:
    """A reader of the old object keeps its bytes; the name gives the new one at once."""
    old, new = encoded(MIB, seed=1), encoded(MIB, seed=2)
    old_ref = store.put(old, "x")
    reader = store.read("x")
    store.put(new, "x")
    assert same(reader, old)
    assert same(store.read("x"), new)
    assert not store.exists(old_ref)
    assert store.memory().deleted >= MIB
    del reader
    gc.collect()
    assert store.memory().deleted == 0


def test_a_tag_is_set_and_taken_away_and_watchers_hear_of_it(store: Store) -> None:
    """Other tags stay; setting what is set already is no change."""
    store.put(encoded(10), "x", tags={"a": "1"})
    before = store.changes().version
    store.set_tag("x", "b", "2")
    assert store.info("x").tags == {"a": "1", "b": "2"}
    changes = store.changes(before)
    assert [info.tags for info in changes.added] == [{"a": "1", "b": "2"}]
    store.set_tag("x", "b", "2")
    assert store.changes().version == changes.version
    store.set_tag("x", "a", None)
    store.set_tag("x", "b", None)
    assert store.info("x").tags == {}
    with pytest.raises(ObjectNotFoundError):
        store.set_tag("y", "a", "1")


def test_rebinding_keeps_an_object_that_has_another_name_or_a_pin(store: Store) -> None:
    """Only an object that nothing keeps goes with its name."""
    first = store.put(encoded(10, seed=1), "x")
    store.bind("y", "x")
    store.put(encoded(10, seed=2), "x")
    assert store.resolve("y") == first.id
    pinned = store.put(encoded(10, seed=3), "z", pin=True)
    store.put(encoded(10, seed=4), "z")
    assert store.exists(pinned)


def test_unbind_takes_only_the_name_that_is_meant(store: Store) -> None:
    """A name that was rebound meanwhile stays; an object goes with its last name, unless it is pinned."""
    old = store.put(encoded(10, seed=1), "x", pin=True)
    new = store.put(encoded(10, seed=2), "x")
    store.unbind("x", old.id)
    assert store.resolve("x") == new.id
    store.bind("y", new)
    store.unbind("x", new.id)
    assert store.names() == {"y": new.id}
    store.unbind("y", new.id)
    assert not store.exists(new)
    store.bind("z", old)
    store.unbind("z", old.id)
    assert store.exists(old)
    assert store.names() == {}


def test_rename_puts_one_name_in_place_of_all_and_does_it_only_if_the_object_has_the_name_it_is_taken_for(
    store: Store,
) -> None:
    """Who had the new name goes; who reads the changes sees one step."""
    ref = store.put(encoded(10, seed=1), "x")
    store.bind("y", ref)
    taken = store.put(encoded(10, seed=2), "z")
    before = store.changes(None).version
    store.rename("x", "z", was="other")
    assert store.names() == {"x": ref.id, "y": ref.id, "z": taken.id}
    store.rename("x", "z", was="y")
    assert store.names() == {"z": ref.id}
    assert not store.exists(taken)
    store.rename(ref, "z")
    assert store.names() == {"z": ref.id}
    changes = store.changes(before)
    assert ([info.names for info in changes.added], changes.removed) == ([("z",)], [taken.id])


def test_bind_to_the_same_object_changes_nothing(store: Store) -> None:
    """Binding a name again to its own object must not delete it."""
    ref = store.put(encoded(10), "x")
    store.bind("x", ref)
    assert store.resolve("x") == ref.id


def test_deleted_object_is_gone_for_everybody_but_its_readers(store: Store) -> None:
    """Delete removes names and id; mapped bytes stay until the last view goes."""
    wanted = encoded(2 * MIB)
    ref = store.put(wanted, "x")
    store.bind("y", ref)
    reader = store.read(ref)
    store.delete("x")
    for key in ("x", "y", ref):
        assert not store.exists(key)
    assert same(reader, wanted)


def test_one_view_of_one_buffer_keeps_the_lease(store: Store) -> None:
    """The lease lives as long as the last slice of any buffer, not as long as the record."""
    store.put(encoded(MIB, MIB), "x")
    record = store.read("x")
    view = record.buffers[1][5:6]
    del record
    gc.collect()
    assert [holder.pid for holder in store.holders("x")] == [os.getpid()]
    del view
    gc.collect()
    assert store.holders("x") == []


def test_put_under_an_existing_id_fails_and_leaves_nothing(store: Store) -> None:
    """Two objects cannot have one id."""
    ref = store.put(encoded(MIB))
    before = store.memory()
    with pytest.raises(Exception, match="is in the store .* already"):
        store.put(encoded(MIB, seed=2), id=ref.id)
    assert store.memory().writing == 0
    assert store.memory().sealed == before.sealed


@pytest.mark.parametrize("recycled", [False, True])
def test_interrupted_put_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, recycled: bool) -> None:
    """Ctrl-C in the middle of a put, the commonest event in a notebook, loses and leaks nothing."""
    from workbench.store import copying, segments

    old = encoded(20 * MIB, seed=1)
    store.put(old, "x")
    if recycled:
        store.put(encoded(20 * MIB), "y")
        store.delete("y")
        store.put(encoded(20 * MIB), "y")
        store.delete("y")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(copying, "_copy_span", interrupt)
        patch.setattr(segments, "pwrite", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.put(encoded(20 * MIB, seed=2), "x")
    assert same(store.read("x"), old)
    assert store.memory().writing == 0
    assert store.doctor() == []
    new = encoded(20 * MIB, seed=3)
    store.put(new, "x")
    assert same(store.read("x"), new)


def test_interrupt_right_after_the_seal_keeps_the_object(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When Ctrl-C comes after the commit, the object is there, whole."""
    from workbench.store.allocation import Allocator

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    wanted = encoded(MIB)
    with monkeypatch.context() as patch:
        patch.setattr(Allocator, "finish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.put(wanted, "x")
    assert same(store.read("x"), wanted)
    assert store.doctor() == []


def test_ttl_ends_an_object(store: Store) -> None:
    """An expired object is not found, not listed, and makes room when somebody needs it; a pin does not keep it, and the error says so."""
    ref = store.put(encoded(100 * MIB), "x", pin=True, ttl=0.5)
    deadline = time.monotonic() + 30
    while store.exists(ref) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not store.exists("x")
    assert store.ls() == []
    with pytest.raises(
        ObjectNotFoundError, match=r"no object 'x' .* any more: it expired at \d{4}-.*a pin does not change"
    ):
        store.read("x")
    store.put(encoded(200 * MIB), "y")


def test_pinned_object_whose_time_is_over_at_once_was_put(store: Store) -> None:
    """A put that has sealed its object succeeds, whoever or whatever ends the object in the next moment."""
    ref = store.put(encoded(10), "x", pin=True, ttl=1e-6)
    assert not store.exists(ref)


def test_listing_newest_first_with_patterns(store: Store) -> None:
    """Patterns are the shell's; unnamed objects are in the full listing only."""
    for name in ("a/1", "a/2", "b"):
        store.put(encoded(10), name)
    unnamed = store.put(encoded(10, kind="table"))
    assert [info.name for info in store.ls()] == [None, "b", "a/2", "a/1"]
    assert [info.name for info in store.ls("a/*")] == ["a/2", "a/1"]
    assert [info.id for info in store.ls(kind="table")] == [unnamed.id]
    assert len(store.ls(limit=2)) == 2


def test_info_tells_what_was_put(store: Store) -> None:
    """Every field of the listing is what the put said."""
    wanted = replace(encoded(MIB), header=b"h" * 10)
    before = time.time()
    ref = store.put(wanted, "x", pin=True, ttl=100.0, tags={"a": "b"})
    store.bind("w", ref)
    info = store.info("x")
    assert (info.id, info.name, info.names, info.kind, info.type) == (ref.id, "w", ("w", "x"), "array", "test.Object")
    assert (info.shape, info.dtypes, info.nbytes) == ((MIB,), {"": "uint8"}, MIB + 10)
    assert (info.pinned, info.ttl, info.tags) == (True, 100.0, {"a": "b"})
    assert before <= info.created <= info.last_used <= time.time()
    store.unpin("x")
    assert not store.info("x").pinned


def test_last_used_moves_when_the_object_is_mapped(store: Store) -> None:
    """Mapping an object is a use of it."""
    store.put(encoded(MIB), "x")
    before = store.info("x").last_used
    deadline = time.monotonic() + 30
    while store.info("x").last_used == before and time.monotonic() < deadline:
        record = store.read("x")
        del record
    assert store.info("x").last_used > before


def test_recycled_segment_gives_its_old_bytes_to_nobody(store: Store) -> None:
    """An object in a recycled segment is exactly what was put, and the memory in use does not grow."""
    for seed in range(6):
        wanted = encoded(8 * MIB - seed, seed=seed)
        store.put(wanted, "x")
        assert same(store.read("x"), wanted)
        gc.collect()
    assert store.memory().used < 20 * MIB


def test_segment_of_a_living_reader_is_not_recycled(store: Store) -> None:
    """While anybody maps a deleted object, its segment is not given to another."""
    wanted = encoded(8 * MIB, seed=1)
    store.put(wanted, "x")
    reader = store.read("x")
    store.delete("x")
    for seed in range(2, 5):
        store.put(encoded(8 * MIB, seed=seed), "y")
        assert same(reader, wanted)


def test_pool_is_capped(store_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Freed segments beyond the cap go back to the system at once."""
    monkeypatch.setenv("WORKBENCH_POOL", str(10 * MIB))
    with Store.open(store_directory, capacity=256 * MIB) as store:
        for number in range(5):
            store.put(encoded(4 * MIB), str(number))
        for number in range(5):
            store.delete(str(number))
        assert store.memory().pooled <= 10 * MIB
        on_disk = sum(path.stat().st_blocks * 512 for path in store_directory.glob("*.segment"))
        assert on_disk <= 10 * MIB


def test_full_store_names_who_fills_it_and_loses_nothing(store: Store) -> None:
    """StoreFullError is a MemoryError that tells sizes, the largest objects, their holders and the next step."""
    wanted = encoded(200 * MIB)
    store.put(wanted, "large")
    reader = store.read("large")
    before = store.memory()
    with pytest.raises(StoreFullError) as caught:
        store.put(encoded(100 * MIB), "more")
    assert isinstance(caught.value, MemoryError)
    assert caught.value.kind == "store-full"
    message = str(caught.value)
    assert "no room for 100.0 MiB" in message
    assert "capacity of 256.0 MiB" in message
    assert "large has 200.0 MiB, held by script" in message
    assert f"(pid {os.getpid()}, this process)" in message
    assert "Nothing was written and nothing was lost" in message
    assert store.memory() == before
    assert [info.name for info in store.ls()] == ["large"]
    assert same(reader, wanted)


def test_full_store_says_who_keeps_deleted_objects(store: Store) -> None:
    """Memory that is deleted but mapped is named as the cause."""
    store.put(encoded(200 * MIB), "x")
    reader = store.read("x")
    store.delete("x")
    with pytest.raises(
        StoreFullError, match=rf"200\.0 MiB are deleted, but still mapped: .* \(pid {os.getpid()}, this process\)"
    ):
        store.put(encoded(100 * MIB))
    del reader
    store.put(encoded(100 * MIB))


def test_pool_makes_way_for_whoever_needs_room(store: Store) -> None:
    """Free segments count, and are given up before anybody gets an error."""
    for number in range(3):
        store.put(encoded(16 * MIB), str(number))
        store.delete(str(number))
    store.put(encoded(250 * MIB), "x")
    assert store.memory().used <= 256 * MIB


def test_small_objects_count_and_fill_the_store_too(store_directory: Path) -> None:
    """Objects in the catalog are counted, so that the capacity is never exceeded."""
    with Store.open(store_directory, capacity=2 * MIB) as store:
        for number in range(10_000):
            try:
                store.put(encoded(1000), str(number))
            except StoreFullError:
                break
        else:
            pytest.fail("ten megabytes fit into two")
    with Store.open(store_directory) as store:
        assert store.memory().used <= 2 * MIB
        assert len(store.ls()) > 500
        for name in store.names():
            store.delete(name)
        assert store.memory().used == 0


def test_capacity_is_the_stores_and_an_explicit_one_changes_it(store_directory: Path) -> None:
    """Who opens a store without a capacity takes the one it has."""
    with Store.open(store_directory, capacity="64 MiB") as first, Store.open(store_directory) as second:
        assert second.memory().capacity == 64 * MIB
        with Store.open(store_directory, capacity=100 * MIB):
            assert first.memory().capacity == second.memory().capacity == 100 * MIB


def test_ids_are_unique_and_grow_with_time() -> None:
    """Two ids never meet, and later ones sort later (to the millisecond)."""
    ids = [new_object_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [identity[:12] for identity in ids] == sorted(identity[:12] for identity in ids)


def test_changes_give_each_reader_what_is_new(store: Store) -> None:
    """A delta has what was added and removed since the version, and data_version says when to ask."""
    first = store.put(encoded(10), "a")
    start = store.changes()
    assert start.full
    assert [info.id for info in store.page(0, start.version, 10)[0]] == [first.id]
    version = store.data_version()
    assert store.data_version() == version
    second = store.put(encoded(MIB), "b")
    store.delete("a")
    assert store.data_version() != version
    delta = store.changes(start.version)
    assert [info.id for info in delta.added] == [second.id]
    assert delta.removed == [first.id]
    assert delta.added[0].names == ("b",)
    store.bind("c", second)
    again = store.changes(delta.version)
    assert [info.names for info in again.added] == [("b", "c")]
    assert store.changes(again.version).added == []


def test_ref_is_small_and_picklable(store: Store) -> None:
    """A reference to a gigabyte pickles to a few hundred bytes."""
    import pickle

    ref = store.put(encoded(8 * MIB), "x")
    text = pickle.dumps(ref)
    assert len(text) < 300
    assert pickle.loads(text) == ref == Ref(ref.id, "x", "array", ref.nbytes)
