"""Previews: what is shown of each kind of object, and what objects that mean harm can do: nothing to the server, and only for a while."""

from __future__ import annotations

import asyncio
import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

import workbench as wb
from tests.jupyter import openapi
from tests.jupyter.asking import Ask
from workbench.jupyter.server import preview_tables
from workbench.jupyter.server.preview_grids import grid_of
from workbench.jupyter.server.preview_pictures import is_picture, png
from workbench.jupyter.server.problems import NotPossibleError
from workbench.store import Store

API = openapi.read()


def shown(value: Any, rows: tuple[int, int] = (0, 3), columns: tuple[int, int] = (0, 3)) -> dict[str, Any]:
    """Return a page of a value, as the process would, held against the description."""
    page = preview_tables.page(grid_of(value), value, rows, columns)
    openapi.check(API, "preview", 200, page)
    return page


def summed(value: Any) -> list[dict[str, Any]]:
    """Return the columns of a summary."""
    found = preview_tables.summary(grid_of(value), 0, 50)
    openapi.check(API, "summary", 200, found)
    columns: list[dict[str, Any]] = found["columns"]
    return columns


FRAME = pd.DataFrame(
    {
        "n": [1, 2, 3, 4],
        "x": [0.1, None, np.inf, 2.5],
        "s": ["a<b>", None, "", "a"],
        "t": pd.to_datetime(["2026-01-01"] * 4),
    },
    index=["p", "q", "r", "s"],
)


def test_a_page_of_a_frame_is_its_cells_as_text() -> None:
    """Missing values are null, numbers are as short as they can be, and the page is the one that was asked for."""
    page = shown(FRAME, (1, 3), (0, 4))
    assert (page["kind"], page["total_rows"], page["total_columns"], page["index"]) == ("table", 4, 4, ["q", "r"])
    assert page["rows"] == [["2", None, None, "2026-01-01 00:00:00"], ["3", "inf", "", "2026-01-01 00:00:00"]]
    assert [column["name"] for column in page["columns"]] == ["n", "x", "s", "t"]
    assert shown(FRAME, (0, 1), (1, 2))["rows"] == [["0.1"]]
    assert shown(FRAME, (100, 200))["rows"] == []
    assert shown(FRAME.astype({"x": "float32"}), (0, 1), (1, 2))["rows"] == [["0.1"]]


