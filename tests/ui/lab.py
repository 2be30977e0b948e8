"""JupyterLab as a user handles it: cells, the panel, its menu and its dialogs."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, Page, TimeoutError, expect  # noqa: A004  # its own name

PATIENCE = 30_000
"""Milliseconds, for what a loaded machine with two cores may take."""
# Of JupyterLab itself, without our doing.
_NOT_OURS = ("favicon", "lsp", "ResizeObserver", "/api/contents", "Unsatisfied version", "jupyterlab-manager")
# The browser says so of each answer that is an error; the panel acts on it.
_EXPECTED = ("409 (Conflict)", "404 (Not Found)")


class Lab:
    """One window of JupyterLab with the panel open."""

    def __init__(self, page: Page, screenshots: Path) -> None:
        self.page = page
        self.errors: list[str] = []
        self._screenshots = screenshots
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        expect.set_options(timeout=PATIENCE)
        page.set_default_timeout(PATIENCE)

    def open(self, url: str) -> None:
        """Go to JupyterLab, and open the panel unless it is open."""
        self.page.goto(url)
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")
        if "/workspaces/" in url:
            self.page.locator(".jp-SideBar [data-id='workbench-panel']").click()
        self.panel.wait_for()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(
            text in message.text + str(message.location) for text in _NOT_OURS + _EXPECTED
        ):
            self.errors.append(message.text)

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

    def expect_nodes(self, name: str, nodes: Sequence[str]) -> None:
        """Wait until the row of an object shows exactly these nodes."""
        expect(self.chips(name)).to_have_count(len(nodes))
        assert sorted(self.chips(name).all_inner_texts()) == sorted(nodes)

    def choose(self, name: str, command: str) -> None:
        """Choose a command in the context menu of an object."""
        self.row(name).click(button="right")
        item = self.page.locator(".lm-Menu-item").filter(has_text=re.compile(rf"^{re.escape(command)}"))
        item.click()

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
        self.page.screenshot(path=self._screenshots / f"{name}.png")
