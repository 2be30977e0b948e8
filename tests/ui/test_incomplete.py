"""A dataset of which partitions are missing or elsewhere, as its user sees it: row, preview, matrix and card, light and dark."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from tests.processes import Process
from tests.ui.lab import Lab

DATASET = """
    import dask.dataframe as dd
    dd.from_pandas(pd.DataFrame({'n': range(300_000), 'x': 1.5}), npartitions=3).persist_shared('arr')
    parts = {part.tags['partition']: part.id for part in wb.ls(parts=True) if 'partition' in part.tags}
    for number, node in (('0', 'node-1'), ('1', 'node-1'), ('2', 'node-2')):
        wb.move(parts[number], node).wait()
"""
# The nanny starts no other worker until it is told to.
LOSE = """
    import asyncio, dask, os, signal
    dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"})  # else the cluster closes the nanny after 15 seconds
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
"""
FIND = "seen.append(True); nanny.instantiate = start"


def preview_of(lab: Lab) -> Locator:
    """Return the preview that is seen."""
    return lab.page.locator(".wb-PreviewPanel:visible .wb-Preview")


def pictures(lab: Lab, name: str) -> None:
    """Keep a picture in each theme, and let axe-core look at both."""
    for theme, end in (("JupyterLab Dark", "dark"), ("JupyterLab Light", "light")):
        lab.theme(theme)
        lab.page.mouse.move(700, 880)
        lab.screenshot(f"{name}-{end}")
        for selector in ("#workbench-panel", "#jp-main-dock-panel .wb-Preview", "#jp-main-dock-panel .wb-Matrix"):
            if lab.page.locator(selector).first.is_visible():
                assert lab.check_accessibility(selector) == []


def test_partitions_that_are_elsewhere_are_brought_and_missing_ones_are_said_to_be(
    lab: Lab, beside: Process, cluster: Process
) -> None:
    """A preview offers to bring what other nodes have; of what no running node has row, preview and matrix say so, until it is there again."""
    beside.do(DATASET)
    lab.expect_nodes("arr", ["node-1", "node-2"])
    expect(lab.row("arr").locator(".wb-Missing")).to_have_count(0)
    lab.choose("arr", "Preview")
    preview = preview_of(lab)
    expect(preview.get_by_text("2 of 3 partitions are on this host")).to_contain_text("It is on node-2.")
    lab.screenshot("partly-here")
    preview.get_by_role("button", name=re.compile("Replicate to This Host")).click()
    expect(preview.get_by_text("partitions are on this host")).to_have_count(0)
    lab.dismiss()

    beside.do("wb.delete(parts['2']); wb.move(parts['0'], 'node-2').wait()")
    for place in (lab.row("arr"), preview):
        expect(place.locator(".wb-Missing")).to_have_text("2 of 3 partitions")
        expect(place.locator(".wb-Missing")).to_have_attribute("title", re.compile("compute the dataset anew"))
    lab.choose("arr", "Show Partitions")
    matrix = lab.page.locator(".wb-Matrix:visible")
    expect(matrix.get_by_role("row").nth(3)).to_contain_text("missing")
    expect(matrix.get_by_role("status")).to_have_text("1 missing")
    pictures(lab, "missing-partition")

    cluster.do(LOSE)
    try:
        expect(lab.row("arr").locator(".wb-Missing")).to_have_text("1 of 3 partitions")
        expect(matrix.get_by_role("row").nth(1)).to_contain_text("on a lost node")
        pictures(lab, "lost-partition")
        lab.widen()
        pictures(lab, "lost-partition-wide")
        lab.choose("arr", "Preview")
        expect(preview.locator(".wb-Missing")).to_have_text("1 of 3 partitions")
        # What was seen stays; another one sees only what is there.
        lab.page.locator(".lm-DockPanel-tabBar .lm-mod-current .lm-TabBar-tabCloseIcon").click()
        lab.choose("arr", "Preview")
        alert = preview_of(lab).get_by_role("alert")
        expect(alert).to_contain_text("Partition 0 of 'arr', which has these rows, is on no running node.")
        expect(alert).to_contain_text("only on node-2, lost because no worker runs there: start one there")
        expect(preview_of(lab).get_by_role("button", name=re.compile("Replicate"))).to_have_count(0)
        pictures(lab, "lost-preview")
    finally:
        cluster.do(FIND)
    expect(lab.row("arr").locator(".wb-Missing")).to_have_text("2 of 3 partitions")
    expect(preview_of(lab).get_by_role("button", name=re.compile("Replicate to This Host"))).to_be_visible()


def test_a_card_says_that_a_dataset_is_incomplete(lab: Lab, beside: Process) -> None:
    """The table of ``%wb ls`` says it in place of that it is live, also of what becomes of it afterwards."""
    beside.do(DATASET)
    lab.new_notebook()
    lab.run("import workbench as wb\n%load_ext workbench\n%wb ls")
    row = lab.page.locator(".wb-Card[data-kind='objects'] tbody tr").filter(has_text="arr")
    expect(row).to_contain_text("live")
    beside.do("wb.delete(parts['2'])")
    expect(row).to_contain_text("2 of 3 partitions")
    expect(row).to_contain_text("incomplete")
    lab.run("wb.info('arr')")
    card = lab.page.locator("article.wb-Card")
    expect(card.locator(".wb-Missing")).to_have_text("2 of 3 partitions")
    pictures(lab, "incomplete-card")
