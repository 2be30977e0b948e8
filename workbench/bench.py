"""How fast this host is: a few figures, measured side by side in a few seconds, in a store of their own.

Covers ``workbench bench``, with which a user sees what to expect here; the comparison with other stores is in the tests' benchmarks. Each figure is a median;
large ones are also given as a ratio to what ``memcpy`` does in the same run, which says more than seconds do.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workbench.objects import Figure, format_nbytes
from workbench.session import Session
from workbench.store import default_directory
from workbench.store.headroom import headroom

if TYPE_CHECKING:
    import numpy as np

__all__ = ["measure"]

_GIB: Final = float(1 << 30)
_DEFAULT: Final = 256 << 20
_PART: Final = 8 << 20
"""Numbers that are filled in at once."""
_SMALL: Final = 2000
"""Objects of 1 KiB."""


def measure(nbytes: int | None = None) -> list[Figure]:
    """Measure this host.

    Parameters
    ----------
    nbytes : int, optional
        Bytes of the large array; None: 256 MiB, or less where there is no room for four of them.

    Returns
    -------
    list of Figure

    Raises
    ------
    ValueError
        There is no room for four arrays of so many bytes.
    """
    import numpy as np

    with _directory() as directory:
        status = os.statvfs(directory)
        most = min(status.f_bavail * status.f_frsize, headroom()) // 4
        if nbytes is not None and nbytes > most:
            raise ValueError(
                f"An array of {format_nbytes(nbytes)} is too large to measure with: this host has room for four of {format_nbytes(most)} now. "
                "Choose a smaller size."
            )
        array = np.empty(max(min(nbytes or _DEFAULT, most) // 8, 1))
        random = np.random.default_rng(0)
        for part in _parts(array):
            random.random(out=part)
        with Session(directory / "store", capacity=4 * array.nbytes + (64 << 20)) as session:
            return [*_large(session, array), *_frame(session), *_small(session)]


def _parts(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield an array part by part, so that whoever fills it hears Ctrl-C in between."""
    for start in range(0, len(array), _PART):
        yield array[start : start + _PART]


@contextmanager
def _directory() -> Iterator[Path]:
    """Make a directory beside the user's own store; remove it at the end, and what killed runs have left."""
    parent = default_directory().parent
    start = f"workbench-{os.geteuid()}.bench-"
    for left in parent.glob(start + "*"):
        if not Path("/proc", left.name.removeprefix(start)).exists():
            shutil.rmtree(left, ignore_errors=True)
    directory = parent / f"{start}{os.getpid()}"
    directory.mkdir(mode=0o700)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def _seconds(action: Callable[[], Any], repeat: int = 5, after: Callable[[], Any] = lambda: None) -> float:
    """Return the median time of an action; `after` each time, something that is not measured."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        kept = action()
        times.append(time.perf_counter() - start)
        del kept
        after()
    return statistics.median(times)


def _large(session: Session, array: np.ndarray) -> Iterator[Figure]:
    import numpy as np

    text = format_nbytes(array.nbytes)
    target = np.empty_like(array)
    for part in _parts(target):
        part[:] = 0  # its pages are there before it is measured
    copying = array.nbytes / _GIB / _seconds(lambda: np.copyto(target, array))
    yield Figure(f"memcpy of {text}, one thread", copying, "GiB/s", None)
    start = time.perf_counter()
    session.put(array, "large")
    speed = array.nbytes / _GIB / (time.perf_counter() - start)
    yield Figure(f"first put of {text}", speed, "GiB/s", speed / copying)
    session.delete("large")
    speed = array.nbytes / _GIB / _seconds(lambda: session.put(array, "large"), after=lambda: session.delete("large"))
    yield Figure(f"put of {text} again", speed, "GiB/s", speed / copying)
    session.put(array, "large")
    yield Figure(f"get of {text}", _seconds(lambda: session.get("large"), 200) * 1e6, "us", None)
    session.delete("large")


def _frame(session: Session) -> Iterator[Figure]:
    import numpy as np
    import pandas as pd

    rows = 100_000
    columns = {f"x{number}": np.arange(rows) * 0.5 for number in range(8)}
    frame = pd.DataFrame(
        {**columns, "when": pd.date_range("2020", periods=rows, freq="s"), "text": ["a", "b"] * (rows // 2)}
    )
    session.put(frame, "frame")
    yield Figure("get of a frame of 10 columns", _seconds(lambda: session.get("frame"), 200) * 1e6, "us", None)
    session.delete("frame")


def _small(session: Session) -> Iterator[Figure]:
    import numpy as np

    array = np.zeros(128)
    names = [f"small/{number}" for number in range(_SMALL)]
    start = time.perf_counter()
    for name in names:
        session.put(array, name)
    yield Figure("puts of 1 KiB", _SMALL / (time.perf_counter() - start), "1/s", None)
    start = time.perf_counter()
    for name in names:
        session.get(name)
    yield Figure("gets of 1 KiB", _SMALL / (time.perf_counter() - start), "1/s", None)
