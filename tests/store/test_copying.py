"""Writing fresh memory with several threads: every byte in its place, and a full file system is an error."""

from __future__ import annotations

import io
import mmap
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.mounts import root_only
from workbench.store import copying, segments, syscalls

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
