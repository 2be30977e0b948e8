"""When to compile a header: once it was decoded so often that compiling pays.

A third of the time of getting a frame goes into reading its header: looking up classes by name, parsing dtypes, making tuples
that are the same each time. ``header_compiler.py`` turns the header into a function that does the rest; this module counts, and
remembers the functions. Most headers are decoded a few times, and pickle reads them.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any, Final

from workbench.codecs.header_compiler import Replay, compile_header

__all__ = ["PAYS_AFTER", "load"]

PAYS_AFTER = 30
"""Decodings of one header, after which the time that compiling it takes is the time that it would have saved."""

_MAX_HEADER: Final = 16 << 10
_MAX_HEADERS: Final = 256

_counts: dict[bytes, int] = {}
_replays: dict[bytes, Replay] = {}


def load(header: bytes | memoryview, buffers: Sequence[memoryview]) -> Any:
    """Unpickle `header`, whose out-of-band buffers are `buffers`, all read-only.

    Raises
    ------
    Exception
        Whatever the unpickling of the object raises.
    """
    if type(header) is bytes and len(header) <= _MAX_HEADER:
        replay = _replays.get(header) or _count(header)
        if replay is not None:
            return replay(buffers)
    return pickle.loads(header, buffers=buffers)  # noqa: S301  a store is its user's own (mode 0700)


def _count(header: bytes) -> Replay | None:
    count = _counts[header] = _counts.get(header, 0) + 1
    replay = None
    if count == PAYS_AFTER:  # the count goes on, so a header that cannot be compiled is tried once
        replay = compile_header(header)
        if replay is not None:
            if len(_replays) >= _MAX_HEADERS:
                _replays.clear()
            _replays[header] = replay
    elif len(_counts) > _MAX_HEADERS:
        _counts.clear()
    return replay
