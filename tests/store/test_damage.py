"""Files that somebody else has changed: named with the object, the segment and the next step; the rest stays usable, and nothing is SIGBUS."""

from __future__ import annotations

import contextlib
import os
import random
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import run
from workbench.errors import ObjectNotFoundError, StoreError, WorkbenchError
from workbench.store import Store, segments
from workbench.testing import DamagedError, Operation, Performer, contents, inconsistencies

SIZES = {"x": (5_000, 100_000), "y": (70_000,), "small": (100,)}


@pytest.fixture
def filled(store: Store) -> Store:
    """A store with three objects, one of them in the catalog."""
    performer = Performer(store)
    for name, sizes in SIZES.items():
        performer.perform(Operation("put", name=name, label=name, sizes=sizes))
    return store


def path_of(store: Store, name: str) -> Path:
    """Return the file in which an object's buffers lie."""
    ((segment,),) = store.catalog.rows("SELECT segment FROM uses JOIN names USING (object) WHERE name = ?", (name,))
    return Path(segments.segment_path(store.directory, segment))


def truncate(path: Path, nbytes: int) -> None:
    """Cut a file as somebody with another program would."""
    times = path.stat()
    os.truncate(path, nbytes)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def overwrite(path: Path) -> None:
    """Change one byte of a file."""
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"!")
    path.chmod(0o400)


