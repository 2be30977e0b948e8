"""Saving and loading: real files, a real web server, memory, and what goes wrong there."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import fsspec
import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.flights import flights
from tests.processes import Process, environment
from workbench import urls
from workbench.urls import writing

MIB = 1 << 20


class Marker:
    """An object that leaves a file behind when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(self.path),))


@pytest.fixture(autouse=True)
def session(store_directory: Path) -> Iterator[wb.Session]:
    """The current session has a store of 256 MiB."""
    with wb.Session(store_directory, capacity=256 * MIB) as opened:
        previous = wb.use_session(opened)
        yield opened
        wb.use_session(previous)


@pytest.fixture
def elsewhere(memory_directory: Path) -> Iterator[wb.Session]:
    """Another store, as on another host or after a reboot."""
    with wb.Session(memory_directory / "other", capacity=256 * MIB) as opened:
        yield opened


def contents(directory: Path) -> dict[str, bytes]:
    """All files of a directory, hidden ones included."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize(
    "value",
    [
        np.arange(5),
        np.asfortranarray(np.arange(600_000.0).reshape(3, -1)),
        np.array(["2020-01-01", "NaT"], dtype="M8[ns]"),
        np.zeros((0, 3)),
        {"a": [1, 2], "b": np.arange(100_000)},
        "text",
        None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_object_comes_back(value: Any, tmp_path: Path, elsewhere: wb.Session) -> None:
    """What is loaded elsewhere is what was put, with its name, description and tags, as an object of its own."""
    ref = wb.put(value, "x", tags={"source": "test"}, pin=True, ttl=1000.0)
    assert wb.save("x", tmp_path / "x.wb") == ref
    loaded = elsewhere.load(tmp_path / "x.wb")
    assert loaded.name == "x" and loaded.id != ref.id and loaded.nbytes == ref.nbytes
    np.testing.assert_equal(elsewhere.get("x"), value)
    here, there = wb.info("x"), elsewhere.info("x")
    assert there.tags == {"source": "test", "origin": ref.id}
    assert (there.pinned, there.ttl) == (False, None)
    fields = ("names", "kind", "type", "shape", "dtypes", "nbytes", "notes")
    assert all(getattr(here, field) == getattr(there, field) for field in fields)
    assert here.created < there.created


def test_frame_with_every_kind_of_column(tmp_path: Path, elsewhere: wb.Session) -> None:
    """Real data comes back equal, with every dtype."""
    wb.put(flights(), "flights")
    wb.save("flights", tmp_path / "flights.wb")
    elsewhere.load(tmp_path / "flights.wb")
    pd.testing.assert_frame_equal(elsewhere.get("flights"), flights())


def test_names_are_those_that_one_expects(tmp_path: Path, elsewhere: wb.Session) -> None:
    """The name it was saved by, another one, or none where it had none."""
    ref = wb.put(1, "first")
    wb.current_session().store.bind("second", ref)
    unnamed = wb.put(2)
    for key in ("second", ref, unnamed, unnamed.id):
        wb.save(key, tmp_path / str(key))
    assert elsewhere.load(tmp_path / "second").name == "second"
    assert elsewhere.load(tmp_path / str(ref)).name == "first"
    assert elsewhere.load(tmp_path / "second", "third").name == "third"
    assert elsewhere.load(tmp_path / str(unnamed)).name is None
    assert elsewhere.get(elsewhere.load(tmp_path / unnamed.id)) == 2
    with pytest.raises(wb.NameConflictError):
        elsewhere.load(tmp_path / "second", "")


def test_a_name_is_not_taken_from_another_object_unasked(tmp_path: Path, elsewhere: wb.Session) -> None:
    """Without a name, whoever has the saved one keeps it; with one, it is replaced atomically, as by a put."""
    wb.put("saved", "x")
    wb.save("x", tmp_path / "x.wb")
    elsewhere.put("other", "x")
    with pytest.raises(
        wb.NameConflictError, match=r"was called 'x', and here another object has that name.*wb\.load\(url, name\)"
    ):
        elsewhere.load(tmp_path / "x.wb")
    assert elsewhere.get("x") == "other"
    elsewhere.load(tmp_path / "x.wb", "x")
    assert elsewhere.get("x") == "saved"
    assert len(elsewhere.ls()) == 1


def test_loading_twice_loads_once(tmp_path: Path, elsewhere: wb.Session) -> None:
    """A notebook that is run again does not load again what is there, also not where it was saved or after a detour."""
    ref = wb.put(np.arange(100_000), "x")
    wb.save("x", tmp_path / "x.wb")
    assert wb.load(tmp_path / "x.wb") == ref
    first = elsewhere.load(tmp_path / "x.wb")
    assert elsewhere.load(tmp_path / "x.wb") == first == elsewhere.load(tmp_path / "x.wb", "x")
    elsewhere.save("x", tmp_path / "again.wb")
    assert wb.load(tmp_path / "again.wb") == ref
    assert len(elsewhere.ls()) == len(wb.ls()) == 1


def test_a_damaged_file_is_told_also_if_the_object_is_here(tmp_path: Path) -> None:
    """Whoever loads to see whether the file is good learns that it is not; the object stays as it is."""
    ref = wb.put(np.arange(100_000), "x")
    wb.save("x", tmp_path / "x.wb")
    content = bytearray((tmp_path / "x.wb").read_bytes())
    content[400_000] ^= 1
    (tmp_path / "x.wb").write_bytes(content)
    with pytest.raises(wb.SavedFileError, match="is damaged: the checksum of an object's payload"):
        wb.load(tmp_path / "x.wb")
    assert wb.load(tmp_path / "x.wb", verify=False) == ref and wb.info("x").ref == ref


def test_save_and_load_unpickle_nothing(tmp_path: Path, elsewhere: wb.Session) -> None:
    """Only who gets the object runs what is in it."""
    mark = tmp_path / "unpickled"
    wb.put(Marker(str(mark)), "x")
    wb.save("x", tmp_path / "x.wb")
    elsewhere.load(tmp_path / "x.wb")
    assert not mark.exists()
    elsewhere.get("x")
    assert mark.exists()


def test_a_file_of_the_same_name_is_replaced_at_once(tmp_path: Path) -> None:
    """Saving again replaces the file, also behind a link, and leaves nothing beside it."""
    (tmp_path / "link.wb").symlink_to("x.wb")
    for value in ("first", "second"):
        wb.put(value, "x")
        wb.save("x", tmp_path / "link.wb")
    assert sorted(contents(tmp_path)) == ["link.wb", "x.wb"] and (tmp_path / "link.wb").is_symlink()
    wb.load(tmp_path / "x.wb", "y")
    assert wb.get("y") == "second"


def test_spilled_and_shared_bytes_are_saved_like_others(
    tmp_path: Path, memory_directory: Path, elsewhere: wb.Session
) -> None:
    """What lies on disk, or in another object's segment, is in the file; what is loaded owns all of its bytes."""
    frame = pd.DataFrame({"x": np.arange(100_000.0), "y": np.arange(100_000)})
    with wb.Session(
        memory_directory / "spilling", spill_directory=tmp_path / "spill", restore_after="never"
    ) as session:
        session.put(frame, "frame")
        session.put(session.get("frame").assign(z=1.0), "more")
        assert session.info("more").shared_nbytes >= 1_600_000
        session.save("more", tmp_path / "more.wb")
        session.delete("more")
        session.spill("frame")
        session.save("frame", tmp_path / "frame.wb")
    for name, expected in (("frame", frame), ("more", frame.assign(z=1.0))):
        elsewhere.load(tmp_path / f"{name}.wb")
        pd.testing.assert_frame_equal(elsewhere.get(name), expected)
        assert elsewhere.info(name).shared_nbytes == 0


