r"""The file format of saved objects: what ``wb.save`` writes and ``wb.load`` reads.

Covers bytes in a stream; where the stream is, is in ``urls.py``, which objects go into it in ``saving.py``. An object's buffers pass through as they lie
in the store: nothing here decodes, so nothing here can run what a file holds.

=========  =============  ==================================================================================
bytes      what           value
=========  =============  ==================================================================================
8          magic          ``89 53 48 4d 57 42 0d 0a`` (``\x89SHMWB\r\n``: a transfer as text would change it)
4          version        1, little-endian, as are all numbers
4          reserved       0
block      about          JSON: ``name``, ``root`` and ``origin`` (ids), ``objects`` (how many)
3 blocks   each object    description (JSON, see :class:`~workbench.store.Export`), header, payload
=========  =============  ==================================================================================

A block is its length (8 bytes), its bytes, and the SHA-256 of both (32 bytes). The last object is the root: a dataset comes after its partitions. The
file ends with it. A description is verified before room is reserved for its payload, a payload before its object is sealed. SHA-256 (FIPS 180-4)
because current processors have instructions for it: 1.7 GiB/s measured, twice BLAKE2b; it runs beside the copying.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from workbench import progress
from workbench.errors import SavedFileError

__all__ = ["MAGIC", "VERSION", "ArchiveReader", "ArchiveWriter", "Source"]

MAGIC: Final = b"\x89SHMWB\r\n"
VERSION: Final = 1

_START: Final = struct.Struct("<8sII")
_LENGTH: Final = struct.Struct("<Q")
_PIECE: Final = 8 << 20
"""Bytes that are copied and hashed at a time."""


class Sink(Protocol):
    """Where an archive goes."""

    def write(self, data: memoryview, /) -> object:
        """Take all of `data`."""


class Source(Protocol):
    """Where an archive comes from."""

    def readinto(self, target: memoryview, /) -> int:
        """Fill a part of `target` and return its length; 0 at the end."""


class Payload(Protocol):
    """An object's payload, to be read in ranges; :class:`~workbench.store.Export` is one."""

    nbytes: int

    def read(self, offset: int, nbytes: int) -> memoryview:
        """Return a range."""


class ArchiveWriter:
    """Writes an archive.

    Parameters
    ----------
    sink : Sink
    about : dict
        ``name``, ``root``, ``origin`` and ``objects``, as above.
    """

    def __init__(self, sink: Sink, about: dict[str, Any]) -> None:
        self._sink = sink
        sink.write(memoryview(_START.pack(MAGIC, VERSION, 0)))
        self._block_of(json.dumps(about).encode())

    def add(self, meta: dict[str, Any], header: bytes, payload: Payload) -> None:
        """Write one object.

        Parameters
        ----------
        meta : dict
            What JSON can carry of :attr:`Export.meta`.
        header : bytes
        payload : Payload
        """
        self._block_of(json.dumps(meta).encode())
        self._block_of(header)
        pieces = (payload.read(at, min(_PIECE, payload.nbytes - at)) for at in range(0, payload.nbytes, _PIECE))
        self._block(payload.nbytes, pieces)

    def _block_of(self, data: bytes) -> None:
        self._block(len(data), [memoryview(data)])

    def _block(self, nbytes: int, pieces: Iterable[memoryview]) -> None:
        length = _LENGTH.pack(nbytes)
        self._sink.write(memoryview(length))
        digest = hashlib.sha256(length)
        _hash_beside(digest, pieces, lambda _, piece: self._sink.write(piece))
        self._sink.write(memoryview(digest.digest()))


