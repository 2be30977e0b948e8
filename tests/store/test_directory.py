"""Where a store may lie: every bad place is refused with the reason and the next step."""

from __future__ import annotations

import os
import sqlite3
import stat
import warnings
from pathlib import Path

import pytest

from tests.store.encoding import encoded, same
from tests.store.mounts import root_only, tmpfs
from workbench.errors import StoreError, StoreFullError
from workbench.store import Store, StoreOnDiskWarning, default_directory
from workbench.store.allocation import Allocator
from workbench.store.schema import VERSION

MIB = 1 << 20


def test_store_is_private(store: Store) -> None:
    """Nobody else can read the directory, and a sealed segment is read-only."""
    store.put(encoded(MIB), "x")
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    (segment,) = store.directory.glob("*.segment")
    assert stat.S_IMODE(segment.stat().st_mode) == 0o400


def test_directory_that_cannot_be_made_is_an_error() -> None:
    """The error names the directory and the setting."""
    with pytest.raises(
        StoreError, match=r"/proc/nowhere cannot be made: .* Set workbench\.directory \(or WORKBENCH_DIR\)"
    ):
        Store.open("/proc/nowhere")


def test_file_in_place_of_the_directory_is_an_error(tmp_path: Path) -> None:
    """A file cannot hold a store."""
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(StoreError, match=r"cannot be made|not a directory"):
        Store.open(path)


@root_only
def test_somebody_elses_directory_is_refused(tmp_path: Path) -> None:
    """Stores are private: whoever can write there can change what every kernel maps."""
    path = tmp_path / "theirs"
    path.mkdir(mode=0o777)
    os.chown(path, 12345, 12345)
    with pytest.raises(StoreError, match=r"belongs to user 12345, and you are user 0: stores are private"):
        Store.open(path)


@root_only
def test_unwritable_directory_is_refused(tmp_path: Path) -> None:
    """A read-only file system is named before anything is tried on it."""
    with tmpfs(tmp_path / "read-only", "ro,size=8m") as path, pytest.raises(StoreError, match="cannot be written to"):
        Store.open(path)


@root_only
@pytest.mark.parametrize("small_tmpfs", ["1m"], indirect=True)
def test_too_small_a_file_system_is_refused(small_tmpfs: Path) -> None:
    """A store that could hold nothing is an error when it is opened, not at the first put."""
    with pytest.raises(StoreError, match=r"has only 1\.0 MiB, too small for a store"):
        Store.open(small_tmpfs / "store")


@pytest.mark.filterwarnings("ignore:The capacity of the store:workbench.store.directory.CapacityWarning")
@root_only
@pytest.mark.parametrize("small_tmpfs", ["16m"], indirect=True)
def test_file_system_that_fills_up_is_an_error_and_not_sigbus(small_tmpfs: Path) -> None:
    """With a capacity beyond the tmpfs, a put that does not fit loses nothing and leaves nothing."""
    with Store.open(small_tmpfs / "store", capacity=1 << 30) as store:
        wanted = encoded(6 * MIB)
        store.put(wanted, "x")
        with pytest.raises(StoreFullError, match=r"file system of the store .* has no room for 12\.0 MiB"):
            store.put(encoded(12 * MIB), "y")
        filler = small_tmpfs / "filler"
        with pytest.raises(OSError), filler.open("wb") as file:
            file.write(bytes(20 * MIB))
        with pytest.raises(StoreFullError):
            store.put(encoded(2 * MIB), "z")
        filler.unlink()
        assert same(store.read("x"), wanted)
        assert [info.name for info in store.ls()] == ["x"]
        assert len(list(store.directory.glob("*.segment"))) == 1
        store.put(encoded(2 * MIB), "z")


def test_capacity_too_small_for_anything_is_refused(store_directory: Path) -> None:
    """The catalog alone needs some room."""
    with pytest.raises(StoreError, match="capacity of 1000 bytes is too small"):
        Store.open(store_directory, capacity=1000)


