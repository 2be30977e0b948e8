"""What a killed cluster leaves: told apart from what lives, and removed only if that is wished."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from workbench import leftovers
from workbench.objects import Diagnosis
from workbench.store import Store

pytestmark = pytest.mark.usefixtures("own_store")


def test_only_stores_that_nobody_living_uses_are_removed(store_directory: Path) -> None:
    """One that a cluster has locked and one that a process has open stay; one that is left is named, and removed with ``fix``."""
    locked, opened, left = (leftovers.sibling(store_directory, number) for number in (2, 3, 4))
    other = store_directory.with_name("store.node-x")
    other.mkdir()
    for directory in (locked, opened, left):
        Store.open(directory, capacity=16 << 20).close()
    with wb.Session(left) as session:
        session.put(np.arange(1000))
    lock = leftovers.claim(locked)
    assert lock is not None and leftovers.claim(locked) is None
    with Store.open(opened):
        found = wb.current_session().doctor()
        assert len(found.left) == 1 and not found.damage and not found.reclaimed
        assert str(left) in found.left[0] and "1 object, " in found.left[0] and "--fix" in found.left[0]
        assert left.exists()
        found = wb.current_session().doctor(fix=True)
        assert (
            len(found.reclaimed) == 1
            and f"{left} of a cluster that does not run any more was removed" in found.reclaimed[0]
        )
        assert (locked.exists(), opened.exists(), left.exists(), other.exists()) == (True, True, False, True)
    os.close(lock)
    assert leftovers.claim(left) is None
    assert len(wb.current_session().doctor(fix=True).reclaimed) == 2
    assert str(wb.current_session().doctor()) == str(Diagnosis()) == "nothing to report"
