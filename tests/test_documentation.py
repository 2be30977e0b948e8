"""The documentation's Python runs as it stands, and what it points to is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.processes import environment

ROOT = Path(__file__).resolve().parents[1]
GUIDES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
# Their blocks need hosts, and run in tests/deploy.
DEPLOYING = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "deploying").glob("*.md"))
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", *GUIDES, *DEPLOYING]


def python_blocks(text: str) -> list[str]:
    """The Python code blocks of a document that are not notebook cells."""
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return [block for block in blocks if "%load_ext" not in block]


def test_readme_runs(store_directory: Path) -> None:
    """A newcomer who pastes the README's blocks one after the other into a script gets no error."""
    body = "\n".join(python_blocks((ROOT / "README.md").read_text()))
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
    assert "Warning" not in done.stderr, done.stderr


def install(project: str, directory: Path) -> None:
    """Make what a ``pyproject.toml`` describes known in a directory of the import path, as pip would."""
    told = tomllib.loads(project)["project"]
    metadata = directory / f"{told['name'].replace('-', '_')}-{told['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {told['name']}\nVersion: {told['version']}\n")
    groups = [
        f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in points.items())
        for group, points in told["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n\n".join(groups) + "\n")


def read_guide(text: str, modules: Path) -> tuple[list[str], str]:
    """Write the modules of a guide, whose first line is their name; return its script, cut at the project file, and that file."""
    parts, project = [""], ""
    for language, block in re.findall(r"```(python|toml)\n(.*?)```", text, re.DOTALL):
        name = re.match(r"# (\w+\.py)\n", block)
        if language == "toml":
            project = block
            parts.append("")
        elif name is not None:
            (modules / name[1]).write_text(block)
        else:
            parts[-1] += block
    return parts, project


@pytest.mark.parametrize("document", GUIDES)
def test_guides_run(document: str, store_directory: Path, tmp_path: Path) -> None:
    """A guide's script runs up to its project file, and as a whole with that; it prints what it says, and the guide's tests pass."""
    modules = tmp_path / "modules"
    modules.mkdir()
    parts, project = read_guide((ROOT / document).read_text(), modules)
    commands = [["-c", "".join(parts[: count + 1])] for count in range(len(parts))]
    commands += [["-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)] for path in modules.glob("test_*.py")]
    outputs = ""
    for count, command in enumerate(commands):
        if project and count == 1:
            install(project, modules)
            told = tomllib.loads(project)["tool"]["setuptools"]["py-modules"]
            assert sorted(told) == sorted(path.stem for path in modules.glob("*.py") if "test" not in path.stem)
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment(store_directory, PYTHONPATH=os.pathsep.join([str(ROOT), str(modules)])),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        outputs += done.stdout
    for said in re.findall(r"print\(.*\)  # (.*)", "".join(parts)):
        assert said.split(": ")[0] in outputs


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    """Every relative link of the documents names a file of the repository."""
    path = ROOT / document
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_readme_fits_a_terminal() -> None:
    """Lines of at most 120 columns, and on the first screen what it is, how it is installed and an example that runs."""
    lines = (ROOT / "README.md").read_text().splitlines()
    assert [line for line in lines if len(line) > 120] == []
    first_screen = "\n".join(lines[:30])
    assert "pip install" in first_screen
    (example,) = python_blocks(first_screen)
    assert "wb.put(" in example and "wb.get(" in example and len(example.splitlines()) <= 11


def test_documented_targets_exist() -> None:
    """Each ``make`` target that a document names is in the Makefile."""
    named = set()
    for document in DOCUMENTS:
        named |= set(re.findall(r"`?make ([a-z-]+)", (ROOT / document).read_text()))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named - {"an", "it", "sure"} <= targets
