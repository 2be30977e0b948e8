"""Datasets: Dask DataFrames, Series and Arrays whose partitions are shared objects; and references in Dask's tasks.

``ddf.persist_shared("flights")`` computes a collection once and leaves its partitions in the shared memory of the workers that computed
them; ``wb.open("flights")``, in any process, gives the collection back, lazy, with its partitions mapped where they are.

Reading order: ``manifest.py`` (what is known of a dataset), ``persisting.py``, ``opening.py``, ``frames.py`` and ``arrays.py``, ``partitions.py`` (what the
tasks do), ``registration.py`` (how ``persist_shared`` becomes a method), ``references.py``. Importing this package is cheap: Dask is imported when
it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.collections.references import register_references
from workbench.collections.registration import register

if TYPE_CHECKING:
    from workbench.objects import Key

__all__ = ["open_dataset", "persist_shared", "register", "register_references"]


def persist_shared(collection: Any, name: str | None = None, *, replicas: int = 1) -> Any:
    """Compute a collection into shared memory; see :func:`workbench.collections.persisting.persist_shared`."""
    from workbench.collections import persisting

    return persisting.persist_shared(collection, name, replicas=replicas)


def open_dataset(key: Key) -> Any:
    """Return a dataset as a lazy collection; see :func:`workbench.collections.opening.open_dataset`."""
    from workbench.collections import opening

    return opening.open_dataset(key)
