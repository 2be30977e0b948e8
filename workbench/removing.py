"""Removing a namespace: its store, what that has on disk, and the stores of other nodes that a killed cluster left beside it.

Covers a store that no process has open or maps; another one is an error that names who. A store whose directory was chosen by hand is removed by hand.

=======================================  ==========================================================================
step                                     a process that dies after it leaves
=======================================  ==========================================================================
nobody has the store open, or maps it    a store
its directory gets another name          a hidden directory beside it, which nobody reads
looked at again: who opened it in        as above; else the directory has got its name back
between has the renamed directory
what it has on disk is removed           as above; the spill directory is emptied by whoever spills next
the directory is removed                 nothing, but siblings that the doctor removes
=======================================  ==========================================================================
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path

from workbench import leftovers
from workbench.errors import StoreError
from workbench.objects import Namespace
from workbench.store import Store, default_directory
from workbench.store.namespaces import look
from workbench.store.processes import processes
from workbench.texts import process_text

__all__ = ["find_namespace", "remove_namespace"]


def find_namespace(name: str) -> Namespace:
    """Return what the store of a namespace holds.

    Raises
    ------
    StoreError
        There is none.
    """
    directory = default_directory(name)
    if not (directory / "catalog.sqlite").exists():
        raise StoreError(f"There is no store {name!r}. wb.namespaces() lists those that there are.")
    return look(name, directory, current=False)


def remove_namespace(name: str) -> Namespace:
    """Remove the store of a namespace with all that is in it; see :func:`workbench.remove_namespace`."""
    found = find_namespace(name)
    directory = Path(found.directory)
    _refuse_if_open(name, directory)
    mapped, on_disk = _uses(directory)
    if mapped:
        raise StoreError(
            f"Objects of the store {name!r} are still mapped by {', '.join(mapped)}. Nothing was removed. Delete the variables, or end "
            "the processes."
        )
    aside = directory.with_name(f".{directory.name}.removed-{secrets.token_hex(4)}")
    directory.rename(aside)
    try:
        _refuse_if_open(name, aside)
    except BaseException:
        with contextlib.suppress(OSError):  # somebody has made a new one meanwhile
            aside.rename(directory)
        raise
    for path in (*on_disk, aside):
        shutil.rmtree(path, ignore_errors=path is not aside)
    for _ in leftovers.siblings(directory, remove=True):
        pass
    return found


def _refuse_if_open(name: str, directory: Path) -> None:
    living = processes(directory).values()
    if living:
        who = ", ".join(sorted(process_text(each.kind, each.label, each.pid) for each in living))
        step = (
            "Go on with another store first: wb.use(...)."
            if os.getpid() in {each.pid for each in living}
            else "End them first."
        )
        raise StoreError(f"The store {name!r} is in use by {who}. Nothing was removed. {step}")


def _uses(directory: Path) -> tuple[list[str], set[Path]]:
    """Return who maps objects of a store, and where it has spilled to; a damaged one has neither, as far as anybody can tell."""
    try:
        with Store.open(directory, create=False) as store:
            mapped = sorted({process_text(each.kind, each.label, each.pid) for each in store.holders()})
            links = (path.readlink().parent for path in directory.glob("*.segment") if path.is_symlink())
            return mapped, {path for path in links if path.name == store.id}
    except StoreError:
        return [], set()
