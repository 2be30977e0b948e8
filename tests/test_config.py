"""Every setting can be given as an argument, in the environment and in Dask's configuration, in this order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.config
import pytest
import yaml

import workbench
from workbench import config

DEFAULTS = yaml.safe_load((Path(workbench.__file__).parent / "workbench.yaml").read_text())["workbench"]

OTHER_THAN_DEFAULT = {
    "directory": ("/a", "/b", "/c"),
    "namespace": ("a", "b", "c"),
    "capacity": (1 << 20, "2 MiB", "3 MiB"),
    "pool": (1 << 20, "2 MiB", 3 << 20),
    "pool-idle": (1, "2", "3s"),
    "warm": (1 << 20, "2 MiB,3 MiB", ["4 MiB"]),
    "inline": (100, "200", "1 KiB"),
    "copy-threads": (1, "2", 3),
    "spill-directory": ("/a", "/b", "/c"),
    "spill-capacity": (1 << 20, "2 MiB", "3 MiB"),
    "restore-after": (1, "2", "3s"),
    "minimum-shm": (100, "200", "1 KiB"),
    "node": ("a", "b", "c"),
    "connect-timeout": (1, "2", 3),
    "rack": ("a", "b", "c"),
    "transfer-window": (1 << 20, "2 MiB", "3 MiB"),
    "transfer-connections": (1, "2", 3),
    "transfer-timeout": (1, "2", "3s"),
    "transfer-checksums": ("on", "off", "on"),
    "replica-grace": (1, "2", "3s"),
    "progress": (True, "off", "off"),
}
"""Setting to what an argument, the environment and Dask's configuration say."""


def test_every_setting_is_documented_and_tested() -> None:
    """The table above has each setting, and workbench.yaml a comment with its unit and reason before each."""
    assert OTHER_THAN_DEFAULT.keys() == DEFAULTS.keys()
    lines = (Path(workbench.__file__).parent / "workbench.yaml").read_text().splitlines()
    for name in DEFAULTS:
        at = next(number for number, line in enumerate(lines) if line.startswith(f"  {name}:"))
        assert lines[at - 1].startswith("  # "), name


@pytest.mark.parametrize("name", DEFAULTS)
def test_argument_beats_environment_beats_dask_beats_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is nearer to the call decides."""
    variable = "WORKBENCH_DIR" if name == "directory" else "WORKBENCH_" + name.upper().replace("-", "_")
    monkeypatch.delenv(variable, raising=False)
    argument, environment, file = OTHER_THAN_DEFAULT[name]
    assert config.get(name) == DEFAULTS[name]
    with dask.config.set({f"workbench.{name}": file}):
        assert config.get(name) == file
        monkeypatch.setenv(variable, environment)
        assert config.get(name) == environment
        assert config.get(name, argument) == argument


@pytest.mark.parametrize(
    ("said", "meant"),
    [(5, 5.0), ("5", 5.0), ("5 minutes", 300.0), ("never", None), (False, None), (None, 300.0), (0, 0.0)],
)
def test_times(said: Any, meant: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds, or text with a unit; "never" where that is possible."""
    monkeypatch.delenv("WORKBENCH_POOL_IDLE", raising=False)
    assert config.get_seconds("pool-idle", said) == meant


@pytest.mark.parametrize("said", ["soon", -1, "-5 s"])
def test_text_that_is_no_time_names_the_setting(said: Any) -> None:
    """A typing error in a setting is named with the setting."""
    with pytest.raises(ValueError, match=r"workbench\.pool-idle is .*, which is not a time|cannot be negative"):
        config.get_seconds("pool-idle", said)


@pytest.mark.parametrize(
    ("said", "meant"),
    [(None, []), (0, []), (5, [5]), ("1 KiB", [1024]), ("1 KiB, 2 KiB", [1024, 2048]), ([1, "1 KiB"], [1, 1024])],
)
def test_lists_of_sizes(said: Any, meant: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """One size or several, in text with commas in between."""
    monkeypatch.delenv("WORKBENCH_WARM", raising=False)
    assert config.get_sizes("warm", said) == meant


def test_list_with_something_that_is_no_size() -> None:
    """The error names the setting."""
    with pytest.raises(ValueError, match=r"workbench\.warm is 'lots', which is not a size"):
        config.get_sizes("warm", "1 KiB, lots")
