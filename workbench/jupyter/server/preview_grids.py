"""Objects as columns: whatever has rows and columns becomes a grid, of which a part is read without copying the whole.

Runs in the process for previews only. A column is handed out as a pandas series, of the rows that are asked for.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from workbench import codecs
from workbench.errors import ObjectNotFoundError
from workbench.jupyter.server.problems import ElsewhereError, NotPossibleError
from workbench.session import Session

__all__ = ["Grid", "grid_of", "pieces_of"]

_MOST_COLUMNS: Final = 100_000


class Grid(ABC):
    """Rows and columns.

    Parameters
    ----------
    kind : str
        ``table`` or ``array``.
    rows : int
    names, dtypes : sequence of str
        Of the columns.
    note : str
        What a reader should know.
    """

    absent = 0
    """Partitions that are not on this host."""

    def __init__(
        self, kind: Literal["table", "array"], rows: int, names: Sequence[str], dtypes: Sequence[str], note: str = ""
    ) -> None:
        self.kind = kind
        self.rows = rows
        self.names = names
        self.dtypes = dtypes
        self.note = note

    @abstractmethod
    def column(self, number: int, start: int, stop: int, step: int) -> pd.Series[Any]:
        """Return some rows of a column."""

    def index(self, start: int, stop: int) -> pd.Series[Any]:
        """Return what some rows are called."""
        return pd.Series(range(start, stop))

    def sample(self, number: int, most: int) -> pd.Series[Any]:
        """Return at most so many rows of a column, from everywhere in it."""
        return self.column(number, 0, self.rows, max(1, math.ceil(self.rows / most)))


class _Frame(Grid):
    def __init__(self, frame: pd.DataFrame) -> None:
        names = [str(name) for name in frame.columns[:_MOST_COLUMNS]]
        super().__init__("table", len(frame), names, [str(dtype) for dtype in frame.dtypes[:_MOST_COLUMNS]])
        self._frame = frame

    def column(self, number: int, start: int, stop: int, step: int) -> pd.Series[Any]:
        return self._frame.iloc[start:stop:step, number]

    def index(self, start: int, stop: int) -> pd.Series[Any]:
        index = self._frame.index[start:stop]
        if isinstance(index, pd.MultiIndex):
            return pd.Series([", ".join(map(str, entry)) for entry in index], dtype=object)
        return index.to_series()


class _Array(Grid):
    """Of one dimension: a column; of more: the first is the rows, the others are the columns. Of records: a column for each field."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self._fields = array.dtype.names
        rest = array.shape[1:]
        count = math.prod(rest)
        note = ""
        if self._fields:
            names = [str(name) for name in self._fields]
            dtypes = [str(array.dtype[name]) for name in self._fields]
        else:
            shown = min(count, _MOST_COLUMNS)
            if len(rest) < 2:
                names = [str(number) for number in range(shown)]
            else:
                names = [", ".join(map(str, np.unravel_index(number, rest))) for number in range(shown)]
            dtypes = [str(array.dtype)] * shown
            if len(rest) > 1 or shown < count:
                note = f"An array of shape {array.shape}: its first dimension is shown as rows, the others as columns."
        super().__init__("array", array.shape[0], names, dtypes, note)

    def column(self, number: int, start: int, stop: int, step: int) -> pd.Series[Any]:
        part = self._array[start:stop:step]
        if self._fields:
            part = part[self._fields[number]]
            return _series(part if part.ndim == 1 else [each.tolist() for each in part])
        if self._array.ndim == 1:
            return _series(part)
        return _series(part[(slice(None), *np.unravel_index(number, self._array.shape[1:]))])


class _Table(Grid):
    """Of Arrow; a single array is a table of one column."""

    def __init__(self, columns: Sequence[Any], names: Sequence[str], rows: int) -> None:
        super().__init__("table", rows, names, [str(column.type) for column in columns])
        self._columns = columns

    def column(self, number: int, start: int, stop: int, step: int) -> pd.Series[Any]:
        part = self._columns[number].slice(start, stop - start)
        if step > 1:
            part = part.take(np.arange(0, stop - start, step))
        try:
            return pd.Series(pd.array(part, dtype=pd.ArrowDtype(part.type)))
        except (TypeError, ValueError, NotImplementedError):
            return pd.Series(part.to_pylist(), dtype=object)


class _Sparse(Grid):
    def __init__(self, matrix: Any) -> None:
        # The others cannot be cut.
        self._matrix = matrix if matrix.format in ("csr", "csc", "lil") else matrix.tocsr()
        rows, columns = matrix.shape
        names = [str(number) for number in range(min(columns, _MOST_COLUMNS))]
        super().__init__("array", rows, names, [str(matrix.dtype)] * len(names), f"{matrix.nnz} values are stored.")

    def column(self, number: int, start: int, stop: int, step: int) -> pd.Series[Any]:
        return _series(self._matrix[start:stop:step, [number]].toarray()[:, 0])


