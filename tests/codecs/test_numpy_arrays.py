from __future__ import annotations

import itertools
import pickle
import tracemalloc
import warnings
from typing import Any

import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codecs.layout import Laid, array_addresses, assert_same_array, relay
from workbench.codecs import decode, encode
from workbench.codecs.numpy_arrays import INLINE_NBYTES

nested = np.dtype([("when", "M8[s]"), ("where", [("x", "<f4"), ("y", ">f8")]), ("name", "U7"), ("grid", "i2", (2, 3))])

DTYPES = [
    *"?bBhHiIqQefdgFDG",
    ">i4", ">f8", ">c16", ">M8[ns]", ">U3",
    "M8[ns]", "M8[us]", "M8[25s]", "M8[D]", "M8", "m8[ms]", "m8",
    "U5", "S5", "V5",
    nested,
    np.dtype({"names": ["a", "b"], "formats": ["i1", "f8"]}, align=True),
    np.dtype({"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 2], "itemsize": 9}),
]  # fmt: skip


def filled(dtype: Any, shape: tuple[int, ...]) -> Any:
    """Return an array of any dtype that differs everywhere: raw bytes that count up."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    if dtype.kind == "?":
        return (np.arange(count) % 3 == 0).reshape(shape)
    raw = (np.arange(count * dtype.itemsize) % 61 + 32).astype("u1")
    if dtype.kind == "U":
        return np.array([f"é{n}" for n in range(count)], dtype).reshape(shape)
    if dtype.fields is not None or dtype.kind in "gG":
        result = np.zeros(count, dtype)
        for position in range(count):
            if dtype.fields is None:
                result[position] = position / 7
            else:
                for name in dtype.names or ():
                    if result.dtype[name].kind in "if":
                        result[name][position] = position % 100
        return result.reshape(shape)
    return raw.view(dtype).reshape(shape)


SHAPES: list[tuple[int, ...]] = [(), (0,), (7,), (3, 0, 2), (300,), (4, 5), (3, 4, 5)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_shape_comes_back_exactly(dtype: Any) -> None:
    """Each dtype without Python objects comes back with the same bytes, alone and inside of a list, in any order."""
    for shape, order in itertools.product(SHAPES, "CF"):
        array = np.asarray(filled(dtype, shape), order=order)  # type: ignore[call-overload]
        for value in (array, [array]):
            encoded = encode(value)
            result = relay(value)
            result = result if value is array else result[0]
            assert_same_array(result, array)
            assert not result.flags.writeable
            if array.nbytes > INLINE_NBYTES:
                assert len(encoded.buffers) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a.transpose(2, 0, 1),
        lambda a: a.transpose(1, 0, 2),
        np.asfortranarray,
        lambda a: a[::2],
        lambda a: a[:, 1:-1, ::-1],
        lambda a: a.transpose(2, 1, 0)[:, ::2],
        lambda a: a[:, :1],
        lambda a: a[1],
        lambda a: np.broadcast_to(a[0], (4, *a.shape[1:])),
        lambda a: a.view("M8[s]"),
    ],
)
def test_memory_order_is_kept(make: Any) -> None:
    """Any order of axes comes back as it was; an array with gaps comes back dense in its own order of axes."""
    array = make(np.arange(6 * 8 * 10.0).reshape(6, 8, 10))
    assert_same_array(relay(array), array)
    assert_same_array(relay({"in": array})["in"], array)


def test_dense_array_is_not_copied_by_put_or_get() -> None:
    """The buffer of a dense array is its own memory, and the decoded array is the given memory, in any order of axes."""
    base = np.arange(60_000.0).reshape(30, 40, 50)
    for array in (base, base.T, base.transpose(1, 0, 2), base[5:20], base.view("M8[ns]"), base.view("V8"), base[0, 0]):
        for value in (array, [array]):
            (buffer,) = encode(value).buffers
            assert np.frombuffer(buffer, "u1").ctypes.data == array.ctypes.data
            laid = Laid(value)
            decoded = laid.decode()
            result = decoded if value is array else decoded[0]
            assert all(laid.holds(*each) for each in array_addresses(result))


def test_encoding_takes_no_memory() -> None:
    """Encoding 64 MiB, alone and inside of a container, allocates next to nothing."""
    array = np.zeros(8 << 20)
    encode([array])
    tracemalloc.start()
    try:
        encoded = [encode(array), encode({"a": array, "b": [array.reshape(-1, 2).T]})]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(each.nbytes for each in encoded) > 3 * array.nbytes
    assert peak < 1 << 20


def test_decoded_array_keeps_its_memory_and_no_longer() -> None:
    """The memory stays mapped while any view of the decoded array lives, and not a moment longer."""
    laid = Laid(np.arange(1000.0))
    view = laid.decode()[10:20]
    laid.release()
    assert laid.mapped
    assert view[0] == 10
    del view
    assert not laid.mapped


def test_decoded_array_refuses_writing() -> None:
    """A decoded array is read-only, and its flag cannot be lifted; writable buffers given to decode change nothing."""
    array = relay(np.arange(1000))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True
    encoded = encode([np.arange(1000)])
    (result,) = decode(encoded.header, [memoryview(bytearray(buffer)) for buffer in encoded.buffers])
    assert not result.flags.writeable


def test_object_arrays_are_pickled_and_say_so() -> None:
    """An array of Python objects comes back equal, and its description says that it is pickled."""
    array = np.array([{"a": 1}, "text", None, (1, 2)], dtype=object).reshape(2, 2)
    assert_same_array(relay(array), array)
    assert "pickled" in encode(array).description.notes[0]
    fields = np.array([(1, "x")], dtype=[("a", "i4"), ("b", object)])
    assert relay(fields).tolist() == fields.tolist()


def test_variable_width_strings_come_back() -> None:
    """NumPy's StringDType, missing values included, comes back by NumPy's own pickling."""
    array = np.array(["short", "long " * 20, ""], dtype=np.dtypes.StringDType(na_object=None))
    result = relay(array)
    assert result.dtype == array.dtype
    assert result.tolist() == array.tolist()


def test_dtype_metadata_is_kept() -> None:
    """Metadata on a dtype, which compares equal without it, does not get lost or leak to other arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain, tagged = np.zeros(100), np.zeros(100, np.dtype("f8", metadata={"unit": "m"}))
        assert relay(plain).dtype.metadata is None
        result = relay(tagged)
        kept = pickle.loads(pickle.dumps(tagged.dtype)).metadata
        assert result.dtype.metadata == kept
        assert relay(plain).dtype.metadata is None


def test_numpy_subclasses_keep_their_type() -> None:
    """Record arrays, matrices and masked arrays keep type, fields, mask and fill value; a memmap becomes an array."""
    records = np.zeros(100, [("a", "i8"), ("b", "f8")]).view(np.recarray)
    records.b = np.arange(100.0)
    result = relay(records)
    assert type(result) is np.recarray
    assert result.dtype == records.dtype
    assert result.dtype.type is np.record
    assert (result.b == records.b).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.matrix(np.arange(100.0).reshape(10, 10))
        assert type(relay(matrix)) is np.matrix
        assert (relay(matrix) == matrix).all()


@pytest.mark.parametrize("mask", [np.ma.nomask, False, [True, False] * 50], ids=["none", "full of false", "some"])
def test_masked_arrays_come_back_without_a_copy(mask: Any) -> None:
    """A masked array keeps data, mask, fill value and hardness, and uses the given memory for both."""
    masked = np.ma.MaskedArray(np.arange(100.0), mask=mask, hard_mask=True)
    for value in (masked, np.ma.MaskedArray(masked, fill_value=-1.0)):
        laid = Laid([value, np.arange(1000)])
        result = laid.decode()[0]
        assert type(result) is np.ma.MaskedArray
        assert result.data.tobytes() == value.data.tobytes()
        assert (result.mask is np.ma.nomask) == (value.mask is np.ma.nomask)
        assert np.array_equal(result.mask, value.mask)
        assert result.fill_value == value.fill_value
        assert result.hardmask == value.hardmask
        assert laid.holds(result.data.ctypes.data, result.nbytes)


def test_memmap_comes_back_as_a_plain_array(tmp_path: Any) -> None:
    """A memory map of a file comes back as an array that does not need that file, and the description says so."""
    mapped = np.memmap(tmp_path / "file", "f4", "w+", shape=(10, 20))
    mapped[:] = 7
    result = relay(mapped)
    assert type(result) is np.ndarray
    assert (result == 7).all()
    assert encode(mapped).description.notes == ("a memmap comes back as a plain array",)


class Tagged(np.ndarray[Any, Any]):
    """A subclass with pickling of its own."""

    def __reduce__(self) -> Any:
        return _tagged, (np.asarray(self), "mine")


def _tagged(array: np.ndarray[Any, Any], tag: str) -> Tagged:
    result = array.view(Tagged)
    result.tag = tag  # type: ignore[attr-defined]
    return result


def test_foreign_subclasses_pickle_as_they_wish() -> None:
    """An array subclass that is not NumPy's own is pickled by its own methods."""
    result = relay(np.arange(100).view(Tagged))
    assert type(result) is Tagged
    assert result.tag == "mine"  # type: ignore[attr-defined]


def test_same_array_twice_stays_one_array() -> None:
    """An array that an object refers to twice is written once and is one array again."""
    array = np.arange(1000)
    laid = Laid({"a": array, "b": [array]})
    assert len(laid.buffers) == 1
    result = laid.decode()
    assert result["a"] is result["b"][0]


def test_many_small_arrays_go_in_the_header() -> None:
    """Very small arrays inside of a container need no buffer of their own, and are read-only all the same."""
    value = [np.full(3, n) for n in range(50)]
    encoded = encode(value)
    assert encoded.buffers == ()
    result = relay(value)
    assert all((mine == theirs).all() and not mine.flags.writeable for mine, theirs in zip(result, value, strict=True))


def test_scalars_come_back() -> None:
    """NumPy scalars of every kind come back with their type."""
    for scalar in (np.float32(1.5), np.int8(3), np.bool_(True), np.datetime64("2013-01-01", "D"), np.str_("x")):
        assert relay(scalar) == scalar
        assert type(relay(scalar)) is type(scalar)


dtypes = st.one_of(
    arrays_of.scalar_dtypes(),
    arrays_of.unicode_string_dtypes(),
    arrays_of.byte_string_dtypes(),
    arrays_of.nested_dtypes(),
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_array_comes_back(data: st.DataObject) -> None:
    """Any array that hypothesis finds, in any view of it, comes back with the same bytes and order."""
    dtype = data.draw(dtypes)
    array = data.draw(arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
    if array.ndim:
        array = array.transpose(data.draw(st.permutations(range(array.ndim))))
        array = np.asarray(array[data.draw(arrays_of.basic_indices(array.shape, allow_ellipsis=False))])
    assert_same_array(relay(array), array)
    assert_same_array(relay((array,))[0], array)
