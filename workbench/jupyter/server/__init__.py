"""The Jupyter server extension: what the JupyterLab panel asks and what it is told.

Reading order: ``app.py`` (settings, start and stop), ``openapi.yaml`` (the routes), ``handlers/`` (requests and answers), then what they ask:

============================= ===========================================================================
``hub.py``                    the state as of now, and the watching
``host.py``, ``link.py``      this host's store; the cluster found there
``mirror.py``                 both catalogs joined, kept up by what changes
``snapshot.py``               one object, one node as JSON
``deltas.py``                 what each version changed
``history.py``                how full the nodes were
``stream.py``                 "something changed"
``actions.py``, ``plans.py``  what users do; what it would cost
``running.py``                what takes the server itself a while
``preview.py``                the process that decodes, and its limits; the other ``preview_*.py`` run there
``limits.py``, ``audit.py``   how often; who did what
``problems.py``               errors and their HTTP status
============================= ===========================================================================

It is enabled by the name ``workbench.jupyter.server``.

It never talks to a kernel, so a busy kernel cannot stop it; it never decodes an object (a process of its own does, for previews); and it does
nothing at all until somebody asks it for the first time.
"""

from __future__ import annotations

from typing import Any

__all__ = ["_jupyter_server_extension_points"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter Server where the extension is (its name for this is fixed)."""
    from workbench.jupyter.server.app import WorkbenchApp

    return [{"module": "workbench.jupyter.server", "app": WorkbenchApp}]
