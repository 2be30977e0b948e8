from __future__ import annotations

import copy
import gc
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.codecs.layout import Laid, assert_same_pandas
from tests.codecs.samples import mixed
from workbench.codecs import copy_on_write

pytestmark = pytest.mark.usefixtures("either_way")

N = 500
numbers = np.arange(N)


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    """Let collections happen in these tests only when they ask for one."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def unknown_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pandas that does not count references as it did."""
    monkeypatch.setattr(copy_on_write, "_others", lambda: None)


def test_this_pandas_counts_references_as_it_did() -> None:
    """Where this fails, shared frames are slower, and what outlives them is read-only: `copy_on_write.py` has to learn what pandas does now."""
    assert copy_on_write._others() is not None


@pytest.mark.parametrize(
    "take",
    [
        lambda df: df["i"],
        lambda df: df["z"],
        lambda df: df["n"],
        lambda df: df["c"],
        lambda df: df["v"],
        lambda df: df.copy(deep=False),
        lambda df: df[["f", "t"]],
        lambda df: df.iloc[5:],
        lambda df: df.iloc[5:]["i"].iloc[3:],
        lambda df: df.set_index("s"),
        lambda df: df.assign(new=1),
        lambda df: df.rename(columns=str.upper),
        lambda df: df["z"].iloc[10:20],
        lambda df: df["n"].reset_index(drop=True),
        lambda df: {"deep": [df["p"]]},
    ],
)
def test_any_part_of_a_frame_is_assignable_and_keeps_the_memory_while_it_lives(take: Callable[[Any], Any]) -> None:
    """Whatever the user takes from the frame is copied before it is written to, long after the frame; with it goes the memory."""
    laid = Laid(mixed())
    part = take(laid.decode())
    laid.release()
    gc.collect()
    assert laid.mapped and laid.unchanged()
    value = part["deep"][0] if isinstance(part, dict) else part
    first = value.iloc[1].copy() if value.ndim == 2 else value.iloc[1]
    value.iloc[0] = first
    assert not laid.mapped or laid.unchanged()
    del part, value, first
    gc.collect()
    assert not laid.mapped


def test_memory_goes_with_the_frame() -> None:
    """Without a collection, the death of a frame that nothing was taken from ends the lease at once."""
    for value in (mixed(), mixed()["f"], mixed()["z"], {"a": mixed(), "b": [mixed()["i"]]}):
        laid = Laid(value)
        result = laid.decode()
        laid.release()
        assert laid.mapped
        del result
        assert not laid.mapped


def test_memory_goes_when_every_column_is_replaced() -> None:
    """A frame all of whose columns have become the user's own no longer holds the shared memory."""
    laid = Laid(pd.DataFrame({"a": numbers, "b": numbers / 2}))
    frame = laid.decode()
    laid.release()
    frame["a"] = 1
    assert laid.mapped
    frame["b"] = 2.0
    assert not laid.mapped


def test_what_was_copied_once_is_not_copied_again() -> None:
    """After the first assignment the column is the user's own, and later ones write to it in place."""
    laid = Laid(mixed())
    frame = laid.decode()
    frame.loc[0, "f"] = 1.0
    [address] = {frame["f"].to_numpy().ctypes.data for _ in range(2)}
    frame.loc[1, "f"] = 2.0
    assert frame["f"].to_numpy().ctypes.data == address
    assert list(frame["f"][:2]) == [1.0, 2.0] and laid.unchanged()


def test_readers_do_not_see_each_others_changes() -> None:
    """Names, labels, attributes and values that one reader changes are its own."""
    laid = Laid(mixed())
    first, second = laid.decode(), laid.decode()
    first.index.name, first.columns.name, first.attrs["of"] = "row", "column", "first"
    first.columns = [name.upper() for name in first.columns]
    first.flags.allows_duplicate_labels = False
    first.iloc[0, 0] = -1
    assert_same_pandas(second, mixed())
    assert_same_pandas(laid.decode(), mixed())
    assert laid.unchanged()