def lead_nowhere(path: Path) -> None:
    """Replace a file by a link to one that is not there, as when somebody has emptied the directory of spilled objects."""
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (Path.unlink, "is missing"),
    "empty": (lambda path: truncate(path, 0), r"is empty|has 0 of \d+ bytes"),
    "short": (lambda path: truncate(path, 8192), r"has 8192 of \d+ bytes"),
    "short by a little": (lambda path: truncate(path, path.stat().st_size - 4096), r"has \d+ of \d+ bytes"),
    "written to": (overwrite, "was written to by something else after it was sealed"),
    "a link to nowhere": (lead_nowhere, "is missing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("mapped", [False, True], ids=["not mapped", "mapped before"])
def test_damaged_segment_is_named_and_the_rest_is_usable(
    filled: Store, store_directory: Path, damage: str, mapped: bool
) -> None:
    """Who reads the object and who asks the doctor are told which object and segment it is; others are read and put as before."""
    do, said = DAMAGES[damage]
    object_id = filled.resolve("x")
    if mapped:
        contents.verify(filled.read("x"))
    do(path_of(filled, "x"))
    with pytest.raises(StoreError, match=rf"Object {object_id} .* its segment 1 ({said}).* Delete the object"):
        filled.read("x")
    (found,) = filled.doctor()
    assert f"Object {object_id} ('x'): its segment 1 " in found
    done = run("from workbench.store import Store; Store.open().read('x')", store_directory)
    assert done.returncode == 1, "it was killed"
    assert "StoreError" in done.stderr
    assert contents.verify(filled.read("y")) == "y"
    assert contents.verify(filled.read("small")) == "small"
    filled.put(contents.make("x", (200_000,)), "z")
    filled.delete("x")
    Performer(filled).perform(Operation("put", name="x", label="new", sizes=SIZES["x"]))
    assert contents.verify(filled.read("x")) == "new"
    filled.doctor()
    assert filled.doctor() == []


@pytest.mark.parametrize("damage", ["missing", "empty", "short", "written to"])
def test_damaged_file_on_disk_is_named_and_the_rest_is_usable(
    store_directory: Path, tmp_path: Path, damage: str
) -> None:
    """What somebody did to a spilled object's file is told as well; it cannot be restored, but deleted."""
    do, said = DAMAGES[damage]
    with Store.open(store_directory, capacity=64 << 20, spill_directory=tmp_path, restore_after="never") as store:
        performer = Performer(store)
        for name, sizes in SIZES.items():
            performer.perform(Operation("put", name=name, label=name, sizes=sizes))
        for name in ("x", "y"):
            store.spill(name)
        do(path_of(store, "x").resolve())
        with pytest.raises(StoreError, match=rf"Object {store.resolve('x')} .* its segment 1 ({said})"):
            store.read("x")
        assert any(f"Object {store.resolve('x')} ('x'): its segment 1 " in line for line in store.doctor())
        with contextlib.suppress(StoreError):
            store.restore("x")
        with pytest.raises(StoreError, match=rf"its segment 1 ({said})"):
            store.read("x")
        assert contents.verify(store.read("y")) == "y"
        store.delete("x")
        store.doctor()
        assert store.doctor() == []
        assert inconsistencies(store) == []


def test_limit_on_open_files_is_named(filled: Store, store_directory: Path) -> None:
    """A process that may open no more files is told so, with the next step, and reads on once it has closed some."""
    done = run(
        """
        import os, resource
        from workbench.errors import StoreError
        from workbench.store import Store
        from workbench.testing import contents
        store = Store.open()
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        files = []
        try:
            while True:
                files.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        try:
            store.read("x")
        except StoreError as error:
            print(error)
        os.close(files.pop())
        print(contents.verify(store.read("x")))
        """,
        store_directory,
    )
    assert "Too many open files): close some files" in done.stdout, done.stderr
    assert done.stdout.endswith("\nx\n")


def use(directory: Path) -> list[str]:
    """Read each object by name and by listing, put and delete one; return the errors."""
    errors = []

    def attempt(deed: Callable[[], object]) -> None:
        try:
            deed()
        except (ObjectNotFoundError, DamagedError):
            pass  # a row that is gone, or whose own bytes have changed: nobody has computed their checksum
        except WorkbenchError as error:
            errors.append(str(error))

    try:
        store = Store.open(directory)
    except WorkbenchError as error:
        return [str(error)]
    with store:
        for name in SIZES:
            attempt(lambda name=name: contents.verify(store.read(name)))  # type: ignore[misc]
        attempt(store.ls)
        attempt(store.names)
        attempt(store.memory)
        attempt(lambda: store.put(contents.make("new", (100_000,)), "new"))
        attempt(lambda: store.delete("new"))
        attempt(lambda: errors.extend(store.doctor()))
    return errors


def spoil(path: Path, source: random.Random) -> str:
    """Change some bits of a file, or cut it."""
    size = path.stat().st_size
    what = source.choice(["flip", "flip", "flip", "zero a page", "cut", "empty"])
    if what == "cut":
        os.truncate(path, source.randrange(size))
    elif what == "empty":
        os.truncate(path, 0)
    else:
        with path.open("r+b") as file:
            for _ in range(source.choice([1, 10])):
                place = source.randrange(size)
                if what == "flip":
                    file.seek(place)
                    byte = file.read(1)[0]
                    file.seek(place)
                    file.write(bytes([byte ^ 1 << source.randrange(8)]))
                else:
                    file.seek(place // 4096 * 4096)
                    file.write(bytes(4096))
    return what


def test_damaged_catalog_is_an_error_or_harmless(store_directory: Path, seed: int) -> None:
    """Whatever happened to the catalog's files while nobody had them open, each verb works or raises an error of ours that names the store."""
    source = random.Random(seed)
    with Store.open(store_directory, capacity=64 << 20) as store:
        for name, sizes in SIZES.items():
            Performer(store).perform(Operation("put", name=name, label=name, sizes=sizes))
        # While it is open, the newest rows are in the log.
        whole = {path.name: (path.read_bytes(), path.stat()) for path in store_directory.iterdir() if path.is_file()}
    del whole["catalog.sqlite-shm"]
    told = 0
    for turn in range(150):
        for path in store_directory.iterdir():
            path.unlink()
        for name, (data, status) in whole.items():
            (store_directory / name).write_bytes(data)
            (store_directory / name).chmod(status.st_mode)
            os.utime(store_directory / name, ns=(status.st_atime_ns, status.st_mtime_ns))
        if turn % 2:
            # Opened and closed, all is in the database.
            Store.open(store_directory).close()
        what = spoil(store_directory / ("catalog.sqlite" if turn % 2 else "catalog.sqlite-wal"), source)
        errors = use(store_directory)
        assert all(re.search("catalog|Object|Segment", error) for error in errors), (turn, what, errors)
        told += bool(errors)
    assert told > 20


def test_emptied_catalog_is_not_taken_for_a_new_store(filled: Store, store_directory: Path) -> None:
    """Segments beside an empty catalog are left alone, and the error says what happened."""
    filled.close()
    os.truncate(store_directory / "catalog.sqlite", 0)
    with pytest.raises(StoreError, match=r"is empty, and there are 2 segments beside it: it is damaged.* Remove"):
        Store.open(store_directory)
    assert len(list(store_directory.glob("*.segment"))) == 2


def test_doctor_leaves_a_damaged_catalog_alone(filled: Store, store_directory: Path) -> None:
    """What a damaged catalog does not list may be an object: it is named, and nothing is removed."""
    filled.close()
    with sqlite3.connect(store_directory / "catalog.sqlite") as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'segments'").fetchall()
    connection.close()
    with (store_directory / "catalog.sqlite").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))
    with Store.open(store_directory) as store:
        assert "catalog" in " ".join(store.doctor())
        assert contents.verify(store.read("x")) == "x"
    assert len(list(store_directory.glob("*.segment"))) == 2


def test_row_of_a_wrong_type_is_damage(filled: Store, store_directory: Path) -> None:
    """A page that was spoiled so that it still parses may have anything in a column."""
    filled.close()
    connection = sqlite3.connect(store_directory / "catalog.sqlite")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT', ''), 'NOT NULL', '') WHERE name = 'objects'"
    )
    connection.commit()
    connection.close()
    connection = sqlite3.connect(store_directory / "catalog.sqlite")
    connection.execute("UPDATE objects SET shared = NULL")
    connection.commit()
    connection.close()
    with (
        Store.open(store_directory) as store,
        pytest.raises(StoreError, match=r"The catalog .* cannot be read .*damaged"),
    ):
        store.ls()
