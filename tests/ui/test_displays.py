"""What a notebook shows in a real browser: cards, which ask the server and are true whatever the kernel does; the object browser as a widget."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.processes import Process
from tests.ui.lab import Lab


@pytest.fixture
def beside(workbench_directory: Path, lab: Lab) -> Iterator[Process]:
    """Start a process that shares, as one beside JupyterLab does; the store is empty for the next test."""
    del lab
    with Process(workbench_directory) as process:
        process.do("import workbench as wb, numpy as np, pandas as pd; wb.connect()")
        yield process
        process.do("for info in wb.ls(): wb.delete(info.id)")


def card(lab: Lab, at: int = 0) -> Locator:
    """The cards of single objects in the open notebook."""
    return lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) article.wb-Card").nth(at)


def test_card_is_true_whatever_the_kernel_does(lab: Lab, beside: Process) -> None:
    """A card follows its object while the kernel is busy, after a restart and in the reopened notebook, until it is deleted."""
    name = 'numbers <img src=x onerror="document.title=1"> \u202e'
    beside.do(f"wb.put(np.arange(1 << 20), {name!r})")
    lab.new_notebook()
    lab.run(f"import workbench as wb\nwb.info({name!r})")
    expect(card(lab)).to_have_attribute("data-status", "live")
    expect(card(lab).locator("bdi").first).to_have_text(name)
    expect(card(lab).locator("[data-node]")).to_have_text(["node-1"])

    # Busy.
    lab.run("import time\nend = time.time() + 60\nwhile time.time() < end: pass")
    busy = lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-InputPrompt").filter(has_text="[*]")
    expect(busy.first).to_be_visible()
    beside.do(f"wb.pin({name!r})")
    expect(card(lab).get_by_text("pinned", exact=True)).to_be_visible()
    actions = card(lab).get_by_role("button", name="Actions on")
    actions.focus()
    lab.page.keyboard.press("Enter")
    lab.page.locator(".lm-Menu-item").filter(has_text="Replicate").click()
    lab.accept("Replicate", node="node-2")
    expect(card(lab).locator("[data-node]")).to_have_count(2)
    expect(busy.first).to_be_visible()
    lab.screenshot("card-busy")

    # The kernel starts anew, and knows of nothing.
    lab.page.get_by_role("menuitem", name="Kernel", exact=True).click()
    lab.page.locator(".lm-Menu-item").filter(has_text="Restart Kernel…").click()
    lab.accept("Restart")
    lab.wait_for_kernel()
    beside.do(f"wb.unpin({name!r})")
    expect(card(lab).get_by_text("pinned", exact=True)).to_have_count(0)

    # The notebook is opened again from its file.
    with lab.page.expect_response(lambda answer: "/api/contents/" in answer.url and answer.request.method == "PUT"):
        lab.page.get_by_role("button", name="Save and create checkpoint").click()
        lab.accept("Rename and Save")
    lab.page.reload()
    expect(card(lab)).to_have_attribute("data-status", "live")
    expect(card(lab).locator("[data-node]")).to_have_count(2)
    lab.theme("JupyterLab Dark")
    lab.screenshot("card-dark")
    lab.theme("JupyterLab Light")

    # Deleted: who saw it knows, who opens the notebook later is told that nobody knows it.
    beside.do(f"wb.delete({name!r})")
    expect(card(lab)).to_have_attribute("data-status", "deleted")
    lab.screenshot("card-deleted")
    lab.page.reload()
    expect(card(lab)).to_have_attribute("data-status", "unknown")
    expect(card(lab)).to_contain_text("no longer known")
    assert lab.page.title() != "1"


def test_cards_of_listings_nodes_and_operations(lab: Lab, beside: Process) -> None:
    """A listing, the nodes and an operation are live tables and bars; what is deleted is struck out."""
    beside.do("wb.put(np.arange(1 << 20), 'one'); wb.put(pd.DataFrame({'x': range(1000)}), 'two')")
    lab.new_notebook()
    lab.run("import workbench as wb\nwb.connect()\nwb.ls()")
    rows = lab.page.locator(".wb-Card[data-kind='objects'] tbody tr")
    expect(rows).to_have_count(2)
    lab.run("wb.nodes()")
    meters = lab.page.locator(".wb-Card[data-kind='nodes']").get_by_role("meter")
    expect(meters).to_have_count(2)
    lab.run("wb.replicate('one', n=2)")
    operation = lab.page.locator(".wb-Card[data-kind='operations'] .wb-Card-operation")
    expect(operation).to_have_attribute("data-state", "done")
    one = rows.filter(has_text="one")
    expect(one.locator("[data-node]")).to_have_count(2)
    beside.do("wb.delete('two')")
    expect(rows.filter(has_text="two")).to_have_attribute("data-status", "deleted")
    lab.screenshot("cards-light")
    one.get_by_role("button", name="Actions on one").click()
    lab.page.locator(".lm-Menu-item").filter(has_text="Delete").click()
    lab.accept("Delete")
    expect(one).to_have_attribute("data-status", "deleted")
    lab.theme("JupyterLab Dark")
    lab.screenshot("cards-dark")
    lab.theme("JupyterLab Light")


def test_object_browser_as_a_widget(lab: Lab, beside: Process) -> None:
    """The widget lists what is shared, follows changes, and acts through the kernel; names are text."""
    hostile = "<img src=x onerror=alert(1)>"
    beside.do(f"wb.put(np.arange(1 << 20), 'numbers'); wb.put(pd.DataFrame({{'x': range(1000)}}), {hostile!r})")
    lab.new_notebook()
    lab.run("import workbench as wb\nwb.connect()\nwb.browser()")
    widget = lab.page.locator(".jp-OutputArea .wb-Browser")
    rows = widget.locator("[data-workbench-object]")
    expect(rows).to_have_count(2)
    expect(widget.locator("[data-workbench-node]")).to_have_count(2)
    expect(rows.filter(has_text=hostile)).to_have_count(1)
    numbers = widget.locator("[data-workbench-object][data-name='numbers']")
    lab.screenshot("widget-light")

    numbers.click(button="right")
    lab.screenshot("widget-menu")
    widget.get_by_role("menuitem", name="Replicate to Node…").click()
    widget.get_by_role("alertdialog").get_by_role("button", name="Replicate").click()
    expect(numbers.locator("[data-node]")).to_have_count(2)
    expect(widget.get_by_text("“numbers” is on node-2")).to_be_visible()
    assert beside.do("result = len(wb.where('numbers'))") == 2

    # By the keyboard.
    numbers.focus()
    lab.page.keyboard.press("Shift+F10")
    lab.page.keyboard.press("End")
    lab.page.keyboard.press("Enter")
    expect(widget.get_by_role("alertdialog")).to_contain_text("Delete “numbers” from every node?")
    lab.theme("JupyterLab Dark")
    lab.screenshot("widget-dark")
    lab.theme("JupyterLab Light")
    widget.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    expect(numbers).to_have_count(0)
    assert not beside.do("result = wb.exists('numbers')")

    beside.do("wb.put(1, 'another')")
    expect(widget.locator("[data-workbench-object][data-name='another']")).to_be_visible()
