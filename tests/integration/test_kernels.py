"""One machine, no cluster, nothing to start: two real kernels, or two scripts, share one copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.flights import FLIGHTS, TOUCH
from tests.kernels import CellError, Kernel, pss
from tests.processes import Process

COPIES = 3
"""Of the flights: a million rows, so that a copy is much larger than the noise of a measurement."""


@pytest.fixture
def kernels(store_directory: Path) -> Iterator[Any]:
    """Return a function that starts a kernel with the extension loaded."""
    with ExitStack() as stack:

        def start(notebook: str) -> Kernel:
            kernel = stack.enter_context(Kernel(store_directory, notebook))
            kernel.run("%load_ext workbench")
            kernel.run(FLIGHTS + TOUCH)
            return kernel

        yield start


SAME = """
own = make({copies})
pd.testing.assert_frame_equal({name}, own, check_exact=True, check_freq=True, check_column_type="exact")
assert list({name}.dtypes) == list(own.dtypes)
assert type({name}.index) is type(own.index) and {name}.index.name == own.index.name
assert [type(column.array) for _, column in {name}.items()] == [type(column.array) for _, column in own.items()]
del own
"""

MAPPED = """
def mapped(frame, directory):
    spans = []
    for line in open("/proc/self/maps"):
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith(directory):
            start, end = (int(text, 16) for text in fields[0].split("-"))
            spans.append((start, end, fields[1]))
    names = []
    for name in frame:
        values = frame[name].to_numpy() if frame[name].dtype.kind in "if" else None
        if values is not None:
            address = values.__array_interface__["data"][0]
            inside = [modes for start, end, modes in spans if start <= address < end]
            if inside == ["r--s"] and not values.flags.writeable:
                names.append(name)
    return names
"""


def test_two_kernels_share_one_copy(kernels: Any, store_directory: Path) -> None:
    """What one notebook shares, another fetches: equal, mapped read-only, and in memory once."""
    first, second = kernels("first.ipynb"), kernels("second.ipynb")
    first.run(f"flights = make({COPIES})")
    nbytes = first.value("int(flights.memory_usage(deep=True, index=False).sum())")
    before = pss(first.pid, second.pid)

    assert "flights" in first.run("%share flights")
    assert "fetched in" in second.run("%fetch flights")
    second.run("touch(flights)")
    grown = pss(first.pid, second.pid) - before
    print(f"one copy: {nbytes / 2**20:.0f} MiB; both processes grew by {grown / 2**20:.0f} MiB")
    assert 0.8 * nbytes < grown < 1.4 * nbytes

    second.run(MAPPED)
    numbers = second.value("[name for name in flights if flights[name].dtype.name in ('int64', 'float64')]")
    assert second.value(f"mapped(flights, {str(store_directory)!r})") == numbers
    assert len(numbers) == 13
    second.run(SAME.format(copies=COPIES, name="flights"))


def test_assignment_copies_on_write_and_changes_nothing_for_others(kernels: Any) -> None:
    """Pandas assigns to a fetched frame as to any other, and the other notebooks see the object as it was."""
    first, second = kernels("first.ipynb"), kernels("second.ipynb")
    first.run("flights = make(1)")
    first.run("%share flights")
    second.run("%fetch flights")
    first.run("%fetch flights as mine")
    second.run(
        """
        flights.loc[1, "dep_delay"] = 1e6
        flights["late"] = flights["arr_delay"] > 60
        flights.loc[flights.index[:5], "carrier"] = "AA"
        flights["distance"] *= 2
        """
    )
    assert second.value("float(flights.loc[1, 'dep_delay'])") == 1e6
    first.run(SAME.format(copies=1, name="flights"))
    first.run(SAME.format(copies=1, name="mine"))
    second.run("%fetch flights as again")
    second.run(SAME.format(copies=1, name="again"))


def test_killed_kernel_takes_nothing_with_it(kernels: Any) -> None:
    """After SIGKILL of the kernel that shared, who has fetched reads on, and who comes later can fetch."""
    first, second = kernels("first.ipynb"), kernels("second.ipynb")
    first.run("flights = make(1)")
    first.run("%share flights")
    second.run("%fetch flights")
    first.kill()
    second.run(SAME.format(copies=1, name="flights"))
    third = kernels("third.ipynb")
    third.run("%fetch flights")
    third.run(SAME.format(copies=1, name="flights"))
    assert second.value("__import__('workbench').current_session().store.doctor()") == []


def test_holders_are_named_by_their_notebooks(kernels: Any) -> None:
    """The list of holders says which notebook has an object mapped, and forgets it with the last variable."""
    first, second = kernels("first.ipynb"), kernels("second.ipynb")
    first.run("flights = make(1)")
    first.run("%share flights")
    first.run("del flights")
    second.run("%fetch flights")
    ask = "[[holder.pid, holder.kind, holder.label] for holder in __import__('workbench').holders('flights')]"
    assert [second.pid, "kernel", "second.ipynb"] in first.value(ask)
    second.run("del flights")
    assert second.pid not in [pid for pid, _, _ in first.value(ask)]


def test_error_of_a_magic_is_one_message_and_still_an_error(kernels: Any) -> None:
    """An unknown name ends the cell with the workbench's own error, shown without a traceback."""
    kernel = kernels("first.ipynb")
    kernel.run("flights = make(1)")
    kernel.run("%share flights")
    with pytest.raises(CellError) as caught:
        kernel.run("%fetch flihgts")
    assert caught.value.name == "ObjectNotFoundError"
    assert len(caught.value.lines) == 1
    assert "'flights'" in caught.value.lines[0]
    with pytest.raises(CellError, match="ValueError: ttl is -1") as caught:
        kernel.run("import workbench as wb\nwb.put(1, 'x', ttl=-1)")
    assert "workbench/" not in "".join(caught.value.lines)
    with pytest.raises(CellError, match="ValueError: invalid literal"):
        kernel.run("int('x')")


