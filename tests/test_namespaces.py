"""Several stores of one user side by side, in the real /dev/shm, under names that no other test has."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from tests.processes import Process
from workbench.cli import main
from workbench.store.directory import default_directory, namespace_directories
from workbench.store.namespaces import names_in

START = f"t{os.getpid()}"
MIB = 1 << 20


def directory_of(name: str) -> Path:
    """Where the store of a namespace lies."""
    return Path(f"/dev/shm/workbench-{os.geteuid()}-{name}")


@pytest.fixture(autouse=True)
def own_namespaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """No directory is set; what a test makes under its names is removed."""
    monkeypatch.delenv("WORKBENCH_DIR")
    monkeypatch.setenv("WORKBENCH_NAMESPACE", START)
    monkeypatch.setenv("WORKBENCH_CAPACITY", str(32 * MIB))
    yield lambda name: f"{START}-{name}"
    session = wb.use_session(None)
    if session is not None:
        session.close()
    for path in Path("/dev/shm").glob(f"workbench-{os.geteuid()}-{START}*"):
        shutil.rmtree(path)


def mine() -> list[wb.Namespace]:
    """The stores that this test made."""
    return [each for each in wb.namespaces() if each.name.startswith(START)]


def test_stores_of_two_namespaces_know_nothing_of_each_other() -> None:
    """Same name, two stores, two objects; every process that says the same namespace shares."""
    wb.put("in the first", "x")
    with wb.Session(namespace=f"{START}-b") as second:
        second.put("in the second", "x")
        assert (wb.get("x"), second.get("x")) == ("in the first", "in the second")
        assert second.store.directory == directory_of(f"{START}-b")
    with Process(Path("/unused"), WORKBENCH_DIR="", WORKBENCH_NAMESPACE=f"{START}-b") as other:
        assert other.do("import workbench as wb; result = wb.get('x')") == "in the second"


def test_using_another_store_from_here_on() -> None:
    """After ``use`` every verb acts there; what was got before stays valid, and the way back is the same."""
    wb.put(np.arange(100_000), "x")
    array, first = wb.get("x"), wb.current_session()
    second = wb.use(f"{START}-b", capacity="16 MiB")
    assert wb.current_session() is second and wb.memory().capacity == 16 * MIB
    assert not wb.exists("x") and array.sum() == 4999950000
    with pytest.raises(wb.StoreError, match="closed"):
        first.exists("x")
    wb.use(START)
    assert wb.exists("x")
    wb.use(directory=directory_of(f"{START}-b"))
    assert not wb.exists("x")
    own = wb.Session(namespace=START)
    wb.use_session(own)
    wb.use(f"{START}-b")
    assert own.exists("x")
    own.close()


def test_a_wrong_name_changes_nothing() -> None:
    """A name that cannot be one is an error that says how names are; the session stays what it was."""
    session = wb.current_session()
    for name in ("a/b", "", "..", "a.node-2", "-x", "ä", "x" * 41, "a b"):
        with pytest.raises(wb.StoreError, match=r"cannot be a namespace: .* letters.* Choose another one"):
            wb.use(name)
    assert wb.current_session() is session
    with pytest.raises(ValueError, match="a directory or a namespace, not both"):
        wb.Session("/dev/shm/x", namespace="y")


def test_what_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A namespace lies beside the directory that is set, or the one in /dev/shm; an argument wins; ``default`` is the one without a name."""
    assert default_directory() == directory_of(START)
    assert default_directory("b") == directory_of("b")
    assert default_directory("default") == Path(f"/dev/shm/workbench-{os.geteuid()}")
    monkeypatch.setenv("WORKBENCH_DIR", str(tmp_path))
    assert default_directory() == tmp_path.with_name(f"{tmp_path.name}-{START}")
    assert default_directory("b") == tmp_path.with_name(f"{tmp_path.name}-b")
    assert default_directory("default") == tmp_path
    monkeypatch.delenv("WORKBENCH_DIR")
    monkeypatch.delenv("WORKBENCH_NAMESPACE")
    assert default_directory() == Path(f"/dev/shm/workbench-{os.geteuid()}")


