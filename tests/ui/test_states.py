"""What the panel says when something is missing, and that everybody can use it: each state, light, dark and in high contrast."""

from __future__ import annotations

import pytest
from playwright.sync_api import TimeoutError, expect  # noqa: A004  # its own name

from tests.processes import Process
from tests.ui.jupyter import EVERYTHING, JupyterLab
from tests.ui.lab import AXE, Lab

SOME = """
    wb.put(pd.DataFrame({'x': range(200_000), 'y': 1.5}), 'flights', pin=True)
    wb.put(np.arange(1 << 20), 'runs/1/weights')
    wb.put(np.arange(1 << 18), 'runs/2/weights')
    wb.put({'a': 1}, 'settings', tags={'project': 'alpha'})
    wb.put(np.arange(1 << 17))
    wb.replicate('flights', n=2).wait()
    wb.spill('runs/2/weights')
"""


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is missing: make test-js installs it")
def test_everybody_can_read_it(lab: Lab, beside: Process) -> None:
    """Narrow and wide, light and dark, with and without a system's own colours: axe-core finds nothing to complain about."""
    beside.do(SOME)
    expect(lab.chips("flights")).to_have_count(2)
    expect(lab.panel.locator("[data-workbench-object]")).to_have_count(5)
    lab.page.mouse.move(900, 500)
    lab.node("node-1").get_by_role("button", name="node-1", exact=True).click()
    lab.select("runs/1/weights", "runs/2/weights")
    assert lab.check_accessibility() == []
    lab.screenshot("narrow-light")
    lab.widen()
    lab.panel.get_by_role("combobox").press_sequentially("size:>1KB n")
    assert lab.check_accessibility() == []
    lab.screenshot("suggestions-light")
    lab.page.keyboard.press("Escape")
    lab.filter("size:>1KB node:mars")
    lab.panel.get_by_role("button", name="Group, sort, columns").click()
    lab.panel.get_by_label("Group by").select_option("node")
    assert lab.check_accessibility() == []
    lab.page.keyboard.press("Escape")
    lab.theme("JupyterLab Dark")
    assert lab.check_accessibility() == []
    lab.screenshot("wide-dark")
    lab.page.emulate_media(forced_colors="active", reduced_motion="reduce")
    lab.screenshot("wide-forced-colors")
    lab.page.emulate_media(forced_colors="none", contrast="more", reduced_motion="reduce")
    lab.screenshot("wide-more-contrast")
    lab.page.emulate_media(contrast="no-preference", reduced_motion="reduce")
    lab.show("deleted")
    assert lab.check_accessibility() == []
    lab.show("objects")
    lab.filter("")
    lab.panel.get_by_role("button", name="Group, sort, columns").click()
    lab.panel.get_by_label("Group by").select_option("none")
    lab.page.keyboard.press("Escape")
    lab.press("runs/1/weights", "m")
    lab.page.locator(".wb-Plan-size").wait_for()
    assert lab.check_accessibility(".jp-Dialog .wb-NodeChoice") == []
    lab.screenshot("dialog-dark")
    lab.accept("Cancel")
    lab.theme("JupyterLab Light")


def test_partitions_of_a_dataset(lab: Lab, beside: Process) -> None:
    """The tab shows which node has which partition, and follows what changes."""
    beside.do("""
        import dask.dataframe as dd
        frame = pd.DataFrame({'x': range(60_000)})
        dataset = dd.from_pandas(frame, npartitions=6).persist_shared('dataset')
    """)
    lab.choose("dataset", "Show Partitions")
    matrix = lab.page.get_by_role("table", name="Partitions of dataset by node")
    expect(matrix.get_by_role("row")).to_have_count(7)
    beside.do("wb.replicate('dataset', n=2).wait()")
    expect(matrix.get_by_role("columnheader", name="node-1 (6)")).to_be_visible()
    expect(matrix.get_by_role("columnheader", name="node-2 (6)")).to_be_visible()
    assert lab.check_accessibility(".wb-Matrix") == []
    lab.screenshot("partitions")
    beside.do("del dataset")


