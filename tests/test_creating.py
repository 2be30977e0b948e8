"""Objects that are made where they will lie: arrays in place, tables batch by batch."""

from __future__ import annotations

import gc
import signal
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest

import workbench as wb
from tests.processes import Process, run
from workbench.store.creating import Memory
from workbench.testing.consistency import assert_consistent

MIB = 1 << 20
SCHEMA = pa.schema([("number", pa.int64()), ("text", pa.string())])


@pytest.fixture
def session(store_directory: Path) -> wb.Session:
    """The current session, on a store of the test's own of 256 MiB."""
    return wb.use_session(None) or wb.current_session()


def rows(start: int, count: int) -> pa.RecordBatch:
    """Rows of a table."""
    return pa.record_batch(
        [pa.array(range(start, start + count)), pa.array([f"row {n}" for n in range(start, start + count)])],
        schema=SCHEMA,
    )


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float64", "int8", "datetime64[ns]", "U3", [("x", "f4"), ("y", "i8")]], ids=str)
@pytest.mark.parametrize("shape", [(3, 5), (700, 300), (1 << 20,), 7, (0, 4), ()], ids=str)
def test_array_that_was_filled_in_place_comes_back(
    session: wb.Session, shape: Any, dtype: npt.DTypeLike, order: Literal["C", "F"]
) -> None:
    """Shape, dtype, order and contents are those of what was filled, here and in the catalog."""
    filled = np.random.default_rng(0).integers(0, 100, shape).astype(dtype if not isinstance(dtype, list) else "i8")
    creation = wb.create(shape, dtype, "x", order=order)
    with creation as array:
        array[...] = filled
        assert not wb.exists("x")
    got = wb.get("x")
    assert (got.shape, got.dtype) == (array.shape, np.dtype(dtype))
    assert np.array_equal(got, array) and (got.flags.f_contiguous or order == "C")
    assert creation.ref == session.info("x").ref
    assert not array.flags.writeable and not got.flags.writeable
    del array, got
    gc.collect()
    assert_consistent(session.store)


def test_another_process_maps_what_was_filled(session: wb.Session, store_directory: Path) -> None:
    """The bytes are in shared memory: nothing was copied at the end."""
    with wb.create((1000, 1000), name="x") as array:
        array[:] = 3.5
    assert session.memory().sealed >= 8_000_000
    with Process(store_directory) as other:
        assert other.do("import workbench as wb\nresult = float(wb.get('x').sum())") == 3.5e6


def test_nobody_can_change_a_sealed_array(session: wb.Session) -> None:
    """Views that were taken while the array was filled change a copy of their own afterwards, and the array itself is read-only."""
    with wb.create(1 << 20, "int64", "x") as array:
        array[:] = 1
        view = array[:100]
    view[:] = 7
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 2
    assert wb.get("x").sum() == 1 << 20
    session.delete("x")
    session.put(np.zeros(1 << 20, "int64"), "y")
    # Whoever has the array holds its segment, as any reader does.
    assert array[1000] == 1 and session.memory().deleted >= 8 << 20
    del array, view
    gc.collect()
    assert session.memory().deleted == 0


def test_array_that_is_replaced_in_the_moment_of_its_seal_keeps_its_values(
    session: wb.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deletes the object as soon as it can be seen, and needs room of the same size: the memory of the array is not recycled."""
    lease = Memory.lease

    def late(self: Memory, path: str) -> None:
        session.put(np.zeros(1_000_000), "x")
        session.put(np.zeros(1_000_000), "y")
        lease(self, path)

    monkeypatch.setattr(Memory, "lease", late)
    with session.create(1_000_000, "f8", "x") as array:
        array[:] = 7
    assert (array == 7).all()
    assert (session.get("x") == 0).all()
    assert session.store.doctor() == []


def test_exception_in_the_block_leaves_nothing(session: wb.Session) -> None:
    """What was not finished is given up, and the array that somebody still has does not reach into the store."""
    creation = wb.create(1 << 20, name="x")
    array = creation.__enter__()
    array[:] = 1
    creation.__exit__(KeyError, KeyError(), None)
    assert not wb.exists("x") and session.memory().used == 0
    array[:] = 2
    session.put(np.ones(1 << 20), "y")
    assert wb.get("y").sum() == 1 << 20
    assert_consistent(session.store)


def test_recycled_memory_is_used_in_place(session: wb.Session) -> None:
    """An array in place takes a segment from the pool, and later puts cannot be changed by it."""
    for round_ in range(4):
        session.put(np.full(1 << 20, float(round_)), "x")
        session.delete("x")
        with wb.create(1 << 20, name="made") as array:
            array[:] = round_
            kept = array[:10]
        session.delete("made")
        del array
        session.put(np.zeros(1 << 20), "other")
        kept[:] = 9
        assert wb.get("other").sum() == 0
        del kept
        gc.collect()
    assert len(list(session.store.directory.glob("*.segment"))) <= 3


def test_array_without_room_is_refused(session: wb.Session) -> None:
    """There is no room for it: the error comes before the block runs."""
    session.store.catalog.set_capacity(64 * MIB)
    with pytest.raises(wb.StoreFullError, match="no room"), wb.create(16 << 20, name="x"):
        pytest.fail("the block ran")
    assert session.memory().used == 0


def test_what_can_never_fit_is_refused_without_waiting_for_room(
    session: wb.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the capacity: nothing is given up for it, and nobody waits, although there is something that could be spilled."""
    wb.put(np.zeros(8 * MIB, "u1"), "x")
    monkeypatch.setattr("workbench.store.eviction.make_room", lambda *_: pytest.fail("room was made"))
    with pytest.raises(wb.StoreFullError, match="never can have"), wb.create(1 << 40, "u1"):
        pytest.fail("the block ran")
    assert wb.where("x")[0].state == "memory"


def test_an_object_in_the_making_says_how_it_is_made(session: wb.Session) -> None:
    """Who forgets ``with`` sees it; afterwards it says what it has become."""
    new = wb.create((1000, 20), "float32", "x")
    assert (
        repr(new)
        == "<new array of 1,000 x 20 float32, to be filled in a block: with wb.create(...) as array: array[:] = ...>"
    )
    with new as array:
        array[:] = 1
    assert repr(new) == f"<new array of 1,000 x 20 float32: {new.ref}>" and new.ref is not None
    assert "with wb.create(...) as table: table.append(...)" in repr(wb.create(SCHEMA))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((3,), object), TypeError, "holds Python objects"),
        (((-1,),), ValueError, "negative dimension"),
        (((2.5,),), TypeError, r"shape is \(2\.5,\)"),
    ],
)
def test_array_that_cannot_be_is_refused(
    session: wb.Session, arguments: Any, error: type[Exception], message: str
) -> None:
    """Shapes and dtypes that cannot be made say why."""
    with pytest.raises(error, match=message):
        wb.create(*arguments)
    with pytest.raises(wb.NameConflictError):
        wb.create(3, name="")


