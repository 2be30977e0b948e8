"""Writing fresh memory with several threads: every byte in its place, and a full file system is an error."""

from __future__ import annotations

import ctypes
import io
import mmap
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.store.mounts import root_only
from workbench.store import copying, segments, syscalls
from workbench.store.pool import WritableMapping

MIB = 1 << 20
pytestmark = pytest.mark.skipif(not syscalls.can_populate(), reason="needs Linux 5.14")


@pytest.fixture
def file(memory_directory: Path) -> Iterator[io.FileIO]:
    """A new file in shared memory."""
    with io.FileIO(memory_directory / "segment", "x+") as opened:
        yield opened


def pieces_of(*sizes: int) -> tuple[list[memoryview], list[int], int]:
    """Random bytes of these sizes, where they lie in a segment, and how long that is."""
    source = random.Random(0)  # reproducible, not secret
    offsets, end = segments.layout(sizes)
    return [memoryview(source.randbytes(size)) for size in sizes], offsets, -(-end // mmap.PAGESIZE) * mmap.PAGESIZE


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize(
    "sizes", [(1,), (40 * MIB,), (4 * MIB, 4 * MIB), (5, 0, 4 * MIB - 64, 1, 9 * MIB + 3, 0), (70_001,) * 300], ids=str
)
def test_every_byte_is_in_its_place(file: io.FileIO, sizes: tuple[int, ...], threads: int) -> None:
    """Whatever the sizes, the file has the pieces at their offsets, zeros in between, and all its pages."""
    pieces, offsets, nbytes = pieces_of(*sizes)
    os.ftruncate(file.fileno(), nbytes)
    with mmap.mmap(file.fileno(), nbytes) as target:
        copying.fill(file, target, nbytes, pieces, offsets, threads=threads)
    wanted = bytearray(nbytes)
    for piece, offset in zip(pieces, offsets, strict=True):
        wanted[offset : offset + piece.nbytes] = piece
    file.seek(0)
    assert file.read() == wanted
    assert segments.is_allocated(file, nbytes)


@root_only
@pytest.mark.parametrize("small_tmpfs", ["30m"], indirect=True)
@pytest.mark.parametrize("writer", ["system calls", "mapping"])
def test_file_system_that_is_full_is_an_error(small_tmpfs: Path, writer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever thread meets the end of the file system: ENOSPC, never SIGBUS."""
    failed = threading.Event()
    populate = syscalls.populate_write

    def populate_and_tell(address: int, nbytes: int) -> bool:
        try:
            return populate(address, nbytes)
        except OSError:
            failed.set()
            raise

    if writer == "mapping":
        monkeypatch.setattr(syscalls, "populate_write", populate_and_tell)
        monkeypatch.setattr(segments, "pwrite", lambda *_: failed.wait(30))
    pieces, offsets, nbytes = pieces_of(100 * MIB)
    with io.FileIO(small_tmpfs / "segment", "x+") as opened:
        os.ftruncate(opened.fileno(), nbytes)
        with mmap.mmap(opened.fileno(), nbytes) as target, pytest.raises(OSError, match="No space left on device"):
            copying.fill(opened, target, nbytes, pieces, offsets, threads=2 if writer == "mapping" else 1)


def test_failing_helper_fails_the_copy(file: io.FileIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong in a helper thread is raised where the copy was asked for, after all threads have stopped."""

    def refuse(*_: object) -> bool:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(syscalls, "populate_write", refuse)
    pieces, offsets, nbytes = pieces_of(40 * MIB)
    os.ftruncate(file.fileno(), nbytes)
    with mmap.mmap(file.fileno(), nbytes) as target, pytest.raises(OSError, match="Input/output error"):
        copying.fill(file, target, nbytes, pieces, offsets, threads=2)


def huge_nbytes(address: int) -> int:
    """How much of the mapping at an address the kernel has mapped by huge pages."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if line.startswith(f"{address:x}-"):
            found = next(line for line in lines if line.startswith("ShmemPmdMapped:"))
            return int(found.split()[1]) * 1024
    raise AssertionError(f"nothing is mapped at {address:x}")


def gives_huge_pages(directory: Path) -> bool:
    """Whether this kernel makes huge pages in shared memory for who asks."""
    with io.FileIO(directory / "probe", "x+") as file:
        os.ftruncate(file.fileno(), syscalls.HUGE)
        target = WritableMapping(file.fileno(), syscalls.HUGE)
        syscalls.populate_write(target.address, mmap.PAGESIZE)
        return syscalls.collapse(target.address, syscalls.HUGE)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_large_segments_get_huge_pages(file: io.FileIO, memory_directory: Path, threads: int) -> None:
    """Where the kernel gives them, in as many bytes as they fit into; writer and reader map them as such, and the bytes are right."""
    if not gives_huge_pages(memory_directory):
        pytest.skip("the kernel gives no huge pages in shared memory")
    pieces, offsets, nbytes = pieces_of(5, 21 * MIB + 3, 70_001)
    os.ftruncate(file.fileno(), nbytes)
    target = WritableMapping(file.fileno(), nbytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "_SLOW", 60)  # the machine may be busy
        copying.fill(file, target, nbytes, pieces, offsets, threads=threads)
    assert huge_nbytes(target.address) == nbytes // syscalls.HUGE * syscalls.HUGE
    reader = syscalls.map_shared(file.fileno(), nbytes, mmap.PROT_READ)
    try:
        copy = (ctypes.c_char * nbytes).from_address(reader).raw  # touches every page
        assert huge_nbytes(reader) == nbytes // syscalls.HUGE * syscalls.HUGE
    finally:
        syscalls.unmap(reader, nbytes)
    for piece, offset in zip(pieces, offsets, strict=True):
        assert copy[offset : offset + piece.nbytes] == piece


@pytest.mark.parametrize("chunk", [0, 1, 3])
@pytest.mark.parametrize("how", ["refused", "slow"])
def test_huge_pages_that_end_are_made_up_for(
    file: io.FileIO, chunk: int, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From whichever chunk on the kernel refuses them, or takes long: the rest has small pages, and every byte is there."""
    calls = 0

    def collapse(address: int, nbytes: int) -> bool:
        nonlocal calls
        calls += 1
        return how == "slow" or calls <= chunk

    if how == "slow":
        monkeypatch.setattr(copying, "_SLOW", 0)
    monkeypatch.setattr(syscalls, "collapse", collapse)
    pieces, offsets, nbytes = pieces_of(5, 0, 4 * MIB - 64, 1, 29 * MIB + 3)
    os.ftruncate(file.fileno(), nbytes)
    copying.fill(file, WritableMapping(file.fileno(), nbytes), nbytes, pieces, offsets, threads=2)
    file.seek(0)
    content = file.read()
    for piece, offset in zip(pieces, offsets, strict=True):
        assert content[offset : offset + piece.nbytes] == piece
    assert calls < 10


def test_mappings_of_one_size_lie_apart_and_where_huge_pages_can_be(file: io.FileIO) -> None:
    """Each of several mappings that live at once begins at a multiple of a huge page's size; so does one that comes after another."""
    nbytes = 5 * MIB
    os.ftruncate(file.fileno(), nbytes)
    mappings = [WritableMapping(file.fileno(), nbytes) for _ in range(5)]
    addresses = [mapping.address for mapping in mappings]
    assert len(set(addresses)) == 5
    assert [address % syscalls.HUGE for address in addresses] == [0] * 5
    del mappings
    assert WritableMapping(file.fileno(), nbytes).address % syscalls.HUGE == 0


def test_closed_mapping_lets_go_of_the_file_whoever_has_views(file: io.FileIO) -> None:
    """Its pages are given back with the file, and a view that is left neither reads nor writes what was there."""
    os.ftruncate(file.fileno(), 5 * MIB)
    mapping = WritableMapping(file.fileno(), 5 * MIB)
    view = np.asarray(mapping)
    view[:] = 1
    mapping.close()
    view[:10] = 2
    assert not view[10:].any()
    file.seek(0)
    assert set(file.read()) == {1}
    assert str(file.name) not in Path("/proc/self/maps").read_text()
