"""The benchmarks run, in small; their figures decide nothing."""

from __future__ import annotations

from tests.benchmarks.store import Scale, measure, table


def test_benchmarks_run_and_print_a_table() -> None:
    """Every figure is measured, and what was measured was checked against the originals."""
    text = table(measure(Scale.tiny()))
    assert "repeated put" in text
    assert "Pss of a further reader" in text
