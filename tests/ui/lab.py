"""JupyterLab as a user handles it: cells, the panel, its menu and its dialogs."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, Page, TimeoutError, expect  # noqa: A004  # its own name

from tests.processes import ROOT

PATIENCE = 30_000
"""Milliseconds, for what a loaded machine with two cores may take."""
# Of JupyterLab itself, without our doing.
_NOT_OURS = ("favicon", "lsp", "ResizeObserver", "/api/contents", "Unsatisfied version", "jupyterlab-manager")
# The browser says so of each answer that is an error; the panel acts on it.
_EXPECTED = ("409 (Conflict)",)
# A question about an object that somebody deletes in that moment.
_GONE = re.compile(r"404 \(Not Found\).*/workbench/api/objects/[0-9a-f]{32}")
AXE = ROOT / "extension" / "node_modules" / "axe-core" / "axe.min.js"


class Lab:
    """One window of JupyterLab with the panel open."""

    def __init__(self, page: Page, screenshots: Path) -> None:
        self.page = page
        self.errors: list[str] = []
        self.expected: tuple[str, ...] = _EXPECTED
        self.screenshots = screenshots
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        expect.set_options(timeout=PATIENCE)
        page.set_default_timeout(PATIENCE)

    def open(self, url: str) -> None:
        """Go to JupyterLab, and open the panel unless it is open; one that JupyterLab opens by itself, as it was left, comes a moment later."""
        self.page.goto(url)
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")
        for _ in range(10):
            if "/workspaces/" in url and not self.panel.is_visible():
                self.page.locator(".jp-SideBar [data-id='workbench-panel']").click()
            try:
                self.panel.wait_for(timeout=3000)
            except TimeoutError:
                continue
            return
        raise AssertionError("the panel does not stay open")

    def expect_no_server(self) -> None:
        """Take what the browser says while the server is away, and close JupyterLab's own dialog about it, whenever it comes."""
        self.expected = (
            "ERR_",
            "WebSocket",
            "Failed to fetch",
            "Failed to load resource",
            "Connection lost",
            "Uncaught (in promise)",
        )
        dialog = self.page.locator(".jp-Dialog").filter(has_text="Server Connection Error")
        self.page.add_locator_handler(dialog, lambda _: self.page.keyboard.press("Escape"))

    def _on_console(self, message: ConsoleMessage) -> None:
        said = f"{message.text} ({message.location['url']})"
        expected = any(text in said for text in _NOT_OURS + self.expected) or _GONE.search(said)
        if message.type == "error" and not expected:
            self.errors.append(said)

    # -- the panel -------------------------------------------------------------------------------------------------

    @property
    def panel(self) -> Locator:
        """The side panel."""
        return self.page.locator("#workbench-panel")

    @property
    def nodes(self) -> Locator:
        """The nodes in the panel."""
        return self.panel.locator("[data-workbench-node]")

    def row(self, name: str) -> Locator:
        """The row of an object."""
        return self.panel.locator(f"[data-workbench-object][data-name='{name}']")

    def chips(self, name: str) -> Locator:
        """The nodes that have an object, in its row; not one that is on its way."""
        return self.row(name).locator("[data-node]")

    @property
    def names(self) -> list[str]:
        """The names of the objects whose rows are on the page, from top to bottom."""
        rows = self.panel.locator("[data-workbench-object]")
        found: list[tuple[int, str]] = rows.evaluate_all(
            "rows => rows.map(row => [Number(row.dataset.index), row.dataset.name])"
        )
        return [name for _, name in sorted(found)]

    def node(self, name: str) -> Locator:
        """A node in the panel."""
        return self.panel.locator(f"[data-workbench-node][data-node-name='{name}']")

    def filter(self, text: str) -> None:
        """Type into the filter, in place of what is there."""
        self.panel.locator(".wb-Filter-input").fill(text)

    def show(self, listing: str) -> None:
        """Show all objects, the unnamed or the deleted ones."""
        self.panel.locator(f"[data-listing={listing}]").click()

    def select(self, *names: str) -> None:
        """Select objects with the mouse."""
        for at, name in enumerate(names):
            self.row(name).click(modifiers=["Control"] if at else [], position={"x": 30, "y": 12})

    def press(self, name: str, key: str) -> None:
        """Press a key on the row of an object."""
        self.row(name).focus()
        self.page.keyboard.press(key)

    def drag(self, name: str, target: Locator, modifier: str | None = None) -> None:
        """Drag an object onto something, with a key held down if one is given."""
        start, end = self.row(name).bounding_box(), target.bounding_box()
        assert start is not None
        assert end is not None
        self.page.mouse.move(start["x"] + 40, start["y"] + 12)
        self.page.mouse.down()
        self.page.mouse.move(start["x"] + 60, start["y"] + 16, steps=3)
        if modifier is not None:
            self.page.keyboard.down(modifier)
        x, y = end["x"] + end["width"] / 2, end["y"] + min(end["height"] / 2, 12)
        self.page.mouse.move(x - 3, y - 1, steps=3)
        self.page.mouse.move(x, y, steps=2)
        self.page.mouse.up()
        if modifier is not None:
            self.page.keyboard.up(modifier)

    def notice(self, text: str) -> Locator:
        """Wait for the notification with this text; there is one for each action."""
        notice = self.page.locator(".Toastify__toast").filter(has_text=text)
        expect(notice).to_have_count(1)
        return notice

    def dismiss(self) -> None:
        """Close all notifications."""
        self.page.evaluate(
            "() => document.querySelectorAll('.jp-Notification-Toast-Close').forEach(each => each.click())"
        )
        expect(self.page.locator(".Toastify__toast")).to_have_count(0)

    def widen(self) -> None:
        """Make the panel so wide that each object has one line."""
        handle = self.page.locator("#jp-main-split-panel > .lm-SplitPanel-handle").first.bounding_box()
        assert handle is not None
        self.page.mouse.move(handle["x"] + 1, handle["y"] + 300)
        self.page.mouse.down()
        self.page.mouse.move(820, handle["y"] + 300, steps=4)
        self.page.mouse.up()
        expect(self.panel.locator(".wb-Objects:not([data-narrow])")).to_be_visible()

    def check_accessibility(self, selector: str = "#workbench-panel") -> list[str]:
        """Return what axe-core finds wrong in a part of the page, where it is installed; it says nothing about what needs a human to judge."""
        if not AXE.exists():
            return []
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.add_script_tag(path=AXE)
        found: list[str] = self.page.evaluate(
            """async selector => {
                const { violations } = await axe.run(selector, { resultTypes: ['violations'] });
                return violations.flatMap(({ id, nodes }) => nodes.map(node => `${id}: ${node.html.slice(0, 200)}`));
            }""",
            selector,
        )
        return found

    def expect_nodes(self, name: str, nodes: Sequence[str]) -> None:
        """Wait until the row of an object shows exactly these nodes."""
        for node in nodes:
            expect(self.chips(name).filter(has_text=node)).to_have_count(1)
        expect(self.chips(name)).to_have_count(len(nodes))

    def choose(self, name: str, command: str) -> None:
        """Choose a command in the context menu of an object."""
        self.row(name).click(button="right")
        item = self.page.locator(".lm-Menu-item").filter(has_text=re.compile(rf"^{re.escape(command)}"))
        item.click()

    def palette(self, command: str) -> None:
        """Run a command of ours from JupyterLab's palette, on what is selected."""
        for _ in range(10):
            self.page.get_by_role("menuitem", name="View", exact=True).click()
            self.page.locator(".lm-Menu-item").filter(has_text="Activate Command Palette").click()
            try:
                self.page.locator(".lm-CommandPalette-input").fill("workbench", timeout=3000)
                self.page.locator(f"#command-palette [data-command='workbench:{command}']").click(timeout=3000)
            except TimeoutError:
                # It closes when something else takes the focus, such as a cell that was inserted a moment ago.
                continue
            return
        raise AssertionError("the palette does not stay open")

    def accept(self, button: str, node: str | None = None) -> str:
        """Answer the dialog, choosing a node if one is given; return what the dialog said."""
        dialog = self.page.locator(".jp-Dialog")
        text = dialog.inner_text()
        if node is not None:
            select = dialog.locator("select")
            value = select.locator("option").filter(has_text=node).get_attribute("value")
            select.select_option(value)
        # This one goes; another may come at once.
        this = dialog.element_handle()
        dialog.locator("button").filter(has_text=re.compile(rf"^\s*{re.escape(button)}\s*$")).click()
        this.wait_for_element_state("hidden")
        return text

    # -- the notebook ----------------------------------------------------------------------------------------------

    @property
    def cells(self) -> Locator:
        """The cells of the current notebook."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell")

    def wait_for_kernel(self) -> None:
        """Wait until the kernel of the notebook is idle."""
        self.page.locator(".jp-NotebookPanel-toolbar [data-status='idle']").first.wait_for()

    def new_notebook(self) -> None:
        """Open an empty notebook from the launcher."""
        self.page.locator(".jp-LauncherCard[data-category='Notebook']").first.click()
        self.wait_for_kernel()

    def run(self, code: str) -> None:
        """Type code into the last, empty cell and run it; a new cell follows."""
        cell = self.cells.nth(self.cells.count() - 1)
        self._focus(cell)
        self.page.keyboard.insert_text(code)
        expect(cell).to_contain_text(code.splitlines()[-1])
        self.press_run(cell)

    def press_run(self, cell: Locator) -> None:
        """Run a cell by the keyboard, until it runs: JupyterLab forgets what it is asked while it connects to a kernel."""
        ran = cell.locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[[*\d]"))
        for _ in range(10):
            self._focus(cell)
            self.page.keyboard.press("Shift+Enter")
            try:
                ran.wait_for(timeout=3000)
            except TimeoutError:
                continue
            return
        raise AssertionError("the cell does not run")

    def _focus(self, cell: Locator) -> None:
        cell.locator(".cm-content").click()
        expect(cell.locator(".cm-editor.cm-focused")).to_be_visible()

    def run_until(self, text: str) -> None:
        """Run the open notebook's cells from the first one to the one that contains `text`."""
        self.wait_for_kernel()
        expect(self.cells.filter(has_text=text)).not_to_have_count(0)
        last = next(at for at in range(self.cells.count()) if text in (self.cells.nth(at).text_content() or ""))
        code = [at for at in range(last + 1) if "jp-CodeCell" in (self.cells.nth(at).get_attribute("class") or "")]
        for at in code:
            self.press_run(self.cells.nth(at))

    # -- looking ---------------------------------------------------------------------------------------------------

    def theme(self, name: str) -> None:
        """Choose a theme in the menu."""
        self.page.get_by_role("menuitem", name="Settings", exact=True).click()
        self.page.locator(".lm-Menu-itemLabel").get_by_text("Theme", exact=True).hover()
        self.page.locator(".lm-Menu-itemLabel").get_by_text(name, exact=True).click()
        dark = "Dark" in name
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", "false" if dark else "true")

    def screenshot(self, name: str) -> None:
        """Keep a picture, for people to look at."""
        time.sleep(0.3)  # fonts and transitions; nothing is decided by this
        self.page.screenshot(path=self.screenshots / f"{name}.png")
