"""What to say of a value that stands for data and has none: a Dask collection, a Polars LazyFrame, a reference.

It is shared like any object, which is seldom what is meant: others get how to compute it, and each computes it again. Covers the words for that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from workbench.objects import Ref

__all__ = ["LazyWarning", "about", "is_lazy", "is_persistable", "no_dataset", "refuse"]


class LazyWarning(UserWarning):
    """What was shared is how to compute something, and not its data."""


def is_lazy(value: Any) -> bool:
    """Tell whether a value stands for data and has none."""
    kind = type(value)
    return kind is Ref or hasattr(kind, "__dask_graph__") or _is_lazy_frame(value)


def _is_lazy_frame(value: Any) -> bool:
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(value, polars.LazyFrame)


def about(value: Any, expression: str, name: str | None, share: Callable[[str], str]) -> str:
    """Return what was shared of a lazy value, and how to share its data; empty for all others.

    Parameters
    ----------
    value : object
    expression : str
        What the user calls it.
    name : str, optional
        Under which it was shared.
    share : callable
        Returns the code that shares an expression.
    """
    kind = type(value)
    if kind is Ref:
        said = f"{expression} is a reference, so what was shared is the reference, and not its object. To share that, too, which copies nothing:"
        return f"{said} {share(f'wb.get({expression})')}"
    if hasattr(kind, "__dask_graph__"):
        code = f"{expression}.persist_shared({name!r})" if is_persistable(kind) else share(f"{expression}.compute()")
    elif _is_lazy_frame(value):
        code = share(f"{expression}.collect()")
    else:
        return ""
    return f"{expression} is lazy, so what was shared is how to compute it, and not its data. To share the data: {code}"


def no_dataset(kind: type) -> TypeError:
    """Return the error of what cannot be persisted as a dataset: it has no partitions, or none that the workbench knows."""
    return TypeError(
        f"A {kind.__name__} cannot be persisted as a dataset: that takes a Dask DataFrame, Series or Array. What is computed already, or computes to one "
        "value, is shared with wb.put(value, name); of something lazy that is wb.put(x.compute(), name)."
    )


def refuse(self: Any, name: str | None = None, replicas: int = 1) -> Any:  # noqa: ARG001  # called as the method that it stands for
    """Say what to do instead of ``persist_shared`` with what has no partitions.

    Raises
    ------
    TypeError
        Always.
    """
    raise no_dataset(type(self))


def is_persistable(kind: type) -> bool:
    """Tell whether objects of a type are Dask collections with partitions that can be persisted."""
    return getattr(kind, "persist_shared", refuse) is not refuse
