"""Polars frames and series: as Arrow tables, whose buffers Polars uses in place.

Whether a schema survives the way through Arrow is tried at encode time on no rows at all; where it does not (columns of
Python objects, for example), Polars' own pickling serves, and the description says so. Lazy frames pickle by
themselves. Loaded only when a Polars object passes through. Read next: ``arrow_tables.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import polars as pl

from workbench.codecs.describing import describe_polars as describe

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.codecs.pickling import EncodingPickler
    from workbench.codecs.registry import Reducer

__all__ = ["describe", "reducer_for", "survives_arrow"]


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


def restore_frame(table: pa.Table, descending: dict[str, bool] | None = None) -> pl.DataFrame:  # named in headers
    """Build a frame on the buffers of `table`; `descending` tells of each column that is known to be sorted."""
    frame = cast("pl.DataFrame", pl.from_arrow(table, rechunk=False))
    if frame.columns != table.column_names:  # Polars takes an empty name for none, and makes one up
        frame.columns = table.column_names
    if descending:
        frame = frame.with_columns(pl.col(name).set_sorted(descending=down) for name, down in descending.items())
    return frame


def restore_series(table: pa.Table, descending: dict[str, bool] | None = None) -> pl.Series:  # named in headers
    """Build a series on the buffers of the only column of `table`."""
    return restore_frame(table, descending).to_series()


def _arguments(frame: pl.DataFrame) -> tuple[pa.Table, dict[str, bool]]:
    # Arrow does not carry what Polars knows about order, which makes its joins and groups fast.
    descending = {
        name: flags["SORTED_DESC"] for name, flags in frame.flags.items() if flags["SORTED_ASC"] or flags["SORTED_DESC"]
    }
    return frame.to_arrow(compat_level=pl.CompatLevel.newest()), descending


def _reduce_frame(frame: pl.DataFrame, _pickler: EncodingPickler) -> Any:
    return (restore_frame, _arguments(frame)) if survives_arrow(frame) else NotImplemented


def _reduce_series(series: pl.Series, _pickler: EncodingPickler) -> Any:
    frame = series.to_frame()
    return (restore_series, _arguments(frame)) if survives_arrow(frame) else NotImplemented


def reducer_for(cls: type) -> Reducer | None:
    """Return what reduces instances of `cls`, or None where Polars' own pickling serves."""
    if cls is pl.DataFrame:
        return _reduce_frame
    if cls is pl.Series:
        return _reduce_series
    return None
