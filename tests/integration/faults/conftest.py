"""What the faults of a run are drawn from: the run's seed and the test's name."""

from __future__ import annotations

import random

import pytest


@pytest.fixture
def source(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """What a test draws from: the same for the same seed, whichever tests run before it."""
    return random.Random(f"{seed} {request.node.name}")
