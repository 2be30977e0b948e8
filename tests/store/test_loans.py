from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import Process
from workbench.store import Store, loans

MIB = 1 << 20
BORROW = """
from pathlib import Path
from workbench.store import Store, loans
store = Store.open()
loan = loans.Loan(store.directory, store.catalog.capacity, 64 << 20)
"""


def _opened(directory: Path) -> tuple[int, list[str]]:
    """The capacity, and what opening the store put right."""
    with Store.open(directory) as store:
        return store.catalog.capacity, store.reclaimed_at_opening()


def test_a_capacity_ends_with_its_borrower(store_directory: Path) -> None:
    """While it lives nobody changes the capacity; the next one to open the store after its death gives it back, and says so."""
    Store.open(store_directory, capacity=128 * MIB).close()
    with Process(store_directory) as borrower:
        borrower.do(BORROW)
        borrower.do("store.catalog.set_capacity(64 << 20)")
        assert _opened(store_directory) == (64 * MIB, [])
        borrower.kill()
    said = "The capacity is 128.0 MiB again: 64.0 MiB was a cluster's that does not run any more."
    assert _opened(store_directory) == (128 * MIB, [said])
    assert _opened(store_directory) == (128 * MIB, [])
    assert not (store_directory / loans.FILE).exists()


@pytest.mark.parametrize("after", ["", "store.catalog.set_capacity(96 << 20)"])
def test_a_capacity_that_is_not_the_borrowers_stays(store_directory: Path, after: str) -> None:
    """It died before it had set its own; or somebody has wished for another one since."""
    Store.open(store_directory, capacity=128 * MIB).close()
    with Process(store_directory) as borrower:
        borrower.do(BORROW + after)
        borrower.kill()
    assert _opened(store_directory) == (96 * MIB if after else 128 * MIB, [])
    assert not (store_directory / loans.FILE).exists()


def test_a_wish_of_who_opens_the_store_comes_after_the_loan(store_directory: Path) -> None:
    """Even if it is the capacity that the dead borrower had."""
    Store.open(store_directory, capacity=128 * MIB).close()
    with Process(store_directory) as borrower:
        borrower.do(BORROW + "store.catalog.set_capacity(64 << 20)")
        borrower.kill()
    Store.open(store_directory, capacity=64 * MIB).close()
    assert _opened(store_directory) == (64 * MIB, [])


def test_a_file_that_makes_no_sense_goes(store_directory: Path) -> None:
    """It cannot be half-written, for it gets its name when it is complete."""
    Store.open(store_directory, capacity=128 * MIB).close()
    for garbage in ("", "[]", '{"before": "x", "during": 1}', "\0" * 100):
        (store_directory / loans.FILE).write_text(garbage)
        assert _opened(store_directory) == (128 * MIB, [])
        assert not (store_directory / loans.FILE).exists()
