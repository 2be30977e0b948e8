"""The manifest of a dataset: what a process must know to open it, in an object of a few kilobytes that every node has.

Covers the manifest; ids of partitions are in ``objects.py``. A dataset is its manifest (kind ``dataset``, with the dataset's name) and its partitions:
objects without a name, whose tag ``dataset`` is the manifest's id.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from workbench import codecs
from workbench.objects import Description, Encoded, ObjectId, Ref, format_nbytes, partition_id


@dataclass(frozen=True)
class Manifest:
    """What is known of a dataset.

    Parameters
    ----------
    id : ObjectId
    meta : pandas.DataFrame or pandas.Series
        Empty; with the dtypes of the partitions.
    divisions : tuple
        As Dask knows them; None in each place where they are not known.
    partitions : tuple of Ref
    rows : tuple of int
        Rows of each partition.
    """

    id: ObjectId
    meta: Any
    divisions: tuple[Any, ...]
    partitions: tuple[Ref, ...]
    rows: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all partitions."""
        return sum(ref.nbytes for ref in self.partitions)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the manifest's object: how many partitions there are, for who cannot decode it."""
        return {"partitions": str(len(self.partitions))}

    def of(self, dataset: ObjectId) -> Manifest:
        """Return the manifest as that of an object `dataset`, which is another id when the object was loaded from a file."""
        if dataset == self.id:
            return self
        partitions = (
            dataclasses.replace(ref, id=partition_id(dataset, number)) for number, ref in enumerate(self.partitions)
        )
        return dataclasses.replace(self, id=dataset, partitions=tuple(partitions))

    def __repr__(self) -> str:
        size = format_nbytes(self.nbytes)
        return (
            f"<Dataset of {len(self.partitions)} partitions, {sum(self.rows)} rows, {size}; open it with wb.open(...)>"
        )

    def encode(self) -> Encoded:
        """Return the manifest as an object for the store."""
        series = self.meta.ndim == 1
        dtypes = (
            {"": str(self.meta.dtype)} if series else {str(name): str(kind) for name, kind in self.meta.dtypes.items()}
        )
        rows = sum(self.rows)
        description = Description(
            kind="dataset",
            type="dask.dataframe.Series" if series else "dask.dataframe.DataFrame",
            shape=(rows,) if series else (rows, len(self.meta.columns)),
            dtypes=dtypes,
            notes=(f"{len(self.partitions)} partitions",),
        )
        return dataclasses.replace(codecs.encode(self), description=description)
