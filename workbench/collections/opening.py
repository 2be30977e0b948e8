"""A dataset as a lazy Dask collection, in any process: the same divisions and dtypes, partitions mapped where they are.

Covers building the collection from a manifest. Which worker loads a partition is decided by ``cluster/locality.py``: the loading tasks
carry references, and fusing keeps them in the graph.
"""

from __future__ import annotations

from typing import Any

from workbench import finding
from workbench.collections.manifest import Manifest
from workbench.collections.partitions import load_partition
from workbench.current import current_session
from workbench.errors import ObjectNotFoundError
from workbench.objects import Key, Ref


def open_dataset(key: Key) -> Any:
    """Open a dataset; see :func:`workbench.open`."""
    if not isinstance(key, (str, Ref)):
        raise TypeError(f"A key is a name, an id or a Ref, not {type(key).__name__}.")
    session = current_session()
    info = finding.resolve(session.store, session.cluster, key)
    found = session.get(info.ref)
    if not isinstance(found, Manifest):
        raise TypeError(f"{_title(key)} is a {type(found).__name__}, not a dataset: get it with wb.get.")
    return collection(found.of(info.id))


def collection(manifest: Manifest) -> Any:
    """Return the lazy collection that a manifest describes."""
    import dask.config
    import dask.dataframe as dd

    if not manifest.partitions:
        raise ObjectNotFoundError(f"The dataset {manifest.id} has no partitions.")
    known = all(division is not None for division in manifest.divisions)
    # The partitions have the dtypes that they were put with; Dask must not convert text, which would copy it.
    with dask.config.set({"dataframe.convert-string": False}):
        return dd.from_map(
            load_partition,
            manifest.partitions,
            meta=manifest.meta,
            divisions=manifest.divisions if known else None,
            label="workbench",
            enforce_metadata=False,
        )


def _title(key: Key) -> str:
    return repr(key) if isinstance(key, str) else repr(key.name or key.id)
