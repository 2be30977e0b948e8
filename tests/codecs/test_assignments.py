from __future__ import annotations

import gc

import pandas as pd
import pytest

from tests.codecs.layout import Laid, assert_same_pandas
from tests.codecs.samples import COLUMNS, mixed

pytestmark = pytest.mark.usefixtures("either_way")

NO_CELLS = {"sparse", "sparse ints", "arrow null", "arrow list", "arrow map"}
"""Columns whose cells pandas itself cannot assign one by one."""

ASSIGNMENTS = {
    "assign cell": 'df.loc[0, "f"] = 1.25',
    "assign cell by position": "df.iloc[0, 0] = -1",
    "assign by mask": 'df.loc[df["i"] > 10, "f"] = 0.0',
    "assign slice": "df.iloc[:5, :2] = 7",
    "assign at": """
df.at[3, "i2"] = 9
df.iat[4, 1] = 9
""",
    "add column": 'df["new"] = df["i"] * 2',
    "replace column": 'df["i"] = df["f"]',
    "assign every dtype": """
for name, value in {
    "b": True,
    "t": pd.Timestamp("2020-01-01"),
    "z": pd.Timestamp("2020-01-01", tz="America/New_York"),
    "c": "value 5 of a hundred",
    "s": "other",
    "n": pd.NA,
    "p": pd.Period("2020-01-01", "D"),
    "v": pd.Interval(3.0, 4.0),
    "o": None,
}.items():
    df.loc[1, name] = value
""",
    "fill in place": 'df.fillna({"f": 0.0, "n": 5}, inplace=True)',
    "replace in place": 'df.replace({"i": {3: 30}}, inplace=True)',
    "sort in place": 'df.sort_values("i", ascending=False, inplace=True)',
    "update": 'df.update(pd.DataFrame({"f": [5.0, 6.0]}, index=[0, 1]))',
    "drop and rename": """
df.drop(columns=["b"], inplace=True)
df.rename(columns={"i": "j"}, inplace=True)
""",
    "clip in place": 'df[["i", "i2"]] = df[["i", "i2"]].clip(upper=5)',
    "add rows": "df.loc[500] = df.loc[0]",
    "assign index": """
df.index = df["t"].rename("when")
df.set_index("i2", append=True, inplace=True)
df.reset_index(inplace=True)
""",
    "augmented": """
df["i"] += 1
df["f"] *= 2.0
""",
    "masked in place": """
df["f"] = df["f"].mask(df["f"] > 5, 0.0)
df.where(df.notna(), None, inplace=True)
""",
    "insert and pop": """
df.insert(0, "first", 1)
df.pop("i")
del df["f"]
""",
    "write through a series": """
series = df["i"]
series[:] = 0
series.iloc[3] = 4
df["i"] = series
""",
    "interpolate in place": 'df["f"] = df["f"].interpolate().ffill().shift(1)',
}
"""What users write, as they write it."""


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_every_usual_assignment_works_and_leaves_the_shared_bytes(name: str) -> None:
    """An assignment to a fetched frame does what it does to any frame, and the next reader sees the old values."""
    expected, original = mixed(), mixed()
    exec(ASSIGNMENTS[name], {"df": expected, "pd": pd})
    laid = Laid(original)
    frame = laid.decode()
    exec(ASSIGNMENTS[name], {"df": frame, "pd": pd})
    assert_same_pandas(frame, expected)
    assert laid.unchanged()
    assert_same_pandas(laid.decode(), original)


def test_assigning_copies_only_what_is_assigned_to() -> None:
    """After an assignment to one column, columns in other blocks are still the shared memory."""
    laid = Laid(mixed())
    frame = laid.decode()
    frame.loc[0, "f"] = 1.0
    assert not laid.holds(frame["f"].to_numpy().ctypes.data)
    assert laid.holds(frame["i"].to_numpy().ctypes.data)
    assert laid.holds(frame["b"].to_numpy().ctypes.data)


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in NO_CELLS])
def test_every_dtype_can_be_assigned_to(name: str) -> None:
    """A series and a frame of every dtype can be assigned to, also after a sweep, while the frame is long gone."""
    column = COLUMNS[name]
    laid = Laid(pd.DataFrame({"x": column, "y": column}))
    series = laid.decode()["x"]
    gc.collect()
    expected = pd.Series(column, name="x", copy=True)
    series.iloc[0], expected.iloc[0] = expected.iloc[3], expected.iloc[3]
    series.iloc[5:9], expected.iloc[5:9] = expected.iloc[1], expected.iloc[1]
    assert_same_pandas(series, expected)
    assert laid.unchanged()