def test_urls_of_other_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: wb.Session) -> None:
    """Paths, file://, ~, memory:// and chains of them are all the same."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    wb.put(np.arange(100_000), "x")
    places = ["relative.wb", f"file://{tmp_path}/url.wb", "~/home.wb", "memory://test/x.wb"]
    for at, url in enumerate(places):
        wb.save("x", url)
        assert elsewhere.get(elsewhere.load(url, f"x{at}")).sum() == 4999950000
    assert elsewhere.get(elsewhere.load(f"simplecache::file://{tmp_path}/url.wb", "cached")).size == 100_000
    assert fsspec.filesystem("memory").ls("/test", detail=False) == ["/test/x.wb"]
    assert sorted(contents(tmp_path)) == ["home.wb", "relative.wb", "url.wb"]
    fsspec.filesystem("memory").rm("/test", recursive=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server on this machine that knows nothing of ranges; its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_loading_from_a_web_server(server: str, tmp_path: Path, elsewhere: wb.Session) -> None:
    """An object is loaded from a plain web server, as a stream; what is not there is said; a web server cannot be saved to."""
    array = np.random.default_rng(0).random(3_000_000)
    wb.put(array, "x")
    wb.save("x", tmp_path / "x.wb")
    elsewhere.load(f"{server}/x.wb")
    np.testing.assert_array_equal(elsewhere.get("x"), array)
    with pytest.raises(
        wb.SavedFileError, match=r"http://127\.0\.0\.1:[0-9]+/no\.wb cannot be read: .*Check the address"
    ):
        elsewhere.load(f"{server}/no.wb")
    with pytest.raises(wb.SavedFileError, match="cannot be written"):
        wb.save("x", f"{server}/y.wb")
    (tmp_path / "cut.wb").write_bytes((tmp_path / "x.wb").read_bytes()[: 10 * MIB])
    with pytest.raises(wb.SavedFileError, match=r"/cut\.wb ends after 10,485,760 bytes.*incomplete"):
        elsewhere.load(f"{server}/cut.wb", "cut")
    assert [info.name for info in elsewhere.ls()] == ["x"]


def test_places_that_cannot_be(tmp_path: Path) -> None:
    """A missing package, an unknown protocol, a missing or wrong directory: each error names the URL and what to do."""
    wb.put(1, "x")
    (tmp_path / "file").write_text("text")
    for url, message in (
        (
            "s3://bucket/x.wb",
            r"the package for this kind of URL is missing \(Install s3fs.*Install it in this environment",
        ),
        ("nosuch://x.wb", r"nosuch://x\.wb cannot be written: Protocol not known"),
        (tmp_path / "no" / "x.wb", r"no/x\.wb cannot be written: No such file or directory"),
        (tmp_path, r"cannot be written: it is a directory"),
        (tmp_path / "file" / "x.wb", r"cannot be written: Not a directory"),
    ):
        with pytest.raises(wb.SavedFileError, match=message):
            wb.save("x", url)
    for url, message in (
        (tmp_path / "no.wb", r"no\.wb cannot be read: No such file or directory\. Check the address"),
        (tmp_path, r"cannot be read: Is a directory"),
        (tmp_path / "file", r"file is not a saved object: it begins with b'text'"),
    ):
        with pytest.raises(wb.SavedFileError, match=message):
            wb.load(url)
    assert contents(tmp_path) == {"file": b"text"}
    with pytest.raises(wb.ObjectNotFoundError):
        wb.save("nope", tmp_path / "nope.wb")
    assert urls.shown("s3://user:secret@host/x?y") == "s3://host/x?y"


@pytest.mark.parametrize(("file", "warned"), [("x.csv", True), ("x.PARQUET", True), ("x.wb", False), ("x", False)])
def test_a_name_that_promises_another_format_is_warned_of(file: str, warned: bool, tmp_path: Path) -> None:
    """It is saved and can be loaded all the same; the warning is about the user's own line."""
    wb.put(np.arange(10), "x")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        wb.save("x", tmp_path / file)
    assert [(each.filename, "is a file that wb.load reads" in str(each.message)) for each in caught] == [
        (__file__, True)
    ] * warned
    wb.load(tmp_path / file, "y")


