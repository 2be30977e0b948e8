"""Files at URLs: read as a stream, or written whole, through fsspec.

Covers finding the file system of a URL, names in the making and errors; what is in a file is in ``archive.py``. A file is written under a temporary name
beside its own, and gets its name when it is complete: nobody sees half of it, and what was there before stays until then. On a local disk that is
one atomic step after an fsync; elsewhere it is what the file system's ``mv`` is (in an object store: a copy on its own side, visible when it is complete).

On a local disk whoever writes has a lock on the temporary file until it has its name. The kernel drops it when the writer dies, however it dies, so who saves
beside it next finds what dead writers left by its free lock, and removes it. A file that was made, and is not locked yet, may be taken for such a one: its
writer sees that it has no name any more, and makes another.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from workbench import progress
from workbench.errors import SavedFileError, WorkbenchError

__all__ = ["URL", "reading", "shown", "writing"]

_PART: Final = ".workbench-{}.part"
"""Name of a temporary file."""

URL = str | os.PathLike[str]
"""Where a file is: a path, or anything that fsspec knows, such as ``s3://bucket/file`` or ``https://host/file``."""


def shown(url: URL) -> str:
    """Return a URL for messages, which may end up in notebooks: without a user and a password."""
    scheme, mark, rest = os.fspath(url).partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}" if mark else scheme


@contextlib.contextmanager
def reading(url: URL, options: dict[str, Any] | None = None) -> Iterator[_Stream]:
    """Open the file at a URL to be read from its beginning to its end.

    Parameters
    ----------
    url : str or path
    options : dict, optional
        For the file system, as pandas' ``storage_options``.

    Raises
    ------
    SavedFileError
        There is no such file, or the package for this kind of URL is missing.
    """
    with _explained(url, "read"):
        file_system, path = _find(url, options)
        # As one stream: a web server need not know of ranges.
        how = {"block_size": 0} if _is(file_system, "http") else {}
        file = file_system.open(path, "rb", **how)
    try:
        yield _Stream(file, url, "read", nbytes=_size(file_system, path))
    finally:
        with contextlib.suppress(Exception):  # it was only read; what went wrong with it has been raised already
            file.close()


@contextlib.contextmanager
def writing(url: URL, options: dict[str, Any] | None = None) -> Iterator[_Stream]:
    """Write the file at a URL: complete when the ``with`` block ends well, else as if nothing had happened.

    Parameters
    ----------
    url, options
        As in :func:`reading`.

    Raises
    ------
    SavedFileError
        It cannot be written there; nothing is left behind.
    """
    with _explained(url, "written"):
        file_system, path = _find(url, options)
        if _is(file_system, "file"):
            path = os.path.realpath(path)
        if file_system.isdir(path):
            raise IsADirectoryError(errno.EISDIR, "it is a directory; name a file in it")
        parent = file_system._parent(path)  # noqa: SLF001  # fsspec has no public name for it
        if _is(file_system, "file"):
            _remove_dead_parts(Path(parent))
    temporary = _Temporary(file_system, parent)
    try:
        with _explained(url, "written"):
            file = temporary.begin()
        yield _Stream(file, url, "written")
        with _explained(url, "written"):
            if _is(file_system, "file"):
                file.flush()
                os.fsync(file.fileno())
            file.close()
            if _is(file_system, "file"):
                Path(temporary.path).replace(path)
            else:
                file_system.mv(temporary.path, path)
    except BaseException:
        temporary.discard()
        raise
    finally:
        temporary.unlock()


class _Temporary:
    """A file under a temporary name, and on a local disk the lock on it; it has its path before there is a file, so that an interrupt leaves none."""

    def __init__(self, file_system: Any, parent: str) -> None:
        self.path = ""
        self._file_system = file_system
        self._parent = parent
        self._file: Any = None
        self._lock: int | None = None

    def begin(self) -> Any:
        """Make and return the file."""
        while True:
            self.path = f"{self._parent}/{_PART.format(secrets.token_hex(8))}"
            self._file = self._file_system.open(self.path, "wb")
            if not _is(self._file_system, "file"):
                return self._file
            with contextlib.suppress(FileNotFoundError):
                self._lock = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                with contextlib.suppress(OSError):  # a file system without locks: nobody can tell who is dead
                    fcntl.flock(self._lock, fcntl.LOCK_EX)
                if os.fstat(self._lock).st_nlink:
                    return self._file
            self._file.close()
            self.unlock()

    def discard(self) -> None:
        """Remove the file, whether it was made or not."""
        for remove in (lambda: self._file and self._file.close(), lambda: self._file_system.rm_file(self.path)):
            with contextlib.suppress(Exception):  # the error that brought us here says more
                remove()

    def unlock(self) -> None:
        """Let go of the lock, if there is one."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def _remove_dead_parts(directory: Path) -> None:
    """Remove temporary files of writers that are dead."""
    for path in directory.glob(_PART.format("*")):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(descriptor).st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except OSError:
            pass  # its writer lives, or the file system has no locks
        finally:
            os.close(descriptor)


class _Stream:
    """A file whose errors name its URL; `nbytes` is how long a file is that is read, 0 where that is not known."""

    def __init__(self, file: Any, url: URL, verb: str, *, nbytes: int = 0) -> None:
        self._file = file
        self.nbytes = nbytes
        self._url = url
        self._verb = verb

    def write(self, data: memoryview) -> None:
        with _explained(self._url, self._verb):
            self._file.write(data)

    def readinto(self, target: memoryview) -> int:
        with _explained(self._url, self._verb):
            return int(self._file.readinto(target))


def _size(file_system: Any, path: str) -> int:
    # Only to show how far it is; a web server need not say it, and then is not asked for it.
    if not progress.is_shown():
        return 0
    try:
        return int(file_system.size(path) or 0)
    except Exception:  # noqa: BLE001  # each kind of file system has errors of its own
        return 0


def _find(url: URL, options: dict[str, Any] | None) -> tuple[Any, str]:
    import fsspec.core

    file_system, path = fsspec.core.url_to_fs(os.fspath(url), **(options or {}))
    return file_system, path


def _is(file_system: Any, protocol: str) -> bool:
    known = file_system.protocol
    return protocol in ((known,) if isinstance(known, str) else known)


@contextlib.contextmanager
def _explained(url: URL, verb: str) -> Iterator[None]:
    """Turn what a file system raises into an error that names the URL; each kind of file system has errors of its own."""
    try:
        yield
    except WorkbenchError:
        raise
    except ImportError as error:
        hint = ": pip install aiohttp requests" if os.fspath(url).startswith("http") else ""
        raise SavedFileError(
            f"{shown(url)} cannot be {verb}: the package for this kind of URL is missing ({error}). Install it in this environment{hint}."
        ) from error
    except Exception as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        step = "Choose another place."
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            step = "Make room there, or choose another place. What was there before is as it was."
        elif verb == "read":
            step = "Check the address."
        said = SavedFileError(f"{shown(url)} cannot be {verb}: {why}. {step}")
        if isinstance(error, OSError) and error.strerror:
            raise said from None  # that is all that a system call says, and its frames are those of fsspec
        raise said from error