class _Pieces(Grid):
    """A dataset: grids one below the other, of which only those are read that are asked for."""

    def __init__(self, session: Session, ids: Sequence[str], counts: Sequence[int], name: str) -> None:
        self._session = session
        self._ids = ids
        self._begins = np.concatenate([[0], np.cumsum(counts)]).tolist()
        self._name = name
        self._last: tuple[int, Grid] | None = None
        first = next((number for number, id_ in enumerate(ids) if session.store.exists(id_)), None)
        if first is None:
            # The first rows are in the first partition that has any.
            needed = [number for number, count in enumerate(counts) if count][:1]
            raise ElsewhereError(f"No partition of {name} is on this host.", needed)
        head = self._piece(first)
        super().__init__("table", self._begins[-1], head.names, head.dtypes)
        here = sum(session.store.exists(id_) for id_ in ids)
        self.absent = len(ids) - here
        if self.absent:
            self.note = (
                f"{here} of {len(ids)} partitions are on this host; the rows of the others cannot be shown here."
            )

    def _piece(self, number: int) -> Grid:
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        try:
            grid = grid_of(self._session.get(self._ids[number]))
        except ObjectNotFoundError:
            raise self._elsewhere([number]) from None
        if grid is None:
            raise NotPossibleError(f"Partition {number} of {self._name} has no rows.")
        self._last = number, grid
        return grid

    def _parts(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Return partitions with the rows of them that lie between two."""
        spans = zip(self._begins, self._begins[1:], strict=False)
        parts = [
            (number, max(start, begin) - begin, min(stop, end) - begin)
            for number, (begin, end) in enumerate(spans)
            if max(start, begin) < min(stop, end)
        ]
        # All of them at once: who brings one here shall not be told of the next one then.
        if absent := [number for number, _, _ in parts if not self._session.store.exists(self._ids[number])]:
            raise self._elsewhere(absent)
        return parts

    def _elsewhere(self, numbers: Sequence[int]) -> ElsewhereError:
        which = ", ".join(map(str, numbers[:8]))
        return ElsewhereError(
            f"Of {self._name}, partition {which} is not on this host, which these rows are in.", numbers
        )

    def column(self, number: int, start: int, stop: int, step: int) -> pd.Series[Any]:
        parts = [self._piece(piece).column(number, first, end, step) for piece, first, end in self._parts(start, stop)]
        return pd.concat(parts) if parts else self._piece_at_hand().column(number, 0, 0, 1)

    def index(self, start: int, stop: int) -> pd.Series[Any]:
        parts = [self._piece(piece).index(first, end) for piece, first, end in self._parts(start, stop)]
        return pd.concat(parts) if parts else pd.Series([], dtype=object)

    def sample(self, number: int, most: int) -> pd.Series[Any]:
        here = [piece for piece, id_ in enumerate(self._ids) if self._session.store.exists(id_)]
        samples: list[pd.Series[Any]] = [self._piece(piece).sample(number, max(1, most // len(here))) for piece in here]
        found: pd.Series[Any] = pd.concat(samples)
        return found

    def _piece_at_hand(self) -> Grid:
        assert self._last is not None
        return self._last[1]


def grid_of(value: Any) -> Grid | None:
    """Return an object as a grid, or None if it has neither rows nor columns."""
    if isinstance(value, pd.DataFrame):
        return _Frame(value)
    if isinstance(value, pd.Series):
        return _Frame(value.to_frame())
    if isinstance(value, pd.Index):
        return _Frame(value.to_frame(index=False))
    if isinstance(value, np.ndarray):
        return _Array(np.asarray(value)) if value.ndim else None
    return _table_of(value) or _sparse_of(value)


def _table_of(value: Any) -> Grid | None:
    polars, arrow = sys.modules.get("polars"), sys.modules.get("pyarrow")
    if polars is not None and isinstance(value, (polars.DataFrame, polars.Series)):
        value = (value if isinstance(value, polars.DataFrame) else value.to_frame()).to_arrow()
        arrow = sys.modules.get("pyarrow")
    if arrow is not None and isinstance(value, (arrow.Table, arrow.RecordBatch)):
        return _Table(value.columns, [str(name) for name in value.schema.names], value.num_rows)
    if arrow is not None and isinstance(value, (arrow.Array, arrow.ChunkedArray)):
        return _Table([value], ["values"], len(value))
    return None


def _sparse_of(value: Any) -> Grid | None:
    sparse = sys.modules.get("scipy.sparse")
    if sparse is None or not sparse.issparse(value) or len(value.shape) != 2:
        return None
    return _Sparse(value)


def pieces_of(session: Session, object_id: str) -> Grid | None:
    """Return a dataset with rows as a grid; None for anything else."""
    info = session.store.info(object_id)
    if info.kind != "dataset":
        return None
    record = session.store.read(object_id)
    manifest = codecs.decode(record.header, record.buffers).of(info.id)
    if not manifest.rows:
        return None
    ids = [ref.id for ref in manifest.partitions]
    return _Pieces(session, ids, manifest.rows, repr(info.name or info.id)[:200])


def _series(values: Any) -> pd.Series[Any]:
    try:
        if isinstance(values, np.ndarray) and not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
        return pd.Series(values, copy=False)
    except (TypeError, ValueError, NotImplementedError):
        return pd.Series([repr(value) for value in values], dtype=object)
