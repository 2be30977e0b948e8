"""The Jupyter server extension: what the JupyterLab panel asks and what it is told.

Reading order: ``app.py`` (settings, start and stop), ``routes.py`` (REST), ``hub.py`` (state and actions), ``host.py`` (this
host's store), ``link.py`` (the cluster found there), ``snapshot.py`` (pure: catalogs to JSON), ``stream.py`` ("something
changed"). It is enabled by the name ``workbench.jupyter.server``.

It never talks to a kernel, so a busy kernel cannot stop it; it never decodes an object; and it does nothing at all until
somebody asks it for the first time.
"""

from __future__ import annotations

from typing import Any

__all__ = ["_jupyter_server_extension_points"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter Server where the extension is (its name for this is fixed)."""
    from workbench.jupyter.server.app import WorkbenchApp

    return [{"module": "workbench.jupyter.server", "app": WorkbenchApp}]
