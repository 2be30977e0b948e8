"""What control groups and the machine leave: read right in both versions, and never a killed process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Process
from tests.store.mounts import root_only
from workbench.store import headroom

MIB = 1 << 20
V1 = Path("/sys/fs/cgroup/memory")

MOUNTS = """\
31 23 0:28 / {base} rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 {root} {base}/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / {base}/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 {root} {base}/unified rw,relatime - cgroup2 cgroup2 rw
"""


class System:
    """A /proc and control groups made of plain files."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base = base
        (base / "proc/self").mkdir(parents=True)
        self.membership("", "")
        self.meminfo(1 << 40)
        monkeypatch.setattr(headroom, "_PROC", base / "proc")

    def membership(self, cgroup: str, root: str = "/") -> None:
        """Be in these groups, whose file systems show what is below `root`."""
        (self.base / "proc/self/cgroup").write_text(cgroup)
        (self.base / "proc/self/mountinfo").write_text(MOUNTS.format(base=self.base, root=root))

    def meminfo(self, nbytes: int) -> None:
        """Have so much memory available."""
        text = f"MemTotal: 1 kB\nMemAvailable:   {nbytes >> 10} kB\nSwapFree: 0 kB\n"
        (self.base / "proc/meminfo").write_text(text)

    def group(self, path: str, **files: object) -> None:
        """Have a group with these files."""
        place = self.base / path
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (place / name.replace("__", ".")).write_text(f"{content}\n")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A machine with no limits, to which a test adds some."""
    return System(tmp_path, monkeypatch)


def test_version_2_counts_what_is_left_in_each_group_around_the_process(system: System) -> None:
    """The tightest ancestor decides, page cache of files counts as free, and "max" is no limit."""
    system.membership("0::/a/b\n")
    system.group("unified/a/b", memory__max="max", memory__current=5, memory__stat="inactive_file 1")
    stat = f"anon 5\ninactive_file {30 * MIB}\nactive_file {20 * MIB}\nshmem 7"
    system.group("unified/a", memory__max=500 * MIB, memory__current=400 * MIB, memory__stat=stat)
    assert headroom.headroom() == 150 * MIB - 16 * MIB
    assert headroom.limit() == 500 * MIB
    system.group("unified/a", memory__high=450 * MIB)
    assert headroom.headroom() == 100 * MIB - 16 * MIB


def test_version_1_has_its_own_files(system: System) -> None:
    """The older version's names, its endless number for "no limit", and its sums over children."""
    system.membership("4:cpu,memory:/a\n0::/\n")
    stat = f"inactive_file 1\ntotal_inactive_file {10 * MIB}\ntotal_active_file {5 * MIB}"
    system.group(
        "memory/a",
        memory__limit_in_bytes=200 * MIB,
        memory__usage_in_bytes=100 * MIB,
        memory__stat=stat,
    )
    system.group("memory", memory__limit_in_bytes=9223372036854771712, memory__usage_in_bytes=1, memory__stat="")
    assert headroom.headroom() == 115 * MIB - 16 * MIB
    assert headroom.limit() == 200 * MIB


@pytest.mark.parametrize(("path", "root"), [("/docker/x", "/docker/x"), ("/docker/x", "/"), ("/../y", "/")])
def test_container_that_sees_only_its_own_group(system: System, path: str, root: str) -> None:
    """Where the group's path is not below the mount point, the mount point is the group."""
    system.membership(f"0::{path}\n", root)
    system.group("unified", memory__max=100 * MIB, memory__current=60 * MIB, memory__stat="")
    assert headroom.headroom() == 40 * MIB - 16 * MIB


def test_without_control_groups_the_machine_decides(system: System) -> None:
    """What the machine has available is the limit then; a missing /proc is none."""
    system.meminfo(300 * MIB)
    assert headroom.headroom() == 284 * MIB
    assert headroom.limit() is None
    (system.base / "proc/meminfo").unlink()
    (system.base / "proc/self/cgroup").unlink()
    assert headroom.headroom() > 1 << 50


def test_answers_are_remembered_only_while_little_was_taken(system: System) -> None:
    """Small requests do not read anything, and together they cannot take more than there was."""
    system.meminfo(116 * MIB)
    room = headroom.Headroom()
    assert room.take(MIB)
    system.meminfo(0)
    taken = MIB
    while room.take(MIB):
        taken += MIB
    assert 80 * MIB < taken <= 100 * MIB


@pytest.fixture
def limited_group() -> Iterator[Path]:
    """A control group of version 1 with 200 MiB."""
    own = headroom.own_groups()
    if not own or own[0].version != 1:
        pytest.skip("needs control groups of version 1")
    path = own[0].path / f"workbench-test-{uuid.uuid4().hex}"
    try:
        path.mkdir()
        (path / "memory.limit_in_bytes").write_text(str(200 * MIB))
    except OSError as error:
        pytest.skip(f"control groups cannot be made here: {error}")
    yield path
    # What was put is charged to this group until it is deleted; the kernel moves the rest to the group around it.
    path.rmdir()


PUTS = """
import os
open({procs!r}, "w").write(str(os.getpid()))
from tests.store.encoding import encoded
from workbench.errors import StoreFullError
from workbench.store import Store
store = Store.open(capacity="4 GiB")
wanted = encoded({nbytes})
number = 0
try:
    for number in range(100_000):
        store.put(wanted, str(number))
except StoreFullError as error:
    message = str(error)
# Without copies, which would need memory of their own.
right = all(store.read(str(n)).buffers == wanted.buffers for n in range(number))
result = number, right, message
"""


@root_only
@pytest.mark.parametrize("nbytes", [40 * MIB, MIB, 50_000, 10_000])
def test_full_control_group_is_an_error_and_kills_nobody(
    limited_group: Path, store_directory: Path, nbytes: int
) -> None:
    """With 200 MiB allowed and a capacity of 4 GiB, puts end in an error that names the limit, and everything can be read."""
    with Process(store_directory) as limited:
        number, right, message = limited.do(PUTS.format(procs=str(limited_group / "cgroup.procs"), nbytes=nbytes))
        assert right
        assert 60 * MIB < number * nbytes < 200 * MIB
        assert "below the control group's limit of 200.0 MiB" in message
        deleted = min(number // 2, 10)
        again = f"for n in range({deleted}):\n    store.delete(str(n))\nstore.put(wanted, 'again')\n"
        # Without a listing, which would need memory of its own.
        again += "result = store.catalog.row('SELECT count(*) FROM objects')[0]"
        assert limited.do(again) == number - deleted + 1
