"""Catalogs of older versions become today's, all at once, and lose nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.processes import run
from tests.store.encoding import encoded, same
from workbench.objects import Encoded, new_object_id
from workbench.store import Store, rows, segments
from workbench.store.schema import VERSION

OLD = Path(__file__).with_name("catalog_v1.sql")
MIB = 1 << 20


class OldStore:
    """A store as version 1 made it: objects in the catalog and in segments, a free segment, names, a deleted newest object."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700)
        self.directory = directory
        self._connection = sqlite3.connect(directory / "catalog.sqlite", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(OLD.read_text())
        self.objects: dict[str, tuple[str, Encoded]] = {}
        self.put("small", encoded(100, 7, seed=1))
        self.put("large", encoded(MIB, 70_000, seed=2))
        self.put("gone", encoded(MIB, seed=3))
        self._delete("gone")
        (self.used,) = self._connection.execute("SELECT used FROM store").fetchone()
        self._connection.close()

    def put(self, name: str, content: Encoded) -> None:
        """Write an object as version 1 did."""
        object_id, execute = new_object_id(), self._connection.execute
        offsets, end = segments.layout(buffer.nbytes for buffer in content.buffers)
        segment, payload = 0, None
        if end > 32 << 10:
            nbytes = -(-end // 4096) * 4096
            segment = (
                execute("INSERT INTO segments (inode, nbytes, state) VALUES (0, ?, 'sealed')", (nbytes,)).lastrowid or 0
            )
            path = Path(segments.segment_path(self.directory, segment))
            with path.open("wb") as file:
                for offset, buffer in zip(offsets, content.buffers, strict=True):
                    file.seek(offset)
                    file.write(buffer)
                file.truncate(nbytes)
            path.chmod(0o400)
            os.utime(path, ns=(time.time_ns(), segment * 10**9))
            execute("UPDATE segments SET inode = ? WHERE segment = ?", (path.stat().st_ino, segment))
        else:
            payload = b"".join(content.buffers)
            offsets = [sum(b.nbytes for b in content.buffers[:i]) for i in range(len(content.buffers))]
        layout = b"".join(
            rows.PLACE.pack(segment, offset, buffer.nbytes)
            for offset, buffer in zip(offsets, content.buffers, strict=True)
        )
        seq = execute(
            "INSERT INTO objects SELECT latest + 1, ?, 'array', ?, ?, 700, ?, NULL, NULL, 0, NULL, ?, ?, ? FROM store",
            (
                object_id,
                rows.describe(content.description),
                content.nbytes,
                time.time(),
                content.header,
                layout,
                payload,
            ),
        ).lastrowid
        if segment:
            execute("INSERT INTO uses VALUES (?, ?)", (seq, segment))
        execute("INSERT INTO names VALUES (?, ?)", (name, seq))
        self.objects[name] = object_id, content

    def _delete(self, name: str) -> None:
        execute = self._connection.execute
        ((seq,),) = execute("SELECT object FROM names WHERE name = ?", (name,)).fetchall()
        execute(
            "UPDATE segments SET state = 'free' WHERE segment = (SELECT segment FROM uses WHERE object = ?)", (seq,)
        )
        for table, column in (("uses", "object"), ("names", "object"), ("objects", "seq")):
            execute(f"DELETE FROM {table} WHERE {column} = ?", (seq,))
        del self.objects[name]


@pytest.fixture
def old(store_directory: Path) -> OldStore:
    """A store of version 1."""
    return OldStore(store_directory)


def check(old: OldStore) -> None:
    """All that the old store had is there, under its names and its ids, and works on."""
    with Store.open(old.directory, pool_idle="never") as store:
        for name, (object_id, content) in old.objects.items():
            assert store.resolve(name) == object_id
            for key in (name, object_id):
                assert same(store.read(key), content)
        assert store.catalog.used == old.used
        assert {info.name for info in store.ls()} == set(old.objects)
        assert store.doctor() == []
        new = encoded(MIB, seed=9)
        store.put(new, "new")
        assert same(store.read("new"), new)
        for name in ("small", "large", "new"):
            store.delete(name)
        store.allocator.free.release()
        assert store.catalog.used == 0


def test_catalog_of_version_1_is_migrated(old: OldStore) -> None:
    """Objects, names, ids, sums and the free segment of an old store are there after it was opened."""
    check(old)


def test_migration_is_all_or_nothing(old: OldStore) -> None:
    """A process that dies after any statement of the migration leaves a catalog that the next one migrates."""
    statement = 0
    while True:
        done = run(
            f"""
            import os, signal
            from workbench.store import schema, Store
            original, count = schema._statements, [0]
            def until(script):
                for statement in original(script):
                    yield statement
                    count[0] += 1
                    if count[0] > {statement}:
                        os.kill(os.getpid(), signal.SIGKILL)
            schema._statements = until
            Store.open().close()
            """,
            old.directory,
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        with contextlib.closing(sqlite3.connect(old.directory / "catalog.sqlite")) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        statement += 7
    assert statement > 10
    with contextlib.closing(sqlite3.connect(old.directory / "catalog.sqlite")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    check(old)


def test_numbers_are_never_used_twice(store: Store) -> None:
    """An object that is put after the newest one was deleted has a new id and a later place, and the sums are right."""
    seen = []
    for number in range(6):
        ref = store.put(encoded(10), "x" if number % 2 else None)
        seen.append(ref.id)
        if number % 3:
            store.delete(ref)
    assert sorted(set(seen)) == seen
    for info in store.ls():
        store.delete(info.id)
    assert store.catalog.used == 0
    last = store.put(encoded(10))
    assert last.id[:12] > seen[-1][:12]
