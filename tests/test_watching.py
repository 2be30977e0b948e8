"""Watching: every event of every process, none twice, none invented."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from tests.processes import Process
from tests.store.encoding import encoded
from workbench.store import Store
from workbench.watching import Watch

RANDOM_LOAD = """
import random, workbench as wb
from workbench.errors import ObjectNotFoundError
source = random.Random({seed})
store = wb.current_session().store
for n in range(300):
    name = f"n{{source.randrange(6)}}"
    try:
        match source.randrange(8):
            case 0 | 1 | 2: wb.put(n, name, pin=source.random() < 0.2)
            case 3: wb.put(n)
            case 4: wb.delete(source.choice(wb.ls()).id)
            case 5: store.bind(name, source.choice(wb.ls()).id)
            case 6: wb.pin(name)
            case 7: wb.unpin(name)
    except (ObjectNotFoundError, IndexError):
        pass
result = len(wb.ls())
"""


@pytest.fixture
def session(store_directory: Path) -> Iterator[wb.Session]:
    """A session on the test's store."""
    with wb.Session(store_directory) as opened:
        previous = wb.use_session(opened)
        yield opened
        wb.use_session(previous)


def seen(watch: Watch, count: int) -> list[tuple[str, str | None]]:
    """The next events, as what and name."""
    return [(event.what, event.name) for event in itertools.islice(watch, count)]


def test_each_thing_that_another_process_does_is_an_event(session: wb.Session, store_directory: Path) -> None:
    """Put, name, pin, unpin, tag, delete: one event each, with id, names and time, in the order in which they are done."""
    wb.put("before", "before")
    with Process(store_directory) as other, wb.watch(timeout=30) as watch:
        other.do("import workbench as wb")
        for code, what, names in (
            ("wb.put(1, 'x')", "put", ("x",)),
            ("wb.current_session().store.bind('a', 'x')", "name", ("a", "x")),
            ("wb.pin('x')", "pin", ("a", "x")),
            ("wb.unpin('x')", "unpin", ("a", "x")),
            ("wb.current_session().store.set_tag('x', 'k', 'v')", "tag", ("a", "x")),
            ("wb.delete('x')", "delete", ("a", "x")),
            ("wb.put(2)", "put", ()),
            ("wb.delete('before')", "delete", ("before",)),
        ):
            start = time.time()
            other.do(code)
            event = next(watch)
            assert (event.what, event.names, event.name) == (what, names, names[0] if names else None)
            assert start <= event.time <= time.time()
            if what == "put":
                assert wb.info(event.id).names == names
        assert watch._store.news(watch._version) is None


def test_where_an_object_goes_is_an_event(store_directory: Path, tmp_path: Path) -> None:
    """To disk and back to memory: one event each."""
    with wb.Session(store_directory, spill_directory=tmp_path, restore_after="never") as session:
        session.put(np.arange(100_000), "x")
        with session.watch(timeout=30) as watch:
            session.spill("x")
            assert seen(watch, 1) == [("spill", "x")]
            session.restore("x")
            assert seen(watch, 1) == [("restore", "x")]


def test_a_name_that_moves_is_lost_by_one_and_got_by_another(session: wb.Session) -> None:
    """An object that a rebinding deletes goes before the new one comes; one that is kept has lost its name."""
    wb.put(1, "x")
    kept = wb.put(2, "kept", pin=True)
    with wb.watch(timeout=30) as watch:
        wb.put(3, "x")
        assert seen(watch, 2) == [("delete", "x"), ("put", "x")]
        new = wb.put(4, "kept")
        events = list(itertools.islice(watch, 2))
        assert [(event.what, event.id, event.names) for event in events] == [
            ("put", new.id, ("kept",)),
            ("name", kept.id, ()),
        ]
        session.store.bind("kept", kept)
        assert seen(watch, 2) == [("delete", "kept"), ("name", "kept")]


def test_an_object_that_loses_a_conflict_stays_and_is_reported(session: wb.Session) -> None:
    """It has no name any more, a tag says which one it lost, and whoever watches that name sees it."""
    ref = wb.put(1, "contested")
    with wb.watch("contested", timeout=30) as watch:
        session.store.unbind("contested", ref.id, keep=True)
        events = list(itertools.islice(watch, 2))
        assert [(event.what, event.id, event.name, event.names) for event in events] == [
            ("name", ref.id, None, ()),
            ("conflict", ref.id, "contested", ()),
        ]
    assert wb.get(ref) == 1
    assert wb.info(ref).tags == {"conflict": "contested"}
    assert not wb.exists("contested")


def test_patterns_choose_objects_by_name(session: wb.Session) -> None:
    """An object belongs to a pattern as long as one of its names does, and when it loses the last that does."""
    wb.put(0, "runs/0")
    wb.put(0, "other", pin=True)
    with wb.watch("runs/*", timeout=30) as watch:
        wb.put(1, "else")
        wb.put(2)
        wb.pin("else")
        wb.put(3, "runs/1")
        assert seen(watch, 1) == [("put", "runs/1")]
        session.store.bind("runs/2", "other")
        assert seen(watch, 1) == [("name", "other")]
        wb.put(4, "runs/2")
        assert seen(watch, 2) == [("put", "runs/2"), ("name", "other")]
        wb.delete("runs/0")
        assert seen(watch, 1) == [("delete", "runs/0")]


