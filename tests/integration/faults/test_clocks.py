"""A clock that jumps by hours, forwards and backwards, in a real process beside this one: nothing is lost, and nothing stays."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.faults.scenes import random_operations
from workbench.store import Store
from workbench.testing import Actor, Model, Operation, Performer, assert_consistent, operations

HOUR = 3600.0
PATCH = """
import os, time
real, real_ns = time.time, time.time_ns
def offset():
    with open(os.environ["CLOCK_OFFSET"]) as file:
        return float(file.read() or 0)
time.time = lambda: real() + offset()
time.time_ns = lambda: real_ns() + int(offset() * 1e9)
"""


@pytest.fixture
def set_clock(tmp_path: Path) -> Callable[[float], None]:
    """Set the clock of the other process, in seconds from this one's."""
    (tmp_path / "sitecustomize.py").write_text(PATCH)
    path = tmp_path / "offset"
    path.write_text("0")

    def set_it(seconds: float) -> None:
        beside = path.with_suffix(".new")
        beside.write_text(str(seconds))
        beside.rename(path)

    return set_it


@pytest.fixture
def other(
    tmp_path: Path, set_clock: Callable[[float], None], store: Store, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Actor]:
    """A process that has the store open, and whose clock can be set."""
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        actor = Actor(environment={"CLOCK_OFFSET": str(tmp_path / "offset")})
    with actor:
        actor.open(store.directory)
        yield actor
        actor.close()


def test_clock_that_jumps_changes_nothing(
    store: Store, other: Actor, set_clock: Callable[[float], None], source: random.Random
) -> None:
    """Two processes whose clocks differ by hours, differently each time, do what a dictionary does."""
    performer, model = Performer(store), Model()
    for number, operation in enumerate(random_operations(source, "clocks", 200)):
        set_clock(source.choice([-5, -1, 0, 1, 5, 24 * 365]) * HOUR)
        wanted = model.perform(operation)
        assert (other.perform(operation) if number % 2 else performer.perform(operation)) == wanted, operation
        if number % 20 == 0:
            assert other.state() == operations.state(store) == model.state()
            assert other.perform(Operation("doctor")) is None
    assert other.state() == operations.state(store) == model.state()
    assert_consistent(store)
    ids = [info.id for info in store.ls()]
    assert len(set(ids)) == len(ids)


def test_time_to_live_follows_the_clock(store: Store, other: Actor, set_clock: Callable[[float], None]) -> None:
    """An object is over when the clock of who asks says so; when the clock goes back it may be there again, until the doctor comes."""
    performer = Performer(store)
    performer.perform(Operation("put", name="x", label="x", sizes=(100_000,), ttl=HOUR))
    read = Operation("read", key="x")
    assert other.perform(read) == "x"
    set_clock(2 * HOUR)
    assert other.perform(read) == "error: object-not-found"
    assert performer.perform(read) == "x"
    set_clock(-2 * HOUR)
    assert other.perform(read) == "x"
    set_clock(2 * HOUR)
    assert other.perform(Operation("doctor")) is None
    set_clock(-2 * HOUR)
    assert other.perform(read) == performer.perform(read) == "error: object-not-found"
    assert_consistent(store)


def test_last_use_is_noted_when_the_clock_has_gone_back(
    store: Store, other: Actor, set_clock: Callable[[float], None]
) -> None:
    """An object that was used in what is now the future counts as used when it is used again."""
    performer = Performer(store)
    performer.perform(Operation("put", name="x", label="x", sizes=(100_000,)))
    created = store.info("x").last_used
    set_clock(5 * HOUR)
    other.perform(Operation("read", key="x"))
    assert store.info("x").last_used > created + 4 * HOUR
    performer.perform(Operation("read", key="x"))
    assert store.info("x").last_used < created + HOUR
