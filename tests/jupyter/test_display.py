"""Single values in a notebook: what IPython shows of them."""

from __future__ import annotations

import time

import pytest
from IPython.core.interactiveshell import InteractiveShell

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


def test_display_can_be_undone(shell: InteractiveShell) -> None:
    """After unregister the values look as Python shows them."""
    display.unregister(shell)
    assert shown(shell, Ref(ID)).keys() == {"text/plain"}
