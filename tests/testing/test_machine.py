"""The store does what a dictionary does, whichever of two processes asks."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings

from tests.conftest import PREFIX
from workbench.testing import StoreMachine

BUDGET = settings(
    max_examples=16,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)


SPILLS = Path(tempfile.gettempdir()) / f"workbench-spills-{os.getpid()}"


class InMemory(StoreMachine):
    """As users have it."""

    prefix = PREFIX


class SegmentsOnly(StoreMachine):
    """Everything in segments, some of them on disk, and a small pool: numbers are used again."""

    prefix = PREFIX
    options: ClassVar[dict[str, Any]] = {"capacity": 128 << 20}
    environment: ClassVar[dict[str, str]] = {
        "WORKBENCH_INLINE": "0",
        "WORKBENCH_POOL": "4 MiB",
        "WORKBENCH_SPILL_DIRECTORY": str(SPILLS),
        "WORKBENCH_RESTORE_AFTER": "never",
    }


TestInMemory = InMemory.TestCase
TestInMemory.settings = BUDGET
TestSegmentsOnly = SegmentsOnly.TestCase
TestSegmentsOnly.settings = BUDGET


@pytest.fixture(scope="module", autouse=True)
def second_processes_end() -> Iterator[None]:
    """The other process of a machine lives as long as its runs."""
    yield
    InMemory.stop()
    SegmentsOnly.stop()
    shutil.rmtree(SPILLS, ignore_errors=True)


@pytest.fixture(autouse=True)
def settings_of_the_first_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both processes have the same settings."""
    if request.cls is TestSegmentsOnly:
        for name, value in SegmentsOnly.environment.items():
            monkeypatch.setenv(name, value)
