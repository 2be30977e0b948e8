"""Where a store spills to: never to memory or to a place of others unasked, and what stores that are gone have left goes."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest

from tests.store.mounts import root_only, tmpfs
from workbench.errors import StoreError
from workbench.store import spill_directory
from workbench.store.spill_directory import SpillDirectory, choose, remove_orphans

MIB = 1 << 20
ID = "0" * 32


@pytest.fixture
def place(memory_directory: Path) -> Path:
    """A directory in memory with something that passes for a catalog."""
    (memory_directory / "catalog.sqlite").touch()
    return memory_directory


@pytest.fixture(autouse=True)
def no_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing is set, and the default is a directory of this test's own."""
    monkeypatch.delenv("WORKBENCH_SPILL_DIRECTORY", raising=False)
    monkeypatch.setattr(spill_directory, "_VAR_TMP", tmp_path / "var-tmp")
    with dask.config.set({"temporary-directory": None}):
        yield


def test_default_lies_on_disk_and_is_private(place: Path, tmp_path: Path) -> None:
    """/var/tmp, or Dask's own directory for such things; the directory itself is made when it is needed."""
    root = tmp_path / f"var-tmp/workbench-spill-{os.geteuid()}"
    chosen = choose(place, ID)
    assert chosen == SpillDirectory(root / ID)
    assert not root.exists()
    assert chosen.make(place) == root / ID
    assert choose(place, ID) == chosen
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE((root / ID).stat().st_mode) == 0o700
    with dask.config.set({"temporary-directory": str(tmp_path / "dask")}):
        assert choose(place, ID).path == tmp_path / f"dask/workbench-spill-{os.geteuid()}" / ID


@pytest.mark.parametrize("word", ["off", "OFF", "false", "never", False])
def test_spilling_can_be_switched_off(place: Path, word: Any) -> None:
    """Then nothing is made, and errors say that it is off."""
    assert choose(place, ID, word) == SpillDirectory(None, "workbench.spill-directory is off")


