"""Listings: what is in them, in which order, and that a page costs what a page holds."""

from __future__ import annotations

import pytest

from tests.store.encoding import encoded
from workbench.objects import ObjectId, new_object_id, partition_id
from workbench.store import Store, listings


def put_dataset(store: Store, npartitions: int, name: str | None = None) -> ObjectId:
    """Put what looks like a dataset to the store: partitions that carry its id, then the manifest."""
    dataset = new_object_id()
    for number in range(npartitions):
        store.put(encoded(10, kind="dataframe"), id=partition_id(dataset, number), tags={"dataset": dataset})
    store.put(encoded(10, kind="dataset"), name, id=dataset)
    return dataset


def test_orders(store: Store) -> None:
    """Newest first, by name with the unnamed ones last, or by kind."""
    for name, kind in (("b", "table"), ("a", "array"), (None, "series"), ("c", "array")):
        store.put(encoded(10, kind=kind), name)
    store.bind("0", "c")
    assert [info.name for info in store.ls()] == ["0", None, "a", "b"]
    assert [info.name for info in store.ls(sort_by="name")] == ["0", "a", "b", None]
    assert [info.name for info in store.ls(sort_by="name", limit=2)] == ["0", "a"]
    assert [info.kind for info in store.ls(sort_by="kind")] == ["array", "array", "series", "table"]


@pytest.mark.parametrize("few", [0, 1000])
def test_a_page_by_name_is_the_beginning_of_the_whole_list(
    store: Store, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Whichever way the catalog goes about it, a page is what a listing without a limit begins with."""
    monkeypatch.setattr(listings, "_FEW", few)
    for number in range(40):
        ref = store.put(encoded(10), f"{'xy'[number % 2]}/{number * 7 % 40:02d}" if number % 5 else None)
        if number % 3 == 0:
            store.bind(f"also/{number}", ref)
    for wish in ({}, {"pattern": "x/*"}, {"pattern": "*0"}, {"unnamed": True}, {"kind": "array"}):
        whole = [info.id for info in store.ls(sort_by="name", **wish)]
        assert whole
        for limit in (1, 5, 30, 100):
            page = [info.id for info in store.ls(sort_by="name", limit=limit, **wish)]
            if "pattern" in wish:
                assert set(page) <= set(whole) and len(page) == min(limit, len(whole))
            else:
                assert page == whole[:limit]


@pytest.mark.parametrize("limit", [None, 10])
def test_patterns_with_and_without_a_limit(store: Store, limit: int | None) -> None:
    """A pattern finds the same objects whichever way the catalog goes about it."""
    for name in ("runs/1", "runs/2", "run", "x/runs/1", "RUNS/1"):
        store.put(encoded(10), name)
    store.put(encoded(10))
    store.bind("runs/also", "run")

    def names(pattern: str) -> set[str]:
        return {name for info in store.ls(pattern, limit=limit) for name in info.names}

    assert names("runs/*") == {"runs/1", "runs/2", "runs/also", "run"}
    assert names("*/1") == {"runs/1", "x/runs/1", "RUNS/1"}
    assert names("[!r]*") == {"x/runs/1", "RUNS/1"}
    assert names("?uns/1") == {"runs/1"}
    assert names("nothing*") == set()


def test_partitions_belong_to_their_dataset(store: Store) -> None:
    """Partitions are left out when their manifest is here, are found by their dataset, and are shown when it is gone."""
    first, second = put_dataset(store, 3, "first"), put_dataset(store, 2)
    assert [info.id for info in store.ls(parts=False)] == [second, first]
    assert [info.id for info in store.ls(parts=False, unnamed=True)] == [second]
    assert len(store.ls()) == 7 and len(store.ls(unnamed=True)) == 6
    assert {info.tags["dataset"] for info in store.ls(dataset=first)} == {first}
    assert len(store.ls(dataset=first)) == 3 and store.ls(dataset=new_object_id()) == []
    store.delete(first)
    assert len(store.ls(parts=False)) == 4


def steps_of(store: Store, **wish: object) -> int:
    """How many instructions of SQLite's machine a listing takes."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    store.catalog._reader.set_progress_handler(count, 1)
    try:
        store.ls(**wish)  # type: ignore[arg-type]  # each case passes what it needs
    finally:
        store.catalog._reader.set_progress_handler(None, 1)
    return steps


WISHES: list[dict[str, object]] = [
    {},
    {"parts": False},
    {"unnamed": True},
    {"kind": "array"},
    {"pattern": "*9"},
    {"pattern": "few/*"},
    {"sort_by": "name"},
    {"sort_by": "name", "kind": "array", "parts": False},
    {"pattern": "many/*"},
    {"pattern": "many/*", "sort_by": "name"},
    {"dataset": new_object_id()},
]


def test_a_page_costs_a_page(store: Store) -> None:
    """The catalog does the same work for ten objects out of 8,000 as for ten out of 2,200, whatever is wished for."""

    def fill(start: int, stop: int) -> None:
        with store.catalog.write():
            for number in range(start, stop):
                store.put(encoded(10), f"many/{number}" if number % 2 else None)

    def steps() -> list[int]:
        return [steps_of(store, limit=10, **wish) for wish in WISHES]

    for number in range(10):
        store.put(encoded(10), f"few/{number}")
    fill(0, 2200)
    steps()  # the first who asks for one kind makes an index of them
    before = steps()
    fill(2200, 8000)
    for wish, few, many in zip(WISHES, before, steps(), strict=True):
        assert many < 1.3 * few + 100, wish
