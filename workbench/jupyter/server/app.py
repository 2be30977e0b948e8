"""The extension of the Jupyter server: its settings, its routes, its start and stop.

Covers only the connection with Jupyter Server. What a route does is in ``handlers/``, what it knows in ``hub.py``.
"""

from __future__ import annotations

import os
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool, Float, Int, Unicode

from workbench.jupyter.server.actions import Actions
from workbench.jupyter.server.audit import ACTION, ACTION_ID, Audit
from workbench.jupyter.server.handlers import HANDLERS
from workbench.jupyter.server.handlers.base import Services
from workbench.jupyter.server.hub import Hub, Intervals
from workbench.jupyter.server.limits import Limits
from workbench.jupyter.server.plans import Plans
from workbench.jupyter.server.preview import Previews
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
    read_only = Bool(
        False, help="Show everything and change nothing: all routes that do something are refused, whoever asks."
    ).tag(config=True)
    max_objects = Int(
        20_000, help="How many objects are listed at most, the newest; the state says how many are left out."
    ).tag(config=True)
    poll_interval = Float(
        0.05, help="Seconds between two looks at the catalog of this host (a look takes some microseconds)."
    ).tag(config=True)
    holders_interval = Float(1.0, help="Seconds between two looks at who has what mapped.").tag(config=True)
    cluster_interval = Float(0.15, help="Seconds between two looks at the cluster and its connection file.").tag(
        config=True
    )
    cluster_timeout = Float(5.0, help="Seconds after which a cluster that does not answer counts as unreachable.").tag(
        config=True
    )
    reads_per_second = Float(
        50.0, help="Requests that change nothing which each user may make, on average over 10 seconds; 0: any number."
    ).tag(config=True)
    actions_per_second = Float(
        20.0, help="Requests to do something which each user may make, on average over 10 seconds; 0: any number."
    ).tag(config=True)
    previews_per_second = Float(
        10.0, help="Requests for previews which each user may make, on average over 10 seconds; 0: any number."
    ).tag(config=True)
    max_body = Int(256 << 10, help="Bytes that the body of a request may have.").tag(config=True)
    preview_timeout = Float(10.0, help="Seconds that a preview may take; then its process is ended.").tag(config=True)
    preview_memory = Int(
        512 << 20, help="Bytes that the process for previews may use, beyond what it maps of shared memory."
    ).tag(config=True)

    def initialize_settings(self) -> None:
        """Make what the handlers work with, and register what will be said on the event bus."""
        assert self.serverapp is not None
        assert self.serverapp.event_logger is not None
        bus = self.serverapp.event_logger
        for schema_id, schema in ((SCHEMA_ID, SCHEMA), (ACTION_ID, ACTION)):
            if schema_id not in bus.schemas:
                bus.register_event_schema(schema)

        def announce(version: str) -> None:
            bus.emit(schema_id=SCHEMA_ID, data={"version": version})

        def emit(action: dict[str, Any]) -> None:
            bus.emit(schema_id=ACTION_ID, data=action)

        self.hub = Hub(
            self.directory or None,
            announce=announce,
            intervals=Intervals(self.poll_interval, self.holders_interval, self.cluster_interval),
            cluster_timeout=self.cluster_timeout,
            max_objects=self.max_objects,
            root=os.path.realpath(getattr(self.serverapp, "root_dir", "") or os.curdir),
            log=self.log,
        )
        actions = Actions(self.hub)
        self.previews = Previews(
            lambda: self.hub.host.directory,
            actions.require_here,
            self.hub.whereabouts,
            seconds=self.preview_timeout,
            nbytes=self.preview_memory,
        )
        rates = {"read": self.reads_per_second, "write": self.actions_per_second, "preview": self.previews_per_second}
        self.settings["workbench_services"] = Services(
            hub=self.hub,
            actions=actions,
            plans=Plans(self.hub, actions),
            previews=self.previews,
            audit=Audit(emit, self.log),
            limits=Limits(rates),
            read_only=self.read_only,
            max_body=self.max_body,
        )

    def initialize_handlers(self) -> None:
        """Add the routes."""
        self.handlers.extend(HANDLERS)

    async def stop_extension(self) -> None:
        """Stop watching, end previews, and let go of the store and the cluster."""
        if hasattr(self, "previews"):
            await self.previews.close()
        hub: Hub | None = getattr(self, "hub", None)
        if hub is not None:
            await hub.close()

    def current_activity(self) -> Any:
        """Nothing that the extension does keeps an idle server alive."""
        return None