def test_capacity_that_is_no_size_is_refused(store_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error in a setting is named with the setting."""
    monkeypatch.setenv("WORKBENCH_CAPACITY", "lots")
    with pytest.raises(ValueError, match=r"workbench\.capacity is 'lots', which is not a size"):
        Store.open(store_directory)


def test_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    """A store does not mix with somebody's files, and does not change the mode of their directory."""
    (tmp_path / "thesis.tex").write_text("x")
    mode = tmp_path.stat().st_mode
    with pytest.raises(StoreError, match=r"holds other files \(thesis\.tex\)"):
        Store.open(tmp_path)
    assert tmp_path.stat().st_mode == mode


def test_store_that_is_not_there_is_not_made_unasked(store_directory: Path) -> None:
    """Whoever only looks makes nothing."""
    with pytest.raises(StoreError, match="There is no store in"):
        Store.open(store_directory, create=False)
    assert not store_directory.exists()


def test_newer_catalog_is_refused_and_left_alone(store_directory: Path) -> None:
    """Code that does not know a catalog's version does not touch it."""
    Store.open(store_directory, capacity=64 * MIB).close()
    with sqlite3.connect(store_directory / "catalog.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(
        StoreError, match=rf"has version 99, and this workbench reads up to {VERSION}: upgrade shm-workbench"
    ):
        Store.open(store_directory)
    connection = sqlite3.connect(store_directory / "catalog.sqlite")
    assert connection.execute("PRAGMA user_version").fetchone() == (99,)
    connection.close()


def test_foreign_database_is_refused(store_directory: Path) -> None:
    """A SQLite file of somebody else is not a catalog."""
    store_directory.mkdir(parents=True)
    connection = sqlite3.connect(store_directory / "catalog.sqlite")
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="is not a catalog of the workbench"):
        Store.open(store_directory)


def test_damaged_catalog_is_an_error_with_a_next_step(store_directory: Path) -> None:
    """Garbage in place of the catalog is named, not followed by a traceback of SQLite."""
    store_directory.mkdir(parents=True)
    (store_directory / "catalog.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match=r"cannot be read .* If it is damaged"):
        Store.open(store_directory)


def test_missing_segment_is_named_by_the_doctor(store: Store) -> None:
    """An object whose file somebody removed is an error when it is read, and the rest stays usable."""
    store.put(encoded(MIB), "x")
    store.put(encoded(MIB, seed=1), "y")
    next(iter(sorted(store.directory.glob("*.segment")))).unlink()
    (found,) = store.doctor()
    assert "segment 1 is missing" in found
    assert same(store.read("y"), encoded(MIB, seed=1))


def test_tiny_shared_memory_means_a_store_on_disk_and_one_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a container with 64 MB of /dev/shm the default store lies in the temporary directory."""
    monkeypatch.delenv("WORKBENCH_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("WORKBENCH_MINIMUM_SHM", "1 PiB")
    with pytest.warns(StoreOnDiskWarning, match=r"docker run --shm-size=4g") as caught:
        directory = default_directory()
    assert len(caught) == 1
    assert directory.parent == tmp_path
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Store.open(directory, capacity=64 * MIB) as store:
            wanted = encoded(5 * MIB)
            for _ in range(3):
                store.put(wanted, "x")
                assert same(store.read("x"), wanted)


@root_only
@pytest.mark.parametrize("small_tmpfs", ["64m"], indirect=True)
def test_store_in_64_mib_spills_what_does_not_fit(small_tmpfs: Path, tmp_path: Path) -> None:
    """A container's /dev/shm with the default capacity: ten times as much can be put, and every byte is got back."""
    with Store.open(small_tmpfs / "store", spill_directory=tmp_path / "spill") as store:
        assert 50 * MIB < store.memory().capacity < 64 * MIB
        for seed in range(40):
            store.put(encoded(16 * MIB, seed=seed), str(seed))
        for seed in range(0, 40, 3):
            assert same(store.read(str(seed)), encoded(16 * MIB, seed=seed))
        with pytest.raises(StoreFullError, match=r"no room for 70\.0 MiB"):
            store.put(encoded(70 * MIB), "too large")
        assert store.doctor() == []


@pytest.mark.filterwarnings("ignore:The capacity of the store:workbench.store.directory.CapacityWarning")
@root_only
@pytest.mark.parametrize("small_tmpfs", ["64m"], indirect=True)
@pytest.mark.parametrize("threads", [1, 2])
def test_file_system_that_fills_up_between_check_and_write(
    small_tmpfs: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else takes the memory at the worst moment: an error, no SIGBUS, nothing lost, nothing left; later there is room again."""
    filler = small_tmpfs / "filler"
    with Store.open(small_tmpfs / "store", capacity=1 << 30, copy_threads=threads) as store:
        wanted = encoded(8 * MIB)
        store.put(wanted, "x")
        write = Allocator.write

        def fill_first(*arguments: object) -> None:
            with filler.open("wb") as file, pytest.raises(OSError, match="No space left on device"):
                file.write(bytes(64 * MIB))
            write(*arguments)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(Allocator, "write", fill_first)
            with pytest.raises(StoreFullError, match=r"file system of .* (has no room for 40\.0 MiB|is full)"):
                store.put(encoded(40 * MIB), "y")
        assert same(store.read("x"), wanted)
        assert [info.name for info in store.ls()] == ["x"]
        filler.unlink()
        store.put(encoded(40 * MIB), "y")
        assert same(store.read("y"), encoded(40 * MIB))
        # Without a single page, the catalog cannot even say that the reservation is over: whoever comes next does.
        assert all("was left writing" in sentence for sentence in store.doctor())
        assert store.doctor() == []
