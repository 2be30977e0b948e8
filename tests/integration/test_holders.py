"""Three notebooks, a script and a Dask worker hold the same memory: who they are, and how much, as the kernel counts it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import workbench as wb
from tests.integration.clusters import running_cluster, until
from tests.kernels import Kernel
from tests.processes import Process

pytestmark = pytest.mark.usefixtures("own_store", "workbench_directory")

MIB = 1 << 20
PAGE = 4096
READ = "array = wb.get('array'); total = float(array.sum())"


class Mapped(NamedTuple):
    """What smaps says of the read-only mappings of a store in one process, in bytes."""

    size: int
    pss: int


def mapped(pid: int, directory: Path) -> Mapped:
    """Add up the mappings of segments."""
    sums = {"Size": 0, "Pss": 0}
    ours = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        title, _, rest = line.partition(":")
        if "-" in title and " " in line.partition(" ")[2]:
            ours = f" {directory}/" in line and ".segment" in line and " r--s " in line
        elif ours and title in sums:
            sums[title] += int(rest.split()[0]) << 10
    return Mapped(sums["Size"], sums["Pss"])


def hold(number: int) -> tuple[int, Any]:
    """Run on a worker: the result stays there as long as the future lives."""
    import os

    import workbench

    array = workbench.get("array")
    assert array.sum() == number
    return os.getpid(), array


def test_five_processes_at_once_are_named_with_what_the_kernel_counts(home: Path) -> None:
    """Each is listed with kind, label and exactly the bytes that it maps; the shares of all add up to one copy; a killed one is gone."""
    store = home / "store"
    with ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(home, nodes=1))
        client = wb.connect(cluster)
        kernels = [stack.enter_context(Kernel(store, f"work/{name}.ipynb")) for name in "abc"]
        script = stack.enter_context(Process(store))
        for kernel in kernels:
            kernel.run("%load_ext workbench\nimport workbench as wb, numpy as np")
        # The writer keeps a writable mapping of the segment, which is no lease, but has its share of the pages until it is killed.
        kernels[2].run("wb.put(np.ones(4 << 17), 'array')")
        for kernel in kernels:
            kernel.run(READ)
        script.do("import workbench as wb\n" + READ)
        future = client.submit(hold, 4 << 17)
        worker = client.submit(lambda pair: pair[0], future).result()

        found = {holder.pid: holder for holder in wb.holders("array")}
        assert {pid: (holder.kind, holder.label) for pid, holder in found.items()} == {
            **{kernel.pid: ("kernel", f"work/{name}.ipynb") for kernel, name in zip(kernels, "abc", strict=True)},
            script.pid: ("script", found[script.pid].label),
            worker: ("worker", found[worker].label),
        }
        names = {str(info["name"]) for info in client.scheduler_info(n_workers=-1)["workers"].values()}
        assert found[worker].label in names
        for pid, holder in found.items():
            assert holder.nbytes == mapped(pid, store).size == 4 * MIB
            assert holder.cause == ("variable array" if holder.kind == "kernel" else "")

        kernels[2].kill()
        until(lambda: kernels[2].pid not in {holder.pid for holder in wb.holders()}, "the killed kernel is forgotten")
        left = {holder.pid for holder in wb.holders("array")}
        assert left == found.keys() - {kernels[2].pid}
        # Four of them have read every page, and nobody else has it: each page counts a quarter for each.
        assert sum(mapped(pid, store).pss for pid in left) == pytest.approx(4 * MIB, abs=len(left) * PAGE)

        wb.delete("array")
        kernels[0].run("del array")
        zombies = wb.holders()
        assert {zombie.pid for zombie in zombies} == left - {kernels[0].pid}
        assert {zombie.state for zombie in zombies} == {"deleted"}
        assert wb.memory().deleted == 4 * MIB
        del future
        script.do("del array")
        kernels[1].run("del array")
        until(lambda: not wb.holders(), "the worker lets go of a result that nobody wants")
        assert wb.memory().deleted == 0
        assert np.array_equal(wb.get(wb.put(np.arange(10))), np.arange(10))
