"""The magics in a real IPython shell, and the words that they understand."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import workbench as wb
from workbench.jupyter import magics, messages
from workbench.jupyter.parsing import FetchWish, MagicError, ShareWish, parse_fetch, parse_share
from workbench.objects import format_nbytes
from workbench.store import default_directory


@pytest.fixture
def shell(ipython: InteractiveShell, store_directory: Path) -> Iterator[InteractiveShell]:
    """Load the extension into an IPython shell."""
    del store_directory  # its store is that of the current session
    ipython.run_line_magic("load_ext", "workbench")
    ipython.user_ns["df"] = pd.DataFrame({"x": [1, 2, 3], "s": ["a", None, "c"]})
    yield ipython
    magics.unregister(ipython)


def run(shell: InteractiveShell, cell: str) -> Any:
    """Run a cell and return its result, or raise its error."""
    result = shell.run_cell(cell)
    result.raise_error()
    return result.result


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


@pytest.mark.parametrize("cell", ["%%share result\nx = 5\nx / zero", "%share divide(5) as result"])
def test_an_error_in_the_users_code_is_shown_from_there(
    shell: InteractiveShell, cell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its traceback shows the user's lines and not the magic's own, and nothing is shared."""
    shell.colors = "nocolor"
    run(shell, "zero = 0\ndef divide(x):\n    return x / zero")
    with pytest.raises(ZeroDivisionError):
        run(shell, cell)
    shown = capsys.readouterr().out
    assert "x / zero" in shown and "ZeroDivisionError" in shown
    assert "workbench/" not in shown and "eval(" not in shown
    assert not wb.exists("result")


