"""Where a store lies: its default directory, whether a directory can be one, and how much it may hold.

Covers paths, owners, modes and sizes; it does not open the catalog (``catalog.py``) or touch segments. A store's
directory is private to its user (mode 0700): whoever can write there can change what every kernel maps.
"""

from __future__ import annotations

import glob
import os
import re
import socket
import stat
import tempfile
import uuid
import warnings
from pathlib import Path

from workbench import config
from workbench.errors import StoreError
from workbench.store import headroom

CATALOG = "catalog.sqlite"
MINIMUM_CAPACITY = 1 << 20
"""Bytes; the catalog's own files take some of them."""

DEFAULT_NAMESPACE = "default"

# No dot: the other nodes of a cluster on this machine are beside the user's own store as <store>.node-2 (cluster/local.py).
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_SHM = Path("/dev/shm")  # noqa: S108  # that is where shared memory is


class StoreOnDiskWarning(UserWarning):
    """The default store lies on disk, because /dev/shm is too small."""


class CapacityWarning(UserWarning):
    """A store's capacity is more than its file system holds."""


def default_directory(namespace: str | None = None) -> Path:
    """Return the directory of this user's store: the setting ``workbench.directory``, else one in /dev/shm; that of a namespace lies beside it.

    Every process of a user must find the same one, so the choice depends on the size of /dev/shm, not on what is free.

    Parameters
    ----------
    namespace : str, optional
        The setting ``workbench.namespace`` if it is not given; ``default`` is the store without a name.

    Raises
    ------
    StoreError
        It cannot be a namespace's name.
    """
    given = namespace is not None
    wanted = config.get("namespace", namespace)
    namespace = DEFAULT_NAMESPACE if wanted is None else str(wanted)
    if not _NAMESPACE.fullmatch(namespace):
        raise StoreError(
            f"{namespace[:50]!r} cannot be a namespace: its name has 1 to 40 letters of the English alphabet, digits, _ and -, and begins with a "
            f"letter or a digit. {'Choose another one.' if given else 'Set workbench.namespace (or WORKBENCH_NAMESPACE) to another one.'}"
        )
    if chosen := _chosen():
        return _beside(chosen, namespace)
    minimum = config.get_nbytes("minimum-shm") or 0
    name = f"workbench-{os.geteuid()}"
    if _file_system_nbytes(_SHM) >= minimum:
        return _beside(_SHM / name, namespace)
    directory = _beside(Path(tempfile.gettempdir()) / name, namespace)
    warnings.warn(
        f"{_SHM} holds less than {minimum / 2**20:.0f} MiB, so the workbench's store lies on disk, in {directory}. "
        "It works, with the speed of the page cache. For shared memory start the container with a larger one "
        "(docker run --shm-size=4g), or set workbench.directory to a tmpfs.",
        StoreOnDiskWarning,
        stacklevel=2,
    )
    return directory


def _chosen() -> Path | None:
    """Return the directory of the store without a name, where the settings say one."""
    chosen = config.get("directory")
    return Path(chosen).expanduser().absolute() if chosen else None


def _beside(directory: Path, namespace: str) -> Path:
    """Return where the store of a namespace lies, seen from the store without a name."""
    return directory if namespace == DEFAULT_NAMESPACE else directory.with_name(f"{directory.name}-{namespace}")


def namespace_directories() -> dict[str, Path]:
    """Return the names and directories of the stores that this user has side by side: that of the settings, or of no settings, and those beside it."""
    chosen = _chosen()
    name = f"workbench-{os.geteuid()}"
    # The one in memory wins: it is used wherever /dev/shm is large enough.
    firsts = [chosen] if chosen else [Path(tempfile.gettempdir()) / name, _SHM / name]
    found = {}
    for first in firsts:
        for catalog in first.parent.glob(f"{glob.escape(first.name)}*/{CATALOG}"):
            rest = catalog.parent.name.removeprefix(first.name)
            namespace = rest[1:] if rest else DEFAULT_NAMESPACE
            if not rest or (rest[0] == "-" and _NAMESPACE.fullmatch(namespace) and namespace != DEFAULT_NAMESPACE):
                found[namespace] = catalog.parent
    return found


