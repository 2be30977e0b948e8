from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import workbench

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "extension"


def read_json(path: Path) -> dict[str, Any]:
    """Return what a JSON file says."""
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def test_python_and_npm_packages_have_one_version() -> None:
    """The version in package.json and its lock is the one in workbench/__init__.py."""
    lock = read_json(EXTENSION / "package-lock.json")
    assert read_json(EXTENSION / "package.json")["version"] == workbench.__version__
    assert lock["version"] == lock["packages"][""]["version"] == workbench.__version__


def test_lock_names_no_registry() -> None:
    """Whoever runs npm ci gets the packages from the registry that they have, and with a checksum each."""
    text = (EXTENSION / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    assert '"resolved"' not in text
    assert not re.search(r"://[^/\"]*(registry|npmjs|mirror|proxy)", text)
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


def test_npm_keeps_hosts_out_of_the_lock() -> None:
    """The setting that keeps registry hosts out of the lock is part of the project, not of a machine."""
    assert "omit-lockfile-registry-resolved=true" in (EXTENSION / ".npmrc").read_text().splitlines()


def test_server_extension_that_is_enabled_exists() -> None:
    """What the configuration file enables is a server extension of this package."""
    from workbench.jupyter.server import _jupyter_server_extension_points

    config = read_json(EXTENSION / "jupyter-config" / "jupyter_server_config.d" / "workbench.json")
    [point] = _jupyter_server_extension_points()
    assert config["ServerApp"]["jpserver_extensions"] == {point["module"]: True}


def test_commands_in_the_settings_exist() -> None:
    """Every command that the menus and keys of schema/panel.json name is defined in tokens.ts."""
    named = set(re.findall(r'"command": "(.*?)"', (EXTENSION / "schema" / "panel.json").read_text()))
    defined = set(re.findall(r"= '(workbench:[a-z-]+)'", (EXTENSION / "src" / "tokens.ts").read_text()))
    assert named
    assert named <= defined


def test_event_schema_is_the_servers() -> None:
    """The panel listens for the event that the server sends."""
    from workbench.jupyter.server.stream import SCHEMA_ID

    assert f"EVENT_SCHEMA = '{SCHEMA_ID}'" in (EXTENSION / "src" / "tokens.ts").read_text()


def test_supported_pythons_agree() -> None:
    """Classifiers, nox and requires-python name the same versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    classified = [line.rsplit(" ", 1)[1] for line in project["classifiers"] if re.search(r"Python :: 3\.\d+$", line)]
    tested = re.search(r"PYTHONS = (\[.*\])", (ROOT / "noxfile.py").read_text())
    assert tested is not None
    assert json.loads(tested[1]) == classified
    assert project["requires-python"] == f">={classified[0]}"
