"""What the public functions take: checks of arguments, whose errors say what was given and what it can be.

Covers types and ranges of single arguments, checked before anything is done. Keys and names are checked where they are looked up.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

__all__ = [
    "check_flag",
    "check_keys",
    "check_kind",
    "check_number",
    "check_objects",
    "check_order",
    "check_pattern",
    "check_seconds",
    "check_tags",
    "check_ttl",
    "check_url",
    "check_wanted_tags",
]


def check_ttl(ttl: Any) -> float | None:
    """Return a time to live, as Python has it; refuse what is none: a number of seconds, more than 0, or None."""
    if ttl is None:
        return None
    if isinstance(ttl, bool) or not isinstance(ttl, Real):
        raise TypeError(
            f"ttl is {ttl!r}; it is a number of seconds, such as 3600, or None: the object stays until it is deleted."
        )
    if not 0 < float(ttl) < math.inf:
        raise ValueError(
            f"ttl is {ttl!r}; it is a number of seconds, more than 0. Without it the object stays until it is deleted."
        )
    return float(ttl)


def check_order(obj: Any, name: Any) -> None:
    """Refuse an object and its name that are given the wrong way round: the object is text, and the name is none."""
    if isinstance(obj, str) and name is not None and not isinstance(name, str):
        raise TypeError(
            f"A name is text, not {type(name).__name__}. The object comes first, then its name: wb.put(value, {obj!r:.60})."
        )


def check_tags(tags: Any) -> None:
    """Refuse what are no tags: a dict of str to str, or None."""
    if tags is None:
        return
    if not isinstance(tags, Mapping):
        raise TypeError(f"tags is a {type(tags).__name__}; it is a dict of text to text, such as {{'source': 'bts'}}.")
    for key, value in tags.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(
                f"tags has {key!r}: {value!r}; keys and values of tags are text. Write str(...) around them."
            )


def check_wanted_tags(tags: Any) -> None:
    """Refuse what asks for no tags: a dict of str to str or None, or None."""
    if isinstance(tags, Mapping):
        check_tags({key: "" if value is None else value for key, value in tags.items()})
    elif tags is not None:
        raise TypeError(
            f"tags is {tags!r}; it is a dict, such as {{'source': 'bts'}}, or {{'source': None}} for a tag of any value."
        )


def check_seconds(name: str, value: Any) -> None:
    """Refuse what is no length of time: a number of seconds from 0 on, or None."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}; it is a number of seconds, or None.")
    if not float(value) >= 0:
        raise ValueError(f"{name} is {value!r}; it is a number of seconds, from 0 on.")


def check_number(name: str, value: Any, least: int, what: str) -> int:
    """Return a whole number, as Python has it; refuse what is none from `least` on."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is {value!r}; it is a number of {what}.")
    if value < least:
        raise ValueError(f"{name} is {value!r}; it is a number of {what}, from {least} on.")
    return operator.index(value)


def check_pattern(pattern: Any) -> None:
    """Refuse what is no pattern for names, and not None."""
    if pattern is not None and not isinstance(pattern, str):
        raise TypeError(f"pattern is {pattern!r}; it is text, such as 'runs/*'.")


def check_kind(kind: Any) -> None:
    """Refuse what is no kind of objects, and not None."""
    if kind is not None and not isinstance(kind, str):
        raise TypeError(f"kind is {kind!r}; it is text, such as 'dataframe' or 'array'.")


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; it is True or False.")


def check_url(url: Any) -> None:
    """Refuse what is neither a path nor a URL."""
    if not isinstance(url, (str, os.PathLike)):
        raise TypeError(f"A file is a path or a URL, not {type(url).__name__}.")


def check_keys(keys: Any) -> None:
    """Refuse what are no keys of several objects."""
    if isinstance(keys, str) or not isinstance(keys, Iterable):
        raise TypeError(f"get_many takes several names, ids or Refs in a list, not {keys!r}. For one object: get.")


def check_objects(objects: Any) -> None:
    """Refuse what are not several objects."""
    if isinstance(objects, (str, bytes)) or not isinstance(objects, Iterable):
        raise TypeError(
            f"put_many takes several objects, as a dict by name or in a list, not a {type(objects).__name__}. For one object: put."
        )
