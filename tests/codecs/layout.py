"""Helpers: lay an encoded object out as a store does, decode it there, and compare every part of it.

The memory is mapped read-only, so a write to it by whatever library ends the process: no test can pass by a lucky copy.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.testing import assert_frame_equal, assert_index_equal, assert_series_equal

from workbench.codecs import decode, encode
from workbench.objects import Encoded

ALIGNMENT = 64


class Laid:
    """An encoded object in read-only memory of its own, buffers aligned to 64 bytes as in a segment."""

    def __init__(
        self, value: Any, *, is_shared: Callable[[int, int], bool] | None = None, in_rows: bool = False
    ) -> None:
        self.encoded: Encoded = encode(value, is_shared=is_shared, in_rows=in_rows)
        self.header = bytes(self.encoded.header)
        offsets, size = [], 0
        for buffer in self.encoded.buffers:
            assert buffer.format == "B"
            assert (buffer.ndim == 1 and buffer.contiguous) or (in_rows and np.asarray(buffer)[0].flags.c_contiguous)
            offsets.append(size)
            size += -(-buffer.nbytes // ALIGNMENT) * ALIGNMENT
        self.size = max(size, 1)
        descriptor = os.memfd_create("layout")
        try:
            os.truncate(descriptor, self.size)
            for offset, buffer in zip(offsets, self.encoded.buffers, strict=True):
                os.pwrite(descriptor, buffer if buffer.ndim == 1 else buffer.tobytes(), offset)
            mapping = mmap.mmap(descriptor, self.size, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        self.mapping = weakref.ref(mapping)
        view = memoryview(mapping)
        self.buffers = tuple(
            view[offset : offset + buffer.nbytes] for offset, buffer in zip(offsets, self.encoded.buffers, strict=True)
        )
        self.start = np.frombuffer(view, np.uint8).ctypes.data
        self.encoded = Encoded(self.encoded.description, self.header, ())  # lets go of the source
        self.checksum = hashlib.sha256(view).hexdigest()

    def decode(self) -> Any:
        """Decode from the mapped memory."""
        return decode(self.header, self.buffers)

    def holds(self, address: int, nbytes: int = 1) -> bool:
        """Tell whether this address lies in the mapped memory."""
        return self.start <= address and address + nbytes <= self.start + self.size

    def unchanged(self) -> bool:
        """Tell whether the mapped memory has the bytes that were written to it."""
        mapping = self.mapping()
        if mapping is None:
            assert not self.buffers, "everything went into the header"
            return True
        return hashlib.sha256(mapping).hexdigest() == self.checksum

    def release(self) -> None:
        """Let go of the memory: from here on only decoded objects keep it."""
        self.buffers = ()

    @property
    def mapped(self) -> bool:
        """Tell whether anything still keeps the memory mapped."""
        return self.mapping() is not None


def relay(value: Any) -> Any:
    """Encode `value`, lay it out, and return what is decoded there."""
    return Laid(value).decode()


def array_addresses(array: np.ndarray[Any, Any]) -> Iterator[tuple[int, int]]:
    """Yield address and size of the memory of an array."""
    low, high = np.lib.array_utils.byte_bounds(array)
    yield low, high - low


def arrow_addresses(value: Any) -> Iterator[tuple[int, int]]:
    """Yield address and size of every buffer of an Arrow array, chunked array, batch or table."""
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        for column in value.columns:
            yield from arrow_addresses(column)
    elif isinstance(value, pa.ChunkedArray):
        for chunk in value.chunks:
            yield from arrow_addresses(chunk)
    elif isinstance(value, pa.ExtensionArray):
        yield from arrow_addresses(value.storage)
    else:
        yield from ((buffer.address, buffer.size) for buffer in value.buffers() if buffer is not None)
        if isinstance(value, pa.DictionaryArray):
            yield from arrow_addresses(value.dictionary)


def pandas_addresses(array: Any) -> Iterator[tuple[int, int]]:
    """Yield address and size of all memory of a pandas array, whatever its type."""
    if isinstance(array, (pd.arrays.ArrowExtensionArray, pd.arrays.ArrowStringArray)):
        yield from arrow_addresses(array.__arrow_array__())
    elif isinstance(array, pd.Categorical):
        yield from array_addresses(array.codes)
    elif isinstance(array, pd.arrays.IntervalArray):
        yield from pandas_addresses(array.left.array)
        yield from pandas_addresses(array.right.array)
    elif hasattr(array, "sp_values"):
        yield from array_addresses(array.sp_values)
        yield from array_addresses(array.sp_index.indices)
    elif hasattr(array, "_mask"):
        yield from array_addresses(array._data)
        yield from array_addresses(array._mask)
    else:
        yield from array_addresses(array._ndarray)


def assert_same_array(actual: Any, expected: np.ndarray[Any, Any]) -> None:
    """Compare two arrays in everything: type, dtype, shape, strides, bits."""
    assert type(actual) is type(expected)
    assert actual.dtype == expected.dtype
    assert actual.dtype.str == expected.dtype.str
    assert actual.dtype.isalignedstruct == expected.dtype.isalignedstruct
    assert actual.shape == expected.shape
    if expected.size and not expected.dtype.hasobject:
        dense = expected.copy(order="K") if is_gappy(expected) else expected
        assert long_strides(actual) == long_strides(dense)
        assert list(field_bytes(actual)) == list(field_bytes(expected))
    else:
        assert actual.tolist() == expected.tolist()


def field_bytes(array: np.ndarray[Any, Any]) -> Iterator[bytes]:
    """Yield the bytes of each field, or of the array without fields; what lies between fields means nothing."""
    if array.dtype.names is None:
        yield array.tobytes()
    for name in array.dtype.names or ():
        yield from field_bytes(array[name])


def long_strides(array: np.ndarray[Any, Any]) -> list[int]:
    """Return the strides of the axes longer than one; those of the others mean nothing."""
    return [stride for stride, length in zip(array.strides, array.shape, strict=True) if length > 1]


def is_gappy(array: np.ndarray[Any, Any]) -> bool:
    """Tell whether an array does not lie densely in memory, in whatever order of axes."""
    low, high = np.lib.array_utils.byte_bounds(array)
    return high - low != array.nbytes or any(stride < 0 for stride in array.strides)


def assert_same_pandas(actual: Any, expected: Any) -> None:
    """Compare two pandas objects in everything that pandas can compare, and in the classes of their indexes."""
    assert type(actual) is type(expected)
    if isinstance(expected, pd.DataFrame):
        assert_frame_equal(actual, expected, check_exact=True, check_freq=True, check_flags=True)
        assert_same_index(actual.columns, expected.columns)
        for position in range(expected.shape[1]):
            assert actual.dtypes.iloc[position] == expected.dtypes.iloc[position]
            assert type(actual.iloc[:, position].array) is type(expected.iloc[:, position].array)
    elif isinstance(expected, pd.Series):
        assert_series_equal(actual, expected, check_exact=True, check_freq=True, check_flags=True)
        assert actual.dtype == expected.dtype
    else:
        assert_same_index(actual, expected)
        return
    assert_same_index(actual.index, expected.index)
    assert actual.attrs == expected.attrs


def assert_same_index(actual: Any, expected: Any) -> None:
    """Compare two indexes in class, names, dtypes, frequency and labels."""
    assert type(actual) is type(expected)
    assert_index_equal(actual, expected, exact=True, check_exact=True)
    assert list(actual.names) == list(expected.names)
    assert getattr(actual, "freq", None) == getattr(expected, "freq", None)
    if isinstance(expected, pd.MultiIndex):
        for mine, theirs in zip(actual.levels, expected.levels, strict=True):
            assert_same_index(mine, theirs)
    else:
        assert actual.dtype == expected.dtype


def assert_same_arrow(actual: Any, expected: Any) -> None:
    """Compare two Arrow objects in type, schema with metadata, chunks and values, and check their soundness."""
    assert type(actual) is type(expected)
    actual.validate(full=True)
    if isinstance(expected, (pa.Table, pa.RecordBatch)):
        assert actual.schema.equals(expected.schema, check_metadata=True)
        assert actual.equals(expected, check_metadata=True)
        for mine, theirs in zip(actual.columns, expected.columns, strict=True):
            assert_same_arrow(mine, theirs)
        return
    assert actual.type.equals(expected.type, check_metadata=True)
    assert actual.equals(expected)
    if isinstance(expected, pa.ChunkedArray):
        assert [len(chunk) for chunk in actual.chunks] == [len(chunk) for chunk in expected.chunks]