def test_an_error_of_the_workbench_is_shown_where_the_user_called_it(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user's own lines and the message: none of our frames, nor what our code made the error of; unloading brings them back."""
    shell.colors = "nocolor"
    for loaded in (True, False):
        with pytest.raises(wb.ObjectNotFoundError):
            run(shell, "def load():\n    return wb.get('nope')\nimport workbench as wb\nload()")
        shown = capsys.readouterr().out
        assert "return wb.get('nope')" in shown and "There is no object 'nope'" in shown
        assert ("session/sharing.py" in shown) != loaded
        assert ("another exception" in shown) != loaded
        messages.show_all_frames(shell)


def plain(shown: str) -> str:
    """What was shown, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("wb.put(1, 'x', ttl=-1)", "ValueError: ttl is -1"),
        ("wb.put_many(5)", "TypeError: put_many takes several objects"),
        ("wb.LocalCluster(nodes=0)", "ValueError: nodes is 0"),
    ],
)
def test_an_error_in_an_argument_is_shown_where_the_user_called_it(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], call: str, said: str
) -> None:
    """Also plain calls in a cell, of functions and classes: the user's own line and the message, without our frames."""
    with pytest.raises((TypeError, ValueError)):
        run(shell, f"import workbench as wb\n{call}")
    shown = plain(capsys.readouterr().out)
    assert call in shown and said in shown
    assert "workbench/" not in shown and len(shown.splitlines()) < 15


def test_ctrl_c_is_shown_where_the_user_called(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it comes within a call of ours, also where nothing counts how far the work is; the user's own Ctrl-C is shown as ever."""

    def interrupted(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(wb.Session, "load", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(shell, "import workbench as wb\nwb.load('x.wb')")
    shown = plain(capsys.readouterr().out)
    assert "wb.load('x.wb')" in shown and "KeyboardInterrupt" in shown
    assert "workbench/" not in shown
    with pytest.raises(KeyboardInterrupt):
        run(shell, "def mine():\n    raise KeyboardInterrupt\nmine()")
    assert "in mine()" in plain(capsys.readouterr().out)


def test_errors_of_others_are_shown_as_ever(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the user's code, of libraries, and of what the user's code does within a call of ours; a handler of somebody else stays."""
    for cell in ("int('x')", "import fractions; fractions.Fraction('x')"):
        with pytest.raises(ValueError, match="x"):
            run(shell, cell)
    shown = plain(capsys.readouterr().out)
    assert "int('x')" in shown and "fractions.py" in shown
    magics.unregister(shell)
    assert len(shell.custom_exceptions) == 0
    shell.set_custom_exc((ZeroDivisionError,), lambda *_, **__: None)
    try:
        magics.register(shell)
        assert list(shell.custom_exceptions) == [ZeroDivisionError]
        magics.unregister(shell)
        assert list(shell.custom_exceptions) == [ZeroDivisionError]
    finally:
        shell.set_custom_exc((), None)


def test_a_refusal_is_red(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """Where colours are, the first line of a message is red; what the workbench refuses in an argument is a message, too."""
    shell.colors = "linux"
    for cell, message in (("%wb info nope", "ObjectNotFoundError: "), ("%wb operations --cancel x", "needs a cluster")):
        with pytest.raises((wb.WorkbenchError, ValueError)):
            run(shell, cell)
        shown = capsys.readouterr().out
        assert shown.startswith("\x1b[31m") and message in shown and len(shown.splitlines()) == 1


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        ("%share nothing_there", MagicError, "no variable 'nothing_there'"),
        ("%share dff", MagicError, "There is df"),
        ("%share oepn", MagicError, r"no variable 'oepn'\.$"),
        ("%share df as", MagicError, "missing after 'as': %share df as NAME"),
        ("%share df as my df", MagicError, "stands in quotes: %share df as 'my df'"),
        ("%share", MagicError, "Say what to share"),
        ("%share df.x", MagicError, "%share df.x as NAME"),
        ("%share --ttl soon df", MagicError, "number of seconds"),
        ("%share --colour df", MagicError, "--colour is not an option"),
        ("%fetch", MagicError, "Say what to fetch"),
        ("%share df --ttl", MagicError, "number of seconds"),
        ("%share df --colour", MagicError, "--colour is not an option"),
        ("%share df --ttl 5 min", MagicError, "--ttl takes one number"),
        ("%fetch --pin df", MagicError, "--pin is not an option of %fetch"),
        ("%fetch df as", MagicError, "missing after 'as': %fetch df as VAR"),
        ("%fetch a b as a", MagicError, "cannot both be a"),
        ("%fetch 'my flights'", MagicError, "%fetch 'my flights' as VAR"),
        ("%fetch df as class", MagicError, "cannot be the name of a variable"),
        ("%fetch 'df", MagicError, "No closing quotation"),
        ("%fetch nope", wb.ObjectNotFoundError, "no object 'nope'"),
        ("%wb lss", MagicError, "did you mean 'ls'"),
        ("%wb LS", MagicError, "did you mean 'ls'"),
        ("%wb ls --bogus", MagicError, r"unrecognized arguments: --bogus\nusage: %wb ls "),
        ("%wb ls --json", MagicError, r"here Python has the values: wb\.ls\(\)\.to_pandas"),
        ("%wb get x", MagicError, "a notebook gets with %fetch NAME"),
        ("%wb watch", MagicError, "for event in wb.watch"),
        ("%wb drain node-2 --yes", MagicError, r"unrecognized arguments: --yes\nusage: %wb drain "),
        ("%wb info", MagicError, "required: NAME"),
        ("%wb info nope", wb.ObjectNotFoundError, "no object 'nope'"),
        ("%wb replicate x -n 0", MagicError, "at least 1"),
        ("%wb move x --to y", wb.ClusterError, "LocalCluster"),
    ],
)
def test_wrong_use_is_one_message(
    shell: InteractiveShell, cell: str, error: type[Exception], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error says what is wrong and what to do, without a traceback, and stays an error."""
    with pytest.raises(error, match=message):
        run(shell, cell)
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    assert "workbench/" not in shown.out + shown.err
    assert message.split(maxsplit=1)[0] in shown.out + shown.err


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
    assert "wb.connect() joins one" in shown.stdout


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


def completions(shell: InteractiveShell, line: str) -> list[str]:
    """What the shell offers at the end of a line: whole lines."""
    with provisionalcompleter():
        return [line[: found.start] + found.text for found in shell.Completer.completions(line, len(line))]


def test_completion_offers_what_fits(shell: InteractiveShell) -> None:
    """Verbs, flags, choices, names of objects (in quotes where they need them) and variables, each where it belongs."""
    for name in ("runs/1", "runs/2", "my flights", "it's"):
        wb.put(1, name)
    shell.user_ns |= {"runway": 1, "run_count": 2}
    for line, expected in {
        "%share run": ["%share runway", "%share run_count"],
        "%share df as ru": ["%share df as runs/1", "%share df as runs/2"],
        "%share --r": ["%share --replicas"],
        "%%share my": ["%%share 'my flights'"],
        "%fetch runs/": ["%fetch runs/1", "%fetch runs/2"],
        "%fetch 'my f": ["%fetch 'my flights'"],
        '%fetch "my f': ['%fetch "my flights"'],
        "%fetch it": ["%fetch 'it'\"'\"'s'"],
        "%fetch runs/1 as runw": ["%fetch runs/1 as runway"],
        "%fetch runs/1, run": ["%fetch runs/1, runs/1", "%fetch runs/1, runs/2"],
        "%wb rep": ["%wb replicate"],
        "%wb help und": [],
        "%wb help unp": ["%wb help unpin"],
        "%wb info my": ["%wb info 'my flights'"],
        "%wb pin runs/1 runs/": ["%wb pin runs/1 runs/1", "%wb pin runs/1 runs/2"],
        "%wb ls --so": ["%wb ls --sort", "%wb ls --sort-by"],
        "%wb ls --sort la": ["%wb ls --sort last_used"],
        "%wb ls --sort=la": ["%wb ls --sort=last_used"],
        "%wb move runs/1 --dry": ["%wb move runs/1 --dry-run"],
        "%wb ls --kind ": ["%wb ls --kind object"],
        "x = 5\n%fetch my": ["x = 5\n%fetch 'my flights'"],
    }.items():
        assert completions(shell, line) == expected, line


def test_names_are_offered_within_calls(shell: InteractiveShell) -> None:
    """In ``wb.get("`` and the like, however the module or the session is called; not behind a string that is closed, nor in others' calls."""
    for name in ("flights", "flowers", 'fl"at'):
        wb.put(1, name)
    shell.user_ns |= {"bench": wb, "session": wb.current_session(), "other": {}}
    for line, expected in {
        'bench.get("fl': ['bench.get("flights', 'bench.get("flowers'],
        "x = len(bench.info('flo": ["x = len(bench.info('flowers"],
        "session.delete('fli": ["session.delete('flights"],
        'bench.get_many(["flights", "flo': ['bench.get_many(["flights", "flowers'],
        'bench.holders(key="fli': ['bench.holders(key="flights'],
        "bench.rename('fli": ["bench.rename('flights"],
    }.items():
        assert completions(shell, line) == expected, line
    for line in (
        'bench.get("flights"',
        'other.get("fl',
        'bench.use("fl',
        'bench.put(x, "fl',
        'bench.get("flights", timeout="fl',
    ):
        assert not [each for each in completions(shell, line) if "flowers" in each], line


def test_holders_are_told_as_of_the_line_that_asks(shell: InteractiveShell) -> None:
    """Within one cell, too: what a variable that was just deleted had kept is not said to be kept by it."""
    wb.put(np.arange(100_000), "x")
    run(shell, "import workbench as wb; y = wb.get('x'); z = y[:10]")
    assert [holder.cause for holder in run(shell, "wb.holders()")] == ["variables y, z"]
    assert [holder.cause for holder in run(shell, "del y; wb.holders()")] == ["variable z"]
    assert run(shell, "del z; list(wb.holders())") == []


def test_completion_opens_nothing_and_is_quick(shell: InteractiveShell, store_directory: Path) -> None:
    """Somebody types: no store is made, and an answer comes at once although there are many objects."""
    assert completions(shell, "%fetch fl") == []
    assert not store_directory.exists()
    wb.put_many({f"flights/{number:06}": number for number in range(20_000)})
    begin = time.perf_counter()
    found = completions(shell, "%fetch flights/0150")
    print(f"completed among 20,000 names in {(time.perf_counter() - begin) * 1e3:.1f} ms")
    assert found == [f"%fetch flights/0150{number:02}" for number in range(100)]


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


@pytest.mark.parametrize(
    ("line", "wish"),
    [
        ("df", ShareWish(variables=("df",))),
        ("a, b c", ShareWish(variables=("a", "b", "c"))),
        ("df as flights", ShareWish(expression="df", name="flights")),
        ("f('x as y') as 'my z'", ShareWish(expression="f('x as y')", name="my z")),
        ("--pin --replicas 2 df", ShareWish(variables=("df",), pin=True, replicas=2)),
        ("--ttl=1.5 df", ShareWish(variables=("df",), ttl=1.5)),
        ("df --pin", ShareWish(variables=("df",), pin=True)),
        ("df --ttl 60", ShareWish(variables=("df",), ttl=60)),
        ("--pin df n --ttl=60 --replicas 2", ShareWish(variables=("df", "n"), pin=True, ttl=60, replicas=2)),
        ("df --as flights --pin", ShareWish(expression="df", name="flights", pin=True)),
        ("df.x - 1 as 'the x' --ttl 60 --pin", ShareWish(expression="df.x - 1", name="the x", pin=True, ttl=60)),
    ],
)
def test_share_lines(line: str, wish: ShareWish) -> None:
    """The words after ``%share`` mean what the help says."""
    assert parse_share(line) == wish


@pytest.mark.parametrize(
    ("line", "wish"),
    [
        ("flights", FetchWish({"flights": "flights"})),
        ("flights as f", FetchWish({"f": "flights"})),
        ("'a b' as f --timeout 5", FetchWish({"f": "a b"}, 5.0)),
        ("--timeout=5 a, b c", FetchWish({"a": "a", "b": "b", "c": "c"}, 5.0)),
        ("a --as x, 'b c' as y d --as=z", FetchWish({"x": "a", "y": "b c", "z": "d"})),
    ],
)
def test_fetch_lines(line: str, wish: FetchWish) -> None:
    """The words after ``%fetch`` mean what the help says."""
    assert parse_fetch(line) == wish


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
