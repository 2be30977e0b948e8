"""What is deleted everywhere goes, is remembered, and does not come again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.encoding import encoded
from workbench.errors import ObjectNotFoundError
from workbench.objects import ObjectId, new_object_id
from workbench.store import Store
from workbench.store.schema import GONE

MIB = 1 << 20


@pytest.fixture
def other(memory_directory: Path) -> Iterator[Store]:
    """Another node's store."""
    with Store.open(memory_directory / "other", capacity=64 * MIB) as opened:
        yield opened


def ids(store: Store) -> list[ObjectId]:
    """What a store knows to be deleted everywhere."""
    return [object_id for _, object_id in store.buried()]


def test_what_is_here_goes_and_all_is_remembered_also_by_the_next_process(store: Store) -> None:
    """Objects in the catalog and in segments, with and without names, and some that were never here, in one step."""
    here = [store.put(encoded(100), "small").id, store.put(encoded(MIB)).id]
    never = new_object_id()
    store.bury([*here, never, here[0]])
    assert store.ls() == []
    assert not store.names()
    assert ids(store) == [*here, never]
    with Store.open(store.directory) as again:
        assert ids(again) == [*here, never]
        assert [object_id for _, object_id in again.buried(after=again.buried()[1][0])] == [never]


def test_a_replica_that_was_on_its_way_does_not_become_visible(store: Store, other: Store) -> None:
    """The transfer had begun before; what it had reserved is given back."""
    ref = store.put(encoded(MIB), "x")
    with store.export(ref) as export, other.import_(export.meta, names=["x"]) as importing:
        with importing.land(0, export.image_nbytes) as view:
            view[:] = b"".join(export.image(0, export.image_nbytes))
        other.bury([ref.id])
        with pytest.raises(
            ObjectNotFoundError, match=r"was deleted in the whole cluster meanwhile\. Nothing of it is kept"
        ):
            importing.seal()
    assert other.ls() == []
    assert not other.memory().writing
    with pytest.raises(ObjectNotFoundError):
        other.put(encoded(10), id=ref.id)


def test_the_oldest_are_forgotten(store: Store) -> None:
    """However many are deleted, the catalog does not grow for ever."""
    targets = [new_object_id() for _ in range(GONE + 10)]
    store.bury(targets)
    assert ids(store) == targets[10:]
