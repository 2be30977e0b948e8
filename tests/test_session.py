"""The verbs of a session and of the module, on one host without a cluster."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pytest

import workbench as wb
from tests.flights import flights
from tests.processes import Process, run
from workbench import current

MIB = 1 << 20


@pytest.fixture
def session(store_directory: Path) -> wb.Session:
    """The current session, on a store of the test's own (made by the first call, as in a user's script)."""
    assert not store_directory.exists()
    return wb.current_session()


def test_frame_travels_to_another_process_and_back(session: wb.Session, store_directory: Path) -> None:
    """Plain scripts share by name: what another process put is equal here, with every dtype, without a copy."""
    with Process(store_directory) as other:
        other.do("import workbench as wb\nfrom tests.flights import flights\nwb.put(flights(), 'flights')")
        frame = wb.get("flights")
    expected = flights()
    pd.testing.assert_frame_equal(frame, expected)
    assert list(frame.dtypes) == list(expected.dtypes)


def test_get_waits_for_an_object_to_appear(session: wb.Session, store_directory: Path) -> None:
    """``timeout`` waits until another process has put the object, and returns it as soon as it is there."""
    with Process(store_directory) as other:
        other.do("import numpy as np, time, workbench as wb; wb.ls()")
        other.start("time.sleep(0.3); wb.put(np.arange(3), 'late')")
        start = time.monotonic()
        assert wb.get("late", timeout=30).tolist() == [0, 1, 2]
        assert time.monotonic() - start < 10
        other.finish()


def test_get_gives_up_after_its_timeout(session: wb.Session) -> None:
    """An object that does not come in time is not found."""
    start = time.monotonic()
    with pytest.raises(wb.ObjectNotFoundError, match="no object 'never' .* It was waited for, 0.2 s long"):
        wb.get("never", timeout=0.2)
    assert 0.15 < time.monotonic() - start < 10


def test_a_reference_whose_name_was_given_to_another_object_says_so(session: wb.Session) -> None:
    """It is its own object that a reference is to: when that was replaced, its error does not say that nothing has the name."""
    ref = wb.put(1, "a")
    wb.put(2, "a")
    for ask in (wb.get, wb.info, wb.delete, lambda ref: wb.get(ref, timeout=0.01)):
        with pytest.raises(wb.ObjectNotFoundError, match="was replaced: 'a' is another object now") as caught:
            ask(ref)
        assert "Did you mean" not in str(caught.value)
    assert wb.get("a") == 2
    wb.delete("a")
    with pytest.raises(wb.ObjectNotFoundError, match="There is no object 'a'"):
        wb.get(ref)


def test_get_in_a_thread_does_not_block_others(session: wb.Session) -> None:
    """While one thread waits, others put and get."""
    found: list[object] = []
    waiting = threading.Thread(target=lambda: found.append(wb.get("x", timeout=30)))
    waiting.start()
    wb.put(1, "y")
    assert wb.get("y") == 1
    wb.put("value", "x")
    waiting.join()
    assert found == ["value"]


def test_assignment_to_a_fetched_frame_is_private(session: wb.Session, store_directory: Path) -> None:
    """Assignment works by copy-on-write and changes nothing for anybody else."""
    wb.put(pd.DataFrame({"a": [1, 2, 3], "b": [1.0, 2.0, 3.0]}), "frame")
    large = pd.DataFrame({"a": np.arange(100_000), "b": np.arange(100_000.0)})
    wb.put(large, "large")
    frame = wb.get("large")
    frame.loc[0, "a"] = 99
    frame["c"] = 1
    assert frame.loc[0, "a"] == 99
    pd.testing.assert_frame_equal(wb.get("large"), large)
    with Process(store_directory) as other:
        assert other.do("import workbench as wb; result = int(wb.get('large').loc[0, 'a'])") == 0


def test_arrays_are_read_only_for_good(session: wb.Session) -> None:
    """Nobody can lift NumPy's flag: the pages themselves are read-only."""
    wb.put(np.arange(100_000), "x")
    array = wb.get("x")
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


def test_lease_ends_with_the_last_view_of_a_frame(session: wb.Session) -> None:
    """Deleting the variables ends the lease; a column that is still there keeps it."""
    wb.put(pd.DataFrame({"a": np.arange(100_000), "b": np.arange(100_000.0)}), "frame")
    frame = wb.get("frame")
    column = frame["a"]
    del frame
    gc.collect()
    assert [holder.pid for holder in wb.holders("frame")] == [os.getpid()]
    column.iloc[0] = 5
    del column
    gc.collect()
    assert list(wb.holders("frame")) == []


