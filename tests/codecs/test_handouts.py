from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.codecs.layout import Laid, fetch
from tests.codecs.samples import mixed
from workbench.codecs import Decoded, HandOut, HandOuts

pytestmark = pytest.mark.usefixtures("either_way")

N = 500
numbers = np.arange(N)


@pytest.fixture(autouse=True)
def no_collections() -> Any:
    """Let collections happen in these tests only when they ask for one."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


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
def test_original_lives_as_long_as_any_part_of_the_frame(take: Callable[[Any], Any]) -> None:
    """Whatever the user takes from the frame keeps it assignable; when that goes, a sweep ends the lease."""
    laid, handouts = Laid(mixed()), HandOuts()
    part = take(fetch(laid, handouts))
    laid.release()
    gc.collect()
    handouts.sweep()
    assert len(handouts) == 1
    value = part["deep"][0] if isinstance(part, dict) else part
    value.iloc[0] = value.iloc[1].copy() if value.ndim == 2 else value.iloc[1]
    del part, value
    assert handouts.sweep() == 1
    assert len(handouts) == 0
    assert not laid.mapped


def test_lease_ends_when_the_frame_dies() -> None:
    """Without a sweep or a collection, the death of a frame that nothing was taken from ends the lease at once."""
    for value in (mixed(), mixed()["f"], mixed()["z"], {"a": mixed(), "b": [mixed()["i"]]}):
        laid, handouts = Laid(value), HandOuts()
        result = fetch(laid, handouts)
        laid.release()
        assert len(handouts) == 1
        assert laid.mapped
        del result
        assert len(handouts) == 0
        assert not laid.mapped


def test_lease_ends_after_a_collection() -> None:
    """A series that outlived its frame ends the lease when it is gone, at one of the next garbage collections."""
    laid, handouts = Laid(mixed()), HandOuts()
    series = fetch(laid, handouts)["i"]
    laid.release()
    gc.collect(1)
    assert laid.mapped
    del series
    deadline = time.monotonic() + 10
    while len(handouts) and time.monotonic() < deadline:
        gc.collect(1)
    assert len(handouts) == 0
    assert not laid.mapped


def test_lease_ends_when_every_column_is_replaced() -> None:
    """A frame all of whose columns have become the user's own no longer holds the shared memory."""
    laid, handouts = Laid(pd.DataFrame({"a": numbers, "b": numbers / 2})), HandOuts()
    frame = fetch(laid, handouts)
    laid.release()
    frame["a"] = 1
    frame["b"] = 2.0
    handouts.sweep()
    assert len(handouts) == 0
    del frame["a"]
    assert not laid.mapped


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
    laid, wide_laid, handouts = Laid(frame), Laid(wide), HandOuts()
    value, other = fetch(laid, handouts), fetch(wide_laid, handouts)
    laid.release()
    wide_laid.release()
    for line in 2 * WORK.strip().splitlines():
        eval(line, {"df": value, "pd": pd, "pickle": pickle, "copy": copy})
    other.loc["2013-01-03"].sum(), other.index.get_indexer(other.index[::-1]), other.resample("D").mean()
    assert len(handouts) == 2
    del value, other
    gc.collect()
    handouts.sweep()
    assert len(handouts) == 0
    assert not laid.mapped
    assert not wide_laid.mapped


def test_frames_of_one_object_are_kept_and_dropped_together() -> None:
    """A container of frames that share columns keeps all of them assignable until the last is gone."""
    frame = pd.DataFrame({"a": numbers, "b": numbers / 2})
    laid, handouts = Laid({"x": frame, "y": frame.assign(c=1), "s": frame["a"]}), HandOuts()
    value = fetch(laid, handouts)
    laid.release()
    kept = value["y"]
    del value
    gc.collect()
    handouts.sweep()
    assert len(handouts) == 1
    kept.loc[0, "a"] = 5
    assert kept.loc[0, "a"] == 5
    del kept
    handouts.sweep()
    assert not laid.mapped


def test_text_only_frames_need_nothing_beside_them() -> None:
    """A frame of Arrow-backed columns can be assigned to by itself, and keeps its memory by itself."""
    laid, handouts = Laid(mixed()[["s"]]), HandOuts()
    decoded = laid.decode()
    assert decoded.kept == ()
    handouts.add(decoded)
    assert len(handouts) == 0
    frame = decoded.value
    frame.loc[0, "s"] = "changed"
    assert frame.loc[0, "s"] == "changed"
    assert laid.unchanged()


def test_without_an_original_the_frame_is_read_only() -> None:
    """What is handed out without being kept refuses an assignment rather than touching shared bytes."""
    laid = Laid(mixed())
    frame = laid.decode().value
    gc.collect()
    with pytest.raises(ValueError, match="read-only"):
        frame.iloc[0, 0] = 1
    assert laid.unchanged()


def test_hand_out_leaves_no_trace_on_copies() -> None:
    """Copies and pickles of a handed-out frame are plain frames."""
    laid, handouts = Laid(mixed()), HandOuts()
    frame = fetch(laid, handouts)
    for made in (frame.copy(), copy.copy(frame), pickle.loads(pickle.dumps(frame)), frame[["i"]]):
        assert not [name for name in vars(made) if "workbench" in name]


def test_kept_originals_are_told() -> None:
    """What was decoded tells its originals; a plain object has none."""
    decoded = Laid(mixed()).decode()
    assert [type(each) for each in decoded.kept] == [pd.DataFrame]
    assert Decoded(1).kept == ()


def test_clear_forgets_everything() -> None:
    """After clear nothing is kept, whoever still holds a frame."""
    laid, handouts = Laid(mixed()), HandOuts()
    frame = fetch(laid, handouts)
    handouts.clear()
    assert len(handouts) == 0
    assert frame.loc[3, "i"] == 3


def test_collection_callback_goes_with_its_owner() -> None:
    """An owner that dies leaves no callback in the garbage collector."""
    before = len(gc.callbacks)
    handouts = HandOuts()
    assert len(gc.callbacks) == before + 1
    del handouts
    assert len(gc.callbacks) == before


def test_frames_outlive_the_owner_of_their_hand_outs() -> None:
    """A frame can be assigned to after the session that fetched it is gone, and lets go of its memory all the same."""
    laid = Laid(mixed())
    frame = fetch(laid, HandOuts())
    laid.release()
    gc.collect()
    frame.loc[0, "i"] = 5
    assert frame.loc[0, "i"] == 5
    del frame
    assert not laid.mapped


def test_many_hand_outs_are_dropped_one_by_one_without_looking_at_all() -> None:
    """The death of one of many frames looks at that frame only."""
    laid, handouts = Laid(pd.DataFrame({"x": numbers})), HandOuts()
    frames = [fetch(laid, handouts) for _ in range(300)]
    original, calls = HandOut.in_use, 0

    def counted(handout: HandOut) -> bool:
        nonlocal calls
        calls += 1
        return original(handout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HandOut, "in_use", counted)
        while frames:
            frames.pop()
    assert len(handouts) == 0
    assert calls == 300


def test_threads_fetch_assign_and_sweep_at_once() -> None:
    """Many threads that fetch, assign, drop and sweep at the same time lose no assignment and leave no lease."""
    laid, handouts = Laid(mixed().drop(columns="o")), HandOuts()
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for turn in range(30):
                frame = fetch(laid, handouts)
                series = frame["i"]
                if turn % 2:
                    del frame
                handouts.sweep()
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
    handouts.sweep()
    assert len(handouts) == 0
