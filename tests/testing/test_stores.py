"""The stores that there are keep the contract of a store, wherever their bytes lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.store import Store
from workbench.testing import StoreTests


class TestInMemory(StoreTests):
    """In shared memory, small objects in the catalog."""

    @pytest.fixture
    def open_store(self, store_directory: Path) -> Callable[[], Store]:
        """As users have it."""
        return lambda: Store.open(store_directory, capacity=64 << 20)


class TestSegmentsOnly(StoreTests):
    """In shared memory, everything in segments."""

    @pytest.fixture
    def open_store(self, store_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Store]:
        """Nothing lies in the catalog."""
        monkeypatch.setenv("WORKBENCH_INLINE", "0")
        return lambda: Store.open(store_directory, capacity=64 << 20)


class TestOnDisk(StoreTests):
    """In a directory on disk, without pool."""

    @pytest.fixture
    def open_store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Store]:
        """Where /dev/shm is tiny."""
        monkeypatch.setenv("WORKBENCH_POOL", "0")
        return lambda: Store.open(tmp_path / "store", capacity=64 << 20)
