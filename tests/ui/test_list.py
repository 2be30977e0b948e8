"""The list of objects when there are many, odd ones, and two who look."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, Locator, expect

from tests.processes import Process
from tests.ui.jupyter import JupyterLab
from tests.ui.lab import Lab

MANY = 10_000
# Each is a name that something once choked on.
HOSTILE = (
    "<img src=x onerror=\"document.title='broken'\">",
    "quo'te\" and \\ back",
    "line\nbreak\ttab",
    "\u202eright to left\u202c",
    "../../etc/passwd",
    "{{7*7}} ${7*7} %s %1",
    "\U0001f680 r\u0300ocket",
    "x" * 10_000,
)


def timed(lab: Lab, script: str) -> Any:
    """Return what a script on the page resolves to."""
    return lab.page.evaluate(f"async () => {{ {script} }}")


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep the machine busy with so many endless loops."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def first_paint(lab: Lab) -> int:
    """Load the page, and return how many milliseconds after the panel its first rows are there."""
    lab.page.reload()
    lab.page.wait_for_function("window.paintedAt")
    return int(timed(lab, "return window.paintedAt - window.panelAt"))


def changes(lab: Lab, beside: Process, what: str) -> list[int]:
    """Put five objects, and return how many milliseconds after each put has begun its row is there."""
    found = []
    for at in range(5):
        name = f"{what} {at}"
        timed(
            lab,
            f"""window.seenAt = new Promise(done => new MutationObserver((_, observer) => {{
                if (document.querySelector('[data-name="{name}"]')) {{ observer.disconnect(); done(Date.now()); }}
            }}).observe(document.body, {{ childList: true, subtree: true, attributes: true }}));""",
        )
        put = beside.do(f"import time; result = time.time(); wb.put(np.arange(9), {name!r})")
        found.append(round(timed(lab, "return window.seenAt") - 1e3 * put))
    return found


def test_ten_thousand_objects(lab: Lab, beside: Process, jupyter: JupyterLab) -> None:
    """Ten thousand objects are listed, scrolled, filtered, selected and deleted; a change is on the screen at once."""
    beside.do(f"wb.put_many({{f'many/{{at // 100:03d}}/{{at:05d}}': np.arange(at % 50 + 1) for at in range({MANY})}})")
    tab = lab.panel.locator("[data-listing=objects]")
    expect(tab).to_contain_text(f"{MANY:,}")
    # Once more as somebody sees it who opens JupyterLab now.
    lab.page.add_init_script("""
        new MutationObserver(() => {
            const at = performance.now();
            if (document.querySelector('#workbench-panel')) window.panelAt ??= at;
            if (document.querySelector('[data-workbench-object]')) window.paintedAt ??= at;
        }).observe(document, { childList: true, subtree: true });
    """)
    url = lab.page.url
    lab.page.goto("about:blank")
    jupyter.stop()
    jupyter.start()
    lab.page.goto(url)
    figures: dict[str, Any] = {"first paint on a server that has just begun, ms": first_paint(lab)}
    expect(tab).to_contain_text(f"{MANY:,}")
    figures["first paint, ms"] = first_paint(lab)
    expect(tab).to_contain_text(f"{MANY:,}")
    grid = lab.panel.get_by_role("grid", name="Objects")
    expect(grid).to_have_attribute("aria-rowcount", str(MANY + 1))
    assert len(lab.names) < 100

    figures["changes on the screen, ms"] = changes(lab, beside, "a change")
    with busy(2):
        figures["the same beside two endless loops"] = changes(lab, beside, "a second change")
    scroll = timed(
        lab,
        """const list = document.querySelector('.wb-Objects');
        const frames = [];
        let last = performance.now();
        for (let at = 0; at < 90; at++) {
            list.scrollTop += 700;
            await new Promise(requestAnimationFrame);
            frames.push(performance.now() - last);
            last = performance.now();
        }
        return frames.sort((a, b) => a - b);""",
    )
    figures["a frame while scrolling, ms"] = {"median": round(scroll[45], 1), "95 %": round(scroll[85], 1)}
    print(f"\n{MANY} objects: {json.dumps(figures)}")
    lab.screenshot("many-scrolled")

    # A reader in the middle of the list stays there while objects come before it.
    top = timed(lab, "return document.querySelector('.wb-Objects').scrollTop")
    seen = set(lab.names[9:25])
    beside.do("wb.put(np.arange(9), 'a first one')")
    expect(tab).to_contain_text(f"{MANY + 11:,}")
    assert seen <= set(lab.names)
    assert timed(lab, "return document.querySelector('.wb-Objects').scrollTop") > top

    lab.filter("name:many/07*/*5 size:<1KB")
    expect(grid).to_have_attribute("aria-rowcount", "101")
    lab.filter("name:many/*")
    expect(grid).to_have_attribute("aria-rowcount", str(MANY + 1))
    lab.panel.locator("[data-workbench-object]").first.click(position={"x": 30, "y": 12})
    lab.page.keyboard.press("End")
    expect(lab.row("many/099/09999")).to_be_focused()
    lab.page.keyboard.press("Control+a")
    lab.page.keyboard.press("Delete")
    start = time.perf_counter()
    assert "10000 objects" in lab.accept("Delete")
    expect(tab).to_contain_text("Objects 11")
    print(f"{MANY} objects were deleted in {time.perf_counter() - start:.1f} s")
    # The cluster hears of that a little later; what it lists no longer need not be deleted again.
    beside.do("""
        import time
        end = time.monotonic() + 30
        while len(wb.ls('many/*', limit=1)) > 0 and time.monotonic() < end: time.sleep(0.1)
    """)
    print(f"and the cluster knew it after {time.perf_counter() - start:.1f} s")


def test_filter_groups_columns_and_their_return(lab: Lab, beside: Process) -> None:
    """What somebody filters, sorts, groups and shows is there again after a reload, and a bad chip says what is wrong."""
    beside.do("""
        for at in range(3): wb.put(np.arange(1 << (10 + at)), f'runs/{at}')
        wb.put(pd.DataFrame({'x': range(50_000)}), 'table', tags={'project': 'alpha'}, pin=True)
        wb.put(np.arange(9))
    """)
    expect(lab.panel.locator("[data-workbench-object]")).to_have_count(5)
    box = lab.panel.get_by_role("combobox")
    box.click()
    box.press_sequentially("pin")
    for option in ("pinned:", "pinned:yes"):
        # A key that comes before the suggestions are drawn is none of theirs.
        expect(lab.panel.get_by_role("option").filter(has_text=option).first).to_be_visible()
        lab.page.keyboard.press("ArrowDown")
        lab.page.keyboard.press("Enter")
    expect(box).to_have_value("pinned:yes ")
    assert lab.names == ["table"]
    lab.filter("node:mars")
    expect(lab.panel.get_by_role("alert")).to_have_text("No node is called “mars”. There are node-1, node-2.")
    lab.screenshot("filter-bad")
    lab.panel.get_by_role("button", name="Remove node:mars").click()
    expect(box).to_have_value("")

    lab.widen()
    lab.panel.get_by_role("columnheader", name="Size").get_by_role("button").click()
    assert lab.names[:2] == ["table", "runs/2"]
    lab.panel.get_by_role("button", name="Group, sort, columns").click()
    lab.panel.get_by_label("Group by").select_option("prefix")
    lab.panel.get_by_role("checkbox", name="Tags").check()
    lab.panel.get_by_role("checkbox", name="Shape").uncheck()
    lab.screenshot("options")
    lab.page.keyboard.press("Escape")
    lab.panel.locator("[data-workbench-group='runs/']").click()
    assert lab.names == ["table", ""]
    lab.page.wait_for_timeout(1200)  # JupyterLab saves its state with a delay of its own
    lab.page.reload()
    expect(lab.panel.get_by_role("columnheader", name="Tags")).to_be_visible()
    expect(lab.panel.get_by_role("columnheader", name="Shape")).to_have_count(0)
    expect(lab.panel.get_by_role("columnheader", name="Size")).to_have_attribute("aria-sort", "descending")
    expect(lab.panel.locator("[data-workbench-group='runs/']")).to_have_attribute("aria-expanded", "false")
    assert lab.names == ["table", ""]
    lab.screenshot("grouped")

    # Those without a name, by themselves, and all at once.
    lab.show("unnamed")
    expect(lab.panel.locator("[data-workbench-object]")).to_have_count(1)
    lab.panel.get_by_role("button", name="Delete All").click()
    assert "1 object without a name" in lab.accept("Delete All")
    expect(lab.panel.locator("[data-listing=unnamed]")).to_have_text("Unnamed 0")
    lab.show("objects")


def test_in_a_narrow_panel_nothing_is_half_a_word(lab: Lab, beside: Process) -> None:
    """As wide as JupyterLab makes it, a row has name, kind and size, and of the rest what has room; the tooltip has all of it."""
    beside.do("""
        wb.put(pd.DataFrame({'x': range(200_000), 'y': 1.5}), 'flights'); wb.replicate('flights', n=2).wait()
        wb.put(np.arange(1 << 20), 'weights'); held = wb.get('weights')
        wb.put(np.arange(1 << 10), 'a name that is longer than the panel is wide')
    """)
    lab.expect_nodes("flights", ["node-1", "node-2"])
    expect(lab.row("weights")).to_have_attribute("title", re.compile("Held by"))
    cut = """row => [...row.querySelectorAll('.wb-Cell')].flatMap(cell => {
        const text = cell.querySelector('.wb-Cell-text') ?? cell;
        const line = cell.closest('.wb-Objects-line').getBoundingClientRect();
        const seen = cell.getBoundingClientRect().bottom <= line.bottom + 2;
        return seen && text.scrollWidth > text.clientWidth + 1 ? [cell.dataset.column] : [];
    })"""
    assert lab.row("flights").evaluate(cut) == []
    assert lab.row("weights").evaluate(cut) == []
    assert lab.row("a name that is longer than the panel is wide").evaluate(cut) == ["name"]
    for name, kind, size in (("flights", "DataFrame", "3.1 MiB"), ("weights", "ndarray", "8 MiB")):
        for column, text in (("name", name), ("kind", kind), ("nbytes", size)):
            expect(lab.row(name).locator(f"[data-column={column}]")).to_have_text(text)
    said = lab.row("flights").get_attribute("title") or ""
    for part in ("flights", "pandas.DataFrame, 200,000 \u00d7 2", "node-1: in memory", "node-2: in memory"):
        assert part in said
    lab.screenshot("narrow-rows")

    # Who presses / and types on at once is in the filter with the first letter.
    lab.row("flights").focus()
    lab.page.keyboard.type("/weights", delay=0)
    expect(lab.panel.get_by_role("combobox")).to_have_value("weights")
    expect(lab.row("flights")).to_have_count(0)
    lab.filter("")
    # Both say the same of this host, and what the pool is.
    lab.page.keyboard.press("Escape")
    used = lab.node("node-1").locator(".wb-Node-used")
    status = lab.page.locator(".wb-Status-button")
    expect(status).to_have_text(re.compile(r"^Shared: .* / 1 GiB$"))
    expect(used).to_have_text((status.text_content() or "").removeprefix("Shared: ").replace(" / ", " of "))


def test_names_are_text_whatever_they_are(lab: Lab, beside: Process) -> None:
    """Names with markup, quotes, line breaks, marks of direction and ten thousand letters are shown, and acted on, as text."""
    for name in HOSTILE:
        beside.do(f"wb.put(np.arange(9), {name!r})")
    rows = lab.panel.locator("[data-workbench-object]")
    expect(rows).to_have_count(len(HOSTILE))
    assert sorted(lab.names) == sorted(HOSTILE)
    expect(rows.locator("img")).to_have_count(0)
    lab.screenshot("hostile")
    for name in HOSTILE:
        row = rows.nth(lab.names.index(name))
        assert row.get_attribute("data-name") == name
    first = rows.nth(lab.names.index(HOSTILE[0]))
    first.focus()
    lab.page.keyboard.press("Delete")
    assert HOSTILE[0] in lab.accept("Delete")
    expect(rows).to_have_count(len(HOSTILE) - 1)
    lab.notice(f"“{HOSTILE[0]}” was deleted")
    assert lab.page.title() != "broken"


def test_a_name_of_the_other_direction_moves_no_other_word(lab: Lab, beside: Process) -> None:
    """A dialog and a notification about a name with an override, or of Hebrew letters, read from left to right before and after it."""
    # All at once: a notification slides into the window.
    where = """(element, parts) => parts.map(part => {
        const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
        for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
            const at = node.data.indexOf(part);
            if (at >= 0) {
                const range = document.createRange();
                range.setStart(node, at);
                range.setEnd(node, at + part.length);
                const { left, right } = range.getBoundingClientRect();
                return { left, right };
            }
        }
        return null;
    })"""

    def stands_before(within: Locator, *parts: str) -> None:
        places = within.evaluate(where, list(parts))
        assert None not in places
        for first, second in itertools.pairwise(places):
            assert first["right"] <= second["left"] + 1, (parts, places)

    for name in ("\u202exyz", "\u05d8\u05d9\u05e1\u05d5\u05ea"):
        beside.do(f"wb.put(np.arange(9), {name!r})")
        row = lab.panel.locator("[data-workbench-object]")
        expect(row).to_have_count(1)
        row.focus()
        lab.page.keyboard.press("Delete")
        dialog = lab.page.locator(".jp-Dialog .wb-Confirm p").first
        letters = name.strip("\u202e")
        stands_before(dialog, "\u201c", letters, "\u201d (", "will be gone")
        lab.screenshot(f"directed-{'override' if letters != name else 'hebrew'}")
        lab.accept("Delete")
        notice = lab.page.locator(".Toastify__toast").filter(has_text="was deleted")
        expect(notice).to_have_count(1)
        stands_before(notice, "\u201c", letters, "\u201d", "was deleted")
        lab.dismiss()


def test_two_windows_show_the_same(lab: Lab, beside: Process, browser: Browser, server: str) -> None:
    """What one window does is in the other, which has its own filter; a paused one waits until it is told to go on."""
    beside.do("wb.put(np.arange(1 << 18), 'shared')")
    page = browser.new_page(viewport={"width": 1000, "height": 700}, reduced_motion="reduce")
    other = Lab(page, lab.screenshots)
    try:
        other.open(server.replace("/lab/tree", "/lab/workspaces/second/tree"))
        expect(other.row("shared")).to_be_visible()
        other.filter("kind:dataframe")
        expect(other.row("shared")).to_have_count(0)
        expect(lab.row("shared")).to_be_visible()
        other.filter("")
        other.panel.get_by_role("button", name="Hold the list still").click()
        lab.choose("shared", "Move")
        lab.accept("Move", node="node-2")
        lab.expect_nodes("shared", ["node-2"])
        expect(other.panel.get_by_text("The list stands still: 1 object changed.")).to_be_visible()
        other.expect_nodes("shared", ["node-1"])
        other.screenshot("paused")
        other.panel.get_by_role("button", name="Show what changed").click()
        other.expect_nodes("shared", ["node-2"])
        other.choose("shared", "Delete")
        other.accept("Delete")
        expect(lab.row("shared")).to_have_count(0)
        assert other.errors == []
    finally:
        page.close()
