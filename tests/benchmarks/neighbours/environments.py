"""An environment of its own for each neighbour, made once and kept in ``.bench`` beside the sources.

Covers making one, and why one could not be made. The project's own environment stays as it is.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.neighbours.protocol import last_line
from tests.processes import ROOT

FOLDER = ROOT / ".bench"
_PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.10")
_LIMIT = 600
"""Seconds that one installation may take."""


class UnavailableError(Exception):
    """A neighbour cannot be installed here; the message says why."""


def python(name: str, alternatives: Sequence[Sequence[str]], check: str) -> Path:
    """Return the interpreter of an environment that has a neighbour.

    Parameters
    ----------
    name : str
        What the environment is called.
    alternatives : sequence of sequences of str
        What to install; the first that works is taken, on the first Python that it works on.
    check : str
        What the neighbour's script imports.

    Raises
    ------
    UnavailableError
    """
    folder = FOLDER / name
    interpreter, stamp = folder / "bin" / "python", folder / "installed"
    wanted = repr(alternatives)
    if stamp.exists() and stamp.read_text() == wanted:
        return interpreter
    reason = "no Python was found"
    for requirements in alternatives:
        for base in _bases():
            shutil.rmtree(folder, ignore_errors=True)
            failed = _install(base, folder, requirements, check)
            if failed is None:
                stamp.write_text(wanted)
                return interpreter
            reason = failed
    shutil.rmtree(folder, ignore_errors=True)
    raise UnavailableError(reason)


def _bases() -> Iterator[str]:
    """Yield the Pythons to try: the one that runs this, then what else there is."""
    seen = {f"python{sys.version_info.major}.{sys.version_info.minor}"}
    yield str(getattr(sys, "_base_executable", sys.executable))
    for command in _PYTHONS:
        found = shutil.which(command)
        if found is not None and command not in seen:
            yield found


def _install(base: str, folder: Path, requirements: Sequence[str], check: str) -> str | None:
    """Make one environment; return why it failed, or None."""
    interpreter = str(folder / "bin" / "python")
    pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    for command in ([base, "-m", "venv", str(folder)], [*pip, *requirements], [interpreter, "-c", f"import {check}"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return last_line(str(error))
        if done.returncode != 0:
            return last_line(done.stderr or done.stdout)
    return None
