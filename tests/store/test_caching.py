"""Cached replicas are dropped before anything is spilled, and never once they are kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.encoding import encoded, same
from workbench.errors import ObjectNotFoundError, StoreFullError
from workbench.objects import Encoded, ObjectId, Ref
from workbench.store import Store

MIB = 1 << 20


@pytest.fixture
def small(memory_directory: Path, tmp_path: Path) -> Iterator[Store]:
    """A store of 64 MiB that can spill."""
    with Store.open(memory_directory / "small", capacity=64 * MIB, spill_directory=tmp_path, pool=0) as opened:
        yield opened


def replica(source: Store, target: Store, nbytes: int, *, cached: bool = True) -> Ref:
    """Put an object into one store, and bring a replica of it to the other."""
    ref = source.put(encoded(nbytes))
    with source.export(ref) as export, target.import_(export.meta, cached=cached) as importing:
        with importing.land(0, export.image_nbytes) as view:
            view[:] = b"".join(export.image(0, export.image_nbytes))
        importing.seal()
    return ref


def states(store: Store) -> dict[ObjectId, str]:
    """Where each object is kept."""
    return {info.id: info.replicas[0].state for info in store.ls()}


def test_cached_replicas_go_before_anything_is_spilled(store: Store, small: Store) -> None:
    """Who needs room drops what is cached, longest unused first, and only then spills; the bytes are counted as cached until then."""
    ordinary = small.put(encoded(16 * MIB))
    old, young = replica(store, small, 16 * MIB), replica(store, small, 16 * MIB)
    assert states(small) == {ordinary.id: "memory", old.id: "cached", young.id: "cached"}
    memory = small.memory()
    assert (memory.cached, memory.sealed) == (32 * MIB, memory.used - 32 * MIB)
    small.put(encoded(24 * MIB))
    assert not small.exists(old)
    assert states(small)[young.id] == "cached"
    assert states(small)[ordinary.id] == "memory"
    small.put(encoded(24 * MIB))
    assert not small.exists(young)
    assert "disk" in states(small).values(), "then something was spilled"
    assert small.doctor() == []


def test_what_is_kept_pinned_or_mapped_is_not_dropped(store: Store, small: Store) -> None:
    """A cached replica that became an ordinary one, that somebody pins, or that somebody reads, stays."""
    kept, pinned, read = (replica(store, small, 12 * MIB) for _ in range(3))
    small.keep(kept)
    small.pin(pinned)
    record = small.read(read)
    assert states(small) == {kept.id: "memory", pinned.id: "memory", read.id: "cached"}
    small.put(encoded(38 * MIB))
    assert states(small)[kept.id] == "disk"
    assert {pinned.id, read.id} <= set(states(small))
    assert same(record, encoded(12 * MIB))
    small.keep(read)
    with pytest.raises(ObjectNotFoundError):
        small.keep(ObjectId("0" * 32))


def test_nothing_is_dropped_in_vain(store: Store, memory_directory: Path) -> None:
    """A put that could not succeed anyway leaves the cached replicas where they are."""
    with Store.open(memory_directory / "small", capacity=64 * MIB, pool=0) as small:
        held = small.put(encoded(40 * MIB))
        cached = replica(store, small, 16 * MIB)
        with pytest.raises(StoreFullError):
            small.put(encoded(32 * MIB))
        assert states(small) == {held.id: "memory", cached.id: "cached"}


def test_what_shares_memory_with_a_cached_replica_keeps_it(store: Store, small: Store) -> None:
    """An object that refers to a cached replica's memory is an ordinary one: that memory is not given up."""
    ref = replica(store, small, 16 * MIB)
    record = small.read(ref)
    shared = small.put(encoded_as(record.buffers))
    del record
    small.put(encoded(40 * MIB))
    assert small.exists(shared)
    assert small.doctor() == []


def encoded_as(buffers: tuple[memoryview, ...]) -> Encoded:
    """An object of these very buffers."""
    return dataclasses.replace(encoded(), buffers=buffers)