def test_what_is_lazy_is_shared_with_a_warning(session: wb.Session) -> None:
    """It is how to compute something that others get; the warning names it, and the line that shares its data."""
    collection = dd.from_pandas(pd.DataFrame({"x": [1, 2]}), npartitions=1)
    with pytest.warns(UserWarning, match=r"What was put is a DataFrame; it is lazy, .*: it.persist_shared\('x'\)"):
        wb.put(collection, "x")
    assert wb.get("x").compute(scheduler="sync")["x"].sum() == 3
    with pytest.warns(UserWarning, match=r"it is lazy, .*: wb.put\(it.compute\(\), 'sum'\)"):
        wb.put(collection["x"].sum(), "sum")
    with pytest.warns(UserWarning, match=r"it is lazy, .*: wb.put\(it.collect\(\)\)"):
        wb.put(pl.DataFrame({"x": [1]}).lazy())
    with pytest.warns(UserWarning, match=r"it is lazy, .*: it.persist_shared\('x'\)"):
        wb.put_many({"n": 1, "x": collection})
    with pytest.warns(UserWarning, match=r"it is a reference, .*: wb.put\(wb.get\(it\), 'again'\)"):
        wb.put(wb.put(1, "one"), "again")


def test_listing_sorts_and_filters(session: wb.Session) -> None:
    """Newest first by default; by name, size and kind on request; patterns are the shell's."""
    wb.put(np.zeros(10), "b/array")
    wb.put(np.zeros(1000), "a/array")
    wb.put({"x": 1}, "c")
    assert [info.name for info in wb.ls()] == ["c", "a/array", "b/array"]
    assert [info.name for info in wb.ls(sort_by="name")] == ["a/array", "b/array", "c"]
    assert next(info.name for info in wb.ls(sort_by="nbytes")) == "a/array"
    assert [info.name for info in wb.ls("*/array", sort_by="name")] == ["a/array", "b/array"]
    assert wb.ls("nothing*").to_pandas().empty
    assert [info.name for info in wb.ls(sort_by="name", limit=2)] == ["a/array", "b/array"]
    assert [info.name for info in wb.ls(sort_by="nbytes", limit=1)] == ["a/array"]
    assert [info.name for info in wb.ls(kind="array", limit=1)] == ["a/array"]
    assert list(wb.ls(limit=0)) == []
    with pytest.raises(ValueError, match="limit is -1"):
        wb.ls(limit=-1)
    with pytest.raises(ValueError, match="sort_by is 'size'"):
        wb.ls(sort_by="size")  # type: ignore[arg-type]
    assert [replica.state for replica in wb.where("c")] == ["memory"]


def test_a_kind_is_a_word_for_it_or_the_name_of_a_type(session: wb.Session) -> None:
    """In any case; a word of the workbench's own kinds means that kind alone; a word that fits nothing is answered with the kinds that there are."""
    wb.put(pd.DataFrame({"x": [1]}), "pandas")
    wb.put(pl.DataFrame({"x": [1]}), "polars")
    wb.put(np.arange(3), "array")
    for kind, names in {
        "dataframe": ["pandas"],
        "DataFrame": ["polars", "pandas"],
        "pandas.dataframe": ["pandas"],
        "Polars": ["polars"],
        "ARRAY": ["array"],
        "ndarray": ["array"],
        "series": [],
    }.items():
        assert [info.name for info in wb.ls(kind=kind)] == names, kind
    assert [info.name for info in wb.ls("p*", kind="DataFrame", sort_by="name", limit=1)] == ["pandas"]
    assert str(wb.ls(kind="bananas")) == (
        "no objects\nNothing that fits is of the kind or type 'bananas'. The kinds that there are: array, dataframe, polars."
    )
    assert not wb.ls("x", kind="Array").hint.startswith("Nothing")


def test_a_listing_without_objects_says_what_may_be_meant(session: wb.Session) -> None:
    """The nearest names, or how to list what begins so; a pattern that fits nothing is just that."""
    wb.put(1, "flights")
    wb.put(1, "runs/1")
    assert "Did you mean 'flights'?" in wb.ls("fligths").hint
    assert wb.ls("runs/").hint == "No name is 'runs/'. wb.ls('runs/*') lists the names that begin so."
    assert wb.ls("x*").hint == wb.ls("flights").hint == wb.ls(limit=0).hint == ""


