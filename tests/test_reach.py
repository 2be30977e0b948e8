"""Which segments a value keeps mapped: every way in which a notebook may hold a shared object."""

from __future__ import annotations

import collections
import functools
import gc
import types
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from workbench.reach import Reach
from workbench.session import Session

ROWS = 20_000


@dataclass
class Model:
    """An object of a user's own class."""

    weights: Any


class Pair(NamedTuple):
    """A tuple of a user's own."""

    number: int
    array: Any


def closure(value: Any) -> Callable[[], Any]:
    """Return a function that remembers a value."""
    return lambda: value


def failed(value: Any) -> BaseException:
    """Return an error whose cause has a value among the variables of its frames."""

    def inner(kept: Any) -> None:
        raise ValueError(len(kept))

    try:
        try:
            inner(value)
        except ValueError as error:
            del value
            raise KeyError("outer") from error
    except KeyError as error:
        return error
    raise AssertionError("nothing failed")


def default(value: Any) -> Callable[[], Any]:
    """Return a function that has a value as a default."""

    def function(kept: Any = value) -> Any:
        return kept

    return function


@pytest.fixture
def session(memory_directory: Any) -> Iterator[Session]:
    """A session whose small objects lie in segments, too."""
    with Session(memory_directory / "store", capacity=64 << 20) as opened:
        yield opened


def reach(session: Session, *values: Any) -> set[int]:
    """Return the segments that values keep."""
    return Reach(session.store.segment_at, 5.0).segments(*values)


