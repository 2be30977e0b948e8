"""The store does what a dictionary does, whichever of two processes asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings

from tests.conftest import PREFIX
from workbench.testing import StoreMachine

BUDGET = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)


class InMemory(StoreMachine):
    """As users have it."""

    prefix = PREFIX


class SegmentsOnly(StoreMachine):
    """Everything in segments, and next to no room: pools are emptied, and numbers used again."""

    prefix = PREFIX
    options: ClassVar[dict[str, Any]] = {"capacity": 32 << 20}
    environment: ClassVar[dict[str, str]] = {"WORKBENCH_INLINE": "0", "WORKBENCH_POOL": "4 MiB"}


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


@pytest.fixture(autouse=True)
def settings_of_the_first_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both processes have the same settings."""
    if request.cls is TestSegmentsOnly:
        for name, value in SegmentsOnly.environment.items():
            monkeypatch.setenv(name, value)
