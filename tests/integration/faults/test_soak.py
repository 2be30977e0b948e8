from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.faults.soak import soak


@pytest.mark.slow
def test_a_short_soak_ends_where_it_began(store_directory: Path, tmp_path: Path, seed: int) -> None:
    """Some seconds of mixed load with kills leave no byte, descriptor, thread or segment; ``make soak`` takes 15 minutes."""
    result = soak(store_directory, tmp_path / "spill", 8, seed, processes=4)
    print(result)
    assert not result.failures, result
    assert result.kills > 0
    assert sum(result.counts.values()) > 20
