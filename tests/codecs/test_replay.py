from __future__ import annotations

import collections
import datetime as dt
import decimal
import io
import pickle
import zoneinfo
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codecs.layout import Laid, assert_same_pandas, relay
from tests.codecs.samples import COLUMNS, mixed
from workbench.codecs import decode, encode, header_compiler, replay

numbers = np.arange(1000)


@pytest.fixture(autouse=True)
def nothing_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin each test as a new process does."""
    monkeypatch.setattr(replay, "_counts", {})
    monkeypatch.setattr(replay, "_replays", {})


def replayed(value: Any) -> Any:
    """Return what the compiled header of `value` builds."""
    encoded = encode(value)
    function = header_compiler.compile_header(encoded.header)
    assert function is not None
    return function(encoded.buffers)[0]


same = [1, 2]
itself: list[Any] = []
itself.append(itself)

VALUES: dict[str, Any] = {
    "numbers": [0, -1, 2**31, -(2**31), 2**70, 1.5, float("inf"), True, False, None],
    "text": ["", 'it\'s "quoted"\n', "\ud800", "ÄÖ", "x" * 300],
    "bytes": [b"", b"x" * 300, bytearray(b"abc")],
    "containers": {"a": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], 5: {}, None: [[]]},
    "many items": {number: [number] * 3 for number in range(1200)},
    "dates": [dt.datetime(2013, 1, 1, tzinfo=zoneinfo.ZoneInfo("Asia/Tokyo")), dt.date(2013, 1, 1), dt.timedelta(1)],
    "decimals": decimal.Decimal("1.10"),
    "ordered": collections.OrderedDict(b=1, a=[2]),
    "counter": collections.Counter("abca"),
    "slices": [slice(1, 2), range(5)],
    "arrays": {"a": numbers, "b": [numbers[::2], numbers.reshape(10, 100).T], "c": numbers[:3], "d": numbers[:0]},
    "dtypes": [np.dtype("M8[25s]"), np.dtype([("x", "i4"), ("y", "f8")]), pd.PeriodDtype("M"), pa.list_(pa.int8())],
    "scalars": [np.float32(1.5), pd.Timestamp("2013", tz="Europe/Paris"), pd.Timedelta(5), pd.Period("2013-05")],
    "offsets": [pd.offsets.BDay(2), pd.offsets.MonthEnd()],
}


@pytest.mark.parametrize("name", VALUES)
def test_replay_is_what_pickle_builds(name: str) -> None:
    """What a compiled header builds cannot be told from what pickle builds, or the header stays with pickle."""
    value = VALUES[name]
    encoded = encode(value)
    function = header_compiler.compile_header(encoded.header)
    expected = pickle.loads(encoded.header, buffers=encoded.buffers)
    if function is None:
        assert name in {"ordered", "counter"}
        return
    for _ in range(2):
        assert repr(function(encoded.buffers)) == repr(expected)


def test_parts_that_are_one_stay_one() -> None:
    """A list, a dict or an array that is there twice is one object in what is replayed, and a list can hold itself."""
    shared: dict[str, Any] = {"x": 1}
    result = replayed([same, same, (same, shared), shared, numbers, [numbers]])
    assert result[0] is result[1] is result[2][0]
    assert result[3] is result[2][1]
    assert result[4] is result[5][0]
    again = Laid(itself).decode()
    assert again[0] is again


def test_what_can_be_changed_is_made_anew() -> None:
    """Lists, dicts, indexes and categories that are decoded twice do not know of each other."""
    frame = pd.DataFrame({"c": pd.Categorical(["a", "b"] * 50), "x": numbers[:100]})
    value = {"list": [1, [2]], "dict": {"a": {}}, "frame": frame, "buffer": bytearray(b"abc")}
    encoded = encode(value)
    function = header_compiler.compile_header(encoded.header)
    assert function is not None
    first, second = function(encoded.buffers)[0], function(encoded.buffers)[0]
    first["list"][1].append(3)
    first["dict"]["a"]["new"] = 1
    first["buffer"].append(1)
    first["frame"].columns.name = "changed"
    first["frame"].index.name = "changed"
    first["frame"]["c"].cat.categories.name = "changed"
    first["frame"].attrs["changed"] = 1
    assert repr(second) == repr(value)
    assert_same_pandas(second["frame"], frame)
    assert second["frame"]["c"].cat.categories.name is None
    assert_same_pandas(function(encoded.buffers)[0]["frame"], frame)


class Defined:
    """A class of this module, which a notebook could define anew."""


def test_classes_that_can_be_defined_anew_are_looked_up_each_time() -> None:
    """A header that names a class outside of the libraries is not compiled, so it always means the class of now."""
    global Defined  # noqa: PLW0603
    encoded = encode([Defined(), numbers])
    assert header_compiler.compile_header(encoded.header) is None
    old = Defined
    for _ in range(replay.PAYS_AFTER + 2):
        assert type(decode(encoded.header, encoded.buffers)[0]) is old
    Defined = type("Defined", (), {"__module__": __name__})  # type: ignore[misc, assignment]
    try:
        assert type(decode(encoded.header, encoded.buffers)[0]) is Defined
    finally:
        Defined = old  # type: ignore[misc]


def test_headers_are_compiled_when_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header is compiled once, at the decoding that makes up for it, and not at all when it is long."""
    compiled: list[bytes] = []
    original = header_compiler.compile_header

    def spy(header: bytes) -> Any:
        compiled.append(header)
        return original(header)

    monkeypatch.setattr(replay, "compile_header", spy)
    laid = Laid(mixed())
    for turn in range(1, 2 * replay.PAYS_AFTER):
        assert_same_pandas(laid.decode(), mixed())
        assert len(compiled) == (turn >= replay.PAYS_AFTER)
    long = encode(["x" * 200] * 50 + [str(number) * 10 for number in range(700)])
    for _ in range(2 * replay.PAYS_AFTER):
        decode(long.header, long.buffers)
    assert len(long.header) > 16384
    assert len(compiled) == 1