@pytest.mark.parametrize("how", ["argument", "environment", "dask"])
def test_named_directory_is_used(place: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an argument, in the environment or in Dask's configuration."""
    named, argument = tmp_path / "named", None
    if how == "argument":
        argument = named
    elif how == "environment":
        monkeypatch.setenv("WORKBENCH_SPILL_DIRECTORY", str(named))
    with dask.config.set({"workbench.spill-directory": str(named) if how == "dask" else None}):
        assert choose(place, ID, argument, MIB) == SpillDirectory(named / ID, nbytes=MIB)


def test_memory_is_no_place_to_spill_to_unless_it_is_named(
    place: Path, tmp_path: Path, memory_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spilling from memory to memory frees nothing, so that only who names such a place gets it; nor does from disk to disk."""
    monkeypatch.setattr(spill_directory, "_VAR_TMP", memory_directory)
    chosen = choose(place, ID)
    assert chosen.path is None
    assert chosen.reason.endswith("lies in memory itself")
    assert choose(place, ID, memory_directory / "named").path == memory_directory / "named" / ID
    assert choose(tmp_path, ID) == SpillDirectory(None, "the store itself lies on disk")
    assert choose(tmp_path, ID, tmp_path / "named").path == tmp_path / "named" / ID


def test_default_that_cannot_be_used_is_no_error_but_a_named_one_is(place: Path, tmp_path: Path) -> None:
    """Who did not ask for a place is told when it matters; who did, at once."""
    (tmp_path / "var-tmp").touch()
    chosen = choose(place, ID)
    assert chosen.path is None
    assert "cannot be made: Not a directory" in chosen.reason
    with pytest.raises(OSError, match="cannot be made"):
        chosen.make(place)
    with pytest.raises(OSError, match="cannot be made: Not a directory"):
        SpillDirectory(tmp_path / "var-tmp/root" / ID).make(place)
    with pytest.raises(StoreError, match=r"spill directory .* cannot be made: .* Set workbench\.spill-directory"):
        choose(place, ID, "/proc/nowhere")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="is not a directory"):
        choose(place, ID, tmp_path / "link")


@root_only
def test_directories_of_others_are_refused(place: Path, tmp_path: Path) -> None:
    """Whoever can write there can change what is mapped from there."""
    theirs, open_to_all = tmp_path / "theirs", tmp_path / "all"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(StoreError, match="belongs to user 12345, and you are user 0: what is spilled is private"):
        choose(place, ID, theirs)
    with pytest.raises(StoreError, match="can be written to by other users"):
        choose(place, ID, open_to_all)
    with (
        tmpfs(tmp_path / "read-only", "ro,size=8m,mode=755") as path,
        pytest.raises(StoreError, match="cannot be written to"),
    ):
        choose(place, ID, path)


@root_only
def test_refusals_say_what_is_full(place: Path, tmp_path: Path) -> None:
    """The setting, or the disk, of which a part stays free."""
    with tmpfs(tmp_path / "small", "size=10m") as path:
        root = path / "root"
        chosen = SpillDirectory(root / ID, nbytes=100 * MIB)
        root.mkdir()
        assert chosen.refusal(5 * MIB, 0) == ""
        assert chosen.refusal(2 * MIB, 99 * MIB) == (
            f"Nothing more was spilled: workbench.spill-capacity is 100.0 MiB, and 99.0 MiB lie in {root} already."
        )
        assert chosen.refusal(int(9.8 * MIB), 0) == (
            f"Nothing more was spilled: the disk of {root} has 10.0 MiB left, and one part in 20 stays free."
        )
    assert SpillDirectory(None, "it is off").refusal(1, 0) == "Nothing was spilled: it is off."


def test_directory_of_a_store_that_is_gone_is_removed(place: Path, tmp_path: Path) -> None:
    """A store that was removed, or made anew in the same place, has left nothing that anybody can need."""
    root = tmp_path / "root"
    SpillDirectory(root / ID).make(place)
    SpillDirectory(root / ("1" * 32)).make(place)
    (root / ID / "0000000001-abcd.segment").write_bytes(b"x")
    (root / "mine").mkdir()
    assert remove_orphans(root) == []
    os.link(place / "catalog.sqlite", place / "kept")  # else the new one could get the same inode
    (place / "catalog.sqlite").unlink()
    (place / "catalog.sqlite").touch()
    SpillDirectory(root / ("2" * 32)).make(place)
    assert sorted(remove_orphans(root)) == [root / ID, root / ("1" * 32)]
    assert sorted(path.name for path in root.iterdir()) == ["2" * 32, "mine"]


@pytest.mark.parametrize("change", [{"device": 12345}, {"boot": "another", "memory": False}, {"store": 5}, {}])
def test_directory_of_a_store_that_may_exist_somewhere_else_is_kept(
    place: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    """A container sees other file systems at the same places: what cannot be told for certain stays."""
    path = SpillDirectory(tmp_path / ID).make(place)
    owner = json.loads((path / "owner.json").read_text())
    (path / "owner.json").write_text(json.dumps(owner | change))
    if "device" in change:
        (place / "catalog.sqlite").unlink()
    assert remove_orphans(tmp_path) == []


def test_store_in_memory_does_not_outlive_a_boot(place: Path, tmp_path: Path) -> None:
    """After a reboot, what lay in memory is gone, whatever lies in its place now."""
    path = SpillDirectory(tmp_path / ID).make(place)
    owner = json.loads((path / "owner.json").read_text())
    (path / "owner.json").write_text(json.dumps(owner | {"boot": "another"}))
    assert remove_orphans(tmp_path) == [path]


def test_spill_root_that_is_not_there_is_none(tmp_path: Path) -> None:
    """Nothing to do, and no error."""
    assert remove_orphans(tmp_path / "nowhere") == []


def test_two_threads_make_the_directory_at_once(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is overtaken by the other while it writes the owner file finds it there, and goes on."""
    wanted = SpillDirectory(tmp_path / "root" / ID)
    write_text = Path.write_text

    def overtaken(path: Path, text: str) -> int:
        monkeypatch.setattr(Path, "write_text", write_text)
        written = write_text(path, text)
        other = threading.Thread(target=wanted.make, args=(place,))
        other.start()
        other.join(30)
        return written

    monkeypatch.setattr(Path, "write_text", overtaken)
    made = wanted.make(place)
    assert [path.name for path in made.iterdir()] == ["owner.json"]
