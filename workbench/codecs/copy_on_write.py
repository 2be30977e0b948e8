"""How a decoded pandas object knows that its memory is not its own, so that pandas copies a column before it writes to it.

The columns of a decoded frame lie in read-only memory, so ``df.loc[0, "x"] = 1`` would fail. pandas' copy-on-write is made for that: a block is copied, alone,
before it is written to while another block refers to its memory. Who does is counted for each memory, by weak references. Here a block that lives
as long as the process joins that count. What the user takes from the frame (``s = df["a"]; del df; s.iloc[0] = 1``) shares the count, and so is protected,
too. Nothing has to be kept beside the frame or given back: the memory is let go together with the last view of it.

The count, ``BlockValuesRefs`` of ``pandas/_libs/internals.pyx``, is pandas' own business. It has been there since pandas 2.0, and this module was tried
with 3.0 and 3.1. Once in each process it is tried out. Where it is not what it was, each frame keeps a second one that shares its columns, made by
``copy(deep=False)``: public, but half again as slow, and what outlives its frame is read-only then. A test fails where it comes to that.

Arrow-backed columns need none of this: pandas never writes to Arrow's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np

__all__ = ["protect"]

_ATTRIBUTE: Final = "_workbench_second"


def protect(frames: Sequence[Any]) -> None:
    """Let pandas copy what it writes to.

    Parameters
    ----------
    frames : sequence of pandas.DataFrame and pandas.Series
        Just decoded.
    """
    others = _others()
    if others is not None:
        for frame in frames:
            for block in _blocks(frame):
                block.refs.add_reference(others)
        return
    for frame in frames:
        # Not pandas' own __setattr__, which would look for a column. The attribute is not copied or pickled.
        object.__setattr__(frame, _ATTRIBUTE, frame.copy(deep=False))


def _blocks(frame: Any) -> Any:
    return frame._mgr.blocks  # noqa: SLF001  this module is about it


@cache
def _others() -> Any:
    """Return the block that stands for all other processes; None where pandas does not count as it did."""
    import pandas as pd

    try:
        [others] = _blocks(pd.Series([0]))
        numbers, missing = np.zeros(3, np.int64), np.zeros(3, np.bool_)
        numbers.flags.writeable = missing.flags.writeable = False
        works = all(
            _copies(array, others) for array in (numbers.reshape(1, 3), pd.arrays.IntegerArray(numbers, missing))
        )
    except Exception:  # noqa: BLE001  whatever became of them
        return None
    return others if works else None


def _copies(array: Any, others: Any) -> bool:
    """Tell whether a frame on a read-only array, and a series that outlives it, are copied before they are written to, and no more afterwards."""
    import pandas as pd
    from pandas.api.internals import create_dataframe_from_blocks  # type: ignore[import-not-found]  # the stubs are behind

    frame = create_dataframe_from_blocks([(array, np.arange(1))], pd.RangeIndex(3), pd.Index(["x"]))
    [block] = _blocks(frame)
    block.refs.add_reference(others)
    series = frame["x"]
    frame.iloc[0, 0] = 1
    if list(frame["x"]) != [1, 0, 0]:
        return False
    del block, frame
    series.iloc[1] = 2
    [copied] = _blocks(series)
    return list(series) == [0, 2, 0] and not copied.refs.has_reference()
