"""The contract of a store as tests: subclass :class:`StoreTests`, say how a store is opened, and run pytest.

Covers what holds for one process and one more beside it, whatever the settings: where the bytes lie (catalog, memory, disk) must make
no difference. Sequences of operations are for ``machine.py``.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from workbench.errors import NameConflictError, ObjectNotFoundError, StoreFullError
from workbench.objects import Encoded, Ref
from workbench.store import Store
from workbench.testing import contents, operations
from workbench.testing.actors import Actor
from workbench.testing.consistency import assert_consistent
from workbench.testing.operations import Operation

SHAPES = [(), (0,), (1,), (1_000,), (40_000,), (63, 64, 65), (0, 100_000, 0), (2_000_000, 5), (700, 1_500_000, 12_345)]
"""Sizes in bytes of the buffers of objects: empty, odd, in the row, in a segment, large."""


class StoreTests:
    """Tests of one kind of store; a subclass gives the fixture :meth:`open_store`."""

    @pytest.fixture
    def open_store(self) -> Callable[[], Store]:
        """Return a function that opens the store of this test: at first empty, later as it was left."""
        raise NotImplementedError("A subclass of StoreTests gives the fixture open_store.")

    @pytest.fixture
    def contract_store(self, open_store: Callable[[], Store]) -> Iterator[Store]:
        """An empty store, in order again at the end."""
        with open_store() as store:
            yield store
            gc.collect()
            assert store.doctor() == []
            assert_consistent(store)

    @pytest.fixture(scope="class")
    @classmethod
    def actor(cls) -> Iterator[Actor]:
        """A second process."""
        with Actor() as other:
            yield other

    @pytest.mark.parametrize("sizes", SHAPES, ids=str)
    @pytest.mark.parametrize("header_nbytes", [0, 100_000])
    def test_object_comes_back_as_it_was_put(
        self, contract_store: Store, actor: Actor, sizes: tuple[int, ...], header_nbytes: int
    ) -> None:
        """Header and buffers come back bit by bit, read-only and aligned, here and in another process."""
        encoded = contents.make("x", sizes, header_nbytes=header_nbytes)
        ref = contract_store.put(encoded, "x", id=contents.object_id("x"))
        record = contract_store.read("x")
        assert contents.verify(record) == "x"
        assert [buffer.nbytes for buffer in record.buffers] == list(sizes)
        assert all(buffer.readonly for buffer in record.buffers)
        assert (ref.id, ref.name, ref.nbytes) == (record.id, "x", encoded.nbytes)
        actor.open(contract_store.directory)
        assert actor.perform(Operation("read", key="x")) == "x"
        actor.close()

    def test_what_was_put_is_a_copy(self, contract_store: Store) -> None:
        """Changing the source after the put changes nothing in the store."""
        source = bytearray(b"a" * 300_000)
        encoded = contents.make("x", ())
        contract_store.put(Encoded(encoded.description, b"", (memoryview(source).toreadonly(),)), "x")
        source[:] = b"b" * len(source)
        assert bytes(contract_store.read("x").buffers[0]) == b"a" * len(source)

    def test_name_is_rebound_at_once(self, contract_store: Store) -> None:
        """A name leads to the newest object; the one before goes, unless a name or a pin keeps it."""
        for label, pin in [("1", False), ("2", False), ("3", True), ("4", False)]:
            contract_store.put(contents.make(label, (50_000,)), "x", pin=pin, id=contents.object_id(label))
        contract_store.bind("y", "x")
        contract_store.put(contents.make("5", (10,)), "x", id=contents.object_id("5"))
        assert operations.state(contract_store) == {"3": ((), True), "4": (("y",), False), "5": (("x",), False)}

    def test_held_object_outlives_its_deletion(self, contract_store: Store) -> None:
        """Who maps an object keeps it whole, however much is put after its deletion."""
        contract_store.put(contents.make("kept", (1_500_000,)), "x", id=contents.object_id("kept"))
        record = contract_store.read("x")
        contract_store.delete("x")
        for number in range(5):
            contract_store.put(contents.make(f"{number}", (1_500_000,)), "x", id=contents.object_id(f"{number}"))
        assert contents.verify(record) == "kept"

    @pytest.mark.parametrize(
        "key", ["nothing", "0" * 32, Ref(contents.object_id("nothing"))], ids=["name", "id", "ref"]
    )
    def test_what_is_not_there_is_said_so(self, contract_store: Store, key: str | Ref) -> None:
        """Each verb that needs an object raises ObjectNotFoundError, and changes nothing."""
        contract_store.put(contents.make("x", (10,)), "x", id=contents.object_id("x"))
        verbs: list[Callable[[], object]] = [
            lambda: contract_store.read(key),
            lambda: contract_store.delete(key),
            lambda: contract_store.pin(key),
            lambda: contract_store.unpin(key),
            lambda: contract_store.bind("y", key),
            lambda: contract_store.info(key),
            lambda: contract_store.resolve(key),
            lambda: contract_store.holders(key),
        ]
        for verb in verbs:
            with pytest.raises(ObjectNotFoundError):
                verb()
        assert not contract_store.exists(key)
        assert operations.state(contract_store) == {"x": (("x",), False)}

    @pytest.mark.parametrize("name", ["", "a\0b", "0" * 32, "x" * 100_000, "\ud800"], ids=repr)
    def test_bad_name_is_refused_before_anything_is_written(self, contract_store: Store, name: str) -> None:
        """What cannot be a name is an error, and the object is not put."""
        with pytest.raises(NameConflictError):
            contract_store.put(contents.make("x", (100_000,)), name)
        assert contract_store.ls() == []
        assert contract_store.memory().used == 0

    def test_object_that_cannot_fit_is_refused_and_nothing_is_lost(self, contract_store: Store) -> None:
        """StoreFullError says so; what was there is there, and what fits is still put."""
        contract_store.put(contents.make("x", (100_000,)), "x", id=contents.object_id("x"))
        # Zeros that were never touched: this process has no memory for so many.
        huge = memoryview(bytes(1)).cast("B")
        count = contract_store.memory().capacity // 1000 + 1
        piece = memoryview(bytes(1000))
        with pytest.raises(StoreFullError, match="has no room"):
            contract_store.put(Encoded(contents.make("y", ()).description, b"", (piece,) * count), "y")
        contract_store.put(contents.make("z", (huge.nbytes,)), "z", id=contents.object_id("z"))
        assert operations.state(contract_store) == {"x": (("x",), False), "z": (("z",), False)}

    def test_ttl_and_tags_are_kept(self, contract_store: Store) -> None:
        """What was said at the put is what info says, and an object that is over is gone."""
        contract_store.put(contents.make("x", (10,)), "x", ttl=1000.0, tags={"a": "b"}, id=contents.object_id("x"))
        info = contract_store.info("x")
        assert (info.ttl, info.tags, info.pinned, info.names) == (1000.0, {"a": "b"}, False, ("x",))
        contract_store.put(contents.make("y", (100_000,)), "x", ttl=1e-6, id=contents.object_id("y"))
        assert not contract_store.exists("x")
        assert contract_store.ls() == []

    def test_everything_is_there_when_the_store_is_opened_again(
        self, contract_store: Store, open_store: Callable[[], Store]
    ) -> None:
        """Names, pins and bytes do not depend on who has the store open."""
        for number, sizes in enumerate(SHAPES):
            contract_store.put(contents.make(f"{number}", sizes), f"n{number}", id=contents.object_id(f"{number}"))
        contract_store.pin("n3")
        wanted = operations.state(contract_store)
        assert len(wanted) == len(SHAPES)
        with open_store() as again:
            assert again.id == contract_store.id
            assert operations.state(again) == wanted

    def test_threads_do_not_disturb_each_other(self, contract_store: Store) -> None:
        """Puts, gets and deletes from several threads at once: each sees its own objects whole."""

        def work(thread: int) -> int:
            performer = operations.Performer(contract_store)
            for turn in range(20):
                name, label = f"{thread}", f"{thread}/{turn}"
                performer.perform(Operation("put", name=name, label=label, sizes=((turn % 3) * 600_000 + 10,)))
                assert performer.perform(Operation("read", key=name)) == label
            return thread

        with ThreadPoolExecutor(4) as threads:
            assert sorted(threads.map(work, range(4))) == [0, 1, 2, 3]
        assert operations.state(contract_store) == {f"{n}/19": ((f"{n}",), False) for n in range(4)}

    def test_nothing_stays_of_what_was_deleted(self, contract_store: Store) -> None:
        """With its objects and its pool the store's files go."""
        for number, sizes in enumerate(SHAPES):
            contract_store.put(contents.make(f"{number}", sizes), f"n{number}", id=contents.object_id(f"{number}"))
            contract_store.delete(f"n{number}")
        contract_store.allocator.free.release()
        assert contract_store.memory().used == 0
        assert not list(Path(contract_store.directory).glob("*.segment"))