def test_what_came_and_went_is_seen_going(session: wb.Session) -> None:
    """Between two looks an object may live and die; it is never seen as there."""
    for pattern in ("*", "x*"):
        with wb.watch(pattern, timeout=0.3) as watch:
            ref = wb.put(1, "x")
            wb.delete("x")
            assert [(event.what, event.id, event.name) for event in watch] == [("delete", ref.id, "x")]


def test_a_name_that_was_taken_by_what_came_and_went_is_lost(session: wb.Session) -> None:
    """Whoever had the name knows it, although nobody was seen to have it in between."""
    for take in (
        lambda: wb.put(2, "x"),
        lambda: session.store.bind("x", wb.put(2, "a name before x")),
        lambda: session.store.bind("x", "other"),
    ):
        kept = wb.put(1, "x", pin=True)
        wb.put(1, "other")
        with wb.watch(timeout=0.3) as watch:
            ref = take() or wb.info("x").ref
            wb.delete(ref)
            events = [(event.what, event.id, event.names) for event in watch]
        assert [event[:2] for event in events] == [("delete", ref.id), ("name", kept.id)]
        assert events[1][2] == ()


def test_watching_starts_when_it_is_asked_for(session: wb.Session) -> None:
    """What happens between the call and the first step of the loop is seen."""
    watch = wb.watch(timeout=30)
    wb.put(1, "x")
    assert seen(watch, 1) == [("put", "x")]


def test_it_ends_at_its_timeout_or_when_it_is_closed(session: wb.Session) -> None:
    """A loop ends by itself after the timeout, and at once when another thread closes the watch."""
    start = time.monotonic()
    assert list(wb.watch(timeout=0.2)) == []
    assert 0.15 < time.monotonic() - start < 10
    assert list(wb.watch(timeout=0)) == []
    watch = wb.watch()
    threading.Timer(0.1, watch.close).start()
    assert list(watch) == []


def test_ctrl_c_ends_it(session: wb.Session, store_directory: Path) -> None:
    """It interrupts the cell as anywhere, and the store goes on working in that process."""
    with Process(store_directory) as other:
        other.do("import workbench as wb; wb.put(1, 'x')")
        other.start(
            "try:\n    for event in wb.watch(): wb.put(event.name, 'seen')\nexcept KeyboardInterrupt:\n    result = [wb.get('seen'), wb.get('x')]"
        )
        deadline = time.monotonic() + 30
        while not wb.exists("seen") and time.monotonic() < deadline:
            wb.put("again", "x")
            time.sleep(0.01)
        wb.put("last", "x")
        other.signal(signal.SIGINT)
        assert other.finish()[1] == "last"


def test_a_history_that_was_cut_short_loses_no_object(store: Store) -> None:
    """When more has happened between two looks than the catalog remembers, what came and what went is still told."""
    for name in ("stays", "goes", "renamed"):
        store.put(encoded(10), name)
    with Watch(store, timeout=30) as watch:
        store.delete("goes")
        store.put(encoded(10), "comes")
        store.bind("new name", "renamed")
        with store.catalog.write():
            for _ in range(10_001):
                store.pin("stays")
        events = {(event.what, event.names) for event in itertools.islice(watch, 3)}
        assert events == {("delete", ("goes",)), ("put", ("comes",)), ("name", ("new name", "renamed"))}
        store.put(encoded(10), "and on")
        assert seen(watch, 1) == [("put", "and on")]


@pytest.mark.parametrize("seed", [1, 2])
def test_replaying_the_events_gives_the_store(session: wb.Session, store_directory: Path, seed: int) -> None:
    """Two processes do 600 things at random; each of three watchers knows at the end what is there, under which names."""
    tables: list[dict[str, tuple[str, ...]]] = []
    watches = [wb.watch(timeout=120) for _ in range(3)]

    def replay(watch: Watch, table: dict[str, tuple[str, ...]]) -> None:
        for event in watch:
            if (event.what, event.name) == ("delete", "end"):
                return
            if event.what == "delete":
                table.pop(event.id, None)
            else:
                assert (event.id in table) == (event.what != "put"), event
                table[event.id] = event.names

    def following(watch: Watch) -> Callable[[], None]:
        tables.append({})
        return lambda table=tables[-1]: replay(watch, table)  # type: ignore[misc]  # bound now

    threads = [threading.Thread(target=following(watch)) for watch in watches]
    for thread in threads:
        thread.start()
    with Process(store_directory) as first, Process(store_directory) as second:
        first.start(RANDOM_LOAD.format(seed=seed))
        second.start(RANDOM_LOAD.format(seed=seed + 100))
        first.finish()
        second.finish()
    expected = {info.id: info.names for info in wb.ls()}
    end = wb.put("end", "end")
    # Within one look, events come by what they are, not by when they happened: the end has to be a look of its own.
    deadline = time.monotonic() + 60
    while not all(end.id in table for table in tables) and time.monotonic() < deadline:
        time.sleep(0.01)
    wb.delete("end")
    for thread in threads:
        thread.join(60)
    for table in tables:
        del table[end.id]
        assert sorted(table.items() ^ expected.items()) == []


def test_an_idle_watch_reads_one_row(store: Store) -> None:
    """While nothing happens, nothing but the version is asked for."""
    asked: list[str] = []
    with Watch(store, timeout=0.3) as watch:
        store.catalog._reader.set_trace_callback(asked.append)
        assert list(watch) == []
        store.catalog._reader.set_trace_callback(None)
    assert 2 <= len(asked) <= 30
    assert {statement.split(",")[0] for statement in asked} == {"SELECT latest"}
