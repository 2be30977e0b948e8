"""The way to a cluster's scheduler: the connection of a Dask client or of a worker, with bounded waiting and errors that say what to do.

Covers calling, and telling whether anybody is there; what is called is in ``client.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import dask.config
from distributed import Client, Security, Worker

from workbench import config, connection
from workbench.cluster import messages
from workbench.cluster.threads import sync
from workbench.connection import Connection
from workbench.errors import ClusterError

T = TypeVar("T")


class Channel:
    """The connection with one scheduler.

    Parameters
    ----------
    dask : distributed.Client or distributed.Worker
        Whose connection it is.
    timeout : float, optional
        Seconds that the scheduler has for an answer; the setting ``workbench.connect-timeout``.
    owned : bool
        Close the client with this object.
    """

    def __init__(self, dask: Client | Worker, *, timeout: float | None = None, owned: bool = False) -> None:
        self._dask = dask
        self._timeout = float(config.get("connect-timeout", timeout) or 10)
        self._owned = owned
        self.was_at = self.address
        """Address of the scheduler, also when the client is closed."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address}>"

    @property
    def whereabouts(self) -> tuple[str, Security] | None:
        """Address and certificates, to connect with it again; None in a task of a worker, which has the worker's connection, and when it is closed."""
        return (self.address, self._dask.security) if isinstance(self._dask, Client) and self.address else None

    @property
    def client(self) -> Client:
        """Dask's client.

        Raises
        ------
        ClusterError
            In a task of a worker, which has none of its own.
        """
        if not isinstance(self._dask, Client):
            raise ClusterError("A task has no Dask client of its own; distributed.get_client() gives one.")
        return self._dask

    @property
    def address(self) -> str:
        """Address of the scheduler; empty when the client is closed."""
        scheduler = self._dask.scheduler
        return "" if scheduler is None else str(scheduler.address)

    def why_gone(self) -> str | None:
        """Return what tells that the cluster cannot be reached any more, for people; None: it can, or nobody can tell yet.

        While the connection is open nothing is asked of anybody, however slow the scheduler is. A worker's own connection is the worker's affair.
        """
        if not isinstance(self._dask, Client) or self._dask.status == "running":
            return None
        if self._dask.status in ("closed", "closing"):
            return f"the connection with the scheduler at {self.was_at} is closed"
        return connection.why_dead(Connection(self.was_at, node="", written=0.0, pid=0))

    def is_closed(self) -> bool:
        """Tell whether this client is closed, whatever became of the cluster."""
        return isinstance(self._dask, Client) and self._dask.status in ("closed", "closing")

    def has_ended(self) -> bool:
        """Tell whether the connection is lost and nothing listens where the scheduler was."""
        lost = isinstance(self._dask, Client) and self._dask.status != "running"
        return lost and connection.refuses(self.was_at)

    def close(self) -> None:
        """Close Dask's client, if it was made for this object. The cluster goes on."""
        if self._owned and isinstance(self._dask, Client):
            # Where the scheduler has gone, closing raises whatever Dask's own attempt to reach it again has ended with: an assertion of its own, too.
            try:
                self._dask.close()
            except Exception:  # noqa: BLE001  # anything, and nobody can do anything about it
                self._dask.status = "closed"  # lest it is tried again, and raised, when it is collected
            _end_default()

    # -- calling ---------------------------------------------------------------------------------------------------

    async def ask(self, verb: str, *, patience: float | None = 0.0, **arguments: Any) -> Any:
        """Ask the scheduler.

        Parameters
        ----------
        verb : str
        patience : float, optional
            Seconds that the answer takes by itself; None: there is no limit but the life of the connection.

        Raises
        ------
        ClusterError
            If it does not answer in time, has gone, or lacks the plugin.
        """
        scheduler = self._scheduler()
        call = getattr(scheduler, messages.OP)(verb=verb, arguments=arguments, version=messages.PROTOCOL)
        reply = await self._bounded(call, None if patience is None else self._timeout + patience)
        return messages.unwrap(reply, f"The scheduler at {self.address}")

    async def a_has_plugin(self) -> bool:
        """Tell whether the scheduler has the plugin, without calling it: Dask logs a call that it does not know with a traceback.

        Raises
        ------
        ClusterError
            It does not answer in time, or has gone.
        """
        question = self._scheduler().get_metadata(keys=[messages.OP], default=None)
        return await self._bounded(question, self._timeout) is not None

    def has_plugin(self) -> bool:
        """As :meth:`a_has_plugin`."""
        return self._sync(self.a_has_plugin)

    def _scheduler(self) -> Any:
        scheduler = self._dask.scheduler
        if scheduler is None or self._dask.status in ("closed", "closing"):
            raise self._closed()
        return scheduler

    def _closed(self) -> ClusterError:
        return ClusterError(
            f"The connection with the scheduler at {self.was_at} is closed. Connect with wb.connect(...), or start a cluster."
        )

    async def _bounded(self, call: Awaitable[T], limit: float | None) -> T:
        try:
            async with asyncio.timeout(limit):
                return await call
        except (OSError, TimeoutError) as error:
            waited = "" if limit is None else f" within {limit:.0f} s"
            raise ClusterError(
                f"The scheduler at {self.address or 'an unknown address'} does not answer{waited} ({str(error) or 'no reply'}). "
                "If it is gone, start a cluster again and call wb.connect(...); objects on the nodes are still there."
            ) from error

    def call(self, verb: str, **arguments: Any) -> Any:
        """As :meth:`ask`, for who cannot await."""
        return self._sync(self.ask, verb, **arguments)

    def _sync(self, call: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        # Client.sync would return a coroutine in an asynchronous client instead of refusing.
        if self._dask.loop is None or self._dask.status in ("closed", "closing"):
            raise self._closed()
        return sync(self._dask.loop, call, *args, **kwargs)


def _end_default() -> None:
    """See that Dask works without a cluster again when its last client has gone: of several, the last one restores what an earlier one has set."""
    try:
        Client.current()
    except ValueError:
        if dask.config.get("scheduler", None) == "dask.distributed":
            dask.config.set(scheduler=None)
