"""A Jupyter server with the extension, and a store of its own for each test."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from pytest_jupyter.jupyter_server import *  # noqa: F403  # its fixtures, and its hooks for asynchronous tests
from traitlets.config import Config

from tests.jupyter.asking import Ask, Fetch, asking
from workbench.jupyter import magics


@pytest.fixture  # type: ignore[no-redef]  # that is how pytest-jupyter is configured
def jp_server_config(
    store_directory: Path,
) -> Config:
    """Enable the extension as an installation does: by its module's name, and nothing open to strangers."""
    return Config(
        {
            "ServerApp": {
                "jpserver_extensions": {"workbench.jupyter.server": True},
                "allow_unauthenticated_access": False,
            },
            "WorkbenchApp": {"poll_interval": 0.05, "holders_interval": 0.1, "cluster_interval": 0.1},
        }
    )


@pytest.fixture
def ipython(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """Start an IPython shell that takes the place of nothing: by default it would be ``__main__`` from then on."""
    module = ModuleType("notebook_of_a_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    shell = InteractiveShell(user_module=module)
    assert shell.history_manager is not None
    shell.history_manager.enabled = False
    yield shell
    shell.user_ns.clear()
    shell.history_manager.end_session()


@pytest.fixture
def shell(ipython: InteractiveShell, store_directory: Path) -> Iterator[InteractiveShell]:
    """Load the extension into an IPython shell."""
    del store_directory  # its store is that of the current session
    ipython.run_line_magic("load_ext", "workbench")
    ipython.user_ns["df"] = pd.DataFrame({"x": [1, 2, 3], "s": ["a", None, "c"]})
    yield ipython
    magics.unregister(ipython)


@pytest.fixture
def ask(jp_fetch: Fetch, hub: Any, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Ask:
    """Return a function that sends a request and returns status and JSON, also of errors."""
    del hub
    return asking(jp_fetch, jp_asyncio_loop)


@pytest.fixture
def hub(jp_serverapp: Any, jp_asyncio_loop: Any) -> Iterator[Any]:
    """Give the extension's hub, stopped afterwards as the server would."""
    extension = jp_serverapp.extension_manager.extension_points["workbench"].app
    yield extension.hub
    jp_asyncio_loop.run_until_complete(extension.stop_extension())