def test_names_are_completed(kernels: Any) -> None:
    """Behind the magics the kernel offers variables, objects and verbs."""
    kernel = kernels("first.ipynb")
    kernel.run("flights_2013 = make(1)")
    assert "flights_2013" in kernel.complete("%share fli")
    kernel.run("%share flights_2013 as january_flights")
    assert "january_flights" in kernel.complete("%fetch jan")
    assert "replicate" in kernel.complete("%wb rep")
    assert "january_flights" in kernel.complete("%wb info jan")
    kernel.run("import workbench as wb")
    assert kernel.complete('frame = wb.get("jan') == ["january_flights"]


_SLOWLY = """
import os, signal, threading, time
import numpy as np
import workbench as wb
from workbench import archive, progress
progress.PATIENCE, progress._TURN, archive._PIECE = 0.0, 0.0, 16 << 10
def interrupt_when(begun):
    def wait():
        while not begun():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=wait, daemon=True).start()
def parts():
    return [name for name in os.listdir(FOLDER) if name != "x.wb"]
"""


def test_saving_and_loading_show_how_far_they_are_and_end_at_ctrl_c(kernels: Any, tmp_path: Path) -> None:
    """In a real kernel: a bar, then what was done; who interrupts sees his own line, and nothing half is left, here or there."""
    kernel = kernels("first.ipynb")
    kernel.run(f"FOLDER = {str(tmp_path)!r}" + _SLOWLY)
    kernel.run("wb.put(np.zeros(8 << 20, 'u1'), 'x')")
    assert "save x: " in kernel.run("wb.save('x', f'{FOLDER}/x.wb')")
    assert "load " in kernel.run("wb.load(f'{FOLDER}/x.wb', 'y')")
    kernel.run("wb.delete('y')")
    for cell in (
        "interrupt_when(parts); wb.save('x', f'{FOLDER}/again.wb')",
        "interrupt_when(lambda: wb.memory().writing); wb.load(f'{FOLDER}/x.wb', 'z')",
    ):
        with pytest.raises(CellError) as caught:
            kernel.run(cell)
        shown = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(caught.value.lines))
        assert caught.value.name == "KeyboardInterrupt" and cell in shown and "workbench/" not in shown
        assert kernel.value("[parts(), [info.name for info in wb.ls()], wb.memory().writing]") == [[], ["x"], 0]
    kernel.run("wb.load(f'{FOLDER}/x.wb', 'z')")


def test_two_scripts_share_one_copy(store_directory: Path) -> None:
    """The same with wb.put and wb.get in plain scripts, one of which is killed."""
    with Process(store_directory) as first, Process(store_directory) as second:
        for process in (first, second):
            process.do("import workbench as wb\n" + FLIGHTS + TOUCH)
        first.do(f"flights = make({COPIES})")
        nbytes = first.do("result = int(flights.memory_usage(deep=True, index=False).sum())")
        before = pss(first.pid, second.pid)
        first.do("wb.put(flights, 'flights')")
        second.do("flights = wb.get('flights'); touch(flights)")
        assert 0.8 * nbytes < pss(first.pid, second.pid) - before < 1.4 * nbytes
        first.kill()
        second.do(SAME.format(copies=COPIES, name="flights"))
        second.do("flights.loc[1, 'dep_delay'] = 1e6")
        with Process(store_directory) as third:
            third.do("import workbench as wb\n" + FLIGHTS)
            third.do("flights = wb.get('flights')")
            third.do(SAME.format(copies=COPIES, name="flights"))
