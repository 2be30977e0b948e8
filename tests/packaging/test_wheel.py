from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import workbench

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(600)]


def run(*command: str | Path, path: str | None = None, home: Path | None = None, cwd: Path = ROOT) -> str:
    """Run a program to its end; return what it wrote, without colours.

    `path` is its whole PATH: an empty folder leaves no program at all. `home` keeps it from the user's own settings.
    """
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTHON", "VIRTUAL_ENV"))
    }
    if path is not None:
        env["PATH"] = path
    if home is not None:
        env["HOME"] = str(home)
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    output = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    assert done.returncode == 0, f"{command} failed:\n{output}"
    return output


def names(wheel: Path) -> list[str]:
    """Return the names of the files in a wheel."""
    return sorted(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of the checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--sdist", "--outdir", folder)
    [built] = folder.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def no_node(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which there is neither Node.js nor npm nor anything else."""
    folder = str(tmp_path_factory.mktemp("empty"))
    assert shutil.which("node", path=folder) is None
    return folder


@pytest.fixture(scope="module")
def wheel(sdist: Path, no_node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel made from the sdist, by an environment without Node.js."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, sdist, path=no_node, cwd=folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, no_node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment into which only the wheel and what it asks for were installed, without Node.js."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", f"{wheel}[lab]", path=no_node, cwd=folder)
    return folder


def test_sdist_becomes_a_wheel_without_node(wheel: Path) -> None:
    """A wheel made from the sdist has the prebuilt extension once, the server's configuration, and no sources of either."""
    content = names(wheel)
    data = f"shm_workbench-{workbench.__version__}.data/data"
    bundle = f"{data}/share/jupyter/labextensions/shm-workbench"
    assert f"{bundle}/package.json" in content
    assert f"{bundle}/install.json" in content
    assert f"{bundle}/schemas/shm-workbench/panel.json" in content
    assert len([name for name in content if name.startswith(f"{bundle}/static/remoteEntry.")]) == 1
    assert f"{data}/etc/jupyter/jupyter_server_config.d/workbench.json" in content
    assert "workbench/workbench.yaml" in content
    assert {"workbench/jupyter/widget/static/browser.js", "workbench/jupyter/widget/static/browser.css"} <= set(content)
    assert [name for name in content if name.startswith(("workbench/labextension", "extension", "tests"))] == []
    assert len(content) == len(set(content))


def test_wheel_of_the_checkout_has_the_same_files(wheel: Path, tmp_path: Path) -> None:
    """`pip install .` gives what an installation from the sdist gives."""
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    [built] = tmp_path.glob("*.whl")
    assert names(built) == names(wheel)


def test_jupyterlab_lists_the_extension(environment: Path, tmp_path: Path) -> None:
    """In an environment without Node.js, JupyterLab has the extension, enabled and OK."""
    path = str(environment / "bin")
    listing = run(environment / "bin" / "jupyter", "labextension", "list", path=path, home=tmp_path, cwd=tmp_path)
    assert re.search(rf"shm-workbench v{re.escape(workbench.__version__)} enabled\s+OK", listing), listing


def test_jupyter_server_lists_the_extension(environment: Path, tmp_path: Path) -> None:
    """In the same environment, Jupyter Server has the server extension, enabled and valid."""
    path = str(environment / "bin")
    listing = run(
        environment / "bin" / "jupyter", "server", "extension", "list", path=path, home=tmp_path, cwd=tmp_path
    )
    assert re.search(r"workbench\.jupyter\.server enabled", listing), listing
    assert re.search(r"workbench\.jupyter\.server.*OK", listing), listing


def test_installed_package_works(environment: Path, tmp_path: Path) -> None:
    """The package that was installed, and not the checkout, shares an array and has its command line."""
    code = (
        "import numpy, sys, workbench as wb\n"
        "with wb.Session(sys.argv[1]) as session:\n"
        "    session.put(numpy.arange(100_000), 'numbers')\n"
        "    assert session.get('numbers')[-1] == 99_999\n"
        "print(wb.__file__)\n"
    )
    printed = run(environment / "bin" / "python", "-c", code, tmp_path / "store", cwd=tmp_path)
    assert str(environment) in printed
    assert workbench.__version__ in run(environment / "bin" / "workbench", "--version", cwd=tmp_path)
