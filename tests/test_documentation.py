"""The documentation's Python runs as it stands, and what it points to is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import environment
from workbench.store import default_directory

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]


def python_blocks(text: str) -> list[str]:
    """The Python code blocks of a document that are not notebook cells."""
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return [block for block in blocks if "%load_ext" not in block]


@pytest.fixture
def namespace() -> Iterator[str]:
    """The name of a store that only this test uses; it lies where a user's would, and is removed."""
    name = f"readme-{os.getpid()}"
    yield name
    shutil.rmtree(default_directory(name), ignore_errors=True)


def test_readme_runs(store_directory: Path, namespace: str) -> None:
    """A newcomer who pastes the README's blocks one after the other into a script gets no error."""
    body = "\n".join(python_blocks((ROOT / "README.md").read_text())).replace(
        'use("experiment")', f'use("{namespace}")'
    )
    assert namespace in body
    script = store_directory.parent / "readme.py"
    # Dask starts processes that import the script, so it needs the usual guard.
    script.write_text("if __name__ == '__main__':\n" + "\n".join("    " + line for line in body.splitlines()))
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=script.parent,
        env=environment(store_directory),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "flights" in done.stdout
    assert "-3.5" in done.stdout


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    """Every relative link of the documents names a file of the repository."""
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", (ROOT / document).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_documented_targets_exist() -> None:
    """Each ``make`` target that a document names is in the Makefile."""
    named = set()
    for document in DOCUMENTS:
        named |= set(re.findall(r"`?make ([a-z-]+)", (ROOT / document).read_text()))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named - {"an", "it", "sure"} <= targets
