"""Fixtures for the tests of the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.mounts import tmpfs


@pytest.fixture
def small_tmpfs(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A tmpfs of the size that the test's parameter says."""
    with tmpfs(tmp_path / "small", f"size={request.param}") as path:
        yield path
