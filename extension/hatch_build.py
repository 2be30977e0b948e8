"""The wheel's and the sdist's build hook: the JupyterLab extension is built first, when its sources changed.

Covers only what hatchling calls; the work is in ``toolchain.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))  # hatchling loads this file by its path, as no package

import toolchain


class LabExtensionHook(BuildHookInterface[Any]):
    """Put the bundle where ``pyproject.toml`` says that it is."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what must be installed before the build; nothing when the bundle is there."""
        needed: list[str] = toolchain.requirements()
        return needed

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # hatchling's signature
        """Build, or do nothing when the bundle is up to date."""
        toolchain.build()
