"""Where a store spills to: the choice of a directory on disk, and what is left in one by stores that are gone.

Each store has a directory of its own, named after its id, in the *spill root*, which the stores of a user share. A small file in it, the
owner file, says which store that is, so that whoever opens a store on the same root can remove what belongs to none.

Covers directories only; the files in them are written in ``spill.py`` and ``spilled_files.py``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from workbench import config
from workbench.errors import StoreError
from workbench.objects import format_nbytes
from workbench.store import directory as places

logger = logging.getLogger("workbench.store")

_OWNER: Final = "owner.json"
_OFF: Final = ("off", "false", "no", "never")
_VAR_TMP: Final = Path("/var/tmp")  # noqa: S108  # that is where large files that outlive a process belong
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_KEPT_FREE: Final = 20
"""One part in so many of the disk stays free: a full one would hurt more than this store."""


@dataclass(frozen=True, slots=True)
class SpillDirectory:
    """Where one store spills to.

    Parameters
    ----------
    path : Path or None
        This store's directory in the spill root; None: the store does not spill.
    reason : str
        Why it does not, as a clause for error messages; else empty.
    nbytes : int, optional
        How many bytes may lie there; None: as many as the disk takes.
    """

    path: Path | None
    reason: str = ""
    nbytes: int | None = None

    def make(self, store: Path) -> Path:
        """Make the directory of the store in `store`, if it is not there.

        Raises
        ------
        OSError
            If it cannot be made.
        """
        if self.path is None:
            raise OSError(errno.ENOENT, self.reason)
        if trouble := _trouble(self.path.parent):
            raise OSError(errno.EACCES, f"it {trouble}")
        self.path.mkdir(mode=0o700, exist_ok=True)
        owner = self.path / _OWNER
        if not owner.exists():
            # Another thread may be doing the same.
            partial = owner.with_suffix(f".{os.getpid()}-{os.urandom(4).hex()}")
            partial.write_text(json.dumps(_describe(store)))
            partial.rename(owner)
        return self.path

    def refusal(self, nbytes: int, spilled: int) -> str:
        """Return why so many bytes cannot be added to the `spilled` ones, as a sentence; empty if they can."""
        if self.path is None:
            return f"Nothing was spilled: {self.reason}."
        if self.nbytes is not None and spilled + nbytes > self.nbytes:
            return (
                f"Nothing more was spilled: workbench.spill-capacity is {format_nbytes(self.nbytes)}, "
                f"and {format_nbytes(spilled)} lie in {self.path.parent} already."
            )
        place = _nearest(self.path)
        try:
            status = os.statvfs(place)
        except OSError as error:
            return f"Nothing was spilled: {place} cannot be used ({error.strerror})."
        left = status.f_bavail * status.f_frsize
        if left - nbytes < status.f_blocks * status.f_frsize // _KEPT_FREE:
            return (
                f"Nothing more was spilled: the disk of {self.path.parent} has {format_nbytes(left)} left, "
                f"and one part in {_KEPT_FREE} stays free."
            )
        return ""


def choose(
    store: Path, store_id: str, override: str | os.PathLike[str] | bool | None = None, nbytes: int | None = None
) -> SpillDirectory:
    """Return where a store spills to.

    Parameters
    ----------
    store : Path
        The store's directory.
    store_id : str
    override : path, bool or str, optional
        What the caller of ``Store.open`` said; None: the setting ``workbench.spill-directory``.
    nbytes : int, optional
        How many bytes may lie there.

    Raises
    ------
    StoreError
        A directory was named that cannot be used.
    """
    chosen = config.get("spill-directory", override)
    if chosen is False or str(chosen).lower() in _OFF:
        return SpillDirectory(None, "workbench.spill-directory is off")
    named = chosen is not None and chosen is not True
    if not named and not places.is_memory(store):
        return SpillDirectory(None, "the store itself lies on disk")
    root = Path(chosen).expanduser().absolute() if named else _default_root()
    # A default one is made when something is spilled: who only looks makes nothing.
    trouble = _trouble(root) if named or root.exists() else _parents_trouble(root)
    trouble = trouble or ("" if named else _memory_trouble(root))
    if not trouble:
        return SpillDirectory(root / store_id, nbytes=nbytes)
    if named:
        raise StoreError(
            f"The spill directory {root} {trouble}. Set workbench.spill-directory (or WORKBENCH_SPILL_DIRECTORY) "
            "to a directory of your own on disk, or to off."
        )
    return SpillDirectory(None, f"the spill directory {root} {trouble}")


def _default_root() -> Path:
    import dask.config

    temporary = dask.config.get("temporary-directory", None)
    return Path(temporary or _VAR_TMP).expanduser().absolute() / f"workbench-spill-{os.geteuid()}"


def _trouble(root: Path) -> str:
    """Return what speaks against a spill root; it is made if it is not there."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = root.lstat()
    except OSError as error:
        return f"cannot be made: {error.strerror}"
    if not stat.S_ISDIR(status.st_mode):
        return "is not a directory"
    if status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}, and you are user {os.geteuid()}: what is spilled is private"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written to by other users: what is spilled is private"
    if not os.access(root, os.W_OK | os.X_OK) or os.statvfs(root).f_flag & os.ST_RDONLY:
        return "cannot be written to"
    return ""


def _parents_trouble(root: Path) -> str:
    """Return what speaks against making a spill root that is not there."""
    parent = _nearest(root)
    if not parent.is_dir():
        return "cannot be made: Not a directory"
    return "" if os.access(parent, os.W_OK | os.X_OK) else "cannot be made: Permission denied"


def _memory_trouble(root: Path) -> str:
    return "lies in memory itself" if places.is_memory(_nearest(root)) else ""


def _nearest(path: Path) -> Path:
    """Return a path, or what there is of it."""
    return next((place for place in (path, *path.parents) if place.exists()), Path("/"))


def _describe(store: Path) -> dict[str, Any]:
    catalog = (store / places.CATALOG).stat()
    return {
        "store": str(store),
        "device": catalog.st_dev,
        "inode": catalog.st_ino,
        "memory": places.is_memory(store),
        "boot": _boot_id(),
    }


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def remove_orphans(root: Path) -> list[Path]:
    """Remove the directories in a spill root whose store is gone for certain; return them."""
    removed = []
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(root)):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False) and _is_orphan(path):
                shutil.rmtree(path, ignore_errors=True)
                logger.info("Removed %s: the store that spilled to it is gone.", path)
                removed.append(path)
    return removed


def _is_orphan(path: Path) -> bool:
    try:
        owner = json.loads((path / _OWNER).read_text())
        store, device, inode = Path(owner["store"]), int(owner["device"]), int(owner["inode"])
        in_memory, boot = bool(owner["memory"]), str(owner["boot"])
    except (OSError, ValueError, KeyError, TypeError):
        return False  # being made, or not ours
    if in_memory and boot and boot != _boot_id():
        return True
    try:
        catalog = (store / places.CATALOG).stat()
    except FileNotFoundError:
        pass
    except OSError:
        return False
    else:
        if (catalog.st_dev, catalog.st_ino) == (device, inode):
            return False
    # A container may see another file system at that place: only where the same one is seen, what is not there is gone.
    return _nearest(store.parent).stat().st_dev == device
