"""The file format: what it is to the byte, and that no damage goes unnoticed."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
from typing import Any

import pytest

from workbench.archive import MAGIC, VERSION, ArchiveReader, ArchiveWriter
from workbench.errors import SavedFileError

ABOUT = {"name": "flights", "root": "0" * 32, "origin": "0" * 32, "objects": 1}
META = {"id": "0" * 32, "sizes": [5, 3]}


class Bytes:
    """A payload in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.nbytes = len(data)

    def read(self, offset: int, nbytes: int) -> memoryview:
        """Return a range."""
        return self._data[offset : offset + nbytes]


class Dribble(io.BytesIO):
    """A source that gives a few bytes at a time, as sockets do."""

    def readinto(self, target: Any) -> int:
        """Fill a small part of `target`."""
        return super().readinto(memoryview(target)[:1000])


def archive(payload: bytes, header: bytes = b"header") -> bytes:
    """An archive of one object."""
    file = io.BytesIO()
    ArchiveWriter(file, ABOUT).add(META, header, Bytes(payload))
    return file.getvalue()


def read(
    data: bytes, nbytes: int, source: type[io.BytesIO] = io.BytesIO
) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Everything that is in an archive of one object with a payload of `nbytes`."""
    reader = ArchiveReader(source(data), "file.wb")
    meta, header = reader.describe()
    payload = bytearray(nbytes)

    def write(offset: int, piece: memoryview) -> None:
        payload[offset : offset + len(piece)] = piece

    reader.copy(nbytes, write)
    reader.finish()
    return reader.about, meta, header, bytes(payload)


@pytest.mark.parametrize("nbytes", [0, 1, 70_001, (8 << 20) - 1, 8 << 20, (20 << 20) + 5])
@pytest.mark.parametrize("source", [io.BytesIO, Dribble])
def test_what_is_written_is_read(nbytes: int, source: type[io.BytesIO]) -> None:
    """Payloads of any length come back, from sources that give any number of bytes at a time."""
    if source is Dribble and nbytes > 1 << 20:
        nbytes = 100_001
    payload = random.Random(nbytes).randbytes(nbytes)
    assert read(archive(payload), nbytes, source) == (ABOUT, META, b"header", payload)


def test_the_format_is_what_the_documentation_says() -> None:
    """Magic, version, and blocks of length, bytes and SHA-256; files of today are read for ever."""

    def block(data: bytes) -> bytes:
        length = struct.pack("<Q", len(data))
        return length + data + hashlib.sha256(length + data).digest()

    start = b"\x89SHMWB\r\n" + struct.pack("<II", 1, 0)
    expected = (
        start + block(json.dumps(ABOUT).encode()) + block(json.dumps(META).encode()) + block(b"h") + block(b"abc")
    )
    assert archive(b"abc", header=b"h") == expected


def test_every_damaged_byte_is_noticed() -> None:
    """Whichever byte is changed, nothing is read as if it were whole."""
    data = archive(b"payload " * 10)
    for at in range(len(data)):
        if 12 <= at < 16:
            continue  # reserved
        damaged = bytearray(data)
        damaged[at] ^= 0x41
        with pytest.raises(SavedFileError, match=r"damaged|is not a saved object|was saved in format|incomplete"):
            read(bytes(damaged), 80)


def test_every_cut_is_noticed() -> None:
    """A file that ends too early, wherever, is incomplete; one that goes on is damaged."""
    data = archive(b"payload " * 10)
    for length in range(len(data)):
        with pytest.raises(SavedFileError, match=r"is not a saved object|incomplete"):
            read(data[:length], 80)
    with pytest.raises(SavedFileError, match="damaged: there are more bytes after"):
        read(data + b"x", 80)


def test_messages_say_what_to_do() -> None:
    """Another kind of file, a newer format, damage: each has its own next step."""
    with pytest.raises(SavedFileError, match=r"file\.wb is not a saved object: it begins with b'PAR1.*wb\.put"):
        ArchiveReader(io.BytesIO(b"PAR1" + bytes(4)), "file.wb")
    newer = MAGIC + struct.pack("<II", VERSION + 1, 0) + bytes(100)
    with pytest.raises(SavedFileError, match=r"was saved in format 2.*up to 1\. Upgrade shm-workbench"):
        ArchiveReader(io.BytesIO(newer), "file.wb")
    data = bytearray(archive(b"payload " * 10))
    data[-40] ^= 1
    with pytest.raises(
        SavedFileError, match=r"the checksum of an object's payload is [0-9a-f]{16}.*save the object again"
    ):
        read(bytes(data), 80)


def test_a_damaged_length_takes_no_memory() -> None:
    """A length of 2**60 bytes is an incomplete file, not an attempt to allocate them."""
    data = bytearray(archive(b"abc"))
    data[16:24] = struct.pack("<Q", 1 << 60)
    with pytest.raises(SavedFileError, match="incomplete"):
        ArchiveReader(io.BytesIO(bytes(data)), "file.wb")
