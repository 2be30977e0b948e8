"""kill -9 at every step: afterwards there is exactly what there was before the step, or after it, and not a byte more.

Each run kills at least 500 processes, at lines and moments drawn with a seed that it prints; WORKBENCH_SEED plays it again, and
WORKBENCH_KILLS sets another number.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.faults.readers import Readers
from tests.integration.faults.scenes import LARGE, MIDDLE, SCENES, SMALL, Scene, random_operations
from tests.integration.faults.zygote import OPEN, Death, Zygote
from tests.store.test_schema import OldStore
from tests.store.test_schema import check as check_old_store
from workbench.store import Store
from workbench.testing import Model, Operation, Performer, inconsistencies, operations

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("WORKBENCH_KILLS") or 500)
AT_LINES = -(-KILLS * 4 // 5 // (len(SCENES) + 2))
"""Kills of each scene."""
AT_MOMENTS = -(-KILLS // 5)

BASE = [
    Operation("put", name=f"base {number}", label=f"base {number}", sizes=sizes, pin=number == 0)
    for number, sizes in enumerate([(SMALL,), (MIDDLE,), (LARGE, 10), (40_000, 50_000)])
]
"""What nobody touches, and must always be there."""


class Stage:
    """A store, what it must have, and a living process that uses it all along: this one."""

    def __init__(self, store: Store) -> None:
        self.settings = {name: os.environ[name] for name in ("WORKBENCH_SPILL_DIRECTORY", "WORKBENCH_RESTORE_AFTER")}
        self.store = store
        self.performer = Performer(store)
        self.model = Model()
        self.do(BASE)

    def do(self, sequence: Sequence[Operation]) -> None:
        """Do operations, here and to the model; what finds no room has changed nothing."""
        for operation in sequence:
            result = self.performer.perform(operation)
            if result != "error: store-full":
                assert result == self.model.perform(operation), operation

    def clear(self) -> None:
        """Delete all but the base."""
        for label in [label for label in self.model.state() if not label.startswith("base")]:
            self.do([Operation("delete", key=f"#{label}")])

    def _open_anew(self) -> None:
        # Whoever looks into /proc at this moment keeps the locks of the dead alive.
        deadline = time.monotonic() + 30
        while True:
            Store.open(self.store.directory).close()
            if not inconsistencies(self.store) or time.monotonic() > deadline:
                return

    def accept(self, possible: Sequence[Model], told: str, *, open_anew: bool) -> None:
        """Look at what a kill left, after a doctor or a new opener; it must be one of the `possible` states."""
        if open_anew:
            self._open_anew()
        else:
            self.store.doctor()
        found = operations.state(self.store)
        fitting = [model for model in possible if model.state() == found]
        assert fitting, (told, found, [model.state() for model in possible])
        self.model = fitting[-1]
        assert inconsistencies(self.store) == [], told
        if open_anew:
            # What is left of an object of which another one shares a part is no damage: the doctor, or who needs room, gives it back.
            assert all("no object refers to" in found for found in self.store.doctor()), told
        assert self.store.doctor() == [], told


def after(model: Model, deeds: Sequence[Operation]) -> Model:
    """Return what a model has after some operations."""
    copy = model.copy()
    for deed in deeds:
        if deed != OPEN:
            copy.perform(deed)
    return copy


def kill(stage: Stage, zygote: Zygote, scene: Scene, label: str, line: int) -> Death:
    """Play a scene once, with a victim that dies before a line, and look at what it left."""
    stage.do(scene.before(label))
    before, deed = scene.victim_before(label), scene.deed(label)
    settings = {**scene.settings, **scene.victim_settings, **stage.settings}
    death = zygote.kill_at_line(stage.store.directory, before, deed, line, settings)
    stage.model = after(stage.model, before)
    then = after(stage.model, [deed])
    possible = [stage.model, then] if death.killed or scene.may_be_refused else [then]
    stage.accept(possible, f"{label}, killed at line {line}: {death}", open_anew=line % 2 == 0)
    stage.clear()
    return death


@pytest.fixture(autouse=True)
def spill_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores spill to a place of the test's own, and restore only when they are told to."""
    monkeypatch.setenv("WORKBENCH_SPILL_DIRECTORY", str(tmp_path / "spill"))
    monkeypatch.setenv("WORKBENCH_RESTORE_AFTER", "never")


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """What all victims are forked from."""
    with Zygote() as started:
        yield started


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    """They read all along, whatever is killed."""
    with Readers() as started:
        yield started


