"""The seed of a run: printed always, taken from the environment to play a run again."""

from __future__ import annotations

import os
import random

import pytest


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """WORKBENCH_SEED, else a new one."""
    chosen = int(os.environ.get("WORKBENCH_SEED") or random.SystemRandom().randrange(1 << 32))
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"\nfaults are drawn with WORKBENCH_SEED={chosen}")
    return chosen


@pytest.fixture
def source(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """What a test draws from: the same for the same seed, whichever tests run before it."""
    return random.Random(f"{seed} {request.node.name}")
