"""What the panel says where something is not there: why, and one thing to do about it, in light and in dark."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Route, expect

from tests.processes import Process
from tests.ui.jupyter import JupyterLab
from tests.ui.lab import Lab
from workbench import __version__


@pytest.fixture
def window(alone: JupyterLab, browser: Browser, lab: Lab) -> Iterator[Lab]:
    """Open the JupyterLab of a host that has neither store nor cluster."""
    page = browser.new_page(viewport={"width": 1100, "height": 700}, reduced_motion="reduce")
    window = Lab(page, lab.screenshots)
    try:
        window.open(alone.at("lab/workspaces/alone"))
        yield window
        assert window.errors == []
    finally:
        page.close()


@pytest.fixture
def sharing(alone: JupyterLab) -> Iterator[Process]:
    """Start a process on that host."""
    del alone
    with Process(Path(os.environ["WORKBENCH_DIR"])) as process:
        process.do("import workbench as wb, numpy as np")
        yield process


def shows(window: Lab, name: str, hint: Locator, why: str, action: str) -> None:
    """Hold that a hint says why, and offers one action, and that everybody can read it, in light and in dark."""
    expect(hint).to_contain_text(why)
    expect(hint.get_by_role("button")).to_have_count(1)
    expect(hint.get_by_role("button", name=action)).to_be_visible()
    window.screenshot(f"{name}-light")
    window.theme("JupyterLab Dark")
    assert window.check_accessibility() == []
    window.screenshot(f"{name}-dark")
    window.theme("JupyterLab Light")


def hint(window: Lab, text: str) -> Locator:
    """The hint with this text."""
    return window.panel.locator(".wb-Hint").filter(has_text=text)


def test_no_store(window: Lab) -> None:
    """Where nothing was ever put, the panel says how to begin; what needs no store is there."""
    shows(window, "no-store", hint(window, "No store on this host yet"), "Share a variable in a notebook", "Copy")
    expect(window.panel.locator("[data-listing=objects]")).to_have_text("Objects 0")


def test_no_cluster(window: Lab, sharing: Process) -> None:
    """Objects are listed without a cluster; that they stay on this host is said, with what would change that."""
    sharing.do("wb.put(np.arange(1 << 18), 'alone')")
    expect(window.row("alone")).to_be_visible()
    shows(window, "no-cluster", hint(window, "No Dask cluster on this host"), "objects stay here", "Copy")
    window.row("alone").click(button="right")
    for command in ("move", "replicate"):
        item = window.page.locator(f".lm-Menu-item[data-command='workbench:{command}']")
        expect(item).to_have_attribute("aria-disabled", "true")
    window.page.keyboard.press("Escape")


def test_a_cluster_of_another_version_and_one_that_has_gone(window: Lab, sharing: Process) -> None:
    """Which versions differ, and what to install, is said while the cluster is there; when it is killed, that it does not answer."""
    with Process(Path(os.environ["WORKBENCH_DIR"])) as cluster:
        cluster.do("""
            import workbench as wb
            from workbench.cluster import scheduler_plugin
            scheduler_plugin.__version__ = "0.0.1"
            cluster = wb.LocalCluster(nodes=1, capacity="256 MiB", dashboard_address=":0")
        """)
        sharing.do("wb.put(np.arange(1 << 18), 'alone')")
        expect(window.row("alone")).to_be_visible()
        why = f"The cluster has version 0.0.1 of the workbench, this server {__version__}"
        shows(window, "version-skew", hint(window, "Versions differ"), why, "Copy")
        cluster.do("for nanny in cluster.workers.values(): nanny.process.process.kill()")
        cluster.kill()
    gone = hint(window, "The cluster does not answer")
    shows(window, "cluster-gone", gone, "Objects of this host can still be used", "Copy")
    expect(window.row("alone")).to_be_visible()


def test_a_panel_of_another_version(window: Lab) -> None:
    """A page that was loaded before the server was updated says so, and is loaded again by one button."""

    def older(route: Route) -> None:
        answer = route.fetch()
        state = json.loads(answer.text())
        state["versions"]["server"] = "9.9.9"
        route.fulfill(response=answer, json=state)

    window.page.route("**/workbench/api/state*", older)
    window.panel.locator("[title^='Ask the server']").first.click()
    skew = hint(window, "Versions differ")
    shows(window, "panel-skew", skew, f"This panel is of version {__version__}, the server of 9.9.9", "Reload the Page")
    skew.get_by_role("button").click()
    window.page.unroute_all(behavior="wait")
    window.panel.wait_for()
    window.panel.locator("[title^='Ask the server']").first.click()
    expect(hint(window, "No store on this host yet")).to_be_visible()
    expect(skew).to_have_count(0)


def test_offline(window: Lab, alone: JupyterLab, sharing: Process) -> None:
    """While the server is away what was known stays, and that it is old is said; one button asks again."""
    sharing.do("wb.put(np.arange(1 << 18), 'alone')")
    expect(window.row("alone")).to_be_visible()
    window.expect_no_server()
    # Settings are the server's, too: the theme of a page whose server is away cannot be changed.
    for theme in ("Light", "Dark"):
        window.theme(f"JupyterLab {theme}")
        alone.stop()
        window.panel.locator("[title^='Ask the server']").first.click()
        offline = hint(window, "The server does not answer")
        expect(offline).to_contain_text("What is shown is what was last known")
        expect(offline.get_by_role("button")).to_have_count(1)
        expect(window.row("alone")).to_be_visible()
        assert window.check_accessibility() == []
        window.screenshot(f"offline-{theme.lower()}")
        alone.start()
        offline.get_by_role("button", name="Try Again").click()
        expect(offline).to_have_count(0)