def test_what_is_not_found_is_one_error(session: wb.Session) -> None:
    """Nothing is chained to it, and no frame of the search is shown."""
    for call in (lambda: wb.get("nope"), lambda: wb.get_many(["nope"]), lambda: wb.get("nope", timeout=0)):
        with pytest.raises(wb.ObjectNotFoundError) as raised:
            call()
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__ or raised.value.__context__ is None
        assert str(raised.traceback[-1].path).endswith("sharing.py")


def test_unnamed_objects_are_shown_and_deleted_in_one_action(session: wb.Session) -> None:
    """Those without a name go, but for pinned ones and partitions of a dataset that is being made; who has one mapped keeps it."""
    named, pinned = wb.put(1, "named"), wb.put(2, pin=True)
    partition = wb.put(3, tags={"dataset": "0" * 32})
    refs = [wb.put(np.arange(100_000)), wb.put("text")]
    array = wb.get(refs[0])
    assert {info.id for info in wb.ls(unnamed=True)} == {ref.id for ref in (*refs, pinned, partition)}
    assert {info.id for info in wb.delete_unnamed()} == {ref.id for ref in refs}
    assert {info.id for info in wb.ls()} == {named.id, pinned.id, partition.id}
    assert array.sum() == 4999950000
    assert list(wb.delete_unnamed()) == []


def test_info_names_what_could_not_be_shared(session: wb.Session) -> None:
    """A column of Python objects is pickled, and the object's notes say which one."""
    wb.put(pd.DataFrame({"shared": [1.0, 2.0], "mixed": pd.Series([1, "a"], dtype=object)}), "frame")
    info = wb.info("frame")
    assert info.kind == "dataframe"
    assert info.shape == (2, 2)
    assert any("mixed" in note for note in info.notes)
    assert not any("'shared'" in note for note in info.notes)


def test_without_a_cluster_there_is_this_host(session: wb.Session) -> None:
    """``nodes`` lists the host's own store, and what needs a cluster says how to get one."""
    (node,) = wb.nodes()
    assert node.state == "local"
    assert node.id == session.store.id
    wb.put(1, "x")
    for action in (
        lambda: wb.move("x", "elsewhere"),
        lambda: wb.replicate("x", n=2),
        lambda: wb.drop("x", node.name),
        lambda: wb.put(1, "y", replicas=2),
    ):
        with pytest.raises(wb.ClusterError, match=r"needs a cluster.*wb\.connect\(client\).*wb\.LocalCluster"):
            action()
    assert not wb.exists("y")
    with pytest.raises(TypeError, match="either n"):
        wb.replicate("x")
    with pytest.raises(wb.NodeNotFoundError, match="There is no node 'mars'"):
        wb.ls(node="mars")


def test_no_cluster_on_this_host_is_a_clear_error(session: wb.Session) -> None:
    """``connect`` without an argument says that nothing was found, and what to do."""
    with pytest.raises(wb.ClusterError, match=r"No cluster was found on this host"):
        wb.connect()


@pytest.mark.parametrize("key", [3, b"x", ["x"]])
def test_keys_of_a_wrong_type(session: wb.Session, key: Any) -> None:
    """A key is text or a reference."""
    for verb in (wb.get, wb.info, wb.delete, wb.where, wb.exists):
        with pytest.raises(TypeError, match="A key is a name, an id or a Ref"):
            verb(key)
    with pytest.raises(TypeError, match="A name is text"):
        wb.put(1, key)


def test_an_object_and_its_name_the_wrong_way_round(session: wb.Session) -> None:
    """The error says the right order, and nothing is put; a text under a name is an object like any."""
    with pytest.raises(TypeError, match=r"not Series\. The object comes first, .*: wb\.put\(value, 'summary'\)"):
        wb.put("summary", pd.Series([1]))  # type: ignore[arg-type]
    assert list(wb.ls()) == []
    wb.put("summary", "text")
    assert wb.get("text") == "summary"


@pytest.mark.parametrize("name", ["", "  ", "a" * 32])
def test_an_unusable_name_is_a_value_error_too(session: wb.Session, name: str) -> None:
    """Who knows nothing of the workbench's own errors catches it as Python's."""
    with pytest.raises(ValueError, match="cannot be a name"):
        wb.put(1, name)


