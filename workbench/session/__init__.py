"""A session: one process's view of its host's store and, when connected, of a cluster.

Covers the verbs; the module functions ``wb.put``, ``wb.get`` and so on act on the current session (``current.py``). They are in :mod:`~workbench.session.putting` and
:mod:`~workbench.session.sharing` (objects), :mod:`~workbench.session.keeping` (where they are kept) and :mod:`~workbench.session.nodes` (the cluster).
"""

from __future__ import annotations

from workbench.session.keeping import Keeping
from workbench.session.sharing import Sharing

__all__ = ["Session"]


class Session(Sharing, Keeping):
    """Puts and gets objects in one store; asks a cluster for what the store does not have.

    Parameters
    ----------
    directory : path, optional
        The store; the setting ``workbench.directory``, else the user's store in /dev/shm.
    namespace : str, optional
        Instead of a directory: the name of one of several stores side by side in /dev/shm; the setting ``workbench.namespace``.
    capacity : int or str, optional
        Bytes, or text such as ``"2 GiB"``; becomes the store's capacity.
    create : bool
        Make the store if it is not there yet.
    **options
        Settings of the store, as for :meth:`Store.open <workbench.store.Store.open>`: ``warm``, ``spill_directory`` and so on.

    Raises
    ------
    StoreError
        If the directory cannot be a store.
    """
