"""kill -9 of any process of a cluster, under load: nothing that was sealed is lost, nothing is half there, nothing is left behind.

Each run kills processes drawn with a seed that it prints; WORKBENCH_SEED plays the same kills again (what the processes do meanwhile depends on their
timing), and WORKBENCH_CLUSTER_KILLS sets how many.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.integration.faults.cluster_crew import KINDS, Crew

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("own_store"),
    # A session says so when the scheduler was killed, as it is here.
    pytest.mark.filterwarnings("ignore:The cluster that this session was connected with:UserWarning"),
]

KILLS = int(os.environ.get("WORKBENCH_CLUSTER_KILLS") or 6)


def drawn(source: random.Random) -> list[str]:
    """Return what is to be killed: each kind at least once, if there are enough."""
    kinds = list(KINDS)
    source.shuffle(kinds)
    more = source.choices(list(KINDS), list(KINDS.values()), k=max(0, KILLS - len(kinds)))
    return [*kinds, *more][:KILLS]


@pytest.mark.timeout(300 + 60 * KILLS)
def test_nothing_is_lost_whatever_is_killed(
    memory_directory: Path, source: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever process is killed, every sealed object is there with its name and its bytes, what was deleted is not, and the scheduler knows all that."""
    with Crew(memory_directory, source) as crew:
        crew.load(0)
        crew.rest()
        for kind in drawn(source):
            crew.load(source.uniform(0.5, 2.0))
            crew.kill(kind)
            if source.random() < 0.2:
                crew.kill(source.choice(list(KINDS)))
            crew.load(source.uniform(0.0, 1.0))
            crew.rest()
            if kind == "scheduler":
                crew.open_all()
        crew.open_all()
        crew.clear()
    with capsys.disabled():
        done = ", ".join(f"{count} {what}" for what, count in sorted(crew.truth.counts.items()))
        print(f"\n{len(crew.killed)} kills; {done}")
    assert len(crew.killed) >= KILLS
