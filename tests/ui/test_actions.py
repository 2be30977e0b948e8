"""Every action of the panel on real objects and nodes, with the mouse, with the keyboard and by dragging."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.processes import Process
from tests.ui.lab import Lab


def test_move_replicate_and_drop_with_the_mouse(lab: Lab, beside: Process) -> None:
    """Objects go where the menu sends them; the last replica goes only after a second question; moves are undone."""
    beside.do("wb.put(np.arange(1 << 20), 'numbers')")
    lab.expect_nodes("numbers", ["node-1"])
    lab.choose("numbers", "Move")
    assert "8 MiB" in lab.accept("Move", node="node-2")
    lab.expect_nodes("numbers", ["node-2"])
    notice = lab.notice("“numbers” is on node-2")
    notice.get_by_role("button", name="Undo").click()
    lab.notice("“numbers” is where it was")
    lab.expect_nodes("numbers", ["node-1"])
    lab.dismiss()

    lab.choose("numbers", "Replicate")
    lab.accept("Replicate", node="node-2")
    lab.expect_nodes("numbers", ["node-1", "node-2"])
    lab.choose("numbers", "Drop")
    lab.accept("Drop", node="node-1")
    lab.expect_nodes("numbers", ["node-2"])
    lab.choose("numbers", "Drop")
    lab.accept("Drop", node="node-2")
    assert "last replica" in lab.accept("Cancel")
    lab.expect_nodes("numbers", ["node-2"])
    assert beside.do("result = [replica.node_name for replica in wb.where('numbers')]") == ["node-2"]
    lab.choose("numbers", "Drop")
    lab.accept("Drop", node="node-2")
    lab.accept("Destroy Object")
    expect(lab.row("numbers")).to_have_count(0)
    assert not beside.do("result = wb.exists('numbers')")


def test_actions_with_the_keyboard_alone(lab: Lab, beside: Process, tmp_path: Path) -> None:
    """Without a mouse: choose objects, pin, rename, spill, restore, save, move, replicate, drop and delete them."""
    beside.do("for at in range(4): wb.put(np.arange(1 << 18) + at, f'n{at}')")
    expect(lab.panel.locator("[data-workbench-object]")).to_have_count(4)
    keys = lab.page.keyboard
    lab.press("n0", "p")
    lab.notice("“n0” is pinned")
    assert beside.do("result = wb.info('n0').pinned")
    expect(lab.row("n0").get_by_role("img", name="pinned")).to_be_visible()
    lab.press("n0", "Shift+p")
    lab.notice("“n0” is no longer pinned")
    lab.press("n0", "F2")
    lab.page.locator(".jp-Dialog input").fill("renamed")
    keys.press("Enter")
    expect(lab.row("renamed")).to_be_visible()
    lab.notice("“n0” is now called “renamed”").get_by_role("button", name="Undo").click()
    expect(lab.row("n0")).to_be_visible()
    lab.dismiss()

    # From the menu, which the keyboard opens.
    def choose(name: str, command: str) -> None:
        lab.press(name, "Shift+F10")
        item = lab.page.locator(".lm-Menu-item").filter(has_text=command)
        expect(item).to_be_visible()
        for _ in range(30):
            if "lm-mod-active" in (item.get_attribute("class") or ""):
                break
            keys.press("ArrowDown")
        keys.press("Enter")

    choose("n0", "Spill to Disk")
    expect(lab.chips("n0")).to_have_attribute("data-state", "disk")
    choose("n0", "Restore to Memory")
    expect(lab.chips("n0")).to_have_attribute("data-state", "memory")
    target = tmp_path / "n0.wb"
    choose("n0", "Save to File…")
    lab.page.locator(".jp-Dialog input").fill(str(target))
    keys.press("Enter")
    lab.notice("“n0” was saved to")
    assert target.stat().st_size > 1 << 20
    lab.dismiss()

    # Several at once, with one question and one notification.
    lab.press("n0", "ArrowDown")
    keys.press("Shift+ArrowDown")
    expect(lab.panel.get_by_text("2 objects selected, 4 MiB")).to_be_visible()
    keys.press("m")
    expect(lab.page.locator(".jp-Dialog select")).to_be_focused()
    keys.press("Enter")
    lab.notice("2 objects are on node-2")
    for name in ("n1", "n2"):
        lab.expect_nodes(name, ["node-2"])
    lab.press("n1", "r")
    expect(lab.page.locator(".jp-Dialog select")).to_be_focused()
    keys.press("Enter")
    lab.expect_nodes("n1", ["node-1", "node-2"])
    lab.press("n1", "d")
    expect(lab.page.locator(".jp-Dialog select")).to_be_focused()
    keys.press("Enter")
    expect(lab.chips("n1")).to_have_count(1)
    lab.press("n1", "Control+c")
    lab.press("n1", "Control+a")
    keys.press("Delete")
    lab.page.locator(".jp-Dialog").wait_for()
    keys.press("Tab")
    keys.press("Enter")
    expect(lab.panel.locator("[data-workbench-object]")).to_have_count(0)
    assert beside.do("result = len(wb.ls())") == 0


def test_what_needs_no_second_node_with_the_mouse(lab: Lab, beside: Process, tmp_path: Path) -> None:
    """From the menu, the toolbar, the palette, and two by keys: pin, rename, spill, restore, save, copy the name, insert code and delete."""
    beside.do("for at in range(2): wb.put(np.arange(1 << 18) + at, f'm{at}')")
    lab.choose("m0", "Pin")
    lab.notice("“m0” is pinned").get_by_role("button", name="Undo").click()
    lab.notice("“m0” is no longer pinned")
    assert not beside.do("result = wb.info('m0').pinned")
    lab.dismiss()
    lab.choose("m0", "Rename…")
    lab.page.locator(".jp-Dialog input").fill("renamed")
    lab.accept("Rename")
    expect(lab.row("renamed")).to_be_visible()
    lab.dismiss()
    lab.choose("renamed", "Spill to Disk")
    expect(lab.chips("renamed")).to_have_attribute("data-state", "disk")
    lab.choose("renamed", "Restore to Memory")
    expect(lab.chips("renamed")).to_have_attribute("data-state", "memory")
    target = tmp_path / "m0.wb"
    lab.choose("renamed", "Save to File…")
    lab.page.locator(".jp-Dialog input").fill(str(target))
    lab.accept("Save")
    lab.notice("“renamed” was saved to")
    assert target.stat().st_size > 1 << 20
    lab.dismiss()

    lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    lab.choose("renamed", "Copy Name")
    assert lab.page.evaluate("navigator.clipboard.readText()") == "renamed"
    lab.select("m1")
    lab.press("m1", "Control+c")
    assert lab.page.evaluate("navigator.clipboard.readText()") == "m1"

    lab.new_notebook()
    lab.select("renamed")
    lab.panel.locator(".jp-Toolbar [data-command='workbench:insert-code']").click()
    expect(lab.cells.filter(has_text='renamed = wb.get("renamed")')).to_have_count(1)
    lab.select("m1")
    lab.press("m1", "Control+Enter")
    expect(lab.cells.filter(has_text='m1 = wb.get("m1")')).to_have_count(1)
    lab.palette("pin")
    lab.notice("“m1” is pinned")
    lab.select("m1", "renamed")
    lab.choose("renamed", "Delete…")
    assert "2 objects" in lab.accept("Delete")
    expect(lab.panel.locator("[data-workbench-object]")).to_have_count(0)
    assert beside.do("result = len(wb.ls())") == 0


def test_drag_onto_nodes_and_into_a_notebook(lab: Lab, beside: Process) -> None:
    """An object that falls onto a node moves there, with Shift gets a replica there; into a notebook it is a cell that runs."""
    beside.do("wb.put(np.arange(1 << 18), 'dragged'); wb.put(np.arange(1 << 18), 'other')")
    expect(lab.row("dragged")).to_be_visible()
    lab.drag("dragged", lab.node("node-2"))
    lab.expect_nodes("dragged", ["node-2"])
    lab.drag("dragged", lab.node("node-1"), modifier="Shift")
    lab.expect_nodes("dragged", ["node-1", "node-2"])
    # What is selected goes along.
    lab.select("dragged", "other")
    lab.drag("other", lab.node("node-2"), modifier="Control")
    lab.expect_nodes("other", ["node-1", "node-2"])
    lab.expect_nodes("dragged", ["node-1", "node-2"])

    lab.new_notebook()
    lab.select("dragged")
    lab.drag("dragged", lab.cells.first)
    cell = lab.cells.filter(has_text='dragged = wb.get("dragged")')
    expect(cell).to_have_count(1)
    lab.press_run(cell)
    lab.run("print('last', int(dragged[-1]))")
    expect(lab.page.locator(".jp-OutputArea-output").filter(has_text="last 262143")).to_be_visible()
    lab.screenshot("dragged")


def test_drain_a_node_and_give_it_back(lab: Lab, beside: Process) -> None:
    """What only one node has goes to the others; it takes no replicas until it is given back."""
    beside.do("wb.put(np.arange(1 << 18), 'only here'); wb.move('only here', 'node-2').wait()")
    lab.expect_nodes("only here", ["node-2"])
    node = lab.node("node-2")
    node.get_by_role("button", name="Actions on node-2").click()
    lab.page.locator(".lm-Menu-item").filter(has_text="Drain Node").click()
    assert "What only node-2 has" in lab.accept("Drain")
    lab.notice("Nothing is only on node-2 any more")
    expect(lab.chips("only here").filter(has_text="node-1")).to_be_visible()
    expect(node).to_have_attribute("data-state", "drained")
    lab.screenshot("drained")
    node.get_by_role("button", name="Actions on node-2").focus()
    lab.page.keyboard.press("Enter")
    lab.page.locator(".lm-Menu-item").filter(has_text="Give Node Back").click()
    expect(node).to_have_attribute("data-state", "running")
