"""Settings: the ``workbench`` section of Dask's configuration, documented in ``workbench.yaml``.

Covers looking one setting up and turning it into bytes or a number; it does not decide defaults that depend on the
machine (``store/directory.py`` does). Dask is imported on the first look-up, not with the package.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

__all__ = ["StoreOptions", "get", "get_flag", "get_nbytes", "get_seconds", "get_sizes"]

_ENVIRONMENT = {"directory": "WORKBENCH_DIR"}
"""Settings whose environment variable is not WORKBENCH_ and the name in capitals."""


_NEVER = ("off", "never", "none", "null", "false")
"""Words for "not at all", for settings of which no value means something else."""


class StoreOptions(TypedDict, total=False):
    """Settings that whoever opens a store may give as arguments, by their names in ``workbench.yaml``; None: as if it were not given."""

    pool: int | str | None
    pool_idle: float | str | None
    inline: int | str | None
    copy_threads: int | None
    spill_directory: str | os.PathLike[str] | bool | None
    spill_capacity: int | str | None
    restore_after: float | str | None
    warm: int | str | Sequence[int | str] | None


def get(name: str, override: Any = None) -> Any:
    """Return the setting `name`: the argument `override`, else the environment, else Dask's configuration.

    Parameters
    ----------
    name : str
        As in ``workbench.yaml``, for example ``"copy-threads"``.
    override : object, optional
        What the caller was given; None means that nothing was given.
    """
    if override is not None:
        return override
    variable = _ENVIRONMENT.get(name, "WORKBENCH_" + name.upper().replace("-", "_"))
    if value := os.environ.get(variable):
        return value
    _load_defaults()
    import dask.config

    return dask.config.get(f"workbench.{name}", None)


def get_nbytes(name: str, override: int | str | None = None) -> int | None:
    """Return the setting `name` in bytes, or None where it is not set.

    Raises
    ------
    ValueError
        If the text is not a size.
    """
    value = get(name, override)
    return None if value is None else _parse_nbytes(name, value)


def get_seconds(name: str, override: float | str | None = None) -> float | None:
    """Return the setting `name` in seconds, or None where it is not set or says "never".

    Raises
    ------
    ValueError
        If the text is not a time.
    """
    value = get(name, override)
    if value is None or value is False or str(value).lower() in _NEVER:
        return None
    import dask.utils

    try:
        seconds = float(dask.utils.parse_timedelta(value))
    except (ValueError, KeyError):
        raise ValueError(
            f"workbench.{name} is {value!r}, which is not a time: write seconds, text such as '5 minutes', or 'never'."
        ) from None
    if seconds < 0:
        raise ValueError(f"workbench.{name} is {value!r}: a time cannot be negative.")
    return seconds


def get_flag(name: str) -> bool:
    """Return the setting `name`, which is on or off."""
    value = get(name)
    return value is not None and str(value).lower() not in (*_NEVER, "no", "0")


def get_sizes(name: str, override: int | str | Sequence[int | str] | None = None) -> list[int]:
    """Return the setting `name`, one size or several (in text: with commas in between), in bytes; empty where it is not set.

    Raises
    ------
    ValueError
        If one of them is not a size.
    """
    value = get(name, override)
    if value is None:
        return []
    if isinstance(value, str):
        value = value.split(",")
    elif not isinstance(value, Sequence):
        value = [value]
    sizes = (_parse_nbytes(name, part.strip() if isinstance(part, str) else part) for part in value)
    return [size for size in sizes if size]


def _parse_nbytes(name: str, value: Any) -> int:
    import dask.utils

    try:
        nbytes = int(dask.utils.parse_bytes(value))
    except (ValueError, TypeError):
        raise ValueError(
            f"workbench.{name} is {value!r}, which is not a size: write bytes, or text such as '2 GiB'."
        ) from None
    if nbytes < 0:
        raise ValueError(f"workbench.{name} is {value!r}: a size cannot be negative.")
    return nbytes


@functools.cache
def _load_defaults() -> None:
    import dask.config
    import yaml

    defaults = yaml.safe_load((Path(__file__).parent / "workbench.yaml").read_text())
    dask.config.update_defaults(defaults)
