"""The panel in the oldest and the newest JupyterLab and Notebook that it is for, each in an environment of its own, under a base URL as a hub gives one.

They are opt-in, for the environments take minutes and a package index: ``make test-releases``, or WORKBENCH_RELEASES=FOLDER, where FOLDER keeps the
environments for the next time. A new bundle needs new environments: remove the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.processes import ROOT, Process
from tests.ui.conftest import SCREENSHOTS
from tests.ui.jupyter import free_port
from tests.ui.lab import Lab
from workbench.jupyter import demo

PLACE = os.environ.get("WORKBENCH_RELEASES", "")
RELEASES = {
    "oldest": ("jupyterlab~=4.2.0", "notebook~=7.2.0"),
    "newest": ("jupyterlab>=4.2,<5", "notebook>=7.2,<8"),
}
BASE = "/user/alice%40example.org/"
"""With a letter that is escaped, as in the names of a hub's users."""
NOTEBOOKS_OWN = ("/static/notebook/", "Cannot read properties of undefined (reading 'schema')")
"""What Notebook 7.2 and 7.6 complain of by themselves, also without any extension."""

pytestmark = [
    pytest.mark.network,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not PLACE, reason="other releases of JupyterLab are opt-in: make test-releases"),
]


@pytest.fixture(scope="module", params=list(RELEASES))
def python(request: pytest.FixtureRequest) -> Path:
    """Make an environment with a release of JupyterLab and of Notebook, unless it is there, and return its Python."""
    release: str = request.param
    folder = Path(PLACE).resolve() / release
    found = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        packages = [*RELEASES[release], f"{ROOT}[jupyter]"]
        subprocess.run([found, "-m", "pip", "install", "--quiet", *packages], check=True, env=_without_ours())
        (folder / "complete").touch()
    return found


@pytest.fixture
def store() -> Iterator[Path]:
    """Where the store of a test is."""
    path = Path(tempfile.mkdtemp(prefix="workbench-test-", dir="/dev/shm"))
    yield path / "store"
    shutil.rmtree(path, ignore_errors=True)


def _without_ours() -> dict[str, str]:
    """The environment without what leads to this one."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTHON", "VIRTUAL"))}


@contextlib.contextmanager
def server(python: Path, application: str, store: Path, private: Path) -> Iterator[tuple[str, str]]:
    """Start a server below a base URL; give its URL and its token."""
    port, token = free_port(), secrets.token_hex(24)
    for name, content in demo._QUIET.items():
        path = private / "settings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    environment = {
        **_without_ours(),
        **{name: str(private / folder) for name, folder in places.items()},
        "JUPYTER_TOKEN": token,
        "WORKBENCH_DIR": str(store),
    }
    log = private / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(python, "-m", application, "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"),
                *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={private}"),
                f"--ServerApp.base_url={BASE}",
            ],
            env=environment,
            cwd=private,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}{BASE}"
    try:
        _wait_for(f"{url}api/status?token={token}", process, log)
        yield url, token
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text()[-3000:]) from None
            time.sleep(0.1)
        else:
            return


@pytest.mark.parametrize("application", ["jupyterlab", "notebook"])
def test_the_panel_in_other_releases(
    application: str, python: Path, store: Path, browser: Browser, tmp_path: Path
) -> None:
    """The panel is opened, lists what is shared, follows a change, and acts."""
    asked = f"from importlib.metadata import version; print(version({application!r}))"
    version = subprocess.run(
        [python, "-c", asked], capture_output=True, text=True, check=True, env=_without_ours()
    ).stdout.strip()
    SCREENSHOTS.mkdir(exist_ok=True)
    with server(python, application, store, tmp_path) as (url, token), Process(store) as process:
        process.do("import workbench as wb, numpy as np; wb.put(np.arange(1 << 18), 'numbers')")
        page = browser.new_page(viewport={"width": 1200, "height": 760}, reduced_motion="reduce")
        lab = Lab(page, SCREENSHOTS)
        try:
            page.goto(f"{url}{'lab' if application == 'jupyterlab' else 'tree'}?token={token}")
            # As a user finds it who knows nothing of it: Notebook has no side bar until something is in it.
            page.locator(".lm-MenuBar-itemLabel").get_by_text("View", exact=True).wait_for()
            page.locator("#jupyterlab-splash").wait_for(state="detached")
            page.keyboard.press("Control+Shift+c")
            page.locator(".lm-CommandPalette-input").last.fill("workbench")
            page.locator("[data-command='workbench:open-panel']:visible").last.click()
            expect(lab.row("numbers")).to_be_visible()
            process.do("wb.put(np.arange(9), 'another')")
            expect(lab.row("another")).to_be_visible()
            expect(lab.panel.locator(".wb-Node-used")).to_contain_text("2 MiB of ")
            lab.select("another")
            expect(lab.row("another")).to_be_focused()
            page.keyboard.press("Delete")
            assert "another" in lab.accept("Delete")
            expect(lab.row("another")).to_have_count(0)
            assert process.do("result = wb.exists('another')") is False
            assert [error for error in lab.errors if not any(known in error for known in NOTEBOOKS_OWN)] == []
        finally:
            lab.screenshot(f"release-{application}-{version}")
            page.close()
