"""What in a notebook keeps shared memory, told by real kernels to everyone: variables, outputs, tracebacks, and what clears them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernels import CellError, Kernel
from workbench.objects import Holder
from workbench.store import Store

SETUP = """
%load_ext workbench
import numpy as np, pandas as pd, workbench as wb
wb.put(pd.DataFrame({"x": np.arange(200_000), "y": np.ones(200_000)}), "flights")
"""


@pytest.fixture
def kernel(store: Store, store_directory: Path) -> Iterator[Kernel]:
    """A kernel with an object in its store, and nothing mapped."""
    with Kernel(store_directory, "analysis.ipynb") as started:
        started.run(SETUP)
        assert store.holders() == []
        yield started


def one(store: Store) -> Holder:
    """Return the only holder."""
    (holder,) = store.holders()
    return holder


def test_variables_are_named(kernel: Kernel, store: Store) -> None:
    """Each process can see which variables of which notebook keep an object, also those that only contain a piece of it."""
    kernel.run("flights = wb.get('flights')")
    assert one(store).cause == "variable flights"
    kernel.run("pieces = {'x': [flights['x'][5:10]]}")
    assert one(store).cause == "variables flights, pieces"
    kernel.run("del flights")
    assert (one(store).label, one(store).cause) == ("analysis.ipynb", "variable pieces")
    kernel.run("pieces.clear()")
    assert store.holders() == []


def test_outputs_are_named_and_cleared(kernel: Kernel, store: Store) -> None:
    """A frame that was shown stays in Out after its variable is deleted: that is said, and one magic gives the memory back."""
    kernel.run("flights = wb.get('flights')")
    kernel.run("flights")
    kernel.run("del flights")
    number = kernel.value("max(get_ipython().user_ns['Out'])")
    assert one(store).cause == f"Out[{number}], _ (%wb release clears)"
    store.delete("flights")
    zombie = one(store)
    assert (zombie.state, zombie.cause) == ("deleted", f"Out[{number}], _ (%wb release clears)")
    assert store.memory().deleted == zombie.nbytes
    said = kernel.run("%wb release")
    assert said.startswith(f"Cleared Out[{number}], _; ") and "MiB unmapped" in said
    assert (store.holders(), store.memory().deleted) == ([], 0)
    assert kernel.run("1 + 1") == "2\n"
    assert kernel.run("_ + 1") == "3\n"


def test_what_reset_out_leaves_is_found(kernel: Kernel, store: Store) -> None:
    """IPython's own %reset -f out forgets one of its references; it is named, and cleared with ours."""
    kernel.run("wb.get('flights')")
    kernel.run("%reset -f out")
    if store.holders():
        kernel.run("pass")
        assert one(store).cause == "_ (%wb release clears)"
        kernel.run("%wb release flights")
    assert store.holders() == []


def test_last_error_is_named_and_cleared(kernel: Kernel, store: Store) -> None:
    """The frames of the last error keep their local variables, also those of the error that it came from."""
    kernel.run(
        """
        def analyse(frame):
            copies = [frame]
            try:
                return frame["nope"]
            except KeyError as error:
                raise ValueError("wrong column") from error
        """
    )
    kernel.run("flights = wb.get('flights')")
    with pytest.raises(CellError, match="wrong column"):
        kernel.run("analyse(flights)")
    assert one(store).cause == "variable flights and the last error's traceback (%wb release clears)"
    kernel.run("del flights")
    assert one(store).cause == "the last error's traceback (%wb release clears)"
    assert kernel.run("%wb release flights").startswith("Cleared the last error's traceback; ")
    assert store.holders() == []
    with pytest.raises(CellError, match="ZeroDivisionError"):
        kernel.run("1 / 0")
    assert kernel.value("type(__import__('sys').last_value).__name__") == "ZeroDivisionError"


@pytest.mark.parametrize("error", ["KeyboardInterrupt()", "OSError(28, 'No space left on device')"])
def test_a_save_that_failed_keeps_nothing(kernel: Kernel, store: Store, tmp_path: Path, error: str) -> None:
    """The last error is kept by the kernel, but not the object that its frames had mapped."""
    kernel.run(
        f"""
        import workbench.urls
        def fail(stream, data, write=workbench.urls._Stream.write):
            if len(data) > 100_000:
                raise {error}
            return write(stream, data)
        workbench.urls._Stream.write = fail
        """
    )
    with pytest.raises(CellError, match=error.partition("(")[0]):
        kernel.run(f"wb.save(wb.put(np.ones(1_000_000)), {str(tmp_path / 'file.wb')!r})")
    assert kernel.value("type(__import__('sys').last_value).__name__") == error.partition("(")[0]
    assert store.holders() == []


def test_what_no_variable_leads_to_is_said(kernel: Kernel, store: Store) -> None:
    """An array in a library's cache has a holder without a variable, and %wb release says that it cannot help."""
    kernel.run("import collections; collections.cache_of_a_test = wb.get('flights')")
    assert one(store).cause == "no variable or output leads to it"
    said = kernel.run("%wb release")
    assert said.startswith("Cleared nothing; 0 B unmapped.\nStill mapped, ") and said.endswith(
        "no variable leads to.\n"
    )


def test_release_leaves_variables_and_other_objects_alone(kernel: Kernel, store: Store) -> None:
    """Only what IPython keeps of the named object is cleared; the variables that keep it are said."""
    kernel.run("wb.put(np.arange(100_000), 'other'); flights = wb.get('flights')")
    kernel.run("flights")
    kernel.run("wb.get('other')")
    said = kernel.run("%wb release flights")
    assert "Cleared Out[" in said and "Still mapped" in said and said.endswith("del flights\n")
    causes = {holder.name: holder.cause for holder in store.holders()}
    assert causes.keys() == {"flights", "other"}
    assert causes["flights"] == "variable flights"
    assert causes["other"].startswith("Out[")
    with pytest.raises(CellError, match="no object 'nope'"):
        kernel.run("%wb release nope")


def test_holders_of_ones_own_are_as_of_now(kernel: Kernel, store: Store) -> None:
    """In the notebook that asks, %wb holders knows what the same cell has done."""
    shown = kernel.run("flights = wb.get('flights')\n%wb holders")
    assert "held by" in shown and "variable flights" in shown
    assert one(store).cause.startswith("variable flights")


def test_a_full_store_says_what_to_clear(kernel: Kernel, store: Store, store_directory: Path) -> None:
    """The error that says that there is no room names the notebook, the output, and the magic that clears it."""
    kernel.run("wb.put(np.ones(200 << 17), 'large')")
    kernel.run("wb.get('large')")
    store.delete("large")
    with Kernel(store_directory, "other.ipynb") as other:
        other.run("import numpy as np, workbench as wb")
        with pytest.raises(CellError) as caught:
            other.run("wb.put(np.ones(100 << 17))")
    assert caught.value.name == "StoreFullError"
    assert "kernel analysis.ipynb" in str(caught.value) and "%wb release clears" in str(caught.value)
