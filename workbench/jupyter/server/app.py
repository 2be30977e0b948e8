"""The extension of the Jupyter server: its settings, its routes, its start and stop.

Covers only the connection with Jupyter Server. What a route does is in ``routes.py``, what it knows in ``hub.py``.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Float, Int, Unicode

from workbench.jupyter.server.hub import Hub
from workbench.jupyter.server.routes import HANDLERS
from workbench.jupyter.server.stream import SCHEMA, SCHEMA_ID

__all__ = ["WorkbenchApp"]


class WorkbenchApp(ExtensionApp):
    """The shared-memory workbench in a Jupyter server."""

    name = "workbench"
    load_other_extensions = True

    directory = Unicode(
        "",
        help="Directory of the store to show. Empty: the user's own, as every kernel of this server finds it.",
    ).tag(config=True)
    poll_interval = Float(
        0.15, help="Seconds between two looks at the catalog of this host (a look takes some microseconds)."
    ).tag(config=True)
    holders_interval = Float(1.0, help="Seconds between two looks at who has what mapped.").tag(config=True)
    cluster_interval = Float(0.5, help="Seconds between two looks at the cluster and its connection file.").tag(
        config=True
    )
    cluster_timeout = Float(5.0, help="Seconds after which a cluster that does not answer counts as unreachable.").tag(
        config=True
    )
    max_objects = Int(5000, help="How many objects a listing has at most; it says how many it left out.").tag(
        config=True
    )

    def initialize_settings(self) -> None:
        """Make the hub, and register what it will say on the event bus."""
        assert self.serverapp is not None
        assert self.serverapp.event_logger is not None
        bus = self.serverapp.event_logger
        if SCHEMA_ID not in bus.schemas:
            bus.register_event_schema(SCHEMA)

        def announce(version: str) -> None:
            bus.emit(schema_id=SCHEMA_ID, data={"version": version})

        self.hub = Hub(
            self.directory or None,
            announce=announce,
            poll_interval=self.poll_interval,
            holders_interval=self.holders_interval,
            cluster_interval=self.cluster_interval,
            cluster_timeout=self.cluster_timeout,
            max_objects=self.max_objects,
            log=self.log,
        )
        self.settings["workbench_hub"] = self.hub

    def initialize_handlers(self) -> None:
        """Add the routes."""
        self.handlers.extend(HANDLERS)

    async def stop_extension(self) -> None:
        """Stop watching, and let go of the store and the cluster."""
        hub: Hub | None = getattr(self, "hub", None)
        if hub is not None:
            await hub.close()

    def current_activity(self) -> Any:
        """Nothing that the extension does keeps an idle server alive."""
        return None
