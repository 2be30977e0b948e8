"""The magics in a real IPython shell."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import workbench as wb
from tests.jupyter.cells import run
from workbench.jupyter.parsing import MagicError
from workbench.objects import format_nbytes
from workbench.store import default_directory


def test_share_and_fetch_keep_the_value(shell: InteractiveShell) -> None:
    """A shared variable is fetched equal, under its own name or another."""
    ref = run(shell, "%share df")
    assert (ref.name, ref.kind) == ("df", "dataframe")
    with capture_output() as shown:
        run(shell, "%fetch df as again")
    pd.testing.assert_frame_equal(shell.user_ns["again"], shell.user_ns["df"])
    assert shown.stdout.startswith(
        f"again = 'df': pandas.DataFrame, 3 x 2, {format_nbytes(ref.nbytes)}, small: a copy, fetched in "
    )
    del shell.user_ns["df"]
    run(shell, "%fetch df")
    assert list(shell.user_ns["df"]["x"]) == [1, 2, 3]


def test_several_variables_are_shared_under_their_own_names(shell: InteractiveShell) -> None:
    """Each variable becomes an object; the answer lists them."""
    shell.user_ns["n"] = 5
    found = run(shell, "%share df n")
    assert [ref.name for ref in found] == ["df", "n"]
    assert {"df", "n"} <= set(wb.current_session().store.names())


def test_a_dataset_is_fetched_lazily(shell: InteractiveShell) -> None:
    """%fetch opens it: no partition is mapped, moved or put together for that."""
    frame = pd.DataFrame({"x": np.arange(100_000.0)})
    with dask.config.set(scheduler="sync"):
        dd.from_pandas(frame, npartitions=2).persist_shared("frame")
        run(shell, "%fetch frame")
        assert wb.holders() == []
        assert shell.user_ns["frame"].x.sum().compute() == frame.x.sum()


def test_several_objects_are_fetched_and_each_is_told(shell: InteractiveShell) -> None:
    """A line for each says what it is; no value stays in Out; if one is not there, no variable is assigned."""
    wb.put(np.arange(100_000), "a")
    wb.put(1, "b")
    with capture_output() as shown:
        assert run(shell, "%fetch a b") is None
    first, second = shown.stdout.splitlines()
    assert first.startswith("a: numpy.ndarray, 100,000, 781.") and ", shared, fetched in " in first
    assert second.startswith("b: int, ")
    wb.put(pd.DataFrame({"x": pd.Series([bytes(100) for _ in range(3000)], dtype=object)}), "objects")
    wb.put({"x": b"x" * 300_000, "y": np.zeros(100_000)}, "mixed")
    with capture_output() as shown:
        run(shell, "%fetch objects mixed")
    assert (
        ", a copy: it is pickled, fetched in " in shown.stdout
        and "shared but for 293.1 KiB that are pickled" in shown.stdout
    )
    assert shell.user_ns["a"].sum() == 4999950000 and shell.user_ns["b"] == 1
    del shell.user_ns["a"], shell.user_ns["mixed"]
    assert wb.holders() == []
    with pytest.raises(wb.ObjectNotFoundError):
        run(shell, "%fetch a nope")
    assert "a" not in shell.user_ns


def test_an_expression_is_shared_under_a_given_name(shell: InteractiveShell) -> None:
    """``as`` takes any expression and any name, also one in quotes."""
    run(shell, '%share df.assign(z=df["x"] * 2) as "my flights"')
    assert list(wb.get("my flights")["z"]) == [2, 4, 6]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("a = 1\na + 1", 2),
        ("b = 7", 7),
        ("c: int = 8", 8),
        ("x = !echo hi\nlist(x)", ["hi"]),
        ("def f():\n    1\n\nf.__name__", "f"),
    ],
)
def test_cell_magic_shares_the_value_of_the_last_line(shell: InteractiveShell, cell: str, value: Any) -> None:
    """The cell runs as usual, its variables stay, and its last expression or assignment is shared."""
    run(shell, f"%%share result\n{cell}")
    assert wb.get("result") == value
    if cell.startswith("a ="):
        assert shell.user_ns["a"] == 1


def test_cell_without_a_value_is_refused_before_it_runs(shell: InteractiveShell) -> None:
    """A cell that ends in a statement has nothing to share, and none of it is run."""
    with pytest.raises(MagicError, match="last line of the cell has no value"):
        run(shell, "%%share result\nseen = 1\nfor _ in []: pass")
    assert "seen" not in shell.user_ns
    with pytest.raises(MagicError, match="has no value"):
        run(shell, "%%share result\n\n")


def test_overview_fits_a_screen(shell: InteractiveShell) -> None:
    """``%wb`` alone, and the help of each verb, fit 80 by 24."""
    with capture_output() as shown:
        run(shell, "%wb")
    lines = shown.stdout.splitlines()
    assert len(lines) <= 24
    assert "%wb replicate" in shown.stdout
    for words in ("replicate -h", "help replicate"):
        with capture_output() as shown:
            run(shell, f"%wb {words}")
        assert "--to" in shown.stdout and len(shown.stdout.splitlines()) <= 24
    for magic in ("share", "fetch"):
        with capture_output() as shown:
            run(shell, f"%{magic} -h")
        assert f"%{magic} " in shown.stdout and "Option" in shown.stdout


def test_verbs_act_on_the_store(shell: InteractiveShell) -> None:
    """The verbs that need no cluster answer with values that can be used further."""
    run(shell, "%share df")
    assert [info.name for info in run(shell, "%wb ls")] == ["df"]
    assert run(shell, "%wb ls nope*") == []
    assert run(shell, "%wb info df").name == "df"
    assert [node.state for node in run(shell, "%wb nodes")] == ["local"]
    assert len(run(shell, "%wb where df")) == 1
    assert run(shell, "%wb memory").sealed > 0
    assert run(shell, "%wb holders") == []
    run(shell, "%wb pin df")
    assert run(shell, "%wb info df").pinned
    run(shell, "%wb unpin df")
    assert not run(shell, "%wb info df").pinned
    run(shell, "%wb delete df")
    assert not wb.exists("df")


def test_operations_without_a_cluster_are_none(shell: InteractiveShell) -> None:
    """There are none, and a line says where there would be."""
    with capture_output() as shown:
        assert run(shell, "%wb operations") == []
    assert "`%wb connect` joins one" in shown.stdout


def test_a_lazy_collection_gets_a_hint(shell: InteractiveShell) -> None:
    """Who shares a Dask DataFrame itself is told what that means, and how to share its data."""
    shell.user_ns["ddf"] = dd.from_pandas(shell.user_ns["df"], npartitions=1)
    with capture_output() as shown:
        run(shell, "%share ddf")
        run(shell, "%share df")
    assert shown.stdout.count("is lazy") == 1 and "ddf.persist_shared('ddf')" in shown.stdout
    assert "LazyWarning" not in shown.stderr
    shell.user_ns["ref"] = wb.put(1, "one")
    shell.user_ns["later"] = pl.DataFrame({"x": [1]}).lazy()
    with capture_output() as shown:
        run(shell, "%share ref as two")
        run(shell, "%share later")
    assert "ref is a reference" in shown.stdout and "%share wb.get(ref) as two" in shown.stdout
    assert "%share later.collect() as later" in shown.stdout


def test_holders_are_told_as_of_the_line_that_asks(shell: InteractiveShell) -> None:
    """Within one cell, too: what a variable that was just deleted had kept is not said to be kept by it."""
    wb.put(np.arange(100_000), "x")
    run(shell, "import workbench as wb; y = wb.get('x'); z = y[:10]")
    assert [holder.cause for holder in run(shell, "wb.holders()")] == ["variables y, z"]
    assert [holder.cause for holder in run(shell, "del y; wb.holders()")] == ["variable z"]
    assert run(shell, "del z; list(wb.holders())") == []


def test_what_was_done_is_said(shell: InteractiveShell) -> None:
    """Deleting, pinning and replacing say so in a line; so does what had nothing to do."""
    with capture_output() as shown:
        old = run(shell, "%share df")
        again = run(shell, "%share df")
        said = [run(shell, f"%wb {words} df") for words in ("pin", "pin", "unpin", "unpin", "restore")]
        assert [info.id for info in run(shell, "%wb rm df")] == [again.id]
    lines = shown.stdout.splitlines()
    assert lines.count(f"replaced the object that had the name 'df' (id {old.id})") == 1
    assert "deleted 1 object" in lines
    assert list(map(str, said)) == [
        "pinned df",
        "df was pinned already",
        "unpinned df",
        "df was not pinned",
        "df was in memory already",
    ]


def test_an_object_is_renamed(shell: InteractiveShell) -> None:
    """Its names go, and it has the new one; another object loses its name, and is deleted, only when that is said."""
    ref = run(shell, "%share df")
    wb.put(1, "one")
    assert str(run(shell, "%wb rename df table")) == "renamed df to table"
    assert wb.info("table").names == ("table",) and wb.info("table").id == ref.id
    with pytest.raises(wb.NameConflictError, match="Another object is called 'one'.* or add --replace to delete"):
        run(shell, "%wb rename table one")
    with pytest.raises(wb.NameConflictError):
        wb.rename("table", "")
    assert wb.rename("table", "one", replace=True) == dataclasses.replace(ref, name="one")
    assert [info.id for info in wb.ls()] == [ref.id]


def test_load_takes_as(shell: InteractiveShell, tmp_path: Path) -> None:
    """A saved object gets another name with ``as``, too."""
    run(shell, "%share df")
    run(shell, f"%wb save df {tmp_path}/df.wb")
    assert run(shell, f"%wb load {tmp_path}/df.wb as g").name == "g"


def test_options_of_share(shell: InteractiveShell) -> None:
    """Pin and time to live are given before the variables."""
    run(shell, "%share --pin --ttl 3600 df")
    info = wb.info("df")
    assert (info.pinned, info.ttl) == (True, 3600)


def test_loading_twice_changes_nothing(shell: InteractiveShell) -> None:
    """The extension may be loaded again, as a notebook that is run twice does."""
    before = list(shell.events.callbacks["post_run_cell"])
    wb.load_ipython_extension(shell)
    assert shell.events.callbacks["post_run_cell"] == before


def test_loading_opens_no_store(shell: InteractiveShell, store_directory: Path) -> None:
    """A notebook that loads the extension and shares nothing leaves nothing behind."""
    run(shell, "1 + 1")
    assert not store_directory.exists()


def test_rm_takes_patterns_and_asks_for_yes(shell: InteractiveShell) -> None:
    """A pattern that fits several objects deletes them only with --yes: a notebook has nobody to ask."""
    for name in ("runs/1", "runs/2", "other"):
        wb.put(1, name)
    with pytest.raises(MagicError, match="These are 2 objects: runs/2, runs/1. Add --yes"):
        run(shell, "%wb rm runs/*")
    assert len(wb.ls()) == 3
    assert len(run(shell, "%wb rm runs/* --yes")) == 2
    assert [info.name for info in run(shell, "%wb delete other")] == ["other"]
    wb.put(2)
    assert len(run(shell, "%wb rm --unnamed")) == 1
    assert len(wb.ls()) == 0


def test_use_goes_on_with_another_store(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """%wb use NAME changes the store of the notebook, shows which there are, and %wb use alone goes back."""
    name = f"t{os.getpid()}-magic"
    run(shell, "%share df")
    try:
        with capture_output() as shown:
            found = run(shell, f"%wb use {name}")
        assert [each.name for each in found if each.current] == [name]
        assert shown.stdout.splitlines()[0] == f"there was no store '{name}': made a new one"
        with capture_output() as shown:
            run(shell, f"%wb use {name}")
        assert "made a new one" not in shown.stdout
        assert not wb.exists("df")
        run(shell, "%wb use")
        assert wb.exists("df")
    finally:
        shutil.rmtree(default_directory(name), ignore_errors=True)
    with pytest.raises(wb.StoreError, match="cannot be a namespace"):
        run(shell, "%wb use a/b")


def test_connect_takes_a_variable_and_a_time(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client or a cluster of the notebook, else an address; a variable's name is no address."""
    asked: list[tuple[Any, Any]] = []
    monkeypatch.setattr(wb, "connect", lambda where, timeout: asked.append((where, timeout)))
    shell.user_ns["client"] = client = object()
    for line in ("client --timeout 60", "tcp://host:8786", ""):
        run(shell, f"%wb connect {line}")
    assert asked == [(client, 60.0), ("tcp://host:8786", None), (None, None)]
