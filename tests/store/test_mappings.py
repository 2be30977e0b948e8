from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from tests.store.encoding import encoded
from workbench.store import Record, Store, mappings, segments

NBYTES = 4 << 20


def is_mapped(address: int, nbytes: int) -> bool:
    """Tell whether this process has all of a range of addresses mapped in one piece."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, _, end = line.split()[0].partition("-")
        if int(start, 16) <= address and address + nbytes <= int(end, 16):
            return True
    return False


@pytest.fixture
def untraced() -> Iterator[None]:
    """The trace function of before, whatever it was, is back after the test."""
    before = sys.gettrace()
    yield
    sys.settrace(before)


@pytest.mark.usefixtures("untraced")
def test_who_comes_while_the_last_view_goes_gets_memory_that_stays(store: Store) -> None:
    """At each step of letting a mapping go, another reader of the same segment gets one that is mapped for as long as it has it."""
    object_id = store.put(encoded(NBYTES)).id
    came: list[mappings.Mapping] = []
    steps = 0

    def step(frame: FrameType, event: str, argument: Any) -> Any:
        # What runs when the last reference goes, in this thread; another thread can come in between any two of its lines.
        nonlocal steps
        if Path(frame.f_code.co_filename) == Path(mappings.__file__) and frame.f_code.co_name == "__del__":
            steps += 1
            sys.settrace(None)
            came.append(store.reader.mappings.get(segment)[0])
            sys.settrace(step)
        return step

    record = store.read(object_id)
    [segment] = store.reader.mapped()
    sys.settrace(step)
    del record
    sys.settrace(None)
    assert steps > 2
    assert all(is_mapped(mapping.address, mapping.nbytes) for mapping in came)


_STORM = """
import sys, threading
from workbench.store import Store

sys.setswitchinterval(1e-6)
with Store.open(sys.argv[1]) as store:
    def read():
        for _ in range(3000):
            bytes(store.read(sys.argv[2]).buffers[0][-1:])
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_threads_that_get_and_let_go_of_one_object_never_see_it_vanish(store: Store) -> None:
    """Four threads read one object again and again, each as the only one at times; a page that is gone would be a segmentation fault."""
    object_id = store.put(encoded(NBYTES)).id
    storm = [sys.executable, "-c", _STORM, str(store.directory), object_id]
    done = subprocess.run(storm, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"


def test_threads_that_map_a_segment_at_once_have_the_same_mapping(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is overtaken takes what the other has mapped, so that both views are found when they are put again."""
    object_id = store.put(encoded(NBYTES)).id
    open_leased = segments.open_leased
    others: list[Record] = []

    def overtaken(path: str, segment: int) -> tuple[int, os.stat_result]:
        monkeypatch.setattr(segments, "open_leased", open_leased)
        opened = open_leased(path, segment)
        others.append(store.read(object_id))
        return opened

    monkeypatch.setattr(segments, "open_leased", overtaken)
    for record in (store.read(object_id), others[0]):
        [buffer] = record.buffers
        assert store.is_shared(np.frombuffer(buffer, np.uint8).ctypes.data, buffer.nbytes)
