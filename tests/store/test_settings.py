"""What each setting does to a store, however it is said: as an argument, in the environment, in Dask's configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.config
import pytest

from workbench.store import Store

MIB = 1 << 20

EFFECTS: dict[str, tuple[Any, Callable[[Store], Any], Any]] = {
    "capacity": ("64 MiB", lambda store: store.catalog.capacity, 64 * MIB),
    "pool": ("3 MiB", lambda store: store.allocator.pool.limit, 3 * MIB),
    "pool-idle": ("7 s", lambda store: store.upkeep.idle, 7.0),
    "warm": ("200 MiB", lambda store: store.allocator.pool.limit, 200 * MIB),
    "inline": ("1 KiB", lambda store: store.writer.inline, 1024),
    "copy-threads": ("3", lambda store: store.allocator.threads, 3),
    "spill-directory": (None, lambda store: store.spiller.place.path, "named"),
    "spill-capacity": ("5 MiB", lambda store: store.spiller.place.nbytes, 5 * MIB),
    "restore-after": ("9", lambda store: store.residence.restore_after, 9.0),
}
"""Setting to a value, where it shows in an open store, and as what."""


@pytest.mark.parametrize("how", ["argument", "environment", "dask"])
@pytest.mark.parametrize("name", EFFECTS)
def test_setting_of_a_store(
    name: str, how: str, store_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes effect, whichever of the three ways it is said in."""
    said, look, wanted = EFFECTS[name]
    said = said or str(tmp_path / "named")
    variable = "WORKBENCH_" + name.upper().replace("-", "_")
    monkeypatch.delenv(variable, raising=False)
    if name == "spill-capacity":
        monkeypatch.setenv("WORKBENCH_SPILL_DIRECTORY", str(tmp_path / "named"))
    options: dict[str, Any] = {} if name == "capacity" else {"capacity": 256 * MIB}
    if how == "argument":
        options[name.replace("-", "_")] = said
    elif how == "environment":
        monkeypatch.setenv(variable, said)
    with (
        dask.config.set({f"workbench.{name}": said} if how == "dask" else {}),
        Store.open(store_directory, **options) as store,
    ):
        found = look(store)
        assert (found.parent.name if isinstance(found, Path) else found) == wanted


@pytest.mark.parametrize("name", [name for name in EFFECTS if name not in ("copy-threads", "spill-directory")])
def test_setting_that_makes_no_sense_is_named_and_leaves_nothing_open(name: str, store_directory: Path) -> None:
    """A typing error is an error with the setting's name; that nothing stays open is checked after each test."""
    with pytest.raises(ValueError, match=rf"workbench\.{name} is 'lots'"):
        Store.open(store_directory, **{name.replace("-", "_"): "lots"})  # type: ignore[arg-type]


def test_a_setting_changes_no_capacity_that_a_store_has(store_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever merely looks at a store leaves it as it is; who gives a capacity as an argument changes it."""
    with Store.open(store_directory, capacity=256 * MIB):
        pass
    monkeypatch.setenv("WORKBENCH_CAPACITY", "64 MiB")
    with Store.open(store_directory) as store:
        assert store.memory().capacity == 256 * MIB
    with Store.open(store_directory, capacity="128 MiB") as store:
        assert store.memory().capacity == 128 * MIB
