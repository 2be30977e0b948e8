"""What a cluster that was killed leaves beside a store: its connection file, and the stores of its other nodes.

Covers telling which of it belongs to nobody living, and removing it; a living cluster loses nothing by either. ``doctor`` of a session calls it.

==================  ==============================================  ====================================================
what                belongs to somebody living when                 removed
==================  ==============================================  ====================================================
connection file     its writer lives, or the scheduler's port       at once: it holds nothing
                    answers (``connection.py``)
``<store>.node-2``  its lock is taken (by a ``LocalCluster``),      only if that is wished: its objects may be wanted,
                    or a process has the store open                 and the next ``LocalCluster`` uses it again
==================  ==============================================  ====================================================

Whoever removes a sibling has its lock until it is gone. A ``LocalCluster`` that opened it in that moment finds its lock on a file without a name, and
looks again. A remover that dies in between leaves a part of a store, which the next one removes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from workbench import connection
from workbench.objects import format_nbytes
from workbench.store.namespaces import look
from workbench.store.processes import processes
from workbench.texts import counted

__all__ = ["claim", "connection_file", "sibling", "siblings"]

_LOCK: Final = "local-cluster.lock"


def sibling(own: Path, number: int) -> Path:
    """Return the directory of the store of another node on this machine; the store in `own` is node 1."""
    return own.with_name(f"{own.name}.node-{number}")


def claim(directory: Path) -> int | None:
    """Return a descriptor that has the lock of a sibling as long as it is open, or None: somebody has it, or the store is gone."""
    try:
        lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_nlink:
            return lock
    except BlockingIOError:
        pass
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def connection_file(directory: Path) -> tuple[str, bool] | None:
    """Remove the connection file of a cluster that is dead; return a sentence, and whether it was removed. None: there is nothing to say."""
    found = connection.read(directory)
    why = None if found is None else connection.why_dead(found)
    if found is None or why is None:
        return None
    path = directory / connection.FILE
    if connection.is_kept(directory):
        return (
            f"The connection file {path} may be a dead cluster's: {why}. Who wrote it cannot be seen from here.",
            False,
        )
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return f"The cluster at {found.scheduler} does not run any more ({why}): its connection file was removed.", True


def siblings(own: Path, *, remove: bool) -> Iterator[str]:
    """Yield a sentence for each sibling store that nobody living uses; remove them if that is wished."""
    is_sibling = re.compile(re.escape(own.name) + r"\.node-[0-9]+").fullmatch
    for path in sorted(path for path in own.parent.iterdir() if is_sibling(path.name)):
        lock = None if path.is_symlink() else claim(path)
        if lock is None:
            continue
        try:
            if processes(path):
                continue
            found = look("", path, current=False)
            holds = "what is in it cannot be read"
            if found.objects is not None and found.used is not None:
                holds = f"{counted(found.objects, 'object')}, {format_nbytes(found.used - found.pooled)}"
            if remove:
                shutil.rmtree(path)
                yield f"The store {path} of a cluster that does not run any more was removed ({holds})."
            else:
                yield (
                    f"The store {path} is left by a cluster that does not run any more ({holds}). `workbench doctor --fix` removes it "
                    "and all that is in it; the next wb.LocalCluster uses it again."
                )
        finally:
            os.close(lock)
