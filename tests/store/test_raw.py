"""Copying an object's bytes from one store to another, without decoding."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.encoding import encoded, same
from workbench.errors import StoreFullError, TransferError
from workbench.store import Store

MIB = 1 << 20


@pytest.mark.parametrize("sizes", [(), (10,), (0, 100_000, 3, 0), (3 * MIB, 5 * MIB + 1)], ids=str)
@pytest.mark.parametrize("step", [1 << 20, 70_001])
def test_replica_is_the_object_in_another_store(
    store: Store, memory_directory: Path, sizes: tuple[int, ...], step: int
) -> None:
    """Ranges of any size, in any order, give the same object under the same id, with its description."""
    wanted = encoded(*sizes)
    ref = store.put(wanted, "x", tags={"a": "b"}, ttl=1000.0, pin=True)
    with Store.open(memory_directory / "other", capacity=64 * MIB) as other:
        with store.export("x") as source, other.import_(source.meta) as target:
            for offset in reversed(range(0, source.nbytes, step)):
                target.write(offset, source.read(offset, min(step, source.nbytes - offset)))
            assert not other.exists(ref)
            assert target.seal().id == ref.id
        assert same(other.read(ref), wanted)
        here, there = store.info("x"), other.info(ref)
        fields = ("id", "kind", "type", "shape", "dtypes", "nbytes", "created", "ttl", "tags", "pinned", "notes")
        assert all(getattr(here, field) == getattr(there, field) for field in fields)
        assert there.names == ()


def test_replica_that_is_given_up_leaves_nothing(store: Store, memory_directory: Path) -> None:
    """Leaving the block without sealing frees every byte."""
    ref = store.put(encoded(MIB), "x")
    with Store.open(memory_directory / "other", capacity=64 * MIB) as other:
        with store.export("x") as source, other.import_(source.meta) as target:
            target.write(0, source.read(0, 1000))
        assert not other.exists(ref)
        assert other.memory().used == 0


def test_incomplete_replica_cannot_be_sealed(store: Store, memory_directory: Path) -> None:
    """Missing bytes are an error that says how many arrived."""
    ref = store.put(encoded(MIB), "x")
    with Store.open(memory_directory / "other", capacity=64 * MIB) as other:
        with store.export("x") as source, other.import_(source.meta) as target:
            target.write(0, source.read(0, 1000))
            with pytest.raises(TransferError, match=f"1000 of {MIB} bytes arrived"):
                target.seal()
        assert not other.exists(ref)


def test_object_that_is_here_already_is_not_written_again(store: Store) -> None:
    """Importing what the store has is a no-op."""
    ref = store.put(encoded(MIB), "x")
    used = store.memory().used
    with store.export("x") as source, store.import_(source.meta) as target:
        target.write(0, source.read(0, MIB))
        assert target.seal().id == ref.id
    assert store.memory().used == used
    assert store.exists("x")


def test_full_store_takes_no_replica(store: Store, memory_directory: Path) -> None:
    """Room is reserved before the first byte travels."""
    store.put(encoded(100 * MIB), "x")
    with Store.open(memory_directory / "other", capacity=64 * MIB) as other, store.export("x") as source:
        with pytest.raises(StoreFullError, match=r"no room for 100\.0 MiB"):
            other.import_(source.meta)
        assert other.memory().used == 0


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": [-1]},
        {"sizes": [5]},
        {"nbytes": 1 << 50},
        {"sizes": "x"},
        {"description": "{"},
        {"header": None},
        {"tags": 3},
    ],
    ids=str,
)
def test_damaged_description_is_refused(store: Store, memory_directory: Path, change: dict[str, object]) -> None:
    """What comes over a network is checked before anything is written."""
    store.put(encoded(MIB), "x")
    with Store.open(memory_directory / "other", capacity=64 * MIB) as other, store.export("x") as source:
        with pytest.raises(TransferError):
            other.import_({**source.meta, **change})
        assert other.memory().used == 0


def test_range_outside_the_object_is_refused(store: Store, memory_directory: Path) -> None:
    """Neither side reads or writes outside the payload."""
    store.put(encoded(MIB), "x")
    with Store.open(memory_directory / "other", capacity=64 * MIB) as other:  # noqa: SIM117  # two steps
        with store.export("x") as source, other.import_(source.meta) as target:
            with pytest.raises(ValueError, match="outside the payload"):
                source.read(MIB, 1)
            with pytest.raises(TransferError, match="outside its"):
                target.write(MIB - 1, b"xx")


@pytest.mark.parametrize("cached", [False, True])
def test_a_replica_that_gets_none_of_its_names_says_so_from_the_first_moment(
    store: Store, memory_directory: Path, cached: bool
) -> None:
    """Newer objects have all of them here: it is tagged as one that lost a conflict, in the step that makes it visible, also a cached one, which may be kept in the end."""
    old = store.put(encoded(100_000), "x", tags={"kind": "old"})
    with Store.open(memory_directory / "other", capacity=64 * MIB) as other:
        newer = other.put(encoded(200_000), "x")
        with store.export("x") as source, other.import_(source.meta, names=["x"], cached=cached) as target:
            target.write(0, source.read(0, source.nbytes))
            target.seal()
        assert {info.id: info.names for info in other.ls()} == {newer.id: ("x",), old.id: ()}
        assert other.info(old.id).tags == {"kind": "old", "conflict": "x"}


def test_a_replica_has_its_names_from_the_first_moment_but_none_of_a_newer_object(
    store: Store, memory_directory: Path
) -> None:
    """What the object is called elsewhere it is called here, unless somebody here gave that name to a newer object, which stays."""
    old = store.put(encoded(100_000), "x")
    with Store.open(memory_directory / "other", capacity=64 * MIB) as other:
        newer = other.put(encoded(200_000), "x")
        with store.export("x") as source, other.import_(source.meta, names=["x", "y"]) as target:
            target.write(0, source.read(0, source.nbytes))
            target.seal()
        assert {info.id: info.names for info in other.ls()} == {newer.id: ("x",), old.id: ("y",)}
        assert other.adopt(old.id, ["x", "y"]) == 1
        assert other.adopt(newer.id, ["x", "y"]) == 2
        assert {info.id: info.names for info in other.ls()} == {newer.id: ("x", "y")}
