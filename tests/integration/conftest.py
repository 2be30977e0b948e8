"""Fixtures of the tests with real clusters: a directory for the stores, and a session on the first node's host.

``home`` and what follows from it live for one test; ``lasting_home`` and ``lasting_cluster`` for all tests of a module, which then share one
cluster and leave it empty (``connected``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench as wb
from tests.integration.clusters import clear, running_cluster, shared_home
from workbench.local_cluster import LocalCluster


@pytest.fixture(scope="module")
def lasting_home() -> Iterator[Path]:
    """Where the stores of a module's cluster are."""
    with shared_home() as path:
        yield path


@pytest.fixture(scope="module")
def lasting_cluster(lasting_home: Path) -> Iterator[LocalCluster]:
    """Two nodes with one worker each, for all tests of a module."""
    with running_cluster(lasting_home) as started:
        yield started


@pytest.fixture
def connected(lasting_cluster: LocalCluster, workbench_directory: Path, own_store: None) -> Iterator[None]:
    """Each test has a new session, connected with the module's cluster, which is empty afterwards."""
    wb.connect(lasting_cluster)
    yield
    clear()


@pytest.fixture
def home() -> Iterator[Path]:
    """Where a test's own stores are."""
    with shared_home() as path:
        yield path


@pytest.fixture
def workbench_directory(request: pytest.FixtureRequest) -> Path:
    """The test's session uses the first node's store."""
    name = "lasting_home" if "lasting_cluster" in request.fixturenames else "home"
    directory: Path = request.getfixturevalue(name)
    return directory / "store"
