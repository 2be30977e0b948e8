from __future__ import annotations

import sys
from pathlib import Path

import dask.dataframe as dd
import pandas as pd
import pytest

from tests.processes import run
from workbench.collections import register, registration


@pytest.mark.parametrize(
    "script",
    [
        "import workbench; import dask.dataframe as dd",
        "import dask.dataframe as dd; import workbench",
        "import workbench, importlib; dd = importlib.import_module('dask.dataframe')",
        "import workbench; from dask.dataframe import DataFrame; import dask.dataframe as dd",
    ],
)
def test_the_method_is_there_whichever_is_imported_first(store_directory: Path, script: str) -> None:
    """`import workbench` and `import dask.dataframe` in either order; the module looks as if nobody had watched."""
    check = """
        import inspect, sys
        from importlib import resources
        assert dd.DataFrame.persist_shared is dd.Series.persist_shared
        assert "persist_shared" in vars(dd.DataFrame)
        assert type(dd.__spec__.loader).__name__ == "SourceFileLoader", dd.__spec__.loader
        assert type(dd.__loader__).__name__ == "SourceFileLoader", dd.__loader__
        assert inspect.getsource(dd)
        assert resources.files("dask.dataframe")
        assert not any("workbench" in type(finder).__module__ for finder in sys.meta_path)
    """
    done = run(f"{script}\n{check}".replace("\n        ", "\n"), store_directory)
    assert done.returncode == 0, done.stderr


def test_importing_the_workbench_imports_no_dask(store_directory: Path) -> None:
    """Who never uses Dask pays nothing for it: neither Dask nor distributed nor pandas is imported."""
    script = """
        import sys, workbench
        heavy = {"dask", "distributed", "pandas", "pyarrow", "tornado"} & set(sys.modules)
        assert not heavy, heavy
    """
    done = run(script, store_directory)
    assert done.returncode == 0, done.stderr


def test_registering_twice_changes_nothing() -> None:
    """The hook is in place once, and never when Dask DataFrame is there already."""
    before = list(sys.meta_path)
    method = vars(dd.DataFrame)["persist_shared"]
    register()
    register()
    assert sys.meta_path == before
    assert vars(dd.DataFrame)["persist_shared"] is method is registration.persist_shared


def test_a_failing_import_of_dask_dataframe_fails_as_it_would(store_directory: Path) -> None:
    """Where Dask DataFrame cannot be imported, its own error is what a user sees, each time."""
    script = """
        import sys
        sys.modules["pandas"] = None
        import workbench
        for _ in range(2):
            try:
                import dask.dataframe
            except ImportError as error:
                assert "pandas" in str(error) or "Dask dataframe requirements" in str(error), error
            else:
                raise AssertionError
    """
    done = run(script, store_directory)
    assert done.returncode == 0, done.stderr


def test_help_describes_the_method() -> None:
    """The method has the docstring that a user reads."""
    frame = dd.from_pandas(pd.DataFrame({"x": [1]}), npartitions=1)
    assert "shared memory" in (frame.persist_shared.__doc__ or "")
