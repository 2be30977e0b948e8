"""One question to a scheduler by who is no client of it and has no time to become one, as a shell that completes a word.

Covers asking, in bounded time; it makes no Dask client, registers nothing and brings no plugins. Read next: ``client.py``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from distributed.core import rpc

from workbench.cluster import messages
from workbench.cluster.connecting import find_security

__all__ = ["ask_once"]


def ask_once(address: str, verb: str, *, patience: float, **arguments: Any) -> Any:
    """Return a scheduler's answer.

    Parameters
    ----------
    address, verb : str
    patience : float
        Seconds for all of it.

    Raises
    ------
    ClusterError
        The scheduler has no plugin, or speaks TLS and there is no certificate for it.
    OSError, TimeoutError, ValueError
        It does not answer, or that is no address.
    """
    security = find_security(address)

    async def ask() -> Any:
        async with (
            asyncio.timeout(patience),
            rpc(address, timeout=patience, connection_args=security.get_connection_args("client")) as scheduler,
        ):
            call = getattr(scheduler, messages.OP)
            reply = await call(verb=verb, arguments=arguments, version=messages.PROTOCOL)
        return messages.unwrap(reply, f"The scheduler at {address}")

    return asyncio.run(ask())
