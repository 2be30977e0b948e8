"""A dataset as one value in one process, for who gets it rather than opens it.

Covers ``wb.get`` of a dataset: the same as computing the opened collection, made in the calling process from mapped partitions. A single partition is
returned as it is mapped. Several are copied once into one array, or put together by pandas, which copies NumPy-backed columns and refers to the
Arrow-backed ones (strings) where they lie, chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.collections.manifest import Manifest
    from workbench.objects import Ref


def whole(manifest: Manifest, get: Callable[[Ref], Any]) -> Any:
    """Return a dataset as one frame, series or array.

    Parameters
    ----------
    manifest : Manifest
    get : callable
        Returns the object of a reference, mapped.
    """
    parts = [get(ref) for ref in manifest.partitions]
    if len(parts) == 1:
        return parts[0]
    return _frame(parts) if manifest.chunks is None else _array(manifest, parts)


def _frame(parts: list[Any]) -> Any:
    from dask.dataframe.dispatch import concat

    # As Dask does when it computes: empty partitions often have other dtypes than the rest. Categories are united.
    filled = [part for part in parts if len(part)]
    return concat(filled, uniform=True) if filled else parts[0]


def _array(manifest: Manifest, parts: list[Any]) -> Any:
    import numpy as np

    chunks = manifest.chunks or ()
    if any(type(part) is not np.ndarray for part in parts):
        from dask.array.core import concatenate3

        return concatenate3(_nested(iter(parts), [len(sizes) for sizes in chunks]))
    array = np.empty(manifest.shape, dtype=np.result_type(*parts))
    offsets = [np.concatenate([[0], np.cumsum(sizes)]) for sizes in chunks]
    for part, place in zip(parts, np.ndindex(*map(len, chunks)), strict=True):
        region = tuple(slice(at[index], at[index + 1]) for at, index in zip(offsets, place, strict=True))
        array[region] = part
    return array


def _nested(parts: Any, counts: list[int]) -> Any:
    return [_nested(parts, counts[1:]) for _ in range(counts[0])] if counts else next(parts)
