"""Objects that are made where they will lie: an array that is filled in place, and parts that are written one after the other.

Covers the memory and its sealing; what the user sees of it is in ``workbench/creating.py``. Until the seal everything is a ``writing`` segment, as in any
put: a process that dies leaves nothing visible, and what it leaves is reclaimed.

The memory of an array in the making is a shared, writable mapping, all of whose pages exist before anybody touches one (invariant 4). The seal must
not leave anybody a way to change a sealed byte (invariant 1), and views of the array may be anywhere. So the mapping is first replaced, at the same addresses, by
a private one: whoever still writes through an old view changes a copy of their own.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from workbench.store import copying, drafts, segments, syscalls
from workbench.store.allocation import Reservation, out_of_room

if TYPE_CHECKING:
    from workbench.objects import Encoded, ObjectId
    from workbench.store.mappings import Mapping
    from workbench.store.rows import Row
    from workbench.store.writing import Writer


class Memory:
    """A segment in the making, mapped for writing; after :meth:`close_to_writers` it is this process's private view.

    NumPy makes writable arrays of it (``__array_interface__``), which keep it alive.
    """

    def __init__(self, reservation: Reservation) -> None:
        self.segment = reservation.segment
        self.nbytes = reservation.nbytes
        self._fd = -1
        self._address = syscalls.map_shared(
            reservation.file.fileno(), reservation.nbytes, mmap.PROT_READ | mmap.PROT_WRITE
        )

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """How NumPy finds the bytes (NumPy's array interface, version 3)."""
        return {"shape": (self.nbytes,), "typestr": "|u1", "data": (self._address, False), "version": 3}

    def __del__(self) -> None:
        if hasattr(self, "_address"):
            syscalls.unmap(self._address, self.nbytes)
        if self._fd >= 0:
            os.close(self._fd)

    def view(self) -> memoryview:
        """Return all bytes, writable."""
        view: memoryview = np.asarray(self).data
        return view

    def find(self, address: int, nbytes: int) -> tuple[Memory, int] | None:
        """Tell whether some memory lies in this segment, and where."""
        offset = address - self._address
        return (self, offset) if 0 <= offset <= self.nbytes - nbytes else None

    def close_to_writers(self, fd: int) -> None:
        """Let nobody change the segment through this memory any more."""
        syscalls.map_private_over(self._address, self.nbytes, fd)

    def lease(self, path: str) -> None:
        """After the seal, and before the writer's lock goes: hold the segment, as any reader does."""
        fd, _ = segments.open_leased(path, self.segment)
        self._fd = fd
        syscalls.map_private_over(self._address, self.nbytes, fd)


class InPlace:
    """One segment that is filled in place; a context manager, which gives it up unless it was sealed.

    Parameters
    ----------
    writer : Writer
    nbytes : int

    Attributes
    ----------
    memory : Memory

    Raises
    ------
    StoreFullError
    """

    def __init__(self, writer: Writer, nbytes: int) -> None:
        self._writer = writer
        self._reservation, self.memory = writer.with_room(nbytes, lambda: self._reserve(max(nbytes, 1)))

    def _reserve(self, nbytes: int) -> tuple[Reservation, Memory]:
        allocator = self._writer.allocator
        reservation = allocator.reserve(nbytes)
        try:
            if reservation.warm is not None:
                # A pool's mapping stays writable for good, so it is not the one to hand out.
                reservation.warm.mapping.close()
                reservation.warm = None
            file, threads = reservation.file, allocator.threads
            with out_of_room(reservation.nbytes):
                if os.fstat(file.fileno()).st_size < reservation.nbytes:
                    os.ftruncate(file.fileno(), reservation.nbytes)
                memory = Memory(reservation)
                # Whoever fills the array touches its pages: they must be there.
                if copying.is_large(reservation.nbytes):
                    copying.allocate(file, memory.view(), lambda: False, threads=threads)
                else:
                    os.posix_fallocate(file.fileno(), 0, reservation.nbytes)
        except BaseException:
            allocator.abandon(reservation)
            raise
        return reservation, memory

    def seal(self, encoded: Encoded, name: str | None, row: Row) -> ObjectId:
        """Make the object visible, whose buffers lie in :attr:`memory`, and close the memory to writers.

        Raises
        ------
        StoreFullError
            The catalog has no room for the row.
        """
        reservation, writer = self._reservation, self._writer
        self.memory.close_to_writers(reservation.file.fileno())
        draft = drafts.in_segments(encoded, name, row, self.memory, shared_from=1)

        def lease() -> None:
            self.memory.lease(reservation.path)

        return writer.with_room(0, lambda: writer.seal_all([draft], [None], [reservation], visible=lease))[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._reservation.sealed:
            self.memory.close_to_writers(self._reservation.file.fileno())
            self._writer.allocator.abandon(self._reservation)


class InParts:
    """Segments that are written one after the other, and sealed together as one object; a context manager like :class:`InPlace`."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._reservations: list[Reservation] = []
        self._found: list[tuple[int, int, Reservation]] = []

    def write(self, encoded: Encoded) -> list[memoryview]:
        """Write an encoded object's buffers; return where they lie now, read-only.

        Raises
        ------
        StoreFullError
            What was written before is still there, and can be sealed.
        """
        offsets, end = segments.layout(buffer.nbytes for buffer in encoded.buffers)
        reservation = self._writer.with_room(end, lambda: self._write(encoded.buffers, offsets, end))
        self._reservations.append(reservation)
        memory = mmap.mmap(reservation.file.fileno(), reservation.nbytes, mmap.MAP_SHARED, mmap.PROT_READ)
        view = memoryview(memory)
        self._found.append((np.frombuffer(view, np.uint8).ctypes.data, reservation.nbytes, reservation))
        return [view[offset : offset + buffer.nbytes] for offset, buffer in zip(offsets, encoded.buffers, strict=True)]

    def _write(self, buffers: Sequence[memoryview], offsets: Sequence[int], end: int) -> Reservation:
        allocator = self._writer.allocator
        reservation = allocator.reserve(max(end, 1))
        try:
            allocator.write(reservation, buffers, offsets)
            file = reservation.file.fileno()
            if os.fstat(file).st_size < reservation.nbytes:
                os.ftruncate(file, reservation.nbytes)
        except BaseException:
            allocator.abandon(reservation)
            raise
        return reservation

    def find(self, address: int, nbytes: int) -> tuple[Reservation | Mapping, int] | None:
        """Tell in which part some memory lies, and where; else whether it lies in a segment that is mapped."""
        for start, length, reservation in self._found:
            if 0 <= address - start <= length - nbytes:
                return reservation, address - start
        return None if nbytes < drafts.SHARED_FROM else self._writer.reader.mappings.find(address, nbytes)

    def seal(self, encoded: Encoded, name: str | None, row: Row) -> ObjectId:
        """Make the object visible whose buffers lie in the parts; what does not is written now."""
        writer = self._writer
        if not self._reservations:
            return writer.put(encoded, name, row)
        draft = drafts.in_segments(encoded, name, row, self, shared_from=1)
        parts = [reservation for reservation in self._reservations if reservation.segment in draft.shared]

        def write_rest() -> list[ObjectId]:
            if not draft.pieces:
                return writer.seal_all([draft], [None], parts)
            with writer.writing(draft.nbytes) as rest:
                writer.allocator.write(rest, draft.pieces, draft.offsets)
                return writer.seal_all([draft], [rest], parts)

        return writer.with_room(draft.nbytes, write_rest)[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for reservation in self._reservations:
            if not reservation.sealed:
                self._writer.allocator.abandon(reservation)