def test_all_stores_are_listed_with_their_use() -> None:
    """Name, directory, objects, use and capacity of each; the one in use is marked; one that cannot be read is shown."""
    wb.put(np.arange(1000), "x")
    with wb.Session(namespace=f"{START}-b", capacity=16 * MIB) as second:
        second.put(np.zeros(2 * MIB, "u1"), "y")
        used = second.memory().used
    damaged = directory_of(f"{START}-c")
    damaged.mkdir()
    (damaged / "catalog.sqlite").write_bytes(b"no catalog" * 100)
    expected = [
        wb.Namespace(START, str(directory_of(START)), 1, wb.memory().used, 32 * MIB, True),
        wb.Namespace(f"{START}-b", str(directory_of(f"{START}-b")), 1, used, 16 * MIB, False),
        wb.Namespace(f"{START}-c", str(damaged), None, None, None, False),
    ]
    assert mine() == expected
    text = repr(wb.namespaces())
    assert f"{START}-b" in text and "16.0 MiB" in text and "?" in text


def test_what_is_deleted_and_still_mapped_is_no_pool() -> None:
    """Of the bytes in use those are told apart as ``wb.memory()`` does."""
    wb.put(np.zeros(4 * MIB, "u1"), "x")
    array = wb.get("x")
    wb.delete("x")
    memory = wb.memory()
    (found,) = mine()
    assert (found.used, found.pooled) == (memory.used, memory.pooled) and memory.deleted >= 4 * MIB
    del array


def test_the_store_in_use_is_listed_wherever_it_is(memory_directory: Path) -> None:
    """A directory that was chosen by hand has no name; a cluster's other nodes are no namespaces."""
    wb.use(directory=memory_directory / "store")
    wb.Session(directory_of(f"{START}.node-2")).close()
    first = wb.namespaces()[0]
    assert (first.name, first.directory, first.current) == ("", str(memory_directory / "store"), True)
    assert mine() == []
    shutil.rmtree(directory_of(f"{START}.node-2"))