def test_damage_leaves_nothing_in_the_store(tmp_path: Path, elsewhere: wb.Session) -> None:
    """Whatever is wrong with a file, the store is as it was before."""
    wb.put(np.arange(100_000), "x")
    wb.save("x", tmp_path / "x.wb")
    data = (tmp_path / "x.wb").read_bytes()
    before = elsewhere.memory()
    for at in (0, 9, 30, 200, 400, len(data) // 2, len(data) - 1):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        for broken in (bytes(damaged), data[:at]):
            (tmp_path / "broken.wb").write_bytes(broken)
            with pytest.raises(wb.SavedFileError, match=r"broken\.wb"):
                elsewhere.load(tmp_path / "broken.wb")
    assert list(elsewhere.ls()) == []
    assert elsewhere.memory() == before
    assert elsewhere.store.doctor() == []


def test_full_store_takes_nothing(tmp_path: Path, memory_directory: Path) -> None:
    """A file that does not fit is refused before its payload is read, and names whom to ask for room."""
    wb.put(np.zeros(20 * MIB, dtype="u1"), "x")
    wb.save("x", tmp_path / "x.wb")
    with wb.Session(memory_directory / "small", capacity=8 * MIB) as small:
        with pytest.raises(wb.StoreFullError, match=r"no room for 20\.0 MiB"):
            small.load(tmp_path / "x.wb")
        assert small.memory().used == 0


def test_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    """On a disk that fills up nothing is left of the new file, and the old one is as it was."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    try:
        wb.put("small", "x")
        wb.save("x", disk / "x.wb")
        before = contents(disk)
        wb.put(np.zeros(8 * MIB, dtype="u1"), "x")
        with pytest.raises(
            wb.SavedFileError, match=r"x\.wb cannot be written: No space left on device\. Make room there"
        ):
            wb.save("x", disk / "x.wb")
        assert contents(disk) == before
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_saver_that_is_stopped_leaves_no_half_file(
    number: signal.Signals, tmp_path: Path, store_directory: Path
) -> None:
    """Killed or interrupted in the middle, the file of that name is the old one; what it left goes with the next save, a living writer's stays."""
    wb.put("old", "x")
    wb.save("x", tmp_path / "x.wb")
    wb.put(np.zeros(64 * MIB, dtype="u1"), "x")
    code = f"""
import os, signal, workbench as wb
from workbench import archive
hash_beside = archive._hash_beside
def stopping(digest, pieces, take):
    def take_some(offset, piece):
        take(offset, piece)
        if offset:
            os.kill(os.getpid(), {int(number)})
    hash_beside(digest, pieces, take_some)
archive._hash_beside = stopping
wb.save("x", {str(tmp_path / "x.wb")!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(store_directory), capture_output=True, timeout=60, check=False
    )
    assert done.returncode == -number
    left = [name for name in contents(tmp_path) if name != "x.wb"]
    assert len(left) == (number == signal.SIGKILL) and all(name.startswith(".workbench-") for name in left)
    wb.load(tmp_path / "x.wb", "y")
    assert wb.get("y") == "old"
    with writing(tmp_path / "z.wb"):  # a living writer
        wb.save("y", tmp_path / "y.wb")
        assert len([name for name in contents(tmp_path) if name.startswith(".workbench-")]) == 1
    assert sorted(contents(tmp_path)) == ["x.wb", "y.wb", "z.wb"]


def test_interrupt_at_any_line_of_writing_leaves_the_old_file_or_the_new_one_and_nothing_else(tmp_path: Path) -> None:
    """Ctrl-C comes between any two lines, also of the ones that make the temporary file and clean up after it."""
    module = writing.__wrapped__.__code__.co_filename  # type: ignore[attr-defined]
    path = tmp_path / "x"

    def write(text: bytes, at: int) -> bool:
        """Write the file, and raise at a line; return whether there was one."""
        left = at

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename != module:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            with writing(path) as file:
                file.write(memoryview(text))
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        return left <= 0

    write(b"old", 0)
    for at in itertools.count(1):
        interrupted = write(b"new", at)
        assert contents(tmp_path).keys() == {"x"}, f"interrupted at line {at}"
        assert path.read_bytes() in (b"old", b"new")
        if not interrupted:
            break
        path.write_bytes(b"old")
    assert path.read_bytes() == b"new"
    assert at > 40


def test_readers_and_a_saver_beside_each_other(tmp_path: Path, store_directory: Path) -> None:
    """Who loads while the file is saved again and again gets one of the values whole."""
    wb.put(np.zeros(MIB, dtype="u1"), "x")
    wb.save("x", tmp_path / "x.wb")
    with Process(store_directory) as saver:
        saver.do("import numpy as np, workbench as wb")
        saver.start(
            f"for n in range(1, 40):\n    wb.put(np.full(1 << 20, n, 'u1'), 'x')\n    wb.save('x', {str(tmp_path / 'x.wb')!r})"
        )
        for turn in range(30):
            array = wb.get(wb.load(tmp_path / "x.wb", f"y{turn % 3}"))
            assert array.min() == array.max()
        saver.finish()


@pytest.fixture
def synchronous() -> Iterator[None]:
    """Dask computes in this thread, so that no pool of threads is left."""
    with dask.config.set(scheduler="sync"):
        yield


def dataset(name: str = "data") -> pd.DataFrame:
    """Share a frame in five partitions under a name, and return what it is when it is computed."""
    frame = pd.DataFrame({"x": np.arange(1000.0), "s": [f"row {n}" for n in range(1000)]})
    dd.from_pandas(frame, npartitions=5).persist_shared(name)
    computed: pd.DataFrame = wb.open(name).compute()
    return computed


@pytest.mark.usefixtures("synchronous")
def test_dataset_is_one_file_with_all_its_partitions(tmp_path: Path, memory_directory: Path) -> None:
    """A dataset comes back elsewhere, is opened lazily, and goes with its partitions when it is deleted or replaced."""
    frame = dataset()
    size = wb.info("data").nbytes
    assert wb.save("data", tmp_path / "data.wb").nbytes == size
    with wb.Session(memory_directory / "other", capacity=64 * MIB) as other:
        previous = wb.use_session(other)
        try:
            ref = wb.load(tmp_path / "data.wb")
            assert (ref.name, ref.kind, len(wb.ls()), len(wb.ls(parts=True))) == ("data", "dataset", 1, 6)
            assert abs(wb.info("data").nbytes - size) < 1000 and ref.nbytes == wb.info("data").nbytes
            pd.testing.assert_frame_equal(wb.open("data").compute(), frame)
            assert wb.open("data").divisions == (0, 200, 400, 600, 800, 999)
            assert wb.load(tmp_path / "data.wb") == ref
            again = wb.load(tmp_path / "data.wb", "again")
            pd.testing.assert_frame_equal(wb.open(again).compute(), frame)
            other.store.delete(other.store.ls(dataset=ref.id)[0].id)
            wb.load(tmp_path / "data.wb", "data")
            assert len(wb.ls(parts=True)) == 12
            pd.testing.assert_frame_equal(wb.open("data").compute(), frame)
            wb.delete("data")
            wb.delete("again")
            assert list(wb.ls(parts=True)) == []
        finally:
            wb.use_session(previous)


@pytest.mark.usefixtures("synchronous")
def test_dataset_that_is_damaged_at_its_end_leaves_nothing(tmp_path: Path, elsewhere: wb.Session) -> None:
    """Partitions that were whole go as well."""
    dataset()
    wb.save("data", tmp_path / "data.wb")
    data = bytearray((tmp_path / "data.wb").read_bytes())
    data[-100] ^= 1
    (tmp_path / "data.wb").write_bytes(data)
    with pytest.raises(wb.SavedFileError, match="checksum"):
        elsewhere.load(tmp_path / "data.wb")
    assert list(elsewhere.ls(parts=True)) == []


@pytest.mark.usefixtures("synchronous")
def test_dataset_with_partitions_elsewhere_is_not_saved_in_part(tmp_path: Path, session: wb.Session) -> None:
    """Without the cluster that has the rest, saving says how many partitions there are, and writes nothing."""
    dataset()
    session.store.delete(session.store.ls(dataset=session.store.resolve("data"))[0].id)
    with pytest.raises(
        wb.ObjectNotFoundError, match=r"'data' has 5 partitions, and only 4 of them are on this host.*wb\.connect"
    ):
        wb.save("data", tmp_path / "data.wb")
    assert contents(tmp_path) == {}