@pytest.mark.parametrize(
    ("value", "rows", "kind"),
    [
        (np.arange(6), [["0"], ["1"]], "array"),
        (np.arange(6, dtype=">i4"), [["0"], ["1"]], "array"),
        (np.arange(6.0).reshape(3, 2), [["0.0", "1.0"], ["2.0", "3.0"]], "array"),
        (np.arange(8).reshape(2, 2, 2), [["0", "1", "2"], ["4", "5", "6"]], "array"),
        (np.array([(1, "a"), (2, "b")], dtype=[("n", "i4"), ("s", "U3")]), [["1", "a"], ["2", "b"]], "array"),
        (np.array(["2026-01-01", "NaT"], "datetime64[D]"), [["2026-01-01 00:00:00"], [None]], "array"),
        (np.array([1 + 2j, np.nan]), [["(1+2j)"], [None]], "array"),
        (FRAME["n"], [["1"], ["2"]], "table"),
        (FRAME.index, [["p"], ["q"]], "table"),
        (pd.MultiIndex.from_product([[1], ["a", "b"]]).to_frame(), [["1", "a"], ["1", "b"]], "table"),
        (pa.table({"a": [1, None], "l": [[1], []]}), [["1", "[1]"], [None, "[]"]], "table"),
        (pa.array(["x", None]), [["x"], [None]], "table"),
        (pl.DataFrame({"a": [1, None], "s": ["x", "y"]}), [["1", "x"], [None, "y"]], "table"),
        (scipy.sparse.eye_array(3).tocoo(), [["1.0", "0.0", "0.0"], ["0.0", "1.0", "0.0"]], "array"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_every_kind_of_table_and_array_has_pages(value: Any, rows: list[list[str | None]], kind: str) -> None:
    """The cells are those of the object, whatever library it is of; each kind has a summary, too."""
    page = shown(value, (0, 2))
    assert (page["kind"], page["rows"]) == (kind, rows)
    assert len(summed(value)) == page["total_columns"]


def test_what_has_no_cells_is_text() -> None:
    """A dictionary, a number, text, bytes and an object of a class show themselves, cut where they are long."""
    assert shown({"a": [1, 2]})["text"] == "{'a': [1, 2]}"
    assert shown(np.array(5))["kind"] == "text"
    assert shown("x" * 100_000)["text"] == "x" * 20_000 + "…"
    assert "and 800 more" in shown(list(range(1000)))["text"]
    assert shown("\ud800")["text"] == "?"
    with pytest.raises(NotPossibleError, match="no columns"):
        preview_tables.summary(None, 0, 1)


def test_a_cell_is_bounded_and_cannot_break_the_page() -> None:
    """Long text is cut, and a value that cannot show itself is named by its class."""

    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    page = shown(pd.DataFrame({"o": pd.Series([Rude(), "x" * 9000, "a\ud800"], dtype=object)}))
    assert [row[0] for row in page["rows"]] == ["<Rude>", "x" * 500 + "…", "a?"]


def test_a_summary_says_what_is_in_each_column() -> None:
    """Numbers and times have a least, a greatest, a mean and a histogram, the others their most frequent values; all count what is missing."""
    number, ratio, text, moment = summed(FRAME)
    assert (number["nulls"], number["min"], number["max"], number["mean"]) == (0, "1", "4", "2.5")
    assert sum(number["histogram"]["counts"]) == 4 and len(number["histogram"]["edges"]) == 21
    assert (ratio["nulls"], ratio["min"], sum(ratio["histogram"]["counts"])) == (1, "0.1", 2)
    assert (text["nulls"], text["min"], text["histogram"], text["top"]) == (
        1,
        "",
        None,
        [["a<b>", 1], ["", 1], ["a", 1]],
    )
    assert moment["histogram"] is not None and moment["min"] == "2026-01-01 00:00:00"
    (flags,) = summed(np.array([True, False, True]))
    assert flags["top"] == [["True", 2], ["False", 1]]
    (empty,) = summed(np.empty(0))
    assert (empty["min"], empty["histogram"], empty["nulls"]) == (None, None, 0)
    for odd in (
        np.array([1e308, -1e308]),
        np.array([np.nan]),
        np.array([5e-324, 0.0]),
        pd.DataFrame({"o": [[1], {2}]}),
    ):
        assert summed(odd)
    long = preview_tables.summary(grid_of(np.arange(1_000_000)), 0, 1)
    assert (long["sampled"], long["rows"], long["columns"][0]["max"]) == (True, 200_000, "999995")


def decoded(picture: bytes) -> np.ndarray[Any, Any]:
    """Read a PNG as this project writes it."""
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, position = {}, 8
    while position < len(picture):
        (length,) = struct.unpack(">I", picture[position : position + 4])
        name, data = picture[position + 4 : position + 8], picture[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack(">I", picture[position + 8 + length : position + 12 + length])
        assert checksum == zlib.crc32(name + data)
        chunks[name] = data
        position += 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert depth == 8
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, {0: 1, 2: 3, 6: 4}[colour])


def test_pictures_are_what_they_show() -> None:
    """Grey and coloured, of bytes and of numbers, upside down in memory, larger than is shown: the pixels are right."""
    drawn = np.random.default_rng(1)
    coloured = drawn.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert (decoded(png(coloured)) == coloured).all()
    assert (decoded(png(coloured[::-1, ::2])) == coloured[::-1, ::2]).all()
    grey = np.linspace(0, 1, 400).reshape(20, 20)
    assert (decoded(png(grey))[..., 0] == (grey * 255).astype(np.uint8)).all()
    stretched = decoded(png(np.where(np.eye(20) > 0, np.nan, grey * 7 - 3)))
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert decoded(png(np.zeros((1500, 100), np.uint16))).shape == (750, 50, 1)
    for none in (np.zeros(10), np.zeros((1000, 10)), np.zeros((20, 20), "i8"), np.zeros((20, 20, 2)), FRAME, "x"):
        assert not is_picture(none)
        with pytest.raises(NotPossibleError, match="not like an image"):
            png(none)


# -- the process -------------------------------------------------------------------------------------------------------


@pytest.fixture
def jp_server_config(jp_server_config: Any) -> Any:
    """Give previews less time and memory than they have by default."""
    jp_server_config.WorkbenchApp.preview_timeout = 4.0
    jp_server_config.WorkbenchApp.preview_memory = 64 << 20
    return jp_server_config


@pytest.fixture
def session(store_directory: Path) -> Iterator[wb.Session]:
    """Open a session on the store that the server shows."""
    with wb.Session(store_directory, capacity="512 MiB") as session:
        yield session


class Trap:
    """Runs a line of code where it is unpickled, and becomes a frame."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> Any:
        return eval, (f"exec({self.code!r}) or __import__('pandas').DataFrame({{'a': [1]}})",)


def test_previews_are_made_by_another_process(
    ask: Ask, session: wb.Session, hub: Any, jp_serverapp: Any, tmp_path: Path
) -> None:
    """Pages, summaries and pictures come from a process of its own, which outlives objects that mean harm or is replaced; the server runs none of their code."""
    del hub
    frame = session.put(pd.DataFrame({"n": np.arange(1000), "s": ["<b>"] * 1000}), "frame")
    status, page = ask("GET", f"objects/{frame.id}/preview", params={"start": "990", "stop": "1090", "cstop": "1"})
    openapi.check(API, "preview", status, page)
    assert (page["total_rows"], page["index"][0], page["rows"][-1]) == (1000, "990", ["999"])
    status, found = ask("GET", f"objects/{frame.id}/summary")
    openapi.check(API, "summary", status, found)
    assert [column["name"] for column in found["columns"]] == ["n", "s"]
    picture = session.put(np.full((16, 16), 7, np.uint8))
    status, image = ask("GET", f"objects/{picture.id}/image")
    assert status == 200 and (decoded(image) == 7).all()
    assert ask("GET", f"objects/{picture.id}/preview")[1]["kind"] == "image"
    status, answer = ask("GET", f"objects/{frame.id}/image")
    assert (status, answer["kind"]) == (409, "not-possible")
    previews = jp_serverapp.web_app.settings["workbench_services"].previews
    first = previews.pid
    assert first not in (None, os.getpid())

    mark = tmp_path / "mark"
    trap = session.put(Trap(f"open({str(mark)!r}, 'w').write(str(__import__('os').getpid()))"))
    for path in ("", "/plan", "/partitions"):
        ask(
            "POST" if path == "/plan" else "GET",
            f"objects/{trap.id}{path}",
            *([{"verb": "spill"}] if path == "/plan" else []),
        )
    assert not mark.exists()
    assert ask("GET", f"objects/{trap.id}/preview")[1]["rows"] == [["1"]]
    assert mark.read_text() == str(first)

    status, answer = ask("GET", f"objects/{session.put(Trap('1/0')).id}/preview")
    assert (status, answer["kind"]) == (400, "codec")
    assert previews.pid == first
    hogs = session.put(Trap("kept = bytearray(200 << 20)"))
    status, answer = ask("GET", f"objects/{hogs.id}/preview")
    assert (status, answer["kind"]) == (413, "preview-memory")
    assert "64 MiB" in answer["message"]
    dies = session.put(Trap("__import__('os').kill(__import__('os').getpid(), 9)"))
    status, answer = ask("GET", f"objects/{dies.id}/preview")
    assert (status, answer["kind"]) == (502, "preview") and "signal 9" in answer["message"]
    loops = session.put(Trap("while True: pass"))
    begun = time.monotonic()
    status, answer = ask("GET", f"objects/{loops.id}/preview")
    assert (status, answer["kind"]) == (504, "preview-timeout")
    assert 4 <= time.monotonic() - begun < 8
    large = session.put(np.zeros((20_000, 1000)), "larger than the process may have for itself")
    assert ask("GET", f"objects/{large.id}/preview", params={"start": "19999"})[1]["rows"][0][:2] == ["0.0", "0.0"]
    status, answer = ask("GET", f"objects/{'0' * 32}/preview")
    assert (status, answer["kind"]) == (404, "object-not-found")


def test_the_object_is_let_go_and_the_process_ends_with_the_server(
    ask: Ask, session: wb.Session, jp_serverapp: Any, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> None:
    """Some seconds after the last page nobody holds the object because of its preview; when the server stops, the process is gone."""
    ref = session.put(np.zeros(1 << 20), "a")
    assert ask("GET", f"objects/{ref.id}/preview")[0] == 200
    deadline = time.monotonic() + 20
    while any("preview" in holder.label for holder in session.holders("a")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    previews = jp_serverapp.web_app.settings["workbench_services"].previews
    pid = previews.pid
    jp_asyncio_loop.run_until_complete(previews.close())
    assert not Path(f"/proc/{pid}").exists()


def test_a_dataset_is_previewed_by_its_partitions(ask: Ask, store: Store) -> None:
    """Only the partitions that have the rows are read; rows of a partition that is not here are refused with where they are."""
    with dask.config.set(scheduler="synchronous"):
        dd.from_pandas(pd.DataFrame({"n": range(100)}), npartitions=4).persist_shared("d")
    ref = wb.info("d").ref
    page = ask("GET", f"objects/{ref.id}/preview", params={"start": "20", "stop": "30"})[1]
    assert (page["total_rows"], [row[0] for row in page["rows"]]) == (100, [str(number) for number in range(20, 30)])
    (column,) = ask("GET", f"objects/{ref.id}/summary")[1]["columns"]
    assert (column["min"], column["max"], sum(column["histogram"]["counts"])) == ("0", "99", 100)
    store.delete(next(part.id for part in store.ls(dataset=ref.id) if part.tags["partition"] == "3"))
    page = ask("GET", f"objects/{ref.id}/preview", params={"stop": "1"})[1]
    openapi.check(API, "preview", 200, page)
    assert "3 of 4 partitions" in page["text"] and "No cluster runs on this host" in page["text"]
    assert "elsewhere" not in page
    status, answer = ask("GET", f"objects/{ref.id}/preview", params={"start": "90"})
    assert (status, answer["kind"]) == (409, "out-of-reach")
    assert answer["message"].startswith("Partition 3 of 'd', which has these rows, is not on this host. No cluster")
    for part in store.ls(dataset=ref.id):
        store.delete(part.id)
    status, answer = ask("GET", f"objects/{ref.id}/preview")
    assert (status, answer["kind"]) == (409, "out-of-reach") and "Partition 0 of 'd'" in answer["message"]