WORK = """
df.index.is_unique, df.columns.is_unique, df.loc[3], df.loc[[1, 2]], df.get("i"), df.dtypes
repr(df), df.describe(include="all"), df.memory_usage(deep=True), df.T, df.to_dict(), df.to_numpy()
df.groupby("c", observed=True)["f"].mean(), df.groupby(["b", "t"])["i"].sum()
df["c"].cat.categories.get_indexer(["value 5 of a hundred"]), df["c"].cat.categories.is_unique, df["c"].value_counts()
df["c"].isin(["x"]), df["s"].str.upper(), df["s"].value_counts(), df["s"].isin(["text 1"]), df["s"].factorize()
df["t"].dt.year, df["z"].dt.tz_convert("UTC"), df["p"].dt.start_time, df["n"].sum(), df["v"].array.mid
df.merge(df[["i", "f"]], on="i"), df.sort_values(["c", "f"]), df["i"].unique(), df["t"].is_unique
df.set_index("i").loc[5], df.set_index("c").index.is_monotonic_increasing, df.set_index("v").index.get_loc(2.5)
df.set_index("s").loc["text 5"], df.set_index(["i", "t"]).loc[5], pd.DatetimeIndex(df["t"]).get_loc("2013-01-02 03:00")
pd.util.hash_pandas_object(df["c"]), df.drop(columns="o").duplicated(), df["f"].rank(), df["i"].searchsorted(5)
pickle.dumps(df), copy.copy(df), copy.deepcopy(df), df.eval("i + f"), df.query("i > 5")
"""
"""Work of all kinds that makes pandas remember something."""


def test_what_pandas_remembers_does_not_hold_the_lease() -> None:
    """Lookups, groupings and other work that fills pandas' caches leave nothing that keeps the memory."""
    frame = mixed().set_index(pd.Index([f"label {n}" for n in range(N)]), append=False).reset_index(drop=True)
    wide = pd.DataFrame(np.arange(4.0 * N).reshape(N, 4), index=pd.date_range("2013", periods=N, freq="h"))
    laid, wide_laid = Laid(frame), Laid(wide)
    value, other = laid.decode(), wide_laid.decode()
    laid.release()
    wide_laid.release()
    for line in 2 * WORK.strip().splitlines():
        eval(line, {"df": value, "pd": pd, "pickle": pickle, "copy": copy})
    other.loc["2013-01-03"].sum(), other.index.get_indexer(other.index[::-1]), other.resample("D").mean()
    assert laid.unchanged() and wide_laid.unchanged()
    del value, other
    gc.collect()
    assert not laid.mapped
    assert not wide_laid.mapped


def test_frames_of_one_object_go_one_by_one() -> None:
    """A container of frames that share columns keeps the memory until the last is gone, and each can be assigned to."""
    frame = pd.DataFrame({"a": numbers, "b": numbers / 2})
    laid = Laid({"x": frame, "y": frame.assign(c=1), "s": frame["a"]})
    value = laid.decode()
    laid.release()
    kept = value["y"]
    del value
    gc.collect()
    kept.loc[0, "a"] = 5
    assert kept.loc[0, "a"] == 5 and kept.loc[1, "a"] == 1
    assert laid.unchanged()
    del kept
    assert not laid.mapped


def test_frames_leave_no_trace_on_copies(request: pytest.FixtureRequest) -> None:
    """Copies and pickles of a decoded frame are plain frames, whatever pandas it is."""
    for known in (True, False):
        if not known:
            request.getfixturevalue("unknown_pandas")
        frame = Laid(mixed()).decode()
        for made in (frame.copy(), copy.copy(frame), pickle.loads(pickle.dumps(frame)), frame[["i"]]):
            assert not [name for name in vars(made) if "workbench" in name]
            assert_same_pandas(made, mixed()[list(made.columns)])


@pytest.mark.usefixtures("unknown_pandas")
def test_an_unknown_pandas_copies_what_it_writes_to_while_the_frame_lives() -> None:
    """A second frame does what the count did; what outlives the frame refuses an assignment rather than touching shared bytes."""
    laid = Laid(mixed())
    frame = laid.decode()
    laid.release()
    frame.loc[0, "i"] = 5
    assert list(frame["i"][:2]) == [5, 1] and laid.unchanged()
    series = frame["f"]
    del frame
    gc.collect()
    with pytest.raises(ValueError, match="read-only"):
        series.iloc[0] = 1.0
    assert laid.unchanged()
    del series
    assert not laid.mapped


def test_threads_decode_and_assign_at_once() -> None:
    """Many threads that decode, assign and drop at the same time lose no assignment and leave no lease."""
    laid = Laid(mixed().drop(columns="o"))
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for turn in range(30):
                frame = laid.decode()
                series = frame["i"]
                if turn % 2:
                    del frame
                series.iloc[0] = seed
                assert series.iloc[0] == seed
                assert series.iloc[1] == 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert laid.unchanged()
    laid.release()
    assert not laid.mapped
