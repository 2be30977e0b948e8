"""Dask Arrays as datasets: each block is an object, numbered in C order.

Covers what is special to arrays. Chunk sizes that Dask does not know (nan) are known once the blocks are put. Blocks may be anything that has a shape and
that the codecs share or pickle: NumPy arrays, masked arrays and other subclasses, SciPy sparse matrices, arrays of other libraries. Read next: ``partitions.py``.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from workbench.collections import partitions
from workbench.collections.manifest import VERSION, Manifest
from workbench.collections.partitions import Placed, Source

if TYPE_CHECKING:
    import numpy.typing as npt

    from workbench.objects import ObjectId


def put_tasks(collection: Any, dataset: ObjectId) -> Any:
    """Return a lazy array of one :class:`Placed` for each block; computing it puts the blocks."""
    import numpy as np

    return collection.map_blocks(
        put_block,
        dataset=dataset,
        counts=collection.numblocks,
        dtype=object,
        chunks=tuple((1,) * count for count in collection.numblocks),
        meta=np.empty((0,) * collection.ndim, dtype=object),
    )


def put_block(
    block: Any, dataset: ObjectId, counts: tuple[int, ...], block_id: tuple[int, ...] | None = None
) -> npt.NDArray[Any]:
    """Put one block into this host's store; Dask says which one it is."""
    import numpy as np

    number = 0
    for place, count in zip(block_id or (), counts, strict=True):
        number = number * count + place
    placed = np.empty((1,) * len(counts), dtype=object)
    placed[(0,) * len(counts)] = partitions.put(block, number, dataset)
    return placed


def manifest(collection: Any, dataset: ObjectId, computed: Any) -> Manifest:
    """Return the manifest of what :func:`put_tasks` has put.

    Raises
    ------
    ValueError
        The blocks do not fit together, so that the array could not be computed either.
    """
    import numpy as np

    blocks = np.asarray(computed, dtype=object).reshape(collection.numblocks)
    placed: list[Placed] = list(blocks.ravel())
    shapes = {index: blocks[index].shape for index in np.ndindex(*collection.numblocks)}
    for index, shape in shapes.items():
        if len(shape) != collection.ndim:
            raise ValueError(
                f"Block {index} of the array has the shape {tuple(shape)}, which are not {collection.ndim} dimensions."
            )
    chunks = []
    for axis, count in enumerate(collection.numblocks):
        first = [0] * collection.ndim
        sizes = []
        for place in range(count):
            first[axis] = place
            sizes.append(int(shapes[tuple(first)][axis]))
        chunks.append(tuple(sizes))
    for index, shape in shapes.items():
        fitting = tuple(sizes[place] for sizes, place in zip(chunks, index, strict=True))
        if tuple(shape) != fitting:
            raise ValueError(
                f"Block {index} of the array has the shape {tuple(shape)}; beside its neighbours it must be {fitting}."
            )
    return Manifest(
        id=dataset,
        meta=collection._meta,  # noqa: SLF001  # Dask has no public name for it
        divisions=(),
        partitions=tuple(each.ref for each in placed),
        rows=(),
        chunks=tuple(chunks),
        nodes=tuple(each.node for each in placed),
        version=VERSION,
    )


def open_array(described: Manifest, source: Source) -> Any:
    """Return the lazy array that a manifest describes."""
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph
    from dask.task_spec import Task

    chunks = described.chunks or ()
    name = f"workbench-{described.id}"
    places = itertools.product(*(range(len(sizes)) for sizes in chunks))
    keys: list[Any] = [(name, *place) for place in places]
    tasks = {key: Task(key, partitions.load, ref, source) for key, ref in zip(keys, described.partitions, strict=True)}
    return da.Array(HighLevelGraph.from_collections(name, tasks), name, chunks, meta=described.meta)
