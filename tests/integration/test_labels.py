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


def test_a_script_that_lists_holders_names_its_variables(store: Store, array: None, tmp_path: Path) -> None:
    """It sees which of its variables keep the array, also in a list, and functions' own where Python tells; what it has let go of is not named."""
    script = tmp_path / "train.py"
    script.write_text(
        f"{HOLD}\n"
        "batches = [array[:10], array[10:]]\n"
        "def train(part):\n"
        "    return [(h.kind, h.cause) for h in wb.holders('array')]\n"
        "print(wb.holders('array')[0].cause, train(array[5:])[0][1], sep='\\n')\n"
        "del array\n"
        "print(wb.holders()[0].cause)\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        env=environment(store.directory),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    first, second, third = done.stdout.splitlines()
    assert first == "variables array, batches" and third == "variable batches"
    assert second == ("variables part of train(), array, batches" if sys.version_info >= (3, 13) else first)
