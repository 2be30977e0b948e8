"""Dask DataFrames and Series as datasets: their partitions are put by the tasks that make them, and mapped by those that use them.

Covers what is special to frames. The query planner of Dask DataFrame sees the mapping tasks as any reading of data: it asks them for the columns
that a query needs (which are not copied), and leaves out the partitions that divisions exclude. Read next: ``partitions.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.collections import partitions
from workbench.collections.manifest import VERSION, Manifest
from workbench.collections.partitions import Placed, Source

if TYPE_CHECKING:
    import pandas as pd

    from workbench.objects import ObjectId


def put_tasks(collection: Any, dataset: ObjectId) -> Any:
    """Return a lazy collection of one :class:`Placed` for each partition; computing it puts the partitions."""
    import dask.dataframe as dd
    import pandas as pd

    numbers = dd.from_map(
        _number, range(collection.npartitions), meta=pd.Series([], dtype="int64"), label="workbench-number"
    )
    put = collection.optimize(fuse=False).map_partitions(
        put_partition,
        numbers,
        dataset,
        meta=pd.Series([], dtype=object),
        align_dataframes=False,
        enforce_metadata=False,
    )
    return put.optimize()  # one task makes and puts a partition: it is never kept in Dask's memory


def put_partition(part: Any, index: pd.Series, dataset: ObjectId) -> pd.Series:
    """Put one partition into this host's store, and return what the manifest needs to know."""
    import pandas as pd

    number = int(index.iloc[0])
    return pd.Series([partitions.put(part, number, dataset)], index=[number], dtype=object)


def _number(number: int) -> pd.Series:
    import pandas as pd

    return pd.Series([number])


def manifest(collection: Any, dataset: ObjectId, computed: pd.Series) -> Manifest:
    """Return the manifest of what :func:`put_tasks` has put."""
    placed: list[Placed] = list(computed.sort_index())
    return Manifest(
        id=dataset,
        meta=collection._meta,  # noqa: SLF001  # Dask has no public name for it
        divisions=tuple(collection.divisions),
        partitions=tuple(each.ref for each in placed),
        rows=tuple(each.shape[0] for each in placed),
        nodes=tuple(each.node for each in placed),
        version=VERSION,
    )


def open_frame(described: Manifest, source: Source) -> Any:
    """Return the lazy frame or series that a manifest describes."""
    import dask.config
    import dask.dataframe as dd

    meta = described.meta
    # The query planner cannot name columns of which there are two.
    selectable = meta.ndim == 2 and meta.columns.nlevels == 1 and meta.columns.is_unique
    known = all(division is not None for division in described.divisions)
    # The partitions have the dtypes that they were put with; Dask must not convert text, which would copy it.
    with dask.config.set({"dataframe.convert-string": False}):
        return dd.from_map(
            partitions.load_columns if selectable else partitions.load,
            described.partitions,
            source=source,
            meta=meta,
            divisions=described.divisions if known else None,
            label="workbench",
            enforce_metadata=False,
        )
