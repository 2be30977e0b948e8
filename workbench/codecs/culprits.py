"""Messages for what cannot be encoded or decoded: which part is to blame, and what to do.

Looks into containers and instances only after a failure, so it may be slow. Read next: ``pickling.py``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["type_name", "why_not_decoded", "why_not_encoded"]

_MAX_TRIALS = 2000
_MAX_DEPTH = 8


def type_name(cls: type) -> str:
    """Return the name by which a user knows a type: ``pandas.DataFrame`` rather than the module that defines it."""
    module, name = cls.__module__, cls.__qualname__
    if module == "builtins":
        return name
    path = module.split(".")
    for length in range(1, len(path)):
        public = ".".join(path[:length])
        if getattr(sys.modules.get(public), name, None) is cls:
            return f"{public}.{name}"
    return f"{module}.{name}"


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{position}]", part) for position, part in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from (("{...}", part) for part in value)
    else:
        yield from _elements(value)
        closure = getattr(value, "__closure__", None) or ()
        names = getattr(getattr(value, "__code__", None), "co_freevars", ())
        yield from ((f".<{name}>", cell.cell_contents) for name, cell in zip(names, closure, strict=False))
        if isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, type):
            yield from ((f".{name}", part) for name, part in vars(value).items())


def _elements(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the columns of a frame, and the values of a Series or an array that holds objects."""
    frame, series, array = (
        getattr(sys.modules.get(module), kind, ())
        for module, kind in (("pandas", "DataFrame"), ("pandas", "Series"), ("numpy", "ndarray"))
    )
    if isinstance(value, frame):
        yield from ((f"[{column!r}]", value.iloc[:, place]) for place, column in enumerate(value.columns))
    elif isinstance(value, series) and value.dtype == object:
        yield from ((f".iloc[{position}]", part) for position, part in enumerate(value))
    elif isinstance(value, array) and value.dtype == object:
        yield from ((f".flat[{position}]", part) for position, part in enumerate(value.flat))


def find_culprit(value: Any, dump: Callable[[Any], Any]) -> tuple[str, Any]:
    """Return the path to the innermost part of `value` that `dump` fails for, and that part."""
    path, trials = "", 0
    for _ in range(_MAX_DEPTH):
        for step, part in _parts(value):
            trials += 1
            if trials > _MAX_TRIALS:
                return path, value
            try:
                dump(part)
            except Exception:  # noqa: BLE001  whatever it raises, this is the part to blame
                path, value = path + step, part
                break
        else:
            break
    return path, value


def why_not_encoded(value: Any, error: Exception, dump: Callable[[Any], Any]) -> str:
    """Return the message for an object that cannot be pickled."""
    path, part = find_culprit(value, dump)
    name = type_name(type(value))
    where = f"its part {path} is a {type_name(type(part))}, which" if path else "it"
    return (
        f"cannot encode this {name}: {where} cannot be pickled ({type(error).__name__}: {error}). "
        "Put the data without that part, or give its class a __reduce__ method."
    )


def why_not_decoded(error: Exception) -> str:
    """Return the message for bytes that cannot be unpickled here."""
    said = f"({type(error).__name__}: {error})"
    if isinstance(error, ModuleNotFoundError):
        return (
            f"cannot decode this object: the module {error.name!r} is not installed here {said}. Install it and retry."
        )
    if isinstance(error, ImportError):
        return f"cannot decode this object: {error.name!r} cannot be imported here {said}."
    if isinstance(error, AttributeError):
        return (
            f"cannot decode this object: a class or function that it uses is missing here {said}. "
            "Its module has probably another version than where the object was put: update it and retry."
        )
    if re.search(r"pickle protocol", str(error)):
        return f"cannot decode this object: it was written by a newer Python {said}. Use that Python here too."
    return (
        f"cannot decode this object {said}. It was probably put with other versions of its libraries: "
        "use the same versions here, or put it again."
    )
