"""Polars frames and series: as Arrow tables, whose buffers Polars uses in place.

Whether a schema survives the way through Arrow is tried at encode time on no rows at all; where it does not (columns of
Python objects, for example), Polars' own pickling serves, and the description says so. Lazy frames pickle by
themselves. Loaded only when a Polars object passes through. Read next: ``arrow_tables.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import polars as pl

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.codecs.pickling import EncodingPickler, Reducer

__all__ = ["reducer_for", "survives_arrow"]


def survives_arrow(frame: pl.DataFrame) -> bool:
    """Tell whether a frame of this schema comes back from Arrow as it was; looks at no row."""
    if frame.width == 0:
        return False
    try:
        back = restore_frame(frame.head(0).to_arrow(compat_level=pl.CompatLevel.newest()))
    except (pl.exceptions.PolarsError, TypeError, ValueError, NotImplementedError):
        # Arrow's own errors are ValueErrors, TypeErrors and NotImplementedErrors too.
        return False
    return back.schema == frame.schema


def restore_frame(table: pa.Table) -> pl.DataFrame:  # named in headers
    """Build a frame on the buffers of `table`."""
    return cast("pl.DataFrame", pl.from_arrow(table, rechunk=False))


def restore_series(table: pa.Table) -> pl.Series:  # named in headers
    """Build a series on the buffers of the only column of `table`."""
    return restore_frame(table).to_series()


def _reduce_frame(frame: pl.DataFrame, _pickler: EncodingPickler) -> Any:
    if not survives_arrow(frame):
        return NotImplemented
    return restore_frame, (frame.to_arrow(compat_level=pl.CompatLevel.newest()),)


def _reduce_series(series: pl.Series, _pickler: EncodingPickler) -> Any:
    frame = series.to_frame()
    if not survives_arrow(frame):
        return NotImplemented
    return restore_series, (frame.to_arrow(compat_level=pl.CompatLevel.newest()),)


def reducer_for(cls: type) -> Reducer | None:
    """Return what reduces instances of `cls`, or None where Polars' own pickling serves."""
    if cls is pl.DataFrame:
        return _reduce_frame
    if cls is pl.Series:
        return _reduce_series
    return None