def prepare(directory: Path, *, create: bool) -> None:
    """Make sure that `directory` is there, is ours, is private and is a store or empty.

    Raises
    ------
    StoreError
        If it cannot be used; the message says why, and what to do.
    """
    if create:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The store directory {directory} cannot be made: {error.strerror}. "
                "Set workbench.directory (or WORKBENCH_DIR) to a directory that you may write to."
            ) from error
    try:
        status = directory.lstat()
    except OSError as error:
        raise StoreError(f"There is no store in {directory}: {error.strerror}. The first put makes it.") from error
    if not stat.S_ISDIR(status.st_mode):
        raise StoreError(
            f"{directory} is not a directory, so it cannot hold a store. Set WORKBENCH_DIR to another place."
        )
    if status.st_uid != os.geteuid():
        raise StoreError(
            f"The store directory {directory} belongs to user {status.st_uid}, and you are user {os.geteuid()}: "
            "stores are private. Set WORKBENCH_DIR to a directory of your own."
        )
    _check_contents(directory, create=create)
    if not os.access(directory, os.W_OK | os.X_OK) or os.statvfs(directory).f_flag & os.ST_RDONLY:
        raise StoreError(
            f"The store directory {directory} cannot be written to. Set WORKBENCH_DIR to a directory that you may write to."
        )
    if stat.S_IMODE(status.st_mode) != 0o700:
        directory.chmod(0o700)


def _check_contents(directory: Path, *, create: bool) -> None:
    if (directory / CATALOG).exists():
        return
    if not create:
        raise StoreError(f"There is no store in {directory}: nothing was put there yet. The first put makes it.")
    others = sorted(entry.name for entry in os.scandir(directory) if not entry.name.startswith(CATALOG))
    if others and not (directory / CATALOG).exists():
        # Looked for again: another process may be making the store at this moment.
        raise StoreError(
            f"{directory} holds other files ({', '.join(others[:3])}), and a store needs a directory of its own. "
            "Set WORKBENCH_DIR to an empty or new directory."
        )


def new_store(directory: Path, capacity: int) -> tuple[str, int]:
    """Return the id and the capacity of a new store.

    Raises
    ------
    StoreError
        There are segments already: the store is not new, its catalog was emptied.
    """
    count = sum(entry.name.endswith(".segment") for entry in os.scandir(directory))
    if count:
        raise StoreError(
            f"The catalog {directory / CATALOG} is empty, and there are {count} segments beside it: it is damaged, and no object can be found "
            f"again. Remove {directory} and put your data anew."
        )
    return uuid.uuid4().hex, capacity


def default_capacity(directory: Path) -> int:
    """Return how many bytes a new store in `directory` may use.

    Half of the memory of the machine or of the cgroup, whichever is smaller, and at most 90 % of the file system.

    Raises
    ------
    StoreError
        If the file system is too small for any store.
    """
    file_system = _file_system_nbytes(directory)
    if file_system < 4 * MINIMUM_CAPACITY:
        raise StoreError(
            f"The file system of {directory} has only {file_system / 2**20:.1f} MiB, too small for a store "
            f"(it needs at least {4 * MINIMUM_CAPACITY >> 20} MiB). Set WORKBENCH_DIR to a larger one."
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(MINIMUM_CAPACITY, min(file_system * 9 // 10, min(memory, headroom.limit() or memory) // 2))


def warn_if_too_large(directory: Path, capacity: int) -> None:
    """Warn of a capacity that the file system cannot hold: puts would fail before it is reached."""
    file_system = _file_system_nbytes(directory)
    if capacity > file_system:
        warnings.warn(
            f"The capacity of the store in {directory} is {capacity / 2**30:,.1f} GiB, and its file system has only "
            f"{file_system / 2**30:,.1f} GiB: puts will fail, or spill, when that is full. Set workbench.capacity to less, or make the file system larger.",
            CapacityWarning,
            stacklevel=2,
        )


def available_nbytes(directory: Path) -> int:
    """Return how many bytes the file system of `directory` could still take."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def is_memory(directory: Path) -> bool:
    """Tell whether `directory` lies in a tmpfs, where a file's pages are its only storage."""
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    # Fields before " - ": id, parent, major:minor, ...; after it: type, source, options (proc_pid_mountinfo(5)).
    return any(line.split()[2] == wanted and line.partition(" - ")[2].split()[0] == "tmpfs" for line in lines)


def _file_system_nbytes(path: Path) -> int:
    try:
        status = os.statvfs(path)
    except OSError:
        return 0
    return status.f_blocks * status.f_frsize


def node_name() -> str:
    """Return what this host is called in the cluster: the setting ``workbench.node``, else the host's name."""
    return str(config.get("node") or socket.gethostname())