@pytest.mark.parametrize("name", SCENES)
def test_kill_between_two_lines(
    name: str,
    store_directory: Path,
    zygote: Zygote,
    readers: Readers,
    source: random.Random,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whichever line of a step is the last, the step has happened or not, and who reads meanwhile never sees a wrong byte."""
    scene = SCENES[name]
    for setting, value in scene.settings.items():
        monkeypatch.setenv(setting, value)
    with Store.open(store_directory, capacity=scene.capacity) as store:
        stage = Stage(store)
        with readers.watching(store_directory, "" if scene.mapped else "base"):
            places = kill(stage, zygote, scene, f"{name} rehearsal", 0).places
            kills = turn = 0
            while kills < AT_LINES:
                turn += 1
                # Any line of the code, however often others are executed.
                line = source.choice(source.choice(places))
                kills += kill(stage, zygote, scene, f"{name} {turn}", line).killed
                if turn % 10 == 0:
                    places = kill(stage, zygote, scene, f"{name} rehearsal {turn}", 0).places
                readers.check()
                assert turn < 5 * AT_LINES + 10, "most victims survive"


def test_kill_at_any_moment(store_directory: Path, zygote: Zygote, readers: Readers, source: random.Random) -> None:
    """A process that does one thing after another and is killed at any instant has done some of them, and at most one not whole."""
    with Store.open(store_directory, capacity=128 << 20) as store:
        stage = Stage(store)
        with readers.watching(store_directory):
            for turn in range(AT_MOMENTS):
                deeds = random_operations(source, f"turn {turn}", 500)
                death = zygote.kill_after(store_directory, deeds, 0.005 + source.random() * 0.05, stage.settings)
                assert death.killed, "it did everything before its time was over"
                done = after(stage.model, deeds[: death.done])
                possible = [done, after(done, deeds[death.done : death.done + 1])]
                stage.accept(possible, f"turn {turn}: {death}", open_anew=turn % 2 == 0)
                stage.clear()
                readers.check()


def openings(
    zygote: Zygote, directory: Path, prepare: Callable[[], None], check: Callable[[], None], source: random.Random
) -> int:
    """Kill processes that open a store, at lines and at moments; return how many lines an opening has."""
    prepare()
    lines = zygote.kill_at_line(directory, [], OPEN, 0, {}).lines
    check()
    for turn in range(AT_LINES):
        shutil.rmtree(directory)
        prepare()
        if turn % 3:
            zygote.kill_at_line(directory, [], OPEN, source.randint(1, lines), {})
        else:
            zygote.kill_after(directory, [], source.random() * 0.015, {})
        check()
    return lines


def test_kill_while_an_old_catalog_is_migrated(store_directory: Path, zygote: Zygote, source: random.Random) -> None:
    """Whoever opens it next finds all that the old store had, under its names and ids, and nothing more."""
    stores: list[OldStore] = []
    openings(
        zygote,
        store_directory,
        lambda: stores.append(OldStore(store_directory)),
        lambda: check_old_store(stores[-1]),
        source,
    )


def test_kill_while_a_store_is_made(store_directory: Path, zygote: Zygote, source: random.Random) -> None:
    """Whoever opens it next makes it, or finds it made, and it works."""

    def check() -> None:
        with Store.open(store_directory, capacity=64 << 20) as store:
            assert inconsistencies(store) == []
            Stage(store)
            assert len(store.ls()) == len(BASE)

    openings(zygote, store_directory, store_directory.mkdir, check, source)