class ArchiveReader:
    """Reads an archive, verifying as it goes.

    Parameters
    ----------
    source : Source
    url : str
        For messages.

    Attributes
    ----------
    about : dict
        As in :class:`ArchiveWriter`.

    Raises
    ------
    SavedFileError
        The file is no archive, is damaged or incomplete, or was written in a newer format. Every method raises it.
    """

    def __init__(self, source: Source, url: str) -> None:
        self._source = source
        self._url = url
        self._position = 0
        start = self._read(_START.size, "its beginning", short=b"")
        magic, version, _ = _START.unpack(start) if len(start) == _START.size else (start[:8], 0, 0)
        if magic != MAGIC:
            raise SavedFileError(
                f"{url} is not a saved object: it begins with {bytes(magic)!r}, and what wb.save writes begins with {MAGIC!r}. "
                "If it is data of another kind, read it with its own library and put it with wb.put."
            )
        if version > VERSION:
            raise SavedFileError(
                f"{url} was saved in format {version}, and this workbench reads formats up to {VERSION}. "
                "Upgrade shm-workbench in this environment."
            )
        self.about = self._json("its beginning")

    def describe(self) -> tuple[dict[str, Any], bytes]:
        """Return the description and the header of the next object."""
        meta = self._json("the description of an object")
        return meta, self._block("the header of an object")

    def copy(self, nbytes: int | None, write: Callable[[int, memoryview], object]) -> None:
        """Read the payload of the object that was described last, and verify it.

        Parameters
        ----------
        nbytes : int, optional
            Its length, as the description has it; None: whatever it is.
        write : callable
            Takes an offset and the bytes from there on; what it took is worth nothing until this method has returned.
        """
        what = "an object's payload"
        length = self._read(_LENGTH.size, what)
        found = int(_LENGTH.unpack(length)[0])
        if found != (found if nbytes is None else nbytes):
            raise self.damaged(f"{what} has {found} bytes, and its description says {nbytes}")
        nbytes = found
        digest = hashlib.sha256(length)
        _hash_beside(digest, self._pieces(nbytes, what), write)
        self._verify(digest.digest(), what)

    def verify(self) -> None:
        """Read all objects to the end of the file, verify them, and keep nothing."""
        for _ in range(int(self.about["objects"])):
            self.describe()
            self.copy(None, lambda _offset, _piece: None)
        self.finish()

    def finish(self) -> None:
        """Make sure that the file ends here."""
        if self._source.readinto(memoryview(bytearray(1))):
            raise self.damaged(f"there are more bytes after its {self._position:,}")

    def _json(self, what: str) -> dict[str, Any]:
        try:
            value = json.loads(self._block(what))
        except ValueError as error:
            raise self.damaged(f"{what} is not JSON ({error})") from error
        if not isinstance(value, dict):
            raise self.damaged(f"{what} is not what it should be")
        return value

    def _block(self, what: str) -> bytes:
        length = self._read(_LENGTH.size, what)
        # Piece by piece, because a damaged length may be any number: memory is only taken for bytes that are there.
        data = b"".join(bytes(piece) for piece in self._pieces(_LENGTH.unpack(length)[0], what))
        self._verify(hashlib.sha256(length + data).digest(), what)
        return data

    def _verify(self, digest: bytes, what: str) -> None:
        expected = self._read(hashlib.sha256().digest_size, what)
        if expected != digest:
            raise self.damaged(f"the checksum of {what} is {digest.hex()[:16]}…, and {expected.hex()[:16]}… was saved")

    def _pieces(self, nbytes: int, what: str) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(min(_PIECE, nbytes)))
        left = nbytes
        while left:
            piece = buffer[: min(left, len(buffer))]
            self._fill(piece, what)
            yield piece
            left -= len(piece)

    def _read(self, nbytes: int, what: str, short: bytes | None = None) -> bytes:
        buffer = bytearray(nbytes)
        filled = self._fill(memoryview(buffer), what, short_is_fine=short is not None)
        return bytes(buffer[:filled])

    def _fill(self, target: memoryview, what: str, *, short_is_fine: bool = False) -> int:
        filled = 0
        while filled < len(target):
            count = self._source.readinto(target[filled:])
            if not count:
                if short_is_fine:
                    break
                raise SavedFileError(
                    f"{self._url} ends after {self._position:,} bytes, in the middle of {what}: it is incomplete. Nothing was loaded. "
                    "Copy it again, or save the object again."
                )
            filled += count
            self._position += count
        return filled

    def damaged(self, why: str) -> SavedFileError:
        """Return the error that says that the file is damaged."""
        return SavedFileError(
            f"{self._url} is damaged: {why}. Nothing was loaded. Copy it again from where it is whole, or save the object again."
        )


def _hash_beside(digest: Any, pieces: Iterable[memoryview], take: Callable[[int, memoryview], object]) -> None:
    """Give each piece, with its offset, to `take`, while another thread hashes it (both let go of the interpreter)."""
    offset, work = 0, progress.current()
    with ThreadPoolExecutor(1, thread_name_prefix="workbench-checksum") as thread:
        for piece in pieces:
            # Until both are done the piece is not overwritten; a thread is started for the first one only.
            hashed = thread.submit(digest.update, piece) if len(piece) > _PIECE // 64 else digest.update(piece)
            take(offset, piece)
            if hashed is not None:
                hashed.result()
            offset += len(piece)
            if work is not None:
                work.advance(len(piece))
