"""A store that is open: its parts, and this process as one of those that have it open.

Covers opening, closing and forking; which parts there are is in ``assembling.py``. Read next: ``looking.py``.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Self, Unpack

from workbench import config
from workbench.store import directory as places
from workbench.store import forking
from workbench.store.assembling import Parts, assemble


class Opened:
    """One host's segments and the catalog beside them, opened by this process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.directory = parts.directory
        self.catalog = parts.catalog
        self.allocator = parts.allocator
        self.reader = parts.reader
        self.writer = parts.writer
        self.spiller = parts.spiller
        self.residence = parts.residence
        self.upkeep = parts.upkeep
        self.background = parts.background
        self._finalizer = weakref.finalize(self, parts.close, os.getpid())
        forking.watch(self)

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str] | None = None,
        *,
        capacity: int | str | None = None,
        create: bool = True,
        process: tuple[str, str] | None = None,
        **options: Unpack[config.StoreOptions],
    ) -> Self:
        """Open the store in a directory, making it if it is not there.

        Parameters
        ----------
        directory : path, optional
            The setting ``workbench.directory``, else the user's directory in /dev/shm.
        capacity : int or str, optional
            Bytes, or text such as ``"2 GiB"``. It becomes the store's capacity, for every process.
        create : bool
            Make the store if it is not there yet.
        process : tuple of kind and label, optional
            What this process is called in lists of holders.
        **options
            Settings of ``workbench.yaml``, with underscores: ``pool``, ``pool_idle``, ``warm``, ``inline``, ``copy_threads``,
            ``spill_directory``, ``spill_capacity``, ``restore_after``.

        Raises
        ------
        StoreError
            If the directory, or a spill directory that was named, cannot be used; the message says why.
        """
        place = Path(directory).expanduser().absolute() if directory is not None else places.default_directory()
        places.prepare(place, create=create)
        with forking.turn():
            store = cls(assemble(place, capacity, options))
        if process is not None:
            store.set_process(*process)
        return store

    def close(self) -> None:
        """Close the store. Objects that were read stay valid; the store itself stays on the host."""
        with forking.turn():
            forking.forget(self)
            self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.directory}>"

    def suspend(self) -> None:
        """Before a fork; see ``forking.py``."""
        self.catalog.suspend()

    def resume(self) -> None:
        """After a fork, in the parent."""
        self.catalog.resume()

    def resume_in_child(self) -> None:
        """After a fork, in the child."""
        self._finalizer.detach()
        self._parts.resume_in_child()
        self._finalizer = weakref.finalize(self, self._parts.close, os.getpid())

    @property
    def id(self) -> str:
        """The node's id: 32 hexadecimal digits, made with the store."""
        return self.catalog.id

    @property
    def process_kind(self) -> str:
        """What this process is, as others see it: ``kernel``, ``worker``, ``server`` or ``script``."""
        return self._parts.process.kind

    def set_process(self, kind: str, label: str) -> None:
        """Say what this process is called in lists of holders.

        Parameters
        ----------
        kind : str
            ``kernel``, ``worker``, ``server`` or ``script``.
        label : str
            Notebook path, worker name or script path.
        """
        self._parts.process.set_identity(kind, label)
