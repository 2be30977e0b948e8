"""Files of other formats: what they hold is what the object holds, or there is no file."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from workbench.errors import CodecError
from workbench.exporting import FORMATS, export, preview
from workbench.objects import ObjectId, ObjectInfo

FRAME = pd.DataFrame({"x": [1.5, None, 3.0], "s": ["a", "ü", None], "n": [1, 2, 3]})
READERS: dict[str, Any] = {
    ".parquet": pd.read_parquet,
    ".arrow": pd.read_feather,
    ".feather": pd.read_feather,
    ".csv": pd.read_csv,
    ".pkl": pd.read_pickle,
    ".json": lambda path: pd.read_json(path, orient="records"),
}


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize(
    "library", [lambda frame: frame, pa.Table.from_pandas, pl.from_pandas], ids=["pandas", "Arrow", "Polars"]
)
def test_tables_of_every_library(library: Any, suffix: str, tmp_path: Path) -> None:
    """A table is a table in every format, whichever library it is of."""
    table = library(FRAME)
    path = tmp_path / f"table{suffix.upper()}"
    export(table, path, called="table")
    read = READERS[suffix](path)
    if not isinstance(read, pd.DataFrame):
        read = read.to_pandas()
    pd.testing.assert_frame_equal(read, FRAME, check_dtype=False)


@pytest.mark.parametrize(
    "value", [np.arange(6).reshape(2, 3), np.array(["a", "b"]), pd.Series([1.0, 2.0]), np.float64(3)], ids=str
)
def test_arrays(value: Any, tmp_path: Path) -> None:
    """Arrays and what is like them become .npy and .json."""
    export(value, tmp_path / "a.npy", called="a")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.asarray(value))
    export(value, tmp_path / "a.json", called="a")
    assert json.loads((tmp_path / "a.json").read_text()) == np.asarray(value).tolist()


def test_anything_can_be_pickled_and_what_json_knows_is_json(tmp_path: Path) -> None:
    """Objects of Python's own go into .pkl and .json."""
    value = {"a": [1, 2, None], "ü": "text"}
    for suffix, read in (
        (".pkl", lambda path: pickle.loads(path.read_bytes())),
        (".json", lambda path: json.loads(path.read_text())),
    ):
        export(value, tmp_path / f"v{suffix}", called="v")
        assert read(tmp_path / f"v{suffix}") == value


def test_an_index_that_says_something_is_in_the_csv(tmp_path: Path) -> None:
    """Row numbers are left out, names of rows are not."""
    export(FRAME, tmp_path / "a.csv", called="a")
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == "x,s,n"
    export(FRAME.set_index("s"), tmp_path / "a.csv", called="a")
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == "s,x,n"


@pytest.mark.parametrize(
    ("value", "suffix"),
    [({"a": 1}, ".npy"), (object(), ".json"), ("text", ".parquet"), (3, ".csv"), (np.array([object()]), ".npy")],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_what_a_format_cannot_hold_leaves_no_file(value: Any, suffix: str, tmp_path: Path) -> None:
    """The error names the object, its type and another way; a file that was there is as it was."""
    path = tmp_path / f"v{suffix}"
    path.write_text("before")
    with pytest.raises(
        CodecError, match=rf"'v' is a {type(value).__name__}, which cannot be written as \{suffix}.*\.pkl"
    ):
        export(value, path, called="v")
    assert path.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_suffix_says_the_format(tmp_path: Path) -> None:
    """Another one is an error that lists those that there are."""
    with pytest.raises(ValueError, match=r"'a\.xlsx' has no suffix that says a format.*\.npy, \.parquet"):
        export(1, tmp_path / "a.xlsx", called="a")
    assert {suffix.strip(".") for suffix in (*READERS, ".npy")} == set(FORMATS)


@pytest.mark.parametrize(
    "value",
    [pd.DataFrame(np.zeros((10_000, 200))), np.zeros((1000, 1000)), list(range(10_000)), "x" * 10_000, None],
    ids=lambda value: type(value).__name__,
)
def test_a_preview_is_short(value: Any) -> None:
    """Whatever it is, it fits a screen."""
    info = ObjectInfo(
        ObjectId("0" * 32), "x", ("x",), "object", "some.Type", None, {}, 1 << 20, 0, 0.0, 0.0, False, None, {}
    )
    lines = preview(info, value).splitlines()
    assert lines[0] == "some.Type, 1.0 MiB" and len(lines) <= 18 and max(map(len, lines)) < 500
