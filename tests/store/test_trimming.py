"""What no object refers to any more, of a segment that another object still uses, goes back; what is used stays as it is."""

from __future__ import annotations

import dataclasses
import gc
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import run
from tests.store.encoding import encoded, same
from workbench.objects import Encoded
from workbench.store import Store
from workbench.store.rows import PLACE
from workbench.store.trimming import kept_pages, trim

MIB = 1 << 20
PAGE = 4096


@pytest.fixture
def store(store_directory: Path, tmp_path: Path) -> Iterator[Store]:
    """An empty store of 64 MiB that spills, and brings nothing back by itself."""
    with Store.open(
        store_directory, capacity=64 * MIB, spill_directory=tmp_path / "spill", restore_after="never"
    ) as opened:
        yield opened


def share_slice(store: Store, start: int, stop: int, *, nbytes: int = 40 * MIB) -> Encoded:
    """Put an object of 40 MiB, share a part of it as ``part``, and delete it."""
    store.put(encoded(nbytes), "large")
    record = store.read("large")
    part = dataclasses.replace(encoded(1), buffers=(record.buffers[0][start:stop],))
    store.put(part, "part")
    wanted = dataclasses.replace(part, buffers=(memoryview(bytes(part.buffers[0])),))
    store.delete("large")
    del record, part
    gc.collect()
    return wanted


def allocated(store: Store) -> int:
    """Bytes of memory that the store's segments take."""
    return sum(path.lstat().st_blocks * 512 for path in store.directory.glob("*.segment") if not path.is_symlink())


@pytest.mark.parametrize(
    ("places", "pages"),
    [
        ([], []),
        ([(1, 0, 0)], []),
        ([(1, 10, 1)], [(0, PAGE)]),
        ([(1, PAGE - 1, 2)], [(0, 2 * PAGE)]),
        ([(1, 0, PAGE), (1, PAGE, 1)], [(0, 2 * PAGE)]),
        ([(1, 5 * PAGE, PAGE), (2, 0, 99), (1, 0, 9)], [(0, PAGE), (5 * PAGE, 6 * PAGE)]),
        ([(1, 0, 9 * PAGE), (1, PAGE, PAGE)], [(0, 9 * PAGE)]),
    ],
)
def test_pages_that_are_kept(places: list[tuple[int, int, int]], pages: list[tuple[int, int]]) -> None:
    """Whole pages that any object touches, of this segment only, merged."""
    assert kept_pages([PLACE.pack(*place) for place in places], 1) == pages


def test_unused_part_is_given_back(store: Store) -> None:
    """A slice of 4 MiB costs 4 MiB once the rest is gone: memory, capacity; its bytes, its stamp and its times stay."""
    wanted = share_slice(store, 8 * MIB + 5, 12 * MIB)
    last_used = store.info("part").last_used
    assert store.memory().used > 40 * MIB
    assert store.doctor() == [f"Segment 1 had {36 * MIB} bytes that no object refers to: given back."]
    assert allocated(store) == 4 * MIB
    assert store.memory().used < 4 * MIB + 10_000
    assert store.info("part").last_used == last_used
    (path,) = store.directory.glob("*.segment")
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert same(store.read("part"), wanted)
    gc.collect()
    assert store.doctor() == []


def test_trimmed_segment_can_be_spilled_restored_and_recycled(store: Store) -> None:
    """Nothing that was given back comes back: not on disk, not in memory, not when the segment has another life."""
    wanted = share_slice(store, 8 * MIB, 12 * MIB)
    trim(store.catalog, store.directory)
    store.put(encoded(5 * MIB), "other")
    store.delete("other")  # a free segment, which the restored one may get
    store.spill("part")
    (file,) = (path for path in store.directory.glob("*.segment") if path.is_symlink())
    assert file.stat().st_blocks * 512 < 5 * MIB
    assert same(store.read("part"), wanted)
    gc.collect()
    store.restore("part")
    assert same(store.read("part"), wanted)
    gc.collect()
    assert allocated(store) <= store.memory().used
    store.delete("part")
    for seed in range(3):
        store.put(encoded(4 * MIB, seed=seed), "new")
        assert same(store.read("new"), encoded(4 * MIB, seed=seed))
        gc.collect()
        assert allocated(store) <= store.memory().used
    assert store.doctor() == []


def test_what_somebody_maps_is_not_trimmed(store: Store) -> None:
    """The exclusive lock is the condition; later it can be."""
    share_slice(store, 8 * MIB, 12 * MIB)
    record = store.read("part")
    assert trim(store.catalog, store.directory) == {}
    del record
    gc.collect()
    assert trim(store.catalog, store.directory) == {1: 36 * MIB}


def test_put_that_needs_the_room_gets_it(store: Store) -> None:
    """Before anything is spilled."""
    wanted = share_slice(store, 8 * MIB, 12 * MIB)
    store.put(encoded(55 * MIB), "x")
    assert {info.name: info.replicas[0].state for info in store.ls()} == {"part": "memory", "x": "memory"}
    assert same(store.read("part"), wanted)
    assert same(store.read("x"), encoded(55 * MIB))


STEPS = {
    "after it was said": "trimming._punch = die",
    "in the middle of the holes": "after(syscalls, 'punch_hole')",
    "before the stamp": "trimming.seal_again = die",
    "before the commit": "after(trimming, 'seal_again')",
}
SETUP = """
import os, signal
from workbench.store import Store, syscalls, trimming
store = Store.open()
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def after(module, name):
    original = getattr(module, name)
    def call(*a, **k):
        original(*a, **k); die()
    setattr(module, name, call)
"""


@pytest.mark.parametrize("step", STEPS)
def test_process_that_dies_while_it_trims_loses_nothing(store: Store, store_directory: Path, step: str) -> None:
    """A reader finds the object at once, without anybody calling the doctor, and the rest can be given back later."""
    wanted = share_slice(store, 8 * MIB, 12 * MIB)
    done = run(SETUP + STEPS[step] + "\ntrimming.trim(store.catalog, store.directory)", store_directory)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert same(store.read("part"), wanted)
    gc.collect()
    store.doctor()
    assert allocated(store) == 4 * MIB
    assert store.memory().used < 5 * MIB
    assert same(store.read("part"), wanted)
    assert store.doctor() == []
