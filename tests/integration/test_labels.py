"""What a process is called in lists of holders: the notebook's path, wherever it is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.kernels import Kernel
from tests.processes import Process, environment
from workbench.store import Store

HOLD = "import workbench as wb; array = wb.get('array')"


@pytest.fixture
def array(store: Store) -> None:
    """An array in the store, for others to map."""
    with Process(store.directory) as writer:
        writer.do("import numpy as np, workbench as wb; wb.put(np.ones(100_000), 'array')")


def label(store: Store, pid: int) -> tuple[str, str]:
    """Return kind and label of a process that holds the array."""
    (holder,) = [holder for holder in store.holders("array") if holder.pid == pid]
    return holder.kind, holder.label


def test_notebook_of_vs_code_is_named(store: Store, array: None) -> None:
    """VS Code tells the path in a variable of the notebook, and no server in the environment."""
    with Kernel(store.directory, "") as kernel:
        kernel.run("__vsc_ipynb_file__ = '/home/user/model.ipynb'")
        kernel.run(HOLD)
        assert label(store, kernel.pid) == ("kernel", "/home/user/model.ipynb")


def test_kernel_that_nobody_names_is_called_by_its_number(store: Store, array: None) -> None:
    """A console, or a notebook that a program runs, is a kernel all the same."""
    with Kernel(store.directory, "") as kernel:
        kernel.run(HOLD)
        assert label(store, kernel.pid) == ("kernel", f"kernel {kernel.pid}")


def test_executed_notebook_is_named_even_from_within_another(store: Store, array: None, tmp_path: Path) -> None:
    """`jupyter execute` has the notebook on its command line; the name that it inherits is another notebook's."""
    path = tmp_path / "inner.ipynb"
    ask = "print([(h.kind, h.label) for h in wb.holders('array') if h.pid == __import__('os').getpid()])"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"{HOLD}\n{ask}")])
    nbformat.write(notebook, path)
    subprocess.run(
        [sys.executable, "-m", "jupyter", "execute", "--inplace", path],
        env=environment(
            store.directory, JPY_SESSION_NAME="outer.ipynb", PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ),
        check=True,
        capture_output=True,
        timeout=120,
    )
    (cell,) = nbformat.read(path, as_version=4).cells
    assert cell.outputs[0].text == f"{[('kernel', str(path))]}\n"


def test_script_is_named_by_its_path(store: Store, array: None, tmp_path: Path) -> None:
    """A script that is started from a notebook is a script."""
    script = tmp_path / "train.py"
    script.write_text(f"{HOLD}\nprint([(h.kind, h.label) for h in wb.holders()])")
    done = subprocess.run(
        [sys.executable, script],
        env=environment(store.directory, JPY_SESSION_NAME="outer.ipynb"),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == f"{[('script', str(script))]}\n"
