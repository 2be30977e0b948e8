"""Two versions of Python on one store: what one puts the other reads, names and deletes, in turn and at once."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.faults.scenes import random_operations
from workbench.store import Store
from workbench.testing import Actor, Model, Performer, assert_consistent, operations
from workbench.testing.operations import Operation

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(600)]

VERSIONS = [
    version for version in ("3.13", "3.12", "3.11") if version != f"{sys.version_info[0]}.{sys.version_info[1]}"
][: None if os.environ.get("WORKBENCH_ALL_PYTHONS") else 1]
"""One of them, as making an environment takes longer than the tests; `make soak` has all."""
NEEDS = ("numpy", "dask")
"""What the store imports, of all that the workbench asks for."""


def interpreter(version: str) -> str | None:
    """Find a Python of this version: on the path, or pyenv's."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(map(str, root.glob(f"versions/{version}.*/bin/python3")))
    return found[-1] if found else shutil.which(f"python{version}")


@pytest.fixture(scope="module", params=VERSIONS)
def other_python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of another Python with what the store needs."""
    python = interpreter(request.param)
    if python is None:
        pytest.skip(f"this machine has no Python {request.param}")
    folder = tmp_path_factory.mktemp("python") / request.param
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    for command in ([python, "-m", "venv", str(folder)], [str(folder / "bin/pip"), "install", "--quiet", *NEEDS]):
        done = subprocess.run(command, env=clean, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no environment with Python {request.param}: {done.stderr.strip()[-300:]}")
    found: Path = folder / "bin/python"
    return found


@pytest.fixture
def other(other_python: Path, store_directory: Path, store: Store) -> Iterator[Actor]:
    """A process of the other Python that has the store open."""
    with Actor(python=other_python) as actor:
        actor.open(store_directory)
        yield actor
        actor.close()


def test_two_pythons_take_turns(store: Store, other: Actor, source: random.Random) -> None:
    """Each does random things to what the other one put, and both see the same after each."""
    performer, model = Performer(store), Model()
    for number, operation in enumerate(random_operations(source, "turns", 200)):
        wanted = model.perform(operation)
        assert (other.perform(operation) if number % 2 else performer.perform(operation)) == wanted, operation
        if number % 10 == 0:
            assert other.state() == operations.state(store) == model.state()
    assert other.state() == operations.state(store) == model.state()
    assert_consistent(store)
    performer.perform(Operation("doctor"))


def test_two_pythons_at_once(store: Store, other: Actor, source: random.Random) -> None:
    """Each does random things under names of its own while the other does, and in the end all of both is there."""
    performer, mine, theirs = Performer(store), Model(), Model()
    of_mine = random_operations(source, "mine", 200)
    of_theirs = random_operations(source, "theirs", 200)
    for one, another in zip(of_mine, of_theirs, strict=True):
        other.begin("perform", another.to_json())
        assert performer.perform(one) == mine.perform(one), one
        assert other.finish() == theirs.perform(another), another
    assert operations.state(store) == other.state() == {**mine.state(), **theirs.state()}
    assert_consistent(store)
    performer.perform(Operation("doctor"))
