"""Large arrays of long rows with gaps between them are encoded as they lie; whoever writes them brings the rows together."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.codecs.layout import Laid, assert_same_array, assert_same_pandas
from workbench import Session
from workbench.codecs import encode

MIB = 1 << 20
cube = np.arange(4 * MIB).reshape(16, 4, 8, 8192)

IN_ROWS: dict[str, Callable[[], Any]] = {
    "part of each row": lambda: cube.reshape(64, 65536)[:, 100:60_000],
    "every second row": lambda: cube.reshape(64, 65536)[::2],
    "Fortran order": lambda: cube.reshape(64, 65536)[:, 100:60_000].T,
    "rows of several axes": lambda: cube[:, 1:3],
    "axes in another order": lambda: cube[:, 1:3].transpose(1, 2, 0, 3).swapaxes(0, 2),
    "axes of one": lambda: cube.reshape(64, 65536)[:, None, 100:60_000, None],
    "dates": lambda: cube.reshape(64, 65536).view("M8[ns]")[:, 100:60_000],
    "structures": lambda: cube.reshape(64, 65536).view([("x", "i4"), ("y", "f4")])[:, 100:60_000],
}
COPIED: dict[str, Callable[[], Any]] = {
    "rows too short": lambda: cube[:, :, :, :4000],
    "backwards": lambda: cube.reshape(64, 65536)[::-1, 100:60_000],
    "broadcast": lambda: np.broadcast_to(cube.reshape(64, 65536)[:1], (64, 65536)),
    "too small": lambda: np.arange(131_072.0).reshape(8, 16384)[:, :10_000],
    "gaps in two axes": lambda: cube[::2, ::2],
    "elements with gaps": lambda: cube.reshape(-1)[::2],
}


@pytest.mark.parametrize("name", IN_ROWS)
def test_rows_are_not_copied(name: str) -> None:
    """An array of long rows is given as its rows, in its own memory, and comes back dense, in its order of axes."""
    array = IN_ROWS[name]()
    for value in (array, [array, {"again": array}]):
        encoded = encode(value, in_rows=True)
        (buffer,) = encoded.buffers
        assert buffer.ndim == 2
        assert buffer.nbytes == array.nbytes
        assert buffer.readonly
        low, high = np.lib.array_utils.byte_bounds(array)
        assert np.lib.array_utils.byte_bounds(np.asarray(buffer)) == (low, high)
        assert encode(value).description == encoded.description
        result = Laid(value, in_rows=True).decode()
        assert_same_array(result if value is array else result[0], array)


@pytest.mark.parametrize("name", COPIED)
def test_what_does_not_lie_in_long_rows_is_copied(name: str) -> None:
    """Anything else with gaps becomes one flat buffer, whatever the writer can do."""
    array = COPIED[name]()
    (buffer,) = encode(array, in_rows=True).buffers
    assert buffer.ndim == 1
    assert_same_array(Laid(array, in_rows=True).decode(), array)


def test_rows_are_given_only_to_who_asks() -> None:
    """Without the argument every buffer is flat, and what is shared is referred to before it is taken in rows."""
    array = IN_ROWS["part of each row"]()
    assert [buffer.ndim for buffer in encode([array]).buffers] == [1]
    laid = Laid(cube)
    part = laid.decode()[:, 1:3]
    (buffer,) = encode(part, in_rows=True, is_shared=laid.holds).buffers
    assert buffer.ndim == 1
    assert laid.holds(np.frombuffer(buffer, np.uint8).ctypes.data, buffer.nbytes)


def test_putting_rows_of_a_frame_takes_no_memory(store_directory: Any) -> None:
    """A store writes the rows of a part of a frame from where they are, into new and into recycled segments."""
    frame = pd.DataFrame({"a": np.arange(2.0 * MIB), "b": np.arange(2.0 * MIB)}) * 1.5
    part = frame.iloc[1000 : MIB + 1000]
    with Session(store_directory, capacity="200 MiB") as session:
        for _ in range(3):
            tracemalloc.start()
            try:
                session.put({"part": part}, "part")
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert peak < MIB
            assert_same_pandas(session.get("part")["part"], part)
            session.delete("part")


def test_rows_fit_into_the_catalog(store_directory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that lies in the catalog can have rows, too, where the setting lets it be so large."""
    monkeypatch.setenv("WORKBENCH_INLINE", str(64 * MIB))
    array = IN_ROWS["part of each row"]()
    with Session(store_directory, capacity="200 MiB") as session:
        session.put([array, array + 1], "rows")
        first, second = session.get("rows")
        assert_same_array(first, array)
        assert_same_array(second, array + 1)
        session.put(array, "alone")
        assert_same_array(session.get("alone"), array)