FRAMES: dict[str, Callable[[], Any]] = {
    "array": lambda: np.arange(ROWS),
    "matrix": lambda: np.ones((100, ROWS // 100)),
    "series": lambda: pd.Series(np.arange(ROWS), name="s"),
    "index": lambda: pd.Index(np.arange(ROWS) * 2),
    "floats": lambda: pd.DataFrame(np.ones((ROWS, 3))),
    "mixed": lambda: pd.DataFrame({"a": np.arange(ROWS), "b": np.ones(ROWS), "s": ["text"] * ROWS}),
    "strings": lambda: pd.Series(["some text"] * ROWS),
    "nullable": lambda: pd.Series(pd.array([1, None] * (ROWS // 2), dtype="Int64")),
    "zoned": lambda: pd.Series(pd.date_range("2020", periods=ROWS, freq="s", tz="Europe/Berlin")),
    "categories": lambda: pd.Series(pd.Categorical(["a", "b"] * ROWS)),
    "arrow": lambda: pd.Series(np.arange(ROWS), dtype="int64[pyarrow]"),
    "by index": lambda: pd.DataFrame({"a": [0] * ROWS}, index=pd.Index(np.arange(ROWS) * 3)),
    "table": lambda: pa.table({"x": np.arange(ROWS), "s": ["text"] * ROWS}),
    "dictionary": lambda: pa.array(["a", "b"] * ROWS).dictionary_encode(),
    "batch": lambda: pa.record_batch({"x": np.arange(ROWS)}),
    "polars": lambda: pl.DataFrame({"x": np.arange(ROWS), "s": ["text"] * ROWS}),
    "list of arrays": lambda: [np.arange(ROWS), np.ones(ROWS)],
    "object": lambda: Model(np.arange(ROWS)),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_every_kind_of_object_is_recognised(session: Session, kind: str) -> None:
    """What was got from the store is found to keep its segment, and an equal one of one's own is not."""
    session.put(FRAMES[kind](), "x")
    value = session.get("x")
    (segment,) = session.store.mapped()
    assert reach(session, value) == {segment}
    assert reach(session, FRAMES[kind]()) == set()


WRAPPED: dict[str, Callable[[Any], Any]] = {
    "view": lambda array: array[5:7],
    "backwards": lambda array: array[::-1],
    "reshaped": lambda array: array.reshape(-1, 10).T,
    "list": lambda array: [1, "two", [array]],
    "dict": lambda array: {"a": {"b": (array,)}},
    "default dict": lambda array: collections.defaultdict(list, a=[array]),
    "deque": lambda array: collections.deque([None, array]),
    "named tuple": lambda array: Pair(1, array),
    "object": Model,
    "namespace": lambda array: types.SimpleNamespace(model=Model([array])),
    "closure": closure,
    "default of a function": default,
    "partial": lambda array: functools.partial(max, array),
    "method": lambda array: array.sum,
    "generator": lambda array: (value for value in array),
    "error": failed,
    "masked": lambda array: np.ma.masked_array(array, mask=False),
    "array of objects": lambda array: np.array([array, None], dtype=object),
    "series of objects": lambda array: pd.Series([array, None], dtype=object),
    "frame": lambda array: pd.DataFrame({"x": array}, copy=False),
    "column": lambda array: pd.DataFrame({"x": array}, copy=False)["x"].iloc[3:5],
    "arrow array": lambda array: pa.chunked_array([pa.array(array)]),
    "sliced table": lambda array: pa.table({"x": array}).slice(5, 2),
    "polars": lambda array: pl.DataFrame({"x": array}),
    "polars pieces": lambda array: pl.concat([pl.Series(array), pl.Series([1])], rechunk=False),
    "view of bytes": memoryview,
}


@pytest.mark.parametrize("wrap", WRAPPED)
def test_what_is_made_of_it_is_recognised(session: Session, wrap: str) -> None:
    """Views, and whatever refers to it, keep the segment; once they are gone, looking has kept nothing."""
    session.put(np.arange(ROWS), "x")
    array = session.get("x")
    value = WRAPPED[wrap](array)
    (segment,) = session.store.mapped()
    del array
    gc.collect()
    kept = session.store.mapped()  # nothing, if the library has made a copy
    assert kept in ({segment}, set())
    assert reach(session, value) == kept
    del value
    gc.collect()
    assert not session.store.mapped()


def test_what_does_not_keep_it_is_not_blamed(session: Session) -> None:
    """Weak references, modules, classes, globals of functions, copies and Jupyter's own machinery lead nowhere."""
    session.put(np.arange(ROWS), "x")
    array = session.get("x")
    module = types.ModuleType("user")
    module.array = array  # type: ignore[attr-defined]
    scope = {"array": array}
    exec("def function(): return array", scope)
    holder = type("Holder", (), {"array": array})
    others = [weakref.ref(array), module, holder, scope["function"], array.copy(), session, session.store]
    assert reach(session, *others) == set()
    assert reach(session, scope) == set(session.store.mapped())
    barred = Reach(session.store.segment_at, 5.0, barriers=(scope,))
    assert barred.segments(scope, [scope]) == set()


def test_a_proxy_is_not_asked(session: Session) -> None:
    """Nothing of the user's own is called: a proxy that computes its class is left alone."""
    session.put(np.arange(ROWS), "x")
    array = session.get("x")

    class Proxy:
        def __init__(self) -> None:
            self.inner = array

        @property  # type: ignore[misc]  # proxies do that
        def __class__(self) -> Any:
            raise RuntimeError("asked")

        def __len__(self) -> int:
            raise RuntimeError("asked")

    assert reach(session, Proxy()) == set(session.store.mapped())


def test_the_walk_ends_with_its_time(session: Session) -> None:
    """A value that is too large is judged by what could be looked at, and the answer says so."""
    session.put(np.arange(ROWS), "x")
    array = session.get("x")
    nested: list[Any] = [[[[number] for number in range(100)] for _ in range(100)] for _ in range(100)]
    hurried = Reach(session.store.segment_at, 0.0)
    assert hurried.segments([array], nested) == set()
    assert not hurried.complete
    patient = Reach(session.store.segment_at, 60.0)
    circle: list[Any] = [array]
    circle.append(circle)
    assert patient.segments(circle) == set(session.store.mapped())
    assert patient.complete
