from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.processes import environment
from workbench import codecs
from workbench.codecs import registry
from workbench.errors import CodecError
from workbench.objects import Description

ADAPTERS = ["numpy_arrays", "pandas_frames", "arrow_tables", "polars_frames", "sparse_matrices"]


class Grid:
    """What pickling would copy: it holds bytes."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __reduce__(self) -> Any:
        return Grid, (bytes(self.content),)


class FineGrid(Grid):
    """A subclass, which has no adapter of its own."""


def restore_grid(array: Any) -> Grid:  # named in headers
    """Show an array as a grid."""
    return Grid(array)


def reduce_grid(grid: Grid, _pickler: Any) -> Any:
    """Take a grid apart."""
    return restore_grid, (np.frombuffer(grid.content, np.uint8),)


def describe(value: Any) -> Description | None:
    """Describe grids, and nothing else."""
    return Description("array", "tests.Grid", (len(value.content),)) if type(value) is Grid else None


def reducer_for(cls: type) -> Any:
    """Know grids, and nothing else."""
    return reduce_grid if cls is Grid else None


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget afterwards what a test registers."""
    monkeypatch.setattr(registry, "_registered", {})
    registry.reducers.clear()
    yield
    registry.reducers.clear()


def test_registered_adapter_encodes_and_describes() -> None:
    """Objects of a registered library go to its adapter, alone and inside of others; the array in them is not copied."""
    content = np.arange(1000).tobytes()
    assert codecs.encode(Grid(content)).description == Description("object", f"{__name__}.Grid")
    codecs.register("tests", SimpleNamespace(reducer_for=reducer_for, describe=describe))
    encoded = codecs.encode(Grid(content))
    assert encoded.description == Description("array", "tests.Grid", (8000,))
    assert [buffer.nbytes for buffer in encoded.buffers] == [8000]
    assert np.frombuffer(encoded.buffers[0], np.uint8).ctypes.data == np.frombuffer(content, np.uint8).ctypes.data
    assert codecs.decode(encoded.header, encoded.buffers).content.tobytes() == content
    inside = codecs.encode({"grid": [Grid(content)]})
    assert [buffer.nbytes for buffer in inside.buffers] == [8000]


def test_what_an_adapter_leaves_goes_on() -> None:
    """A class or value that an adapter returns None for is left to its own pickling, or to the adapter of a base class."""
    asked = []

    def none_for(cls: type) -> None:
        asked.append(cls)

    codecs.register("tests", SimpleNamespace(reducer_for=reducer_for, describe=describe))
    assert codecs.encode(FineGrid(b"x" * 1000)).buffers == ()
    assert codecs.encode(FineGrid(b"x")).description.kind == "object"
    codecs.register("pandas", SimpleNamespace(reducer_for=none_for))
    encoded = codecs.encode(pd.DataFrame({"x": np.arange(1000)}))
    assert [buffer.nbytes for buffer in encoded.buffers] == [8000]
    assert encoded.description.kind == "dataframe"
    assert pd.DataFrame in asked
    codecs.encode(pd.DataFrame({"x": np.arange(1000)}))
    assert asked.count(pd.DataFrame) == 1


def test_adapter_is_told_what_is_shared() -> None:
    """The pickler that a reducer gets says which memory is shared, or nothing where nobody told."""
    told: list[Any] = []

    def reduce(grid: Grid, pickler: Any) -> Any:
        told.append(pickler.is_shared and pickler.is_shared(1, 2))
        return reduce_grid(grid, pickler)

    codecs.register("tests", SimpleNamespace(reducer_for=lambda _: reduce))
    codecs.encode(Grid(b"x" * 1000))
    codecs.encode(Grid(b"x" * 1000), is_shared=lambda address, nbytes: (address, nbytes) == (1, 2))
    assert told == [None, True]


def test_registering_nonsense_is_refused() -> None:
    """What is no adapter, and a library that is not named by its root module, is refused with the reason."""
    with pytest.raises(CodecError, match=r"cannot register a codec for 'tests': 5 has no function reducer_for\(cls\)"):
        codecs.register("tests", 5)  # type: ignore[arg-type]
    with pytest.raises(
        CodecError, match="a library is named by its root module, such as 'xarray' for xarray.DataArray"
    ):
        codecs.register("xarray.core", SimpleNamespace(reducer_for=reducer_for))


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_that_come_along_keep_the_contract(name: str) -> None:
    """Each adapter of the package has what the contract asks of others, and is found under its library's name."""
    import importlib

    module = importlib.import_module(f"workbench.codecs.{name}")
    assert isinstance(module, codecs.Adapter)
    assert module.describe(object()) is None
    assert module.reducer_for(type("Foreign", (), {})) is None
    assert f"workbench.codecs.{name}" in registry._BUILT_IN.values()


