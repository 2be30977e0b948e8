"""When a process has opened as many files as it may: what the store can give up for one more, and what it says when that is nothing.

A mapped object costs no descriptor, but mapping it takes one for a moment. The pool keeps two for each of its mappings.
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable
from typing import TypeVar

from workbench.errors import StoreError
from workbench.store.pool import Pool

_T = TypeVar("_T")


def with_descriptors(pool: Pool, action: Callable[[], _T]) -> _T:
    """Do something that opens files; if there is no descriptor left, once more without the pool.

    Raises
    ------
    StoreError
        The process itself has all of them.
    """
    try:
        return action()
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
    pool.close()
    try:
        return action()
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        if error.errno == errno.ENFILE:
            who = "This machine has as many files open as it may (/proc/sys/fs/file-max)"
        else:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            who = f"This process has opened as many files as it may (ulimit -n: {limit})"
        raise StoreError(
            f"{who}, and the store needs one more. Close some, or raise the limit. Nothing was lost."
        ) from error
