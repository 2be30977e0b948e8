"""The manifest of a dataset: what a process must know to open it, in an object of a few kilobytes that every node has.

Covers the manifest; ids of partitions are in ``objects.py``. A dataset is its manifest (kind ``dataset``, with the dataset's name) and its partitions:
objects without a name, whose tag ``dataset`` is the manifest's id. The partitions of an array are its blocks, numbered in C order.

Manifests are pickled. What a later version adds has a default, so that manifests of earlier versions are read; one of a later version than
this is refused. Version 1 had neither ``chunks`` nor ``nodes``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from workbench import codecs
from workbench.errors import CodecError
from workbench.objects import Composite, Description, Encoded, ObjectId, Ref, format_nbytes, partition_id
from workbench.texts import counted

VERSION: Final = 2


@dataclass(frozen=True)
class Manifest(Composite):
    """What is known of a dataset.

    Parameters
    ----------
    id : ObjectId
    meta : pandas.DataFrame, pandas.Series or array
        Empty; with the dtypes of the partitions.
    divisions : tuple
        As Dask knows them; None in each place where they are not known. Empty for an array.
    partitions : tuple of Ref
    rows : tuple of int
        Rows of each partition. Empty for an array.
    chunks : tuple of tuples of int, or None
        Of an array: the sizes of its blocks along each dimension.
    nodes : tuple of str
        Names of the nodes where the partitions were put; they may have been moved since.
    version : int
        Of this format.
    """

    id: ObjectId
    meta: Any
    divisions: tuple[Any, ...]
    partitions: tuple[Ref, ...]
    rows: tuple[int, ...]
    chunks: tuple[tuple[int, ...], ...] | None = None
    nodes: tuple[str, ...] = ()
    version: int = 1

    @property
    def nbytes(self) -> int:
        """Bytes of all partitions."""
        return sum(ref.nbytes for ref in self.partitions)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the manifest's object: how many partitions there are, for who cannot decode it."""
        return {"partitions": str(len(self.partitions))}

    @property
    def type(self) -> str:
        """What opening gives, as a listing shows it."""
        if self.chunks is not None:
            return "dask.array.Array"
        return "dask.dataframe.Series" if self.meta.ndim == 1 else "dask.dataframe.DataFrame"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole."""
        if self.chunks is not None:
            return tuple(map(sum, self.chunks))
        rows = sum(self.rows)
        return (rows,) if self.meta.ndim == 1 else (rows, len(self.meta.columns))

    def of(self, dataset: ObjectId) -> Manifest:
        """Return the manifest as that of an object `dataset`, which is another id when the object was loaded from a file.

        Raises
        ------
        CodecError
            It was made by a later version of the workbench.
        """
        if self.version > VERSION:
            raise CodecError(
                f"The dataset {dataset} was made by a later version of the workbench (format {self.version}, known are 1 to "
                f"{VERSION}). Open it with that version."
            )
        if dataset == self.id:
            return self
        partitions = (
            dataclasses.replace(ref, id=partition_id(dataset, number)) for number, ref in enumerate(self.partitions)
        )
        return dataclasses.replace(self, id=dataset, partitions=tuple(partitions))

    def assemble(self, object_id: ObjectId, get: Callable[[Ref], Any]) -> Any:
        """Return the whole as one frame, series or array; see ``whole.py``."""
        from workbench.collections.whole import whole

        return whole(self.of(object_id), get)

    def __repr__(self) -> str:
        size = format_nbytes(self.nbytes)
        shape = f"{self.shape[0]} rows" if self.chunks is None else " x ".join(map(str, self.shape)) or "one element"
        return f"<Dataset of {counted(len(self.partitions), 'partition')}, {shape}, {size}; open it with wb.open(...)>"

    def encode(self) -> Encoded:
        """Return the manifest as an object for the store."""
        if hasattr(self.meta, "dtypes") and self.meta.ndim == 2:
            dtypes = {str(name): str(kind) for name, kind in self.meta.dtypes.items()}
        else:
            dtypes = {"": str(self.meta.dtype)}
        notes = [counted(len(self.partitions), "partition")]
        if self.chunks is not None:
            largest = ", ".join(str(max(sizes, default=0)) for sizes in self.chunks)
            notes.append(f"chunks of ({largest}{',' if len(self.chunks) == 1 else ''})")
        description = Description(
            kind="dataset", type=self.type, shape=self.shape, dtypes=dtypes, notes=(", ".join(notes),)
        )
        return dataclasses.replace(codecs.encode(self), description=description)
