"""The panel in a real browser, beside a real cluster: what it shows and what it does, while kernels are idle or busy."""

from __future__ import annotations

import time

from playwright.sync_api import expect

from tests.processes import Process
from tests.ui.lab import Lab


def test_notebook_appears_replicates_and_vanishes(lab: Lab, beside: Process) -> None:
    """The first notebook's table appears, gets a second replica through the panel, and goes when it is deleted."""
    expect(lab.nodes).to_have_count(2)
    lab.run_until("%share flights")
    expect(lab.row("flights")).to_be_visible()
    lab.expect_nodes("flights", ["node-1"])
    expect(lab.row("flights")).to_contain_text("336,776")
    lab.screenshot("appeared")

    lab.choose("flights", "Replicate")
    assert "flights" in lab.accept("Replicate", node="node-2")
    lab.expect_nodes("flights", ["node-1", "node-2"])
    assert beside.do("result = sorted(replica.node_name for replica in wb.where('flights'))") == ["node-1", "node-2"]
    lab.screenshot("replicated-light")
    lab.theme("JupyterLab Dark")
    lab.screenshot("replicated-dark")
    lab.theme("JupyterLab Light")

    lab.choose("flights", "Delete")
    assert "every node" in lab.accept("Delete")
    expect(lab.row("flights")).to_have_count(0)
    assert not beside.do("result = wb.exists('flights')")
    lab.screenshot("deleted")


def test_panel_works_while_every_kernel_is_busy(lab: Lab, beside: Process) -> None:
    """While a cell runs, objects appear, are replicated and are deleted, as if it did not."""
    lab.new_notebook()
    lab.run("import time\nend = time.time() + 20\nwhile time.time() < end: pass")
    busy = lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-InputPrompt").filter(has_text="[*]")
    expect(busy.first).to_be_visible()

    start = time.perf_counter()
    beside.do("wb.put(pd.DataFrame({'x': range(100_000)}), 'while busy')")
    expect(lab.row("while busy")).to_be_visible()
    print(f"a new object was on the screen after {1e3 * (time.perf_counter() - start):.0f} ms, with a busy kernel")
    lab.choose("while busy", "Replicate")
    lab.accept("Replicate", node="node-2")
    lab.expect_nodes("while busy", ["node-1", "node-2"])
    lab.choose("while busy", "Delete")
    lab.accept("Delete")
    expect(lab.row("while busy")).to_have_count(0)
    expect(busy.first).to_be_visible()


def test_insert_code_makes_a_cell_that_runs(lab: Lab, beside: Process) -> None:
    """Insert Code writes a cell that fetches the object, whatever its name is, and leaves running it to the user."""
    name = 'quo"te\\ \U0001f680 <b>'
    beside.do(f"wb.put(np.arange(12.0), {name!r})")
    lab.new_notebook()
    row = lab.panel.locator("[data-workbench-object]")
    expect(row).to_have_count(1)
    assert row.get_attribute("data-name") == name
    expect(row.locator("b")).to_have_count(0)
    row.click(button="right")
    lab.page.locator(".lm-Menu-item").filter(has_text="Insert Code").click()
    cell = lab.cells.filter(has_text="wb.get")
    expect(cell).to_have_count(1)
    cell.locator(".cm-content").click()
    lab.page.keyboard.press("Control+End")
    lab.page.keyboard.insert_text(
        "\nprint('sum', [v for v in list(globals().values()) if hasattr(v, 'sum')][-1].sum())"
    )
    lab.press_run(cell)
    expect(lab.page.locator(".jp-OutputArea-output").filter(has_text="sum 66.0")).to_be_visible()
    lab.screenshot("inserted")


def test_holders_are_shown_by_notebook(lab: Lab, beside: Process) -> None:
    """The row says which notebook has the object mapped, and what is deleted but held says who keeps it."""
    beside.do("wb.put(pd.DataFrame({'x': np.arange(200_000.0)}), 'held')")
    lab.new_notebook()
    lab.run("%load_ext workbench\n%fetch held")
    expect(lab.row("held")).to_contain_text("Untitled")
    lab.screenshot("held")

    # A click on the holder comes back to the notebook.
    lab.page.get_by_role("menuitem", name="File", exact=True).click()
    lab.page.locator(".lm-Menu-item").filter(has_text="New Launcher").click()
    expect(lab.page.locator(".jp-Launcher")).to_be_visible()
    lab.row("held").get_by_role("button", name="Untitled").click()
    expect(lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")).to_be_visible()

    # Deleted while the notebook has it: it is listed with who keeps it, and free when the notebook lets go.
    beside.do("wb.delete('held')")
    expect(lab.panel.locator("[data-listing=deleted]")).to_have_text("Deleted 1")
    lab.show("deleted")
    kept = lab.panel.locator("[data-workbench-deleted=held]")
    expect(kept).to_contain_text("Untitled")
    expect(kept).to_contain_text("held")
    lab.screenshot("deleted-held")
    lab.panel.get_by_role("button", name="Free All").click()
    lab.notice("The rest is free when these let go: Untitled")
    lab.page.get_by_role("menuitem", name="Kernel", exact=True).click()
    lab.page.locator(".lm-Menu-item").filter(has_text="Restart Kernel…").click()
    lab.accept("Restart")
    expect(lab.panel.locator("[data-listing=deleted]")).to_have_text("Deleted 0")
    lab.show("objects")