def test_stores_beside_a_directory_that_was_chosen(
    memory_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With WORKBENCH_DIR nothing lands elsewhere; the chosen store is the default one, has a name, and is removed by it."""
    chosen = memory_directory / "st[o]re"
    monkeypatch.setenv("WORKBENCH_DIR", str(chosen))
    monkeypatch.delenv("WORKBENCH_NAMESPACE")
    wb.use()
    wb.put(1, "x")
    (memory_directory / "st[o]re.node-2").mkdir()
    (memory_directory / "st[o]re.node-2" / "catalog.sqlite").touch()
    wb.use("other")
    assert [(each.name, each.directory, each.current) for each in wb.namespaces()] == [
        ("default", str(chosen), False),
        ("other", f"{chosen}-other", True),
    ]
    wb.use("default")
    assert wb.get("x") == 1
    monkeypatch.setenv("WORKBENCH_NAMESPACE", "third")
    assert wb.use().store.directory == Path(f"{chosen}-third")
    assert main(["namespaces"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["default", "other", "third"]
    wb.remove_namespace("default")
    assert sorted(path.name for path in memory_directory.glob("*") if (path / "catalog.sqlite").exists()) == [
        "st[o]re-other",
        "st[o]re-third",
    ]


def test_a_mistyped_name_is_seen() -> None:
    """Who uses a store that was not there is told that it is new, or is refused if he says so, with the names that there are."""
    assert repr(wb.use(START)) == f"<Session {directory_of(START)}, a new store>"
    assert repr(wb.use(START)) == f"<Session {directory_of(START)}>"
    with pytest.raises(wb.StoreError, match=rf"There is no store '{START}x'\. Those that there are: .*{START}"):
        wb.use(f"{START}x", create=False)
    assert not directory_of(f"{START}x").exists()
    assert repr(wb.current_session()) == f"<Session {directory_of(START)}>"


def test_looking_makes_and_changes_nothing() -> None:
    """A catalog is read while another process writes to it; what is no store is not made one."""
    assert mine() == []
    assert not directory_of(START).exists()
    assert names_in(directory_of(START), "", limit=10) == []
    assert START not in namespace_directories()
    session = wb.current_session()
    with session.store.catalog.write() as write:
        write.execute("UPDATE store SET capacity = 5")
        assert [each.capacity for each in mine()] == [32 * MIB]
        write.execute("UPDATE store SET capacity = ?", (32 * MIB,))


def test_a_store_of_an_older_version_is_listed_and_stays_what_it_is() -> None:
    """Looking at a store does not bring its catalog to today's version."""
    old = directory_of(f"{START}-old")
    old.mkdir()
    with contextlib.closing(sqlite3.connect(old / "catalog.sqlite")) as connection:
        connection.executescript(Path(__file__).with_name("store").joinpath("catalog_v1.sql").read_text())
        assert [(each.name, each.objects, each.used) for each in mine()] == [(f"{START}-old", 0, 0)]
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_names_by_their_beginning() -> None:
    """The first names with a prefix, in order, whatever characters they have."""
    for name in ("runs/1", "runs/2", "run", "x", "ünï", "*"):
        wb.put(1, name)
    directory = wb.current_session().store.directory
    assert names_in(directory, "run", limit=10) == ["run", "runs/1", "runs/2"]
    assert names_in(directory, "", limit=3) == ["*", "run", "runs/1"]
    assert names_in(directory, "*", limit=10) == ["*"]
    assert names_in(directory, "ü", limit=10) == ["ünï"]
    assert names_in(directory, "\ud800", limit=10) == []


def test_a_store_is_removed_with_all_that_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory, on disk, and what a killed cluster left beside it; what was in it is returned."""
    monkeypatch.setenv("WORKBENCH_SPILL_DIRECTORY", str(tmp_path))
    name = f"{START}-b"
    with wb.Session(namespace=name) as session:
        session.put(np.arange(100_000), "x")
        session.spill("x")
        assert list(tmp_path.glob("*/*.segment"))
    with wb.Session(directory_of(f"{name}.node-2")):
        pass
    removed = wb.remove_namespace(name)
    assert (removed.name, removed.objects) == (name, 1)
    assert list(Path("/dev/shm").glob(f"*{name}*")) == [] and list(tmp_path.glob("*/*.segment")) == []
    with pytest.raises(wb.StoreError, match=f"There is no store '{name}'"):
        wb.remove_namespace(name)
    wb.use(name)
    assert not wb.exists("x")


def test_a_store_in_use_is_not_removed() -> None:
    """Who has it open, or still maps an object of it, is named; nothing is removed."""
    wb.put(np.arange(100_000), "x")
    array = wb.get("x")
    with pytest.raises(wb.StoreError, match=rf"is in use by .*pid {os.getpid()}.*wb.use"):
        wb.remove_namespace(START)
    wb.use(f"{START}-b")
    with pytest.raises(wb.StoreError, match=rf"still mapped by .*pid {os.getpid()}"):
        wb.remove_namespace(START)
    assert array.sum() == 4999950000
    del array
    with Process(Path("/unused"), WORKBENCH_DIR="", WORKBENCH_NAMESPACE=START) as other:
        assert other.do("import workbench as wb; result = wb.exists('x')")
        with pytest.raises(wb.StoreError, match=f"pid {other.pid}"):
            wb.remove_namespace(START)
    assert wb.remove_namespace(START).objects == 1
    assert not directory_of(START).exists()


def test_a_terminal_removes_a_store_with_objects_only_with_yes(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty one goes at once."""
    wb.put(1, "x")
    wb.use(f"{START}-b")
    assert main(["remove-namespace", START]) == 1
    assert "holds 1 object" in capsys.readouterr().err
    assert main(["remove-namespace", START, "--yes"]) == 0
    assert START in capsys.readouterr().out and not directory_of(START).exists()
    wb.use(f"{START}-c")
    assert main(["remove-namespace", f"{START}-b"]) == 0