def test_table_grows_batch_by_batch(session: wb.Session) -> None:
    """A table has all rows that were appended, as batches, tables and frames; large ones never lie in private memory at once."""
    with wb.create(SCHEMA, name="table") as table:
        table.append(rows(0, 10))
        table.append(pa.Table.from_batches([rows(10, 600_000)]))
        table.append(pa.table([range(600_010, 1_400_010), ["y" * 30] * 800_000], schema=SCHEMA))
        table.append(pd.DataFrame({"number": [1_400_010], "text": ["last"]}))
        assert table.num_rows == 1_400_011 and not wb.exists("table")
        assert session.memory().writing > 32 * MIB
    got = wb.get("table")
    got.validate(full=True)
    assert got.schema == SCHEMA and got.column("number").to_numpy().tolist() == list(range(1_400_011))
    assert got.column("text")[5].as_py() == "row 5" and got.column("text")[1_400_010].as_py() == "last"
    assert table.ref == session.info("table").ref
    del got
    gc.collect()
    assert_consistent(session.store)
    session.delete("table")
    assert session.memory().sealed < 1000


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_small_tables_are_objects_like_any_other(session: wb.Session, count: int) -> None:
    """A table of few rows, or of none, keeps its schema."""
    with wb.create(SCHEMA, name="table") as table:
        if count:
            table.append(rows(0, count))
    assert wb.get("table").equals(pa.Table.from_batches([rows(0, count)] if count else [], schema=SCHEMA))


def test_name_of_a_table_may_follow_its_schema(session: wb.Session) -> None:
    """A table has no dtype, so what stands there is its name; anything else is refused."""
    with wb.create(SCHEMA, "table") as table:
        table.append(rows(0, 3))  # type: ignore[attr-defined]  # for who writes it as for an array
    assert wb.get("table").num_rows == 3
    with pytest.raises(TypeError, match="create takes no dtype"):
        wb.create(SCHEMA, np.int64, "x")
    with pytest.raises(TypeError, match=r"not ObjectInfo\. Use its `\.id`"):
        wb.get(wb.info("table"))  # type: ignore[arg-type]


def test_rows_that_do_not_fit_are_refused_and_the_others_stay(session: wb.Session) -> None:
    """Wrong columns say what was expected; the table can be finished all the same."""
    with wb.create(SCHEMA, name="table") as table:
        table.append(rows(0, 5))
        with pytest.raises(
            TypeError, match=r"columns a \(int64\), and the table has number \(int64\), text \(string\)"
        ):
            table.append(pa.table({"a": [1]}))
        with pytest.raises(TypeError, match="does not fit the schema") as caught:
            table.append(pd.DataFrame({"number": [1]}))
        assert caught.value.__suppress_context__  # pandas' own frames say nothing more
        with pytest.raises(TypeError, match="not as list"):
            table.append([1])
    assert wb.get("table").num_rows == 5
    with pytest.raises(wb.WorkbenchError, match="not open for rows"):
        table.append(rows(0, 1))


def test_table_without_room_keeps_what_was_appended(session: wb.Session) -> None:
    """Rows for which there is no room are refused, and those before them can be sealed."""
    session.store.catalog.set_capacity(100 * MIB)
    big = pa.table([np.arange(5_000_000), pa.array([None] * 5_000_000, pa.string())], schema=SCHEMA)
    with wb.create(SCHEMA, name="table") as table:
        table.append(big)
        with pytest.raises(wb.StoreFullError, match="no room"):
            table.append(big)
    assert wb.get("table").num_rows == 5_000_000


@pytest.mark.parametrize("what", ["array", "table"])
def test_maker_that_dies_leaves_nothing(session: wb.Session, store_directory: Path, what: str) -> None:
    """A kill -9 within the block leaves no object, and its memory is reclaimed."""
    make = {
        "array": "with wb.create(1 << 20, name='x') as array:\n    array[:] = 1\n    die()",
        "table": "with wb.create(SCHEMA, name='x') as table:\n    table.append(rows(0, 900_000)); table.append(rows(0, 900_000)); die()",
    }[what]
    done = run(
        "import os, signal, workbench as wb\nfrom tests.test_creating import SCHEMA, rows\n"
        f"def die():\n    os.kill(os.getpid(), signal.SIGKILL)\n{make}",
        store_directory,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    session.store.doctor()
    assert session.memory().used == 0 and not wb.exists("x")
    assert_consistent(session.store)