def test_who_may_only_look_is_told(lab: Lab, beside: Process, jupyter: JupyterLab) -> None:
    """Without permission to change anything the panel shows everything, and offers nothing that would be refused."""
    beside.do("wb.put(np.arange(9), 'fixed')")
    expect(lab.row("fixed")).to_be_visible()
    refresh = lab.panel.locator(
        ".jp-Toolbar-item[data-jp-item-name='workbench:refresh'] button, [title^='Ask the server']"
    )
    lab.expected = ("403 (Forbidden)",)
    try:
        jupyter.permit("read")
        refresh.first.click()
        expect(lab.panel.get_by_text("Read-only")).to_be_visible()
        lab.row("fixed").click(button="right")
        for command in ("delete", "rename", "pin", "move", "drop", "save"):
            item = lab.page.locator(f".lm-Menu-item[data-command='workbench:{command}']")
            expect(item).to_have_attribute("aria-disabled", "true")
        lab.page.keyboard.press("Escape")
        lab.press("fixed", "Delete")
        expect(lab.page.locator(".jp-Dialog")).to_have_count(0)
        lab.screenshot("read-only")
        jupyter.permit("")
        refresh.first.click()
        expect(lab.panel.get_by_text("You may not look at the workbench")).to_be_visible()
        lab.screenshot("forbidden")
    finally:
        jupyter.permit(EVERYTHING)
    lab.panel.get_by_role("button", name="Try Again").click()
    expect(lab.panel.get_by_text("You may not look at the workbench")).to_have_count(0)
    expect(lab.row("fixed")).to_be_visible()


def test_a_killed_worker_is_listed_as_lost_and_comes_back(lab: Lab, beside: Process, cluster: Process) -> None:
    """While a node has no worker it is listed as lost; what it had alone is there again when Dask has started another one."""
    beside.do("wb.put(np.arange(1 << 18), 'survivor'); wb.move('survivor', 'node-2').wait()")
    lab.expect_nodes("survivor", ["node-2"])
    node = lab.node("node-2")
    lab.page.evaluate("""() => {
        window.states = [];
        const look = () => {
            const node = document.querySelector("[data-node-name='node-2']");
            window.states.push(node === null ? 'gone' : node.dataset.state);
        };
        new MutationObserver(look).observe(document.querySelector('#workbench-panel'), { attributes: true, childList: true, subtree: true });
    }""")
    # The nanny waits until the loss was seen: on a quick machine it lasts no longer than the panel may take to ask again.
    cluster.do("""
        import asyncio, signal
        pids = client.run(os.getpid)
        address = next(node.address for node in wb.nodes() if node.name == 'node-2')
        nanny = next(nanny for nanny in cluster.workers.values() if nanny.worker_address == address)
        start, seen = nanny.instantiate, []
        async def start_when_seen():
            while not seen:
                await asyncio.sleep(0.02)
            return await start()
        nanny.instantiate = start_when_seen
        os.kill(pids[address], signal.SIGKILL)
    """)
    try:
        try:
            lab.page.wait_for_function("window.states.includes('lost')")
        except TimeoutError as error:
            listed = cluster.do("result = [(node.name, node.state) for node in wb.nodes()]")
            raise AssertionError(
                f"the panel showed {lab.page.evaluate('window.states')}, the cluster lists {listed}"
            ) from error
        lab.screenshot("lost")
    finally:
        cluster.do("seen.append(True); nanny.instantiate = start")
    expect(node).to_have_attribute("data-state", "running")
    assert "gone" not in lab.page.evaluate("window.states")
    lab.expect_nodes("survivor", ["node-2"])
    assert beside.do("result = int(wb.get('survivor', timeout=20)[-1])") == (1 << 18) - 1


def test_a_restarted_server_is_found_again(lab: Lab, beside: Process, jupyter: JupyterLab) -> None:
    """While the server is away the panel says so and shows what it knew; it goes on when the server does."""
    beside.do("wb.put(np.arange(9), 'before')")
    expect(lab.row("before")).to_be_visible()
    lab.expect_no_server()
    jupyter.stop()
    try:
        lab.panel.locator("[title^='Ask the server']").first.click()
        expect(lab.panel.get_by_text("The server does not answer")).to_be_visible()
        expect(lab.row("before")).to_be_visible()
        lab.screenshot("offline")
        beside.do("wb.put(np.arange(9), 'meanwhile')")
    finally:
        jupyter.start()
    lab.panel.get_by_role("button", name="Try Again").click()
    expect(lab.row("meanwhile")).to_be_visible()
    expect(lab.panel.get_by_text("The server does not answer")).to_have_count(0)


def test_elsewhere_in_jupyterlab(lab: Lab, beside: Process) -> None:
    """The status bar shows the shared memory used, and opens the panel; the list of what is running has store and cluster."""
    beside.do("wb.put(np.arange(1 << 20), 'eight MiB')")
    status = lab.page.locator(".wb-Status-button")
    expect(status).to_contain_text("/ 1 GiB")
    lab.page.locator(".jp-SideBar [data-id='jp-running-sessions']").click()
    expect(lab.panel).to_be_hidden()
    running = lab.page.locator("#jp-running-sessions")
    expect(running.get_by_text("Store of this host")).to_be_visible()
    expect(running.get_by_text("Cluster at tcp://")).to_be_visible()
    lab.screenshot("running")
    status.click()
    expect(lab.panel).to_be_visible()
    lab.palette("filter")
    expect(lab.panel.get_by_role("combobox")).to_be_focused()
