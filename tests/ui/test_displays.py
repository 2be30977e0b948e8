"""What a notebook shows in a real browser: cards, which ask the server and are true whatever the kernel does; the object browser as a widget."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.processes import Process
from tests.ui.lab import AXE, Lab


@pytest.fixture
def beside(workbench_directory: Path, lab: Lab) -> Iterator[Process]:
    """Start a process that shares, as one beside JupyterLab does; the store is empty for the next test."""
    del lab
    with Process(workbench_directory) as process:
        process.do("import workbench as wb, numpy as np, pandas as pd; wb.connect()")
        yield process
        process.do("for info in wb.ls(): wb.delete(info.id)")


def complaints(lab: Lab, selector: str) -> list[str]:
    """What axe-core finds wrong in a part of the page, where it is installed."""
    return lab.check_accessibility(selector) if AXE.exists() else []


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
    assert complaints(lab, ".wb-CardOutput") == []
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
    for bar in (meters.first, operation):
        expect(bar.locator(".wb-Bar-part")).not_to_have_css("background-color", "rgba(0, 0, 0, 0)")
    one = rows.filter(has_text="one")
    expect(one.locator("[data-node]")).to_have_count(2)
    beside.do("wb.delete('two')")
    expect(rows.filter(has_text="two")).to_have_attribute("data-status", "deleted")
    lab.screenshot("cards-light")
    assert complaints(lab, ".wb-CardOutput") == []
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
    assert complaints(lab, ".wb-Browser") == []
    rows.filter(has_text=hostile).dblclick()
    expect(widget.locator("[data-cell='99,0']")).to_have_text("99")
    assert complaints(lab, ".wb-Browser") == []
    lab.screenshot("widget-preview")
    lab.page.keyboard.press("Escape")
    expect(widget.locator(".wb-Preview")).to_have_count(0)

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


def test_preview_shows_what_is_in_an_object(lab: Lab, beside: Process) -> None:
    """Rows of a table and of an array, a picture, text, and why there is nothing to see; a reload brings the previews back."""
    beside.do(r"""
        rng = np.random.default_rng(1)
        n = 250_000
        wb.put(pd.DataFrame({
            "delay": np.where(rng.random(n) < 0.05, np.nan, rng.gamma(2.0, 15.0, n)),
            "<b>carrier</b> \u202e": pd.Categorical(rng.choice(["AA", "<i>UA</i>", "DL"], n, p=[0.5, 0.3, 0.2])),
            "hour": pd.date_range("2026-01-01", periods=n, freq="min"),
            "flight": np.arange(n),
        }), "table")
        wb.put(np.arange(1000 * 120, dtype="int32").reshape(1000, 120), "matrix")
        y, x = np.mgrid[0:96, 0:128]
        wb.put(np.stack([x * 2, y * 2, (x + y) % 256], axis=-1).astype("uint8"), "picture")
        wb.put({"settings": "<script>document.title = 1</script>", "values": [1, 2]}, "text")
        wb.put(np.arange(1 << 20), "elsewhere")
        wb.move("elsewhere", to=next(node.name for node in wb.nodes() if node.name == "node-2")).wait(60)
    """)
    preview = lab.page.locator(".wb-PreviewPanel:visible .wb-Preview")
    status = preview.get_by_role("toolbar").get_by_role("status")

    lab.row("table").dblclick()
    expect(status).to_have_text("Rows 1 \N{EN DASH} 100 of 250,000")
    heads = preview.get_by_role("columnheader")
    expect(heads).to_have_count(4)
    expect(heads.nth(0).locator("svg.wb-Histogram rect").first).to_be_visible()
    expect(heads.nth(0)).to_contain_text(re.compile(r"about (4.9|5|5.1) % missing"))
    expect(heads.nth(1)).to_contain_text("<b>carrier</b>")
    expect(heads.nth(1)).to_contain_text("AA 50 %")
    preview.locator("[data-cell='0,3']").click()
    lab.page.keyboard.press("Control+End")
    expect(status).to_have_text("Rows 249,901 \N{EN DASH} 250,000 of 250,000")
    last = preview.locator("[data-cell='249999,3']")
    expect(last).to_be_focused()
    expect(last).to_have_text("249999")
    lab.page.keyboard.press("PageUp")
    expect(preview.locator("[data-cell='249800,3']")).to_be_focused()
    lab.screenshot("preview-table-light")
    assert complaints(lab, ".wb-PreviewPanel") == []

    lab.choose("matrix", "Preview")
    expect(status).to_have_text(["Rows 1 \N{EN DASH} 100 of 1,000", "Columns 1 \N{EN DASH} 50 of 120"])
    preview.get_by_role("button", name="Columns after").click()
    expect(preview.locator("[data-cell='0,50']")).to_have_text("50")

    lab.choose("picture", "Preview")
    picture = preview.get_by_role("img", name="picture as a picture")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [128, 96]
    lab.theme("JupyterLab Dark")
    lab.screenshot("preview-picture-dark")
    assert complaints(lab, ".wb-PreviewPanel:not(.lm-mod-hidden)") == []

    lab.row("text").press("Enter")
    expect(preview.get_by_label("Content of text")).to_contain_text("<script>document.title = 1</script>")
    lab.choose("elsewhere", "Preview")
    expect(preview.get_by_role("alert")).to_contain_text("node-2")
    lab.screenshot("preview-elsewhere-dark")
    lab.theme("JupyterLab Light")
    preview.get_by_role("button", name="Replicate to This Host (8 MiB)").click()
    expect(status).to_have_text("Rows 1 \N{EN DASH} 100 of 1,048,576")

    beside.do("""
        import dask.dataframe as dd
        dd.from_pandas(pd.DataFrame({"x": np.arange(1000)}), npartitions=2).persist_shared("halves")
        for info in wb.ls(parts=True):
            if "partition" in info.tags:
                wb.move(info.id, to=f"node-{int(info.tags['partition']) + 1}").wait(60)
    """)
    lab.row("halves").dblclick()
    expect(status).to_have_text("Rows 1 \N{EN DASH} 100 of 1,000")
    preview.get_by_role("button", name="Last rows").click()
    expect(preview.get_by_role("alert")).to_contain_text("These rows cannot be shown")
    expect(status).to_have_text("Rows 1 \N{EN DASH} 100 of 1,000")
    lab.screenshot("preview-half-light")
    preview.get_by_role("button", name="Replicate to This Host").click()
    expect(status).to_have_text("Rows 901 \N{EN DASH} 1,000 of 1,000")
    expect(preview.get_by_role("alert")).to_have_count(0)

    lab.page.reload()
    lab.page.locator(".lm-TabBar-tab").filter(has_text="table").click()
    expect(status).to_have_text("Rows 1 \N{EN DASH} 100 of 250,000")
    expect(heads.nth(0).locator("svg.wb-Histogram rect").first).to_be_visible()
    beside.do("wb.delete('table')")
    expect(preview.get_by_text("deleted", exact=True)).to_be_visible()
    expect(preview.locator("[data-cell='0,3']")).to_have_text("0")