def test_objects_that_cannot_be_encoded_are_named(session: wb.Session) -> None:
    """What cannot be pickled is an error that names the type, and nothing is put."""
    with pytest.raises(wb.CodecError, match="lock"):
        wb.put({"inner": threading.Lock()}, "x")
    assert list(wb.ls()) == []


def test_session_is_a_context_manager_and_objects_outlive_it(store_directory: Path) -> None:
    """What was got stays valid when the session is closed; what was put stays in the store."""
    with wb.Session(store_directory, capacity=64 * MIB) as session:
        session.put(np.arange(100_000), "x")
        array = session.get("x")
    assert array.sum() == np.arange(100_000).sum()
    del array
    with wb.Session(store_directory) as session:
        assert session.exists("x")
        assert session.memory().capacity == 64 * MIB


def test_many_objects_are_put_and_got_at_once(session: wb.Session) -> None:
    """Objects go in by name or without, in one step, and come out in the order in which they are asked for."""
    values: dict[str, Any] = {"a": np.arange(10), "b": {"x": 1}, "c": np.arange(100_000)}
    refs = session.put_many(values)
    assert [ref.name for ref in refs] == ["a", "b", "c"]
    got = session.get_many(["c", refs[0], "b"])
    assert np.array_equal(got[0], values["c"]) and np.array_equal(got[1], values["a"]) and got[2] == values["b"]
    unnamed = session.put_many([number * 1.5 for number in range(1200)], ttl=60, tags={"run": "1"})
    assert session.get_many(unnamed) == [number * 1.5 for number in range(1200)]
    assert session.info(unnamed[7]).tags == {"run": "1"}
    with pytest.raises(wb.ObjectNotFoundError, match="no object 'nobody'"):
        session.get_many([refs[0], "nobody"])
    assert session.put_many([]) == session.get_many([]) == []


def test_what_was_got_costs_nothing_to_put_again(session: wb.Session) -> None:
    """A frame with one more column than a shared one owns that column only; the frames are equal to what they should be."""
    frame = pd.DataFrame(
        {"a": np.arange(200_000), "b": np.random.default_rng(0).random(200_000), "s": ["x", "yy"] * 100_000}
    )
    session.put(frame, "frame")
    shared = session.get("frame")
    column = np.arange(200_000) * 2.0
    session.put(shared.assign(z=column), "more")
    session.put(shared.iloc[1000:150_000], "part")
    session.put(shared, "again")
    info = session.info("more")
    assert info.nbytes < column.nbytes + 20_000 < info.shared_nbytes
    assert session.info("part").nbytes < 20_000 < session.info("part").shared_nbytes
    assert session.info("again").nbytes < 20_000
    del shared
    session.delete("frame")
    pd.testing.assert_frame_equal(session.get("more"), frame.assign(z=column))
    pd.testing.assert_frame_equal(session.get("part"), frame.iloc[1000:150_000])
    pd.testing.assert_frame_equal(session.get("again"), frame)


def test_spill_and_restore(tmp_path: Path, store_directory: Path) -> None:
    """An object that no variable refers to goes to disk and comes back; a fetched frame that is gone does not hold it."""
    frame = pd.DataFrame({"x": np.arange(100_000.0)})
    with wb.Session(
        store_directory, capacity="64 MiB", spill_directory=tmp_path / "spill", restore_after="never"
    ) as session:
        session.put(frame, "frame")
        shared = session.get("frame")
        with pytest.raises(wb.StoreError, match=r"'frame' is mapped by script .*so it cannot be spilled"):
            session.spill("frame")
        del shared
        session.spill("frame")
        assert [replica.state for replica in session.where("frame")] == ["disk"]
        assert session.memory().spilled >= 800_000
        pd.testing.assert_frame_equal(session.get("frame"), frame)
        session.restore("frame")
        assert [replica.state for replica in session.where("frame")] == ["memory"]
        pd.testing.assert_frame_equal(session.get("frame"), frame)


