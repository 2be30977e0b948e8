"""``wb.create``: an array that is filled where it will lie, and a table that grows batch by batch.

Covers what the user holds in the ``with`` block; the memory and the seal are the store's (``store/creating.py``).
"""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np

from workbench import codecs
from workbench.errors import WorkbenchError
from workbench.objects import Encoded, Ref
from workbench.store import InParts, InPlace, Store
from workbench.texts import shape_text

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

_PART_NBYTES: Final = 32 << 20
"""Bytes of batches that are collected before they go to a segment of their own."""

Seal = Callable[["InPlace | InParts | None", Encoded], Ref]
"""Seals what was made, under the name and with the settings that the user gave."""


def _in_words(what: str, how: str, ref: Ref | None) -> str:
    return f"<new {what}, to be filled in a block: {how}>" if ref is None else f"<new {what}: {ref}>"


def _dtype(shape: Any, dtype: Any) -> np.dtype[Any]:
    order = "wb.create takes shape, dtype and name, in this order."
    if isinstance(shape, str):
        raise TypeError(f"shape is {shape!r}: {order}")
    try:
        made: np.dtype[Any] = np.dtype(dtype)
    except TypeError as error:
        raise TypeError(f"dtype is {dtype!r}, which is none ({error}): {order}") from error
    return made


def _shape(shape: Any) -> tuple[int, ...]:
    try:
        made = tuple(map(operator.index, shape)) if isinstance(shape, Sequence) else (operator.index(shape),)
    except TypeError:
        raise TypeError(
            f"shape is {shape!r}; it is a whole number, or a tuple of whole numbers, such as (1000, 20)."
        ) from None
    if min(made, default=0) < 0:
        raise ValueError(f"The shape {made} has a negative dimension.")
    return made


class NewArray:
    """An array in the making; ``with`` gives the array, and its end seals the object.

    Attributes
    ----------
    ref : Ref or None
        The object, after the end of the block.
    """

    def __init__(
        self, store: Store, shape: int | Sequence[int], dtype: npt.DTypeLike, order: Literal["C", "F"], seal: Seal
    ) -> None:
        self._dtype = _dtype(shape, dtype)
        if self._dtype.hasobject:
            raise TypeError(
                f"An array of dtype {self._dtype} holds Python objects, which cannot be shared in place. Use wb.put."
            )
        self._shape = _shape(shape)
        if order not in ("C", "F"):
            raise ValueError(f"order is {order!r}; it can be 'C' or 'F'.")
        self._store, self._order, self._seal = store, order, seal
        self._place: InPlace | None = None
        self.ref: Ref | None = None

    def __repr__(self) -> str:
        what = f"{shape_text(self._shape)} {self._dtype}"
        return _in_words(f"array of {what}", "with wb.create(...) as array: array[:] = ...", self.ref)

    def __enter__(self) -> np.ndarray[Any, Any]:
        nbytes = self._dtype.itemsize * math.prod(self._shape)
        if nbytes <= self._store.inline:
            # It will lie in the catalog.
            self._place = None
            self._array = np.empty(self._shape, self._dtype, self._order)
        else:
            self._place = self._store.create(nbytes)
            self._array = np.ndarray(self._shape, self._dtype, np.asarray(self._place.memory), order=self._order)
        return self._array

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        with self._place or contextlib.nullcontext() as place:
            if kind is None:
                self._array.flags.writeable = False
                self.ref = self._seal(place, codecs.encode(self._array, is_shared=lambda *_: True))


class NewTable:
    """An Arrow table in the making: :meth:`append` adds batches, and the end of the ``with`` block seals it.

    Parameters
    ----------
    schema : pyarrow.Schema

    Attributes
    ----------
    num_rows : int
        Of what was appended.
    ref : Ref or None
        The object, after the end of the block.
    """

    def __init__(self, store: Store, schema: pa.Schema, seal: Seal) -> None:
        self.schema = schema
        self.num_rows = 0
        self.ref: Ref | None = None
        self._store, self._seal = store, seal
        self._parts: InParts | None = None
        self._written: list[pa.Table] = []
        self._waiting: list[pa.Table] = []

    def __repr__(self) -> str:
        return _in_words("table", "with wb.create(...) as table: table.append(...)", self.ref)

    def append(self, data: pa.RecordBatch | pa.Table | pd.DataFrame) -> None:
        """Add rows at the end.

        Parameters
        ----------
        data : pyarrow.RecordBatch, pyarrow.Table or pandas.DataFrame
            With the columns and types of the schema; a frame is converted, without its index.

        Raises
        ------
        TypeError
            It is none of these, or its columns do not fit the schema. Nothing was added.
        StoreFullError
            There is no room for it; what was appended before is still there.
        WorkbenchError
            The table is not open.
        """
        if self._parts is None:
            raise WorkbenchError("This table is not open for rows: append within its `with` block.")
        table = self._table(data)
        self._waiting.append(table)
        if sum(each.nbytes for each in self._waiting) >= _PART_NBYTES:
            try:
                self._flush(self._parts)
            except BaseException:
                self._waiting.pop()
                raise
        self.num_rows += table.num_rows

    def _table(self, data: Any) -> pa.Table:
        import pyarrow as pa

        if isinstance(data, pa.RecordBatch):
            data = pa.Table.from_batches([data])
        elif not isinstance(data, pa.Table):
            if not hasattr(data, "columns"):
                raise TypeError(
                    f"Rows are appended as a record batch, a table or a DataFrame, not as {type(data).__name__}."
                )
            try:
                data = pa.Table.from_pandas(data, schema=self.schema, preserve_index=False)
            except (KeyError, pa.ArrowException) as error:
                raise TypeError(
                    f"This frame does not fit the schema of the table: {error}. Nothing was added."
                ) from None
        if not data.schema.equals(self.schema):
            raise TypeError(
                f"These rows have the columns {_described(data.schema)}, and the table has {_described(self.schema)}. "
                "Nothing was added."
            )
        return data.replace_schema_metadata(self.schema.metadata)

    def _flush(self, parts: InParts) -> None:
        import pyarrow as pa

        table = pa.concat_tables(self._waiting).combine_chunks()
        encoded = codecs.encode(table)
        buffers = parts.write(encoded)
        self._written.append(codecs.decode(encoded.header, buffers))
        self._waiting.clear()

    def __enter__(self) -> Self:
        self._parts = self._store.create_parts()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        import pyarrow as pa

        assert self._parts is not None
        with self._parts as parts:
            if kind is None:
                if self._written and self._waiting:
                    self._flush(parts)
                table = pa.concat_tables([self.schema.empty_table(), *self._written, *self._waiting])
                self.ref = self._seal(
                    parts, codecs.encode(table, is_shared=lambda *place: parts.find(*place) is not None)
                )
            self._written.clear()
            self._waiting.clear()
            self._parts = None


def _described(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema) or "none"
