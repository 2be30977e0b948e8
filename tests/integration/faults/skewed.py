"""A Dask preload that makes a process speak another version of the workbench's protocol, as an older or newer installation would."""

from __future__ import annotations

from workbench.cluster import messages

messages.PROTOCOL += 98


def dask_setup(_server: object) -> None:
    """Do nothing more; called by Dask."""
