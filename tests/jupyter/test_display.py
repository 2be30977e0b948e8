"""Single values in a notebook: what IPython shows of them."""

from __future__ import annotations

import time

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import DisplayHandle

from tests.cluster.test_operations import operation, wire
from workbench.cards import CARD
from workbench.jupyter import display
from workbench.objects import Holder, Memory, ObjectId, Ref

ID = ObjectId("0" * 32)


@pytest.fixture
def shell(ipython: InteractiveShell) -> InteractiveShell:
    """Teach an IPython shell the values."""
    display.register(ipython)
    return ipython


def shown(shell: InteractiveShell, value: object) -> dict[str, str]:
    """Return the MIME bundle of a value."""
    assert shell.display_formatter is not None
    bundle, _metadata = shell.display_formatter.format(value)
    return dict(bundle)


def test_reference_is_one_line(shell: InteractiveShell) -> None:
    """A reference says what it stands for, in text and in HTML, and its name is only text."""
    bundle = shown(shell, Ref(ID, "<b>flights</b>", "dataframe", 3 << 20))
    assert bundle["text/plain"] == f"<b>flights</b>  dataframe, 3.0 MiB  (id {ID})"
    assert "&lt;b&gt;flights&lt;/b&gt;" in bundle["text/html"]


@pytest.mark.parametrize(
    "value",
    [Memory(1, 2, 3, 4, 5, 6, 7, 8), Holder(1, "kernel", "<i>.ipynb", time.time(), 5, ID, None)],
    ids=["memory", "holder"],
)
def test_values_are_small_tables(shell: InteractiveShell, value: object) -> None:
    """Each field has its row; text that looks like markup stays text."""
    bundle = shown(shell, value)
    assert bundle["text/html"].startswith("<table")
    assert "<i>" not in bundle["text/html"]
    assert len(bundle["text/plain"].splitlines()) >= 6


def test_an_operation_goes_on_where_it_is_shown(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook shows one bar, which changes until the operation has ended; it is shown as it ended."""
    monkeypatch.setattr(display, "_TURN", 0.0)
    updates: list[str] = []
    monkeypatch.setattr(DisplayHandle, "update", lambda _, bundle, **__: updates.append(bundle["text/plain"]))
    steps = [512, 512, 512, 1024, 1024]
    running, _ = operation(*(wire(done=done) for done in steps), wire("done", done=2048))
    thread = display.follow(running)
    assert thread is not None
    thread.join(30)
    assert updates[-1] == "<Operation move '<flights>': done, 2.0 KiB of 2.0 KiB [####################]>"
    assert any("1.0 KiB of 2.0 KiB" in update for update in updates)
    assert display.follow(running) is None


def test_display_can_be_undone(shell: InteractiveShell) -> None:
    """After unregister the values look as Python shows them."""
    display.unregister(shell)
    assert shown(shell, Ref(ID)).keys() == {"text/plain", CARD}
