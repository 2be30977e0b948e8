"""The benchmarks run, in small; their figures decide nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import MEASUREMENTS, main


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