def test_memory_for_headers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many different headers are decoded, only some hundreds are remembered."""
    monkeypatch.setattr(replay, "PAYS_AFTER", 2)
    for number in range(1000):
        encoded = encode([number])
        for _ in range(3):
            assert decode(encoded.header, encoded.buffers) == [number]
    assert len(replay._counts) <= 257
    assert len(replay._replays) <= 256


def test_what_is_wrong_is_told_by_pickle() -> None:
    """A header with unknown, cut off or old instructions is not compiled."""
    good = pickle.dumps(([1, 2], [], []), 5)
    for bad in (good[:-1], good[:-5], b"", b"\x80\x05.", pickle.dumps([1], 0), b"\x80\x05J\x01\x00\x00\x00."[:4]):
        assert header_compiler.compile_header(bad) is None


def test_replay_of_other_buffers() -> None:
    """A compiled header builds the object around whatever buffers it is given, and says so when they do not fit."""
    encoded = encode([numbers, "x"])
    function = header_compiler.compile_header(encoded.header)
    assert function is not None
    other: Sequence[memoryview] = [memoryview((numbers + 1).tobytes())]
    assert function(other)[0][0].tolist() == (numbers + 1).tolist()
    with pytest.raises(IndexError):
        function([])


@pytest.mark.parametrize("name", COLUMNS)
def test_most_columns_are_replayed(name: str) -> None:
    """The header of a frame with a column of each dtype is one of those that can be compiled."""
    frame = pd.DataFrame({"x": COLUMNS[name], "y": numbers})
    encoded = encode(frame)
    if encoded.header[0] == ord("S"):
        return
    assert_same_pandas(replayed(frame), frame)
    assert_same_pandas(relay(frame), frame)


class Slotted:
    """A class with slots and a dict."""

    __slots__ = ("__dict__", "slot")


def test_state_goes_where_pickle_puts_it() -> None:
    """State of every form reaches an object as it does through pickle's own BUILD."""
    for state in ({"a": 1}, ({"a": 1}, {"slot": 2}), (None, {"slot": 2}), None, {}):
        mine, theirs = Slotted(), Slotted()
        header_compiler.build(mine, state)
        stream = io.BytesIO()
        pickler = pickle.Pickler(stream, 5)
        pickler.dispatch_table = {Slotted: lambda _, state=state: (Slotted, (), state)}  # type: ignore[misc]
        pickler.dump(theirs)
        theirs = pickle.loads(stream.getvalue())
        assert vars(mine) == vars(theirs)
        assert getattr(mine, "slot", None) == getattr(theirs, "slot", None)


def trees() -> st.SearchStrategy[Any]:
    """Containers of whatever headers consist of, some of it there twice."""
    shared: list[Any] = [numbers, {"one": [1]}, [2], (numbers[:50],), np.dtype("M8[h]"), pd.Int64Dtype()]
    leaves = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.binary(max_size=400)
        | st.binary(max_size=20).map(bytearray)
        | st.sampled_from(shared)
        | st.integers(0, 300).map(np.arange)
        | st.tuples(st.integers(0, 5), st.integers(0, 80)).map(np.zeros)
        | st.integers(1, 20).map(lambda width: pd.DataFrame(np.zeros((5, width))))
        | st.lists(st.text(), max_size=5).map(lambda words: pd.Series(words, dtype="str"))
        | st.dates()
        | st.slices(10)
    )
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=6)
            | st.lists(inner, max_size=6).map(tuple)
            | st.dictionaries(st.text() | st.integers(), inner, max_size=5)
            | st.lists(inner, max_size=3).map(lambda parts: [parts, parts])
        ),
        max_leaves=15,
    )


def links(value: Any, seen: dict[int, int]) -> Any:
    """Say of a tree what it is made of, and which of its parts are one object."""
    if not isinstance(value, (dict, list, tuple, np.ndarray, bytearray)):
        return type(value), repr(value)
    number = seen.setdefault(id(value), len(seen))
    if isinstance(value, dict):
        return number, [(key, links(part, seen)) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return number, type(value), [links(part, seen) for part in value]
    if isinstance(value, bytearray):
        return number, bytes(value)
    return number, value.dtype.str, value.shape, value.flags.writeable, value.tobytes()


@settings(max_examples=300, deadline=None)
@given(trees())
def test_any_tree_is_replayed_as_pickle_builds_it(value: Any) -> None:
    """Whatever is nested in whatever, a compiled header builds what pickle builds, with the same parts being one object."""
    encoded = encode(value)
    if encoded.header[0] != 0x80:
        return
    function = header_compiler.compile_header(encoded.header)
    assert function is not None
    views = [buffer.toreadonly() for buffer in encoded.buffers]
    expected = pickle.loads(encoded.header, buffers=views)[0]
    result, again = function(views)[0], function(views)[0]
    assert links(result, {}) == links(expected, {}) == links(again, {})