def test_failed_put_does_not_crash_the_garbage_collector(session: wb.Session, store_directory: Path) -> None:
    """The error of a put that failed may lie in a cycle with its traceback, and all that the put was looking at."""
    done = run(
        """
        import gc
        import numpy as np, pandas as pd, workbench as wb
        gc.disable()
        wb.current_session().store.catalog.set_capacity(4 << 20)
        frame = pd.DataFrame({"a": np.zeros(1 << 20), "b": np.ones(1 << 20, "i4"), "s": ["x"] * (1 << 20)})
        for value in (frame, frame[::2], {"a": np.asfortranarray(np.ones((2000, 1000)))}, [np.ones(1 << 20), (x for x in [])]):
            for _ in range(10):
                try:
                    wb.put(value)
                except (wb.StoreFullError, wb.CodecError) as error:
                    error.myself = error
                else:
                    raise SystemExit(1)
                gc.collect()
        """,
        store_directory,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("store_directory")
@pytest.mark.parametrize("look", [wb.holders, wb.memory, lambda: wb.put(1)], ids=["holders", "memory", "put"])
def test_a_lease_ends_with_the_last_derived_frame(look: Callable[[], Any]) -> None:
    """Not only when garbage is collected: what a script is told of holders and memory is so now."""
    wb.put(pd.DataFrame({"a": np.arange(100_000.0), "b": np.arange(100_000.0)}), "frame")
    gc.disable()
    try:
        derived = wb.get("frame")["a"]
        assert len(wb.holders("frame")) == 1
        del derived
        look()
        assert wb.current_session().store.holders("frame") == []
    finally:
        gc.enable()


def test_a_star_fits_names_and_nothing_fits_what_has_none(session: wb.Session) -> None:
    """``ls()`` lists everything, ``ls("*")`` what has a name, ``ls(unnamed=True)`` the rest; with and without a page, in any order."""
    for name in ("a", "b"):
        wb.put(1, name)
    wb.put(2)
    for how in ({}, {"limit": 10}, {"sort_by": "name", "limit": 10}, {"sort_by": "nbytes"}):
        options: Any = how
        assert sorted(str(info.name) for info in wb.ls(**options)) == ["None", "a", "b"]
        assert sorted(str(info.name) for info in wb.ls("*", **options)) == ["a", "b"]
        assert [info.name for info in wb.ls(unnamed=True, **options)] == [None]


def test_listing_by_tags(session: wb.Session) -> None:
    """Only objects that have all of the tags, or one of any value; also for pages, and for odd keys."""
    odd = "a.b \"c\" 'd'"
    wb.put(1, "one", tags={"project": "x", "stage": "raw"})
    wb.put(2, "two", tags={"project": "x", odd: "1"})
    wb.put(3, "three", tags={"project": "y"})
    wb.put(4, "none")

    def names(tags: dict[str, str | None], **how: Any) -> list[str]:
        return sorted(str(info.name) for info in wb.ls(tags=tags, **how))

    assert names({"project": "x"}) == ["one", "two"] == names({"project": "x"}, limit=5)
    assert names({"project": "x", "stage": "raw"}) == ["one"]
    assert names({"project": None}) == ["one", "three", "two"]
    assert names({odd: "1"}, sort_by="nbytes") == ["two"] and names({odd: "2"}) == []
    assert names({"stage": "x"}) == [] and names({"stage": None}, pattern="t*") == []
    assert len(names({"project": "x"}, limit=1)) == 1


def test_a_part_says_how_much_it_keeps_of_what_was_deleted(session: wb.Session) -> None:
    """While somebody maps it the rest of its memory cannot be given back: its info says so, as long as that is so."""
    wb.put(np.zeros(16 * MIB, "u1"), "large")
    array = wb.get("large")
    wb.put(array[: 1 << 20], "part")
    assert wb.info("large").notes == wb.info("part").notes == ()
    wb.delete("large")
    (note,) = wb.info("part").notes
    assert note.startswith("it keeps 15.0 MiB more of a larger object that was deleted")
    assert wb.memory().sealed > 16 * MIB
    del array
    gc.collect()
    session.doctor()
    assert wb.info("part").notes == () and wb.memory().sealed < 2 * MIB


def test_threads_whose_first_verb_comes_at_once_have_one_session(
    store_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what one of them did with its session, such as connecting it, would be lost with that."""
    found: list[wb.Session] = []
    threads: list[threading.Thread] = []
    opened = current._open

    def slowly(**where: Any) -> wb.Session:
        threads.append(threading.Thread(target=lambda: found.append(wb.current_session())))
        if len(threads) == 1:
            threads[0].start()
            threads[0].join(0.2)
        return opened(**where)

    monkeypatch.setattr(current, "_open", slowly)
    found.append(wb.current_session())
    threads[0].join(30)
    assert found == [wb.current_session()] * 2
