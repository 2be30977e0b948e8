"""A real two-node cluster, a real JupyterLab with a token, and the system's Chromium."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_core.paths import jupyter_path
from playwright.sync_api import Browser, sync_playwright

from tests.processes import ROOT, Process
from tests.ui.jupyter import EVERYTHING, JupyterLab
from tests.ui.lab import Lab
from tests.ui.permits import PERMITS

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
SCREENSHOTS = Path(__file__).parent / "screenshots"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and say in one line what is missing where they cannot run.

    One that has waited in vain for the browser is tried once more, as JupyterLab's own are, and the summary says so; one that has seen something wrong is not.
    """
    reason = None
    if CHROMIUM is None:
        reason = "Chromium is missing: apt-get install chromium"
    elif not any(Path(place, "labextensions", "shm-workbench").is_dir() for place in jupyter_path()):
        reason = "the JupyterLab extension is not installed: pip install ."
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ui)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=["TimeoutError", "Locator expected"]))
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def spilling(directory: Path) -> dict[str, str]:
    """What tells a process where to spill to; other tests have no such place."""
    return {"WORKBENCH_SPILL_DIRECTORY": str(directory.parent / "spilled")}


@pytest.fixture(autouse=True)
def no_leaks() -> None:
    """Leave this to the other tests: Playwright keeps its threads as long as the browser, and no store is opened here."""


@pytest.fixture(scope="package")
def workbench_directory() -> Iterator[Path]:
    """Name the store of all tests of the folder: of the cluster's first node, of JupyterLab and of its kernels."""
    path = Path(tempfile.mkdtemp(prefix="workbench-test-", dir="/dev/shm"))
    yield path / "store"
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="package")
def cluster(workbench_directory: Path) -> Iterator[Process]:
    """Start two nodes, each a worker process with a store of its own, from a process of their own."""
    with Process(workbench_directory, **spilling(workbench_directory)) as process:
        process.do("""
            import os
            import workbench as wb
            cluster = wb.LocalCluster(nodes=2, capacity="1 GiB", dashboard_address=":0")
            client = cluster.get_client()
        """)
        yield process
        process.do("cluster.close()")


@pytest.fixture(scope="package")
def jupyter(
    workbench_directory: Path, cluster: Process, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterLab]:
    """Start JupyterLab as the demonstration does, on copies of the notebooks."""
    del cluster
    root = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    # Every cell is on the page, also those that would have to be scrolled to.
    settings = root / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"windowingMode": "none"}))
    permits = root / "permits"
    permits.write_text(EVERYTHING)
    more = {
        "JUPYTERLAB_SETTINGS_DIR": str(root / "settings"),
        "WORKBENCH_DIR": str(workbench_directory),
        **spilling(workbench_directory),
        "WORKBENCH_DEMO_ROWS": "336776",
        "JUPYTER_CONFIG_DIR": str(root / "config"),
        "JUPYTER_DATA_DIR": str(root / "data"),
        "PYTHONPATH": str(ROOT),
        PERMITS: str(permits),
    }
    before = dict(os.environ)
    os.environ.update(more)
    try:
        with JupyterLab(root, permits) as lab:
            yield lab
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def alone(jupyter: JupyterLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JupyterLab]:
    """Start a second JupyterLab, of a host that has neither store nor cluster; its store would be at ``alone.store``."""
    del jupyter  # its environment is ours, but for the store
    place = Path(tempfile.mkdtemp(prefix="workbench-test-", dir="/dev/shm"))
    monkeypatch.setenv("WORKBENCH_DIR", str(place / "store"))
    try:
        with JupyterLab(tmp_path, Path(os.environ[PERMITS])) as lab:
            yield lab
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="package")
def server(jupyter: JupyterLab) -> str:
    """The URL of JupyterLab with its token."""
    return jupyter.url


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Start the browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def beside(workbench_directory: Path, lab: Lab) -> Iterator[Process]:
    """Start a process that shares, as one beside JupyterLab does; the store is empty for the next test."""
    del lab
    with Process(workbench_directory, **spilling(workbench_directory)) as process:
        process.do("import workbench as wb, numpy as np, pandas as pd; wb.connect()")
        yield process
        process.do("""
            import contextlib
            for info in wb.ls():
                with contextlib.suppress(wb.ObjectNotFoundError):
                    wb.delete(info.id)
        """)


@pytest.fixture
def lab(jupyter: JupyterLab, server: str, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Open JupyterLab in a new window; a test of the notebook sees what the demonstration shows, others an empty desk.

    Its kernels end with the test: they would keep what the next one finds deleted.
    """
    SCREENSHOTS.mkdir(exist_ok=True)
    test = request.node.name.removeprefix("test_")
    url = server if test.startswith("notebook_") else re.sub(r"/lab/.*\?", f"/lab/workspaces/{test}?", server)
    page = browser.new_page(viewport={"width": 1400, "height": 900}, reduced_motion="reduce")
    lab = Lab(page, SCREENSHOTS)
    try:
        lab.open(url)
        yield lab
        assert lab.errors == []
    finally:
        lab.screenshot(f"last-{test}")
        page.close()
        jupyter.end_kernels()
