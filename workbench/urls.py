"""Files at URLs: read as a stream, or written whole, through fsspec.

Covers finding the file system of a URL, names in the making and errors; what is in a file is in ``archive.py``. A file is written under a temporary name
beside its own, and gets its name when it is complete: nobody sees half of it, and what was there before stays until then. On a local disk that is
one atomic step after an fsync; elsewhere it is what the file system's ``mv`` is (in an object store: a copy on its own side, visible when it is complete).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.errors import SavedFileError, WorkbenchError

__all__ = ["URL", "reading", "shown", "writing"]

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
        yield _Stream(file, url, "read")
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
        temporary = f"{file_system._parent(path)}/.workbench-{secrets.token_hex(8)}.part"  # noqa: SLF001  # fsspec has no public name for it
        file = file_system.open(temporary, "wb")
    try:
        try:
            yield _Stream(file, url, "written")
            with _explained(url, "written"):
                if _is(file_system, "file"):
                    file.flush()
                    os.fsync(file.fileno())
        finally:
            with _explained(url, "written"):
                file.close()
        with _explained(url, "written"):
            if _is(file_system, "file"):
                Path(temporary).replace(path)
            else:
                file_system.mv(temporary, path)
    except BaseException:
        with contextlib.suppress(Exception):  # the error that brought us here says more
            file_system.rm_file(temporary)
        raise


class _Stream:
    """A file whose errors name its URL."""

    def __init__(self, file: Any, url: URL, verb: str) -> None:
        self._file = file
        self._url = url
        self._verb = verb

    def write(self, data: memoryview) -> None:
        with _explained(self._url, self._verb):
            self._file.write(data)

    def readinto(self, target: memoryview) -> int:
        with _explained(self._url, self._verb):
            return int(self._file.readinto(target))


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
        raise SavedFileError(
            f"{shown(url)} cannot be {verb}: the package for this kind of URL is missing ({error}). Install it in this environment."
        ) from error
    except Exception as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        step = "Choose another place."
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            step = "Make room there, or choose another place. What was there before is as it was."
        elif verb == "read":
            step = "Check the address."
        raise SavedFileError(f"{shown(url)} cannot be {verb}: {why}. {step}") from error
