"""System calls that Python lacks, makes while it holds the interpreter lock, or hides a descriptor in (``mmap``).

Covers only calls; when to make them is decided in ``segments.py`` and ``pool.py``.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
from pathlib import Path
from typing import Final

_FALLOC_FL_KEEP_SIZE: Final = 1
_FALLOC_FL_PUNCH_HOLE: Final = 2
"""linux/falloc.h."""
_MADV_POPULATE_WRITE: Final = 23
"""linux/mman.h, since Linux 5.14."""
_MADV_HUGEPAGE: Final = 14
"""asm-generic/mman-common.h."""
_MADV_COLLAPSE: Final = 25
"""linux/mman.h, since Linux 6.1."""
HUGE: Final = 2 << 20
"""Bytes of a huge page on x86-64, and on arm64 with pages of 4 KiB; where they are larger, none are made."""
_PROT_NONE: Final = 0
_MAP_FIXED: Final = 0x10
_MAP_NORESERVE: Final = 0x4000
"""asm-generic/mman-common.h."""
_MAP_FAILED: Final = ctypes.c_void_p(-1).value


_libc: Final = ctypes.CDLL(None, use_errno=True)
_fallocate: Final = _libc.fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_madvise: Final = _libc.madvise
_madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_mmap: Final = _libc.mmap
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
_mmap.restype = ctypes.c_void_p
_IN_MODIFY: Final = 2
"""linux/inotify.h."""
_inotify_init1: Final = _libc.inotify_init1
_inotify_init1.argtypes = [ctypes.c_int]
_inotify_add_watch: Final = _libc.inotify_add_watch
_inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]
_munmap: Final = _libc.munmap
_munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def punch_hole(fd: int, nbytes: int, offset: int = 0) -> bool:
    """Give the pages of a file back while others keep it mapped; return False where the file system cannot.

    Truncating would kill those others with SIGBUS; a hole reads as zeros.
    """
    result: int = _fallocate(fd, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, offset, max(nbytes, 1))
    if result == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(code, os.strerror(code))


def populate_write(address: int, nbytes: int) -> bool:
    """Map the pages of a writable mapping at once instead of one fault each, allocating those that do not exist.

    `address` is a multiple of the page size. The interpreter lock is free meanwhile, which ``mmap.madvise`` does not do.

    Returns
    -------
    bool
        False where the kernel cannot.

    Raises
    ------
    OSError
        ENOSPC if the file system or the memory is full, where touching the page would be SIGBUS.
    """
    if _madvise(address, nbytes, _MADV_POPULATE_WRITE) == 0:
        return True
    code = ctypes.get_errno()
    if code == errno.EINVAL:
        return False
    code = errno.ENOSPC if code in (errno.EFAULT, errno.ENOMEM) else code
    raise OSError(code, os.strerror(code))


@functools.cache
def can_populate() -> bool:
    """Tell whether the kernel has :func:`populate_write`."""
    with mmap.mmap(-1, mmap.PAGESIZE) as memory:
        byte = ctypes.c_char.from_buffer(memory)
        try:
            return populate_write(ctypes.addressof(byte), mmap.PAGESIZE)
        finally:
            del byte


def watch_writes(path: Path) -> int | None:
    """Return a descriptor that becomes readable when somebody writes to a file (inotify(7)); it never blocks. None where the kernel or its limits refuse."""
    descriptor: int = _inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor >= 0 and _inotify_add_watch(descriptor, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(descriptor)
        return None
    return descriptor if descriptor >= 0 else None


def want_huge_pages(address: int, nbytes: int) -> None:
    """Ask for large pages, which a tmpfs mounted with ``huge=advise`` gives to who asks; elsewhere nothing happens."""
    _madvise(address, nbytes, _MADV_HUGEPAGE)


def map_shared(fd: int, nbytes: int, protection: int) -> int:
    """Map the first `nbytes` bytes of a file; return the address. The descriptor may be closed afterwards.

    What is large begins at a multiple of :data:`HUGE`, without which no huge page of the file can be mapped as one. That is never
    an error: whoever takes the same addresses meanwhile has the kernel choose others.

    Raises
    ------
    OSError
        ENOMEM if the process has too many mappings (the limit ``vm.max_map_count``) or no address space left.
    """
    # Where one of this size was put the last time: asking the kernel for room first takes as long as all the rest of a get.
    hint = _last_addresses.get(nbytes)
    address = _map(hint, nbytes, protection, mmap.MAP_SHARED, fd)
    if nbytes >= HUGE and address % HUGE:
        _munmap(address, nbytes)
        room = _map(None, nbytes + HUGE, _PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
        _munmap(room, nbytes + HUGE)
        address = _map(-(-room // HUGE) * HUGE, nbytes, protection, mmap.MAP_SHARED, fd)
        if len(_last_addresses) > _MOST_ADDRESSES:
            _last_addresses.clear()
        _last_addresses[nbytes] = address
    return address


_MOST_ADDRESSES: Final = 100
_last_addresses: Final[dict[int, int]] = {}


def _map(hint: int | None, nbytes: int, protection: int, flags: int, fd: int) -> int:
    address: int | None = _mmap(hint, nbytes, protection, flags, fd, 0)
    if address is None or address == _MAP_FAILED:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return address


def map_private_over(address: int, nbytes: int, fd: int) -> None:
    """Replace a mapping, at its address and in one step, by a private one of the same file: what is written there from now on stays there.

    Raises
    ------
    OSError
    """
    flags = mmap.MAP_PRIVATE | _MAP_FIXED
    if _mmap(address, nbytes, mmap.PROT_READ | mmap.PROT_WRITE, flags, fd, 0) == _MAP_FAILED:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def collapse(address: int, nbytes: int) -> bool:
    """Give a mapping of a file in shared memory huge pages instead of the small ones that it has, or of none; what is in them stays.

    It asks for what ``/sys/kernel/mm/transparent_hugepage`` and the mount's options do not give by themselves; only ``deny`` forbids it.
    `address` and its place in the file are multiples of :data:`HUGE`, and so is `nbytes`; of each huge page a small one is mapped.

    Returns
    -------
    bool
        False where the kernel cannot, or has no huge page to give: some of the small ones may be missing then.
    """
    return bool(_madvise(address, nbytes, _MADV_COLLAPSE) == 0)


def map_nothing_over(address: int, nbytes: int) -> None:
    """Replace a mapping, at its address and in one step, by empty private memory: what was mapped there is let go of, and views of it do no harm.

    Raises
    ------
    OSError
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE | _MAP_FIXED
    if _mmap(address, nbytes, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0) == _MAP_FAILED:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


unmap = _munmap
"""Undo :func:`map_shared`: address and bytes."""
