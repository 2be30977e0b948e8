"""What the server itself does that takes longer than an answer may: saving an object to a file.

Covers jobs of the same form as the cluster's operations, so that the panel shows both alike; they live as long as the server, and the last few that
ended are remembered.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

from workbench.errors import WorkbenchError
from workbench.objects import ObjectInfo

__all__ = ["Jobs"]

_REMEMBERED: Final = 20


class Jobs:
    """The jobs that run or ended not long ago."""

    def __init__(self) -> None:
        self._wires: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def wires(self) -> list[dict[str, Any]]:
        """Return all of them as JSON, newest first."""
        return [dict(wire) for wire in reversed(self._wires.values())]

    def get(self, job: str) -> dict[str, Any] | None:
        """Return one of them, or None."""
        found = self._wires.get(job)
        return None if found is None else dict(found)

    def start(self, verb: str, info: ObjectInfo, work: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
        """Begin a job about an object, and return it.

        Parameters
        ----------
        verb : str
        info : ObjectInfo
        work : callable
            Does it; an error of the workbench or of the system is kept with the job.
        """
        job = f"server-{secrets.token_hex(8)}"
        wire: dict[str, Any] = {
            "id": job,
            "verb": verb,
            "object": info.id,
            "name": info.name,
            "to": [],
            "state": "running",
            "done_nbytes": 0,
            "total_nbytes": info.nbytes,
            "rate": None,
            "eta": None,
            "error": None,
            "started": time.time(),
            "ended": None,
            "reasons": [],
        }
        self._wires[job] = wire
        while len(self._wires) > _REMEMBERED and (ended := self._oldest_ended()) is not None:
            del self._wires[ended]
        task = asyncio.create_task(self._run(wire, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return dict(wire)

    async def close(self) -> None:
        """Wait for what runs: a file that is half written is of no use."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _oldest_ended(self) -> str | None:
        return next((job for job, wire in self._wires.items() if wire["state"] != "running"), None)

    @staticmethod
    async def _run(wire: dict[str, Any], work: Callable[[], Awaitable[Any]]) -> None:
        try:
            await work()
            wire |= {"state": "done", "done_nbytes": wire["total_nbytes"]}
        except WorkbenchError as error:
            wire |= {"state": "failed", "error": {"kind": error.kind, "message": str(error)}}
        except (OSError, ValueError, TypeError, ImportError) as error:
            wire |= {"state": "failed", "error": {"kind": "io", "message": str(error) or type(error).__name__}}
        finally:
            if wire["state"] == "running":
                wire |= {"state": "failed", "error": {"kind": "internal", "message": "The server's log says why."}}
            wire["ended"] = time.time()
