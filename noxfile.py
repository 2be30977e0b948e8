"""The Python tests on each supported Python that the machine has: `make test-all`, or `nox -s tests-3.13 -- -k store`.

Covers Python only: the extension is built before (`make build`), and its tests do not depend on Python. Browser tests run
once, in `make test`.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13"]
SHARED = ["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]
"""All tests are shared among processes, as in `make test`; those that are asked for by name run in one."""

nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests"]


def add_pyenv_to_path() -> None:
    """Let nox find the Pythons of pyenv: its shims answer only for those that are activated."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    newest: dict[str, Path] = {}
    for version in PYTHONS:
        found = sorted(root.glob(f"versions/{version}.*/bin"), key=lambda path: _release(path.parent.name))
        if found:
            newest[version] = found[-1]
    os.environ["PATH"] = os.pathsep.join([*map(str, newest.values()), os.environ.get("PATH", os.defpath)])


def _release(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split(".") if part.isdigit())


add_pyenv_to_path()


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Install the project with its tests, and run all but the browser tests."""
    session.install("--quiet", "--editable", ".[test]")
    session.run("python", "-m", "pytest", "-m", "not ui", *(session.posargs or SHARED))
