"""How a session comes to a cluster: from a client, an address, a cluster object, or the connection file of its host.

Covers finding, the certificates of a cluster with TLS, bounded waiting, and bringing the plugins to a cluster that was started without them.
The calls afterwards are ``client.py``'s.

A connection file holds an address and no secret. Who connects with a cluster at a ``tls://`` address brings the certificates: as an argument, in
the cluster object that made them, or in Dask's configuration, as any Dask client does (``distributed.client.security-loader``,
``distributed.comm.tls``).
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dask.config
from distributed import Client, Security
from distributed.comm import core as comms
from distributed.utils import import_term

from workbench import config, connection
from workbench.cluster.client import ClusterClient
from workbench.cluster.scheduler_plugin import WorkbenchSchedulerPlugin
from workbench.cluster.worker_plugin import WorkbenchWorkerPlugin
from workbench.errors import ClusterError, WorkbenchError

if TYPE_CHECKING:
    from workbench.store import Store

_STARTING: Final = 1.0
"""Seconds that a scheduler may need until it listens."""
_LOOK: Final = 0.2
"""Seconds until one that does not answer is looked for again."""


def connect(
    where: Any = None, store: Store | None = None, *, security: Security | None = None, timeout: float | None = None
) -> ClusterClient:
    """Connect to a cluster and make sure that it has the workbench's plugins.

    Parameters
    ----------
    where : distributed.Client, cluster or str, optional
        A client, anything with a ``scheduler_address``, an address, or None: the cluster whose worker left a connection file in
        the store.
    store : Store, optional
        This process's store.
    security : distributed.Security, optional
        Certificates for a cluster with TLS; those of the cluster object `where`, else those that Dask's configuration names.
    timeout : float, optional
        Seconds until a scheduler that does not answer is an error; the setting ``workbench.connect-timeout``. A host that says that nothing listens
        there is believed after a second, which a scheduler that is just starting may need; or after these seconds, if they are given.

    Raises
    ------
    ClusterError
        No cluster was found, it does not answer, or a part of it cannot run the plugin.
    """
    patience = float(config.get("connect-timeout", timeout) or 10)
    if isinstance(where, Client):
        if where.asynchronous:
            raise ClusterError("This Dask client is asynchronous. Use a normal one: Client(address).")
        if where.status in ("closed", "closing"):
            raise ClusterError(
                "This Dask client is closed, so nothing is reached through it. Give wb.connect a new one, Client(cluster), or the cluster or its address."
            )
        cluster = ClusterClient(where, timeout=patience)
    else:
        found = _find(where, store)
        security = find_security(found, getattr(where, "security", None) if security is None else security)
        starting = min(patience, _STARTING) if timeout is None else patience
        cluster = ClusterClient(_new_client(where, found, patience, starting, security), timeout=patience, owned=True)
    try:
        add_plugins(cluster, patience)
    except BaseException:
        cluster.close()
        raise
    return cluster


def _find(where: Any, store: Store | None) -> str:
    if isinstance(where, str):
        return where
    if where is not None:
        address = getattr(where, "scheduler_address", None)
        if not isinstance(address, str) or not address:
            raise ClusterError(
                f"{where!r:.100} is not a cluster: give wb.connect a Dask client, a running cluster, or the address of a "
                "scheduler, such as 'tcp://host:8786'."
            )
        return address
    found = None if store is None else connection.read(store.directory)
    if found is None:
        raise ClusterError(
            "No cluster was found on this host: no worker left its connection file in "
            f"{store.directory if store else 'the store'}. Start one with wb.LocalCluster(nodes=2), or give the address of a "
            "scheduler."
        )
    if why := connection.why_dead(found):
        raise ClusterError(
            f"The cluster of this host does not run any more: {why}. Its connection file is left in {store.directory if store else 'the store'}; "
            "`workbench doctor` removes it. Start a cluster, or give the address of one that runs."
        )
    return found.scheduler


def find_security(address: str, security: Security | None = None) -> Security:
    """Return the certificates for a scheduler: those given, else those that Dask's configuration names.

    Raises
    ------
    ClusterError
        The address is one with TLS, and there is no certificate; or the configured loader cannot be used.
    """
    if security is None:
        security = _configured_security(address)
    certificate = security.get_tls_config_for_role("client")
    if address.startswith("tls://") and not (certificate["ca_file"] and certificate["cert"]):
        raise ClusterError(
            f"The scheduler at {address} speaks TLS, and this process has no certificate for it. Name its files in Dask's configuration: "
            "distributed.comm.tls.ca-file, .client.cert and .client.key (DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ...__CLIENT__CERT, ...__CLIENT__KEY), or "
            "give it in Python, as Security(...), to wb.connect. The certificates of Security.temporary() never leave the process that made them: "
            "others can join a cluster that was started with certificates in files."
        )
    if address.startswith("tls://"):
        _check_files(address, security, certificate)
    return security


def _check_files(address: str, security: Security, certificate: dict[str, Any]) -> None:
    # A certificate is the name of a file, or what would be in it.
    named = [text for text in certificate.values() if isinstance(text, str) and "\n" not in text]
    missing = [path for path in named if path.startswith(("/", ".")) and not Path(path).is_file()]
    try:
        security.get_connection_args("client")
    except (OSError, ValueError) as error:
        why = f"there is no file {missing[0]}" if missing else f"{type(error).__name__}: {error}"
        raise ClusterError(
            f"The certificates that this process has for the scheduler at {address} cannot be used: {why}. They are what Dask's configuration or "
            "wb.connect names as ca-file, .client.cert and .client.key of distributed.comm.tls."
        ) from error


def _configured_security(address: str) -> Security:
    loader = dask.config.get("distributed.client.security-loader", None)
    if not loader:
        return Security()
    try:
        found = import_term(loader)({"address": address})
    except Exception as error:  # it is the user's own function
        raise ClusterError(
            f"The setting distributed.client.security-loader, {loader!r}, gives no certificates for {address}: {type(error).__name__}: {error}"
        ) from error
    return Security() if found is None else found


async def knock(address: str, patience: float, security: Security) -> None:
    """See whether a scheduler answers, in bounded time: Dask's own client waits for ever for one that accepts and says nothing.

    Raises
    ------
    OSError, TimeoutError, ValueError
        If it does not, or if that is no address.
    """
    async with asyncio.timeout(patience):
        comm = await comms.connect(address, timeout=patience, **security.get_connection_args("client"))
        await comm.close()


async def _knock(address: str, patience: float, starting: float, security: Security) -> None:
    """See whether a scheduler answers, as :func:`knock`, and give up sooner where nothing listens: Dask tries that again and again."""
    deadline = time.monotonic() + starting
    knocking = asyncio.ensure_future(knock(address, patience, security))
    try:
        while not (await asyncio.wait([knocking], timeout=_LOOK))[0]:
            if await asyncio.to_thread(connection.refuses, address) and time.monotonic() > deadline:
                raise ConnectionRefusedError
        await knocking
    finally:
        knocking.cancel()
        await asyncio.wait([knocking])  # its socket is closed then


def _new_client(where: Any, address: str, patience: float, starting: float, security: Security) -> Client:
    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook's own thread runs an event loop already
            thread.submit(asyncio.run, _knock(address, patience, starting, security)).result()
        return Client(address, timeout=patience, set_as_default=True, security=security)
    except comms.FatalCommClosedError as error:
        raise ClusterError(
            f"The scheduler at {address} and this process do not trust each other's certificates ({error}). Give wb.connect the Security that "
            "the cluster was started with, or name its files in Dask's configuration (distributed.comm.tls)."
        ) from error
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, ValueError):
            raise ClusterError(
                f"{address!r} is not an address of a scheduler ({error}). Give one such as 'tcp://host:8786'."
            ) from error
        if connection.refuses(address):
            raise ClusterError(
                f"Nothing listens at {address}: the scheduler has ended, or has not started yet. Start a cluster, or give the address of one that runs; "
                "wb.connect(address, timeout=60) waits for one that is starting."
            ) from error
        origin = (
            " It was named by the connection file of this host, which a cluster that was killed leaves behind."
            if where is None
            else ""
        )
        if isinstance(error, comms.CommClosedError) and not address.startswith("tls://"):
            origin += " It hung up: if it speaks TLS, its address begins with tls://."
        raise ClusterError(
            f"The scheduler at {address} does not answer within {patience:.0f} s ({str(error) or type(error).__name__}).{origin} "
            "Start a cluster, or give the address of one that runs."
        ) from error
    except Exception as error:  # Dask's reader takes whatever it is sent for a length, and fails in as many ways
        raise ClusterError(
            f"What answers at {address} is not a Dask scheduler ({type(error).__name__}: {error}). Give the address of one, such as "
            "'tcp://host:8786'."
        ) from error


def add_plugins(cluster: ClusterClient, patience: float) -> None:
    """Make sure that the scheduler and every worker have the plugin, and that every worker has joined.

    Raises
    ------
    ClusterError
        If one of them cannot run it; the message says which and why.
    """
    client = cluster.client
    if not cluster.has_plugin():
        _register(cluster, WorkbenchSchedulerPlugin())
    waiting = _not_joined(cluster)
    if not waiting:
        return
    lacking = [worker for worker, has in client.run(_has_plugin).items() if not has]
    if lacking:
        _register(cluster, WorkbenchWorkerPlugin())
        lacking = [worker for worker, has in client.run(_has_plugin).items() if not has]
    if lacking:
        raise ClusterError(
            f"The worker at {lacking[0]} has no workbench plugin ({len(lacking)} such workers). Install the workbench in its "
            "environment and start it with `--preload workbench.cluster`, or look in its log for why its store cannot be used."
        )
    deadline = time.monotonic() + patience
    while waiting := _not_joined(cluster):
        if time.monotonic() > deadline:
            raise ClusterError(
                f"The worker at {waiting[0]} has the workbench's plugin and has not joined within {patience:.0f} s ({len(waiting)} such workers). "
                "Its log says why; with another version of the workbench it cannot: install the same version everywhere."
            )
        time.sleep(0.01)


def _not_joined(cluster: ClusterClient) -> list[str]:
    return list(cluster.call("hello")["not_joined"])


def _has_plugin(dask_worker: Any) -> bool:
    return "workbench" in dask_worker.handlers


def _register(cluster: ClusterClient, plugin: Any) -> None:
    try:
        cluster.client.register_plugin(plugin)
    except Exception as error:  # it was raised in another process, and may be anything
        where = "scheduler" if isinstance(plugin, WorkbenchSchedulerPlugin) else "workers"
        if isinstance(error, WorkbenchError):  # it says by itself what to do
            reason, step = str(error), ""
        else:
            reason = f"{type(error).__name__}: {error}"
            step = " Install the same version of the workbench there, and see that WORKBENCH_DIR names a usable directory on each host."
        raise ClusterError(
            f"The {where} of the cluster at {cluster.address} cannot run the workbench: {reason}{step}"
        ) from error
