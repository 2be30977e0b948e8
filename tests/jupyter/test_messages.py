"""Errors in a notebook: one message, or the user's own frames."""

from __future__ import annotations

import textwrap
from typing import NoReturn

import dask
import pytest
from IPython.core.interactiveshell import InteractiveShell

import workbench as wb
from tests.jupyter.cells import plain, run
from workbench.jupyter import magics, messages
from workbench.jupyter.parsing import MagicError


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
    """The user's own lines and the message: none of our frames, nor a second error; unloading brings them back."""
    shell.colors = "nocolor"
    for loaded in (True, False):
        with pytest.raises(wb.ObjectNotFoundError):
            run(shell, "def load():\n    return wb.get('nope')\nimport workbench as wb\nload()")
        shown = capsys.readouterr().out
        assert "return wb.get('nope')" in shown and "There is no object 'nope'" in shown
        assert ("session/sharing.py" in shown) != loaded
        assert "another exception" not in shown
        messages.show_all_frames(shell)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("wb.put(1, 'x', ttl=-1)", "ValueError: ttl is -1"),
        ("wb.put_many(5)", "TypeError: put_many takes several objects"),
        ("wb.LocalCluster(nodes=0)", "ValueError: nodes is 0"),
        ("wb.create('c', (10,), 'float64')", "TypeError: shape is 'c': wb.create takes shape, dtype and name"),
        ("wb.create((10,), 'nope')", "TypeError: dtype is 'nope', which is none"),
        ("wb.load('/nope/x.wb', 'y')", "SavedFileError: /nope/x.wb cannot be read"),
        ("wb.put(np.broadcast_to(np.zeros(1), 10**15))", "MemoryError"),
    ],
)
def test_an_error_in_an_argument_is_shown_where_the_user_called_it(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], call: str, said: str
) -> None:
    """Also plain calls in a cell, of functions and classes: the user's own line and the message, without our frames."""
    with pytest.raises((TypeError, ValueError, MemoryError, wb.SavedFileError)):
        run(shell, f"import numpy as np, workbench as wb\n{call}")
    shown = plain(capsys.readouterr().out)
    assert call in shown and said in shown
    assert "workbench/" not in shown and "contextlib" not in shown and len(shown.splitlines()) < 15


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


def test_an_error_of_code_that_we_call_is_shown_without_us(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's cell, and his function that failed; what looks like a fault of ours keeps its whole traceback."""
    cell = """
        import dask.array as da, numpy as np, workbench as wb
        def fails(block):
            return 1 / 0
        da.ones(10).map_blocks(fails, dtype=float, meta=np.ones(0)).persist_shared('never')
    """
    with dask.config.set(scheduler="synchronous"), pytest.raises(ZeroDivisionError):
        run(shell, textwrap.dedent(cell))
    shown = plain(capsys.readouterr().out)
    assert "persist_shared('never')" in shown and "return 1 / 0" in shown and "ZeroDivisionError" in shown
    assert "workbench/" not in shown and "site-packages" not in shown

    def faulty(*_: object, **__: object) -> NoReturn:
        raise AttributeError

    faulty.__code__ = faulty.__code__.replace(co_filename=messages.__file__)
    monkeypatch.setattr(wb.Session, "load", faulty)
    with pytest.raises(AttributeError):
        run(shell, "import workbench as wb\nwb.load('x.wb')")
    assert "workbench/functions.py" in plain(capsys.readouterr().out)


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
    ("cell", "line"), [("%share 1+ as x", "1+"), ("%share df[ as x", "df["), ("%%share x\ny = 1\nif y\n  3", "if y")]
)
def test_a_syntax_error_is_shown_by_itself(
    shell: InteractiveShell, cell: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the user's text: where it is, and nothing of the magic that read it."""
    shell.colors = "nocolor"
    with pytest.raises(SyntaxError):
        run(shell, cell)
    shown = capsys.readouterr().out.strip().splitlines()
    assert (
        shown[0].startswith(("Cell In[", "File <ipython-input-"))
        and shown[1].strip() == line
        and shown[-1].startswith("SyntaxError: ")
    )
    assert len(shown) == 4


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        ("%%share df\nprint('hi')", MagicError, "last line is None, .*%share None as 'df'"),
        ("%wb rm", MagicError, r"say which objects to delete: .*\nusage: %wb rm "),
        ("%wb rm --wrong", MagicError, "unrecognized arguments: --wrong"),
        ("%wb ls --limit x", MagicError, "argument --limit: must be a whole number, at least 1, not 'x'"),
        ("%wb ls --limit 0", MagicError, "argument --limit: must be a whole number, at least 1, not '0'"),
        ("%wb remove-namespace x", MagicError, "Python removes a store with wb.remove_namespace"),
        ("%wb connect 'tcp://127.0.0.1:1'", wb.ClusterError, "`%wb connect ADDRESS --timeout 60` waits"),
        ("%wb connect df", wb.ClusterError, "is not a cluster: give `%wb connect` a Dask client"),
        ("%share nothing_there", MagicError, "no variable 'nothing_there'"),
        ("%share dff", MagicError, "There is df"),
        ("%share oepn", MagicError, r"no variable 'oepn'\.$"),
        ("%share df as", MagicError, "missing after 'as': %share df as NAME"),
        ("%share df as my df", MagicError, "stands in quotes: %share df as 'my df'"),
        (
            "%share df df as two",
            MagicError,
            r"one name: %share df df gives each its own, %share \(df, df\) as two puts",
        ),
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
        ("%fetch d*", MagicError, r"a pattern: %wb ls 'd\*' lists"),
        ("%fetch 'df", MagicError, "No closing quotation"),
        ("%fetch nope", wb.ObjectNotFoundError, "no object 'nope'"),
        ("%share df\n%fetch nope", wb.ObjectNotFoundError, "no object 'nope' .*`%wb ls` lists what there is"),
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
