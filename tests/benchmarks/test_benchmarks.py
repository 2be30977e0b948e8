"""The benchmarks run, in small; their figures decide nothing."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import MEASUREMENTS, main
from tests.benchmarks.neighbours import environments, side_by_side
from tests.benchmarks.neighbours.protocol import Extent
from tests.benchmarks.neighbours.side_by_side import ROWS, Column


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_each_measurement_runs_in_small_and_is_written_down(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every figure is measured, what was measured was checked against the originals, and table and JSON say the same."""
    assert main(["--only", name, "--json", str(tmp_path / "figures.json")]) == 0
    text = capsys.readouterr().out
    written = json.loads((tmp_path / "figures.json").read_text())
    assert not written["full"]
    assert [line.partition("  ")[0] for line in text.splitlines()[2:]] == [
        figure["what"] for figure in written["figures"]
    ]
    assert all(figure["value"] >= 0 or figure["unit"] == "MiB" for figure in written["figures"])


def test_neighbours_go_through_the_same_protocol_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row has a figure of each store that needs no installation; of a store that knows one host only, all but those of a transfer."""
    assert main(["--only-neighbours", "--neighbours", "Arrow file", "--json", str(tmp_path / "figures.json")]) == 0
    found = json.loads((tmp_path / "figures.json").read_text())["neighbours"]
    assert [column["store"] for column in found["columns"]] == ["workbench", "Arrow file"]
    for column in found["columns"]:
        assert column["trouble"] == []
        lacking = {"raw socket", "transfer"} if column["store"] == "Arrow file" else set()
        assert {row.key for row in ROWS} - lacking <= column["figures"].keys()
    text = capsys.readouterr().out
    assert [line.partition("  ")[0] for line in text.splitlines()[2 : 2 + len(ROWS)]] == [row.label for row in ROWS]
    assert all(f"ahead of us: {entry['neighbour']}, {entry['row']}" in text for entry in found["behind"])


def test_a_neighbour_that_takes_too_long_is_ended_with_all_that_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it found before stays, the column says so, and no process and no file are left."""
    mark = f"WORKBENCH_BENCHMARK_{os.getpid()}"
    monkeypatch.setattr(side_by_side, "_MARK", mark)
    column = Column("Dask")
    extent = Extent(1 << 20, 1_000_000, 1, 1.0)
    side_by_side.run(column, Path(sys.executable), "with_dask", extent, ["array"], limit=3)
    assert column.trouble == ["ended after 3 s"]
    deadline = time.monotonic() + 10  # what was killed may take a moment to be gone
    while left := [path for path in Path("/proc").glob("[0-9]*/environ") if mark.encode() in _environment(path)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert list(Path("/dev/shm").glob(f"workbench-bench-{os.getpid()}-*")) == []


def _environment(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_neighbour_that_cannot_be_installed_is_left_out_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No environment is left behind, and the message is pip's own."""
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    monkeypatch.setattr(environments, "_bases", lambda: iter([sys.executable]))
    missing = (str(tmp_path / "nothing-1.0-py3-none-any.whl"),)
    with pytest.raises(environments.UnavailableError, match="nothing-1.0"):
        environments.python("nothing", [missing], "nothing")
    assert list(tmp_path.iterdir()) == []


def test_ahead_is_by_ratio_and_beyond_noise() -> None:
    """Who is faster by value and by ratio is ahead, by one of them perhaps; times the other way round; a few percent decide nothing."""
    rows = side_by_side._ROW
    for key, ours, theirs, mark in (
        ("array put", (10.0, 0.8), (12.0, 0.9), "*"),
        ("array put", (10.0, 0.8), (9.0, 0.9), "?"),
        ("array put", (10.0, 0.8), (10.2, 0.81), ""),
        ("array get", (20.0, None), (15.0, None), "*"),
        ("array get", (20.0, None), (19.9, None), ""),
        ("array mapped", (1.0, None), (0.1, None), ""),
        ("array memcpy", (1.0, 1.0), (2.0, 1.0), ""),
    ):
        assert side_by_side.ahead(rows[key], ours, theirs) == mark


def test_of_several_rounds_the_best_one_counts() -> None:
    """Speeds by their value, whatever the ratio, times the other way round; what went wrong twice is said once."""
    column = Column("workbench")
    for said in (
        {"row": "array put", "value": 9.0, "ratio": 0.9},
        {"row": "array put", "value": 12.0, "ratio": 0.8},
        {"row": "array put", "value": 4.0, "ratio": 1.2},
        {"row": "array memcpy", "value": 10.0, "ratio": 1.0},
        {"row": "array memcpy", "value": 13.0, "ratio": 1.0},
        {"row": "array get", "value": 20.0, "ratio": None},
        {"row": "array get", "value": 18.0, "ratio": None},
        {"row": "frame", "lacks": "bytes only"},
        {"row": "frame", "lacks": "bytes only"},
    ):
        side_by_side._add(column, said, "")
    assert column.figures == {"array put": (12.0, 0.8), "array memcpy": (13.0, 1.0), "array get": (18.0, None)}
    assert column.trouble == ["frame: bytes only"]
