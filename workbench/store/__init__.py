"""One host's shared memory: segments, the catalog beside them, leases and holders.

The only package that touches shared memory or SQLite. It stores encoded objects (``workbench.objects.Encoded``), never
decodes them, and knows nothing of other hosts.

Reading order: ``looking.py``, ``changing.py`` and ``store.py`` (the verbs), ``writing.py``, ``naming.py``, ``reading.py``, ``allocation.py`` (the life of a segment), ``free_segments.py``, ``segments.py`` (one file), ``catalog.py``, ``transactions.py``,
``copying.py``, ``pool.py``, ``upkeep.py``, ``eviction.py``, ``full.py``, ``spill.py``, ``restore.py``, ``reclaim.py``, ``residence.py``, ``holders.py``, ``queries.py``, ``listings.py``, ``history.py``, ``raw.py``, ``forking.py``, ``directory.py``.
"""

from __future__ import annotations

from workbench.store.creating import InParts, InPlace
from workbench.store.directory import StoreOnDiskWarning, default_directory, node_name
from workbench.store.naming import check_name
from workbench.store.queries import Changes, Version
from workbench.store.raw import Export, Import, describe
from workbench.store.reading import Record
from workbench.store.store import Store

__all__ = [
    "Changes",
    "Export",
    "Import",
    "InParts",
    "InPlace",
    "Record",
    "Store",
    "StoreOnDiskWarning",
    "Version",
    "check_name",
    "default_directory",
    "describe",
    "node_name",
]