LIBRARY = {
    "gridlib.py": """
        class Grid:
            def __init__(self, content):
                self.content = content
            def __reduce__(self):
                raise TypeError("only by a codec")
    """,
    "gridlib_codec.py": """
        import numpy as np
        from gridlib import Grid
        print("loaded")
        def restore(array):
            return Grid(array)
        def reducer_for(cls):
            return (lambda grid, _: (restore, (np.frombuffer(grid.content, "u1"),))) if cls is Grid else None
    """,
    "broken_codec.py": "import no_such_module_at_all",
    "empty_codec.py": "",
}


def install(directory: Path, value: str) -> None:
    """Put the library, and a distribution whose entry point is `value`, into a directory of the import path."""
    for name, text in LIBRARY.items():
        (directory / name).write_text(textwrap.dedent(text))
    metadata = directory / "grid_bench-2.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: grid-bench\nVersion: 2.1\n")
    (metadata / "entry_points.txt").write_text(f"[workbench.codecs]\ngridlib = {value}\n")


def run(code: str, directory: Path) -> str:
    """Return what a script prints in an environment that has the library."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment(directory / "store", PYTHONPATH=f"{Path(__file__).resolve().parents[2]}:{directory}"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_entry_point_is_loaded_when_it_is_needed(tmp_path: Path) -> None:
    """A distribution's codec is loaded with the first object of its library, and not by anything else."""
    install(tmp_path, "gridlib_codec")
    said = run(
        """
        import collections, datetime
        import numpy as np, pandas as pd
        from gridlib import Grid
        from workbench.codecs import decode, encode, registry
        class Own: pass
        encode([np.arange(10), datetime.date(2013, 1, 1), collections.Counter("a")])
        encode(Own())
        assert not registry._entry_points.cache_info().misses
        print("before")
        encoded = encode({"grid": Grid(bytes(5000))})
        print([buffer.nbytes for buffer in encoded.buffers])
        print(type(decode(encoded.header, encoded.buffers)["grid"].content).__name__)
        """,
        tmp_path,
    )
    assert said.splitlines() == ["before", "loaded", "[5000]", "ndarray"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("broken_codec", "loading it fails (ModuleNotFoundError: No module named 'no_such_module_at_all')"),
        (
            "gridlib_codec:nothing",
            "loading it fails (AttributeError: module 'gridlib_codec' has no attribute 'nothing')",
        ),
        ("empty_codec", "has no function reducer_for(cls)"),
    ],
)
def test_entry_point_that_cannot_be_used_is_named(value: str, reason: str, tmp_path: Path) -> None:
    """The error names the library, the entry point, the distribution with its version, and the reason; registering helps."""
    install(tmp_path, value)
    said = run(
        """
        from types import SimpleNamespace
        from gridlib import Grid
        from workbench import codecs
        for _ in range(2):
            try:
                codecs.encode([Grid(bytes(5000))])
            except codecs.registry.CodecError as error:
                print(error)
        codecs.encode({"x": 1})
        def restore(content): return Grid(content)
        codecs.register("gridlib", SimpleNamespace(reducer_for=lambda cls: lambda grid, _: (restore, (grid.content,))))
        codecs.encode(Grid(bytes(10)))
        """,
        tmp_path,
    )
    first, second = [line for line in said.splitlines() if line != "loaded"]
    assert first == second
    assert first.startswith(
        f"cannot use the codec for 'gridlib' objects, '{value}', which the distribution grid-bench 2.1 provides"
    )
    assert reason in first


def test_one_library_of_two_distributions_is_refused(tmp_path: Path) -> None:
    """Two distributions that both provide the codec of one library are named, rather than one of them taken at random."""
    install(tmp_path, "gridlib_codec")
    metadata = tmp_path / "other_grid-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other-grid\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text("[workbench.codecs]\ngridlib = empty_codec\n")
    said = run(
        """
        from gridlib import Grid
        from workbench import codecs
        try:
            codecs.encode(Grid(bytes(5000)))
        except codecs.registry.CodecError as error:
            print(error)
        """,
        tmp_path,
    )
    assert "grid-bench 2.1" in said
    assert "other-grid 0.1" in said
    assert "Remove one of them" in said
