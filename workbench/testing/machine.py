"""A Hypothesis state machine: two processes act on one store in turn, and what there is must be what a dictionary has.

Covers sequences of whole operations; what happens when processes act at once, or die in the middle of one, is for tests of their own.
Subclass :class:`StoreMachine` to say where the store lies and how it is opened, then run it::

    class MyMachine(StoreMachine):
        options = {"capacity": 64 << 20}

    TestMyMachine = MyMachine.TestCase
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from workbench.store import Store
from workbench.testing import operations
from workbench.testing.actors import Actor
from workbench.testing.consistency import inconsistencies
from workbench.testing.model import Model
from workbench.testing.operations import Operation, Performer

NAMES = st.sampled_from(["a", "b", "c", "é d"])
SLOTS = st.sampled_from(["first", "second"])
SIZES = st.lists(st.sampled_from([0, 1, 100, 5_000, 40_000, 70_001, 1_200_000]), min_size=0, max_size=3).map(tuple)
"""Within the catalog's row, in a segment, and large enough for a kept mapping."""


class StoreMachine(RuleBasedStateMachine):
    """Does the same to a store, from two processes, and to a :class:`~workbench.testing.model.Model`.

    Attributes
    ----------
    place : Path
        Where directories for stores are made.
    prefix : str
        How their names begin.
    options : dict
        What ``Store.open`` gets besides the directory; JSON can carry it.
    environment : dict
        Of the second process.
    """

    place: ClassVar[Path] = Path("/dev/shm")  # noqa: S108  # the place of stores
    prefix: ClassVar[str] = "workbench-test-machine-"
    options: ClassVar[dict[str, Any]] = {"capacity": 256 << 20}
    environment: ClassVar[dict[str, str]] = {}
    _other: ClassVar[Actor | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix=self.prefix, dir=self.place))
        self.model = Model()
        self.performer = Performer(Store.open(self.directory / "store", **self.options))
        self.other = self.actor()
        self.other.open(self.directory / "store")
        self.made = 0
        self.held: dict[str, dict[str, str]] = {"this": {}, "other": {}}

    @classmethod
    def actor(cls) -> Actor:
        """Return the second process; it is started once for all runs."""
        if cls._other is None:
            cls._other = Actor(environment=cls.environment)
        return cls._other

    @classmethod
    def stop(cls) -> None:
        """End the second process, after the last run."""
        if cls._other is not None:
            cls._other.stop()
            cls._other = None

    def teardown(self) -> None:
        """Close the store, and see that nothing of it stays when nobody holds anything any more."""
        try:
            self.other.close()
            self.performer.held.clear()
            for label in self.model.state():
                self.performer.perform(Operation("delete", key=f"#{label}"))
            assert self.performer.perform(Operation("doctor")) is None
            self.performer.store.allocator.free.release()
            memory = self.performer.store.memory()
            assert (memory.used, memory.spilled) == (0, 0), memory
            assert not list((self.directory / "store").glob("*.segment"))
        finally:
            self.performer.store.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    def _do(self, operation: Operation, here: bool) -> None:
        wanted = self.model.perform(operation)
        found = self.performer.perform(operation) if here else self.other.perform(operation)
        assert found == wanted, (operation, found, wanted)

    def _label(self) -> str:
        self.made += 1
        return f"object {self.made}"

    @rule(here=st.booleans(), name=st.none() | NAMES, sizes=SIZES, pin=st.booleans(), own_id=st.booleans())
    def put(self, here: bool, name: str | None, sizes: tuple[int, ...], pin: bool, own_id: bool) -> None:
        """Put an object, with a name or without, rebinding the name."""
        self._do(Operation("put", name=name, label=self._label(), sizes=sizes, pin=pin, own_id=own_id), here)

    @rule(here=st.booleans(), name=NAMES, sizes=SIZES)
    def put_with_a_large_header(self, here: bool, name: str, sizes: tuple[int, ...]) -> None:
        """Put an object whose header does not fit into the catalog."""
        self._do(Operation("put", name=name, label=self._label(), sizes=sizes, header_nbytes=70_000), here)

    @rule(here=st.booleans(), name=NAMES, sizes=SIZES, ttl=st.sampled_from([1e-6, 3600.0]))
    def put_for_a_time(self, here: bool, name: str, sizes: tuple[int, ...], ttl: float) -> None:
        """Put an object that is over at once, or not before this run is."""
        self._do(Operation("put", name=name, label=self._label(), sizes=sizes, ttl=ttl), here)

    @rule(here=st.booleans(), key=NAMES, name=NAMES, start=st.integers(0, 100), nbytes=st.integers(0, 90_000))
    def cut(self, here: bool, key: str, name: str, start: int, nbytes: int) -> None:
        """Put a piece of an object where it lies mapped."""
        self._do(Operation("cut", key=key, name=name, label=self._label(), sizes=(start, start + nbytes)), here)

    @rule(here=st.booleans(), what=st.sampled_from(["delete", "pin", "unpin", "spill", "restore", "read"]), key=NAMES)
    def act(self, here: bool, what: operations.What, key: str) -> None:
        """Do something to an object by its name, by any process."""
        if operations.has(self.performer.store, what):
            self._do(Operation(what, key=key), here)

    @precondition(lambda self: self.model.state())
    @rule(here=st.booleans(), what=st.sampled_from(["delete", "read", "unpin"]), data=st.data())
    def act_by_id(self, here: bool, what: operations.What, data: st.DataObject) -> None:
        """The same by id: the only way to an object without a name."""
        label = data.draw(st.sampled_from(sorted(self.model.state())))
        self._do(Operation(what, key=f"#{label}"), here)

    @rule(here=st.booleans(), what=st.sampled_from(["bind", "unbind"]), key=NAMES, name=NAMES)
    def name(self, here: bool, what: operations.What, key: str, name: str) -> None:
        """Give an object a name, or take one."""
        self._do(Operation(what, key=key, name=name), here)

    @rule(here=st.booleans(), key=NAMES, slot=SLOTS)
    def hold(self, here: bool, key: str, slot: str) -> None:
        """Keep an object mapped, whatever becomes of it."""
        label = self.model.find(key)
        self._do(Operation("hold", key=key, name=slot), here)
        if label is not None:
            self.held["this" if here else "other"][slot] = label

    @rule(here=st.booleans(), slot=SLOTS)
    def release(self, here: bool, slot: str) -> None:
        """Let go of it."""
        self._do(Operation("release", name=slot), here)
        self.held["this" if here else "other"].pop(slot, None)

    @rule(here=st.booleans())
    def doctor(self, here: bool) -> None:
        """Nothing is ever found."""
        self._do(Operation("doctor"), here)

    @rule()
    def reopen(self) -> None:
        """Close the store in one process, and open it again."""
        held = self.performer.held
        self.performer.store.close()
        self.performer = Performer(Store.open(self.directory / "store"))
        self.performer.held = held

    @invariant()
    def both_processes_see_what_the_model_has(self) -> None:
        """Every object, name, pin and byte, after each operation."""
        wanted = self.model.state()
        assert operations.state(self.performer.store) == wanted
        assert self.other.state() == wanted

    @invariant()
    def what_is_held_stays_as_it_was(self) -> None:
        """No byte changes under who maps it, deleted or not."""
        assert self.performer.verify_held() == self.held["this"]
        assert self.other.verify_held() == self.held["other"]

    @invariant()
    def every_byte_is_counted(self) -> None:
        """Rows, files and the sum of bytes agree."""
        assert not inconsistencies(self.performer.store)
