"""Workers that an interrupt does not end: Jupyter's Stop, and Ctrl-C at a terminal, are meant for the process that waits for them.

Both send SIGINT to each process of a group, and the workers of a ``LocalCluster`` are in that of the notebook or script that started them. This module
is a Dask preload for these workers only; one that was started by itself ends by Ctrl-C. They end when who started them closes the cluster or
ends, however it ends: Dask's own pipe from there to each of them tells them so.
"""

from __future__ import annotations

import signal
from typing import Any

__all__ = ["dask_setup"]


def dask_setup(_worker: Any) -> None:
    """Ignore SIGINT, as what a task starts does then, too; called by Dask in the worker's main thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
