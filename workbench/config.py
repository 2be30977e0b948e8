"""Settings: the ``workbench`` section of Dask's configuration, documented in ``workbench.yaml``.

Covers looking one setting up and turning it into bytes or a number; it does not decide defaults that depend on the
machine (``store/directory.py`` does). Dask is imported on the first look-up, not with the package.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

__all__ = ["get", "get_nbytes"]

_ENVIRONMENT = {"directory": "WORKBENCH_DIR"}
"""Settings whose environment variable is not WORKBENCH_ and the name in capitals."""


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
    if value is None:
        return None
    import dask.utils

    try:
        nbytes = int(dask.utils.parse_bytes(value))
    except ValueError:
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
