"""What a codec must do, as tests: subclass :class:`CodecTests` with samples of your type, and run pytest.

Covers encoding, a real store in between, and decoding around its read-only memory, in this process and in another one. How a codec is
registered for its type is in ``workbench.codecs``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import workbench
from workbench import codecs
from workbench.objects import Encoded
from workbench.session import Session

_AGAIN = """
import sys, workbench as wb
{preamble}
with wb.Session(sys.argv[1]) as session:
    value = session.get("there")
    session.put(value, "back")
    del value
"""


class CodecTests:
    """Tests of the codec of one type.

    Attributes
    ----------
    samples : dict of str to callable
        Each makes a value anew: equal each time, and in memory of its own. Have empty ones, large ones, and slices.
    kind : str
        What the description of each sample must say.
    alignment : int
        Bytes to which the memory of a decoded value is aligned, where it has any.
    header_nbytes : int
        The most that the header of a sample may have: all that is large belongs in buffers.
    more_nbytes : int
        Bytes beyond those of :meth:`memory` that encoding a sample may take.
    preamble : str
        Code that another process runs first, where the codec does not come by an entry point.
    """

    samples: ClassVar[dict[str, Callable[[], Any]]] = {}
    kind: ClassVar[str] = "object"
    alignment: ClassVar[int] = 64
    header_nbytes: ClassVar[int] = 16 << 10
    more_nbytes: ClassVar[int] = 4 << 10
    preamble: ClassVar[str] = ""

    # -- what a subclass says of its type --------------------------------------------------------------------------

    def assert_same(self, actual: Any, expected: Any) -> None:
        """Fail unless two values are the same in everything: type, metadata, each bit."""
        raise NotImplementedError("A subclass of CodecTests says when two values are the same.")

    def memory(self, value: Any) -> Iterable[memoryview | np.ndarray[Any, Any]]:
        """Return the arrays or views over all the large memory that a value uses."""
        raise NotImplementedError("A subclass of CodecTests says where the memory of a value is.")

    def assign(self, value: Any) -> None:
        """Change a value, as a user would try to; it may raise, or change a copy. By default, write to its memory."""
        for part in self.memory(value):
            array = np.frombuffer(part, np.uint8) if isinstance(part, memoryview) else part
            if array.size:
                array.reshape(-1).view(np.uint8)[:1] ^= 1

    # -- fixtures --------------------------------------------------------------------------------------------------

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test with each sample."""
        if "sample" in metafunc.fixturenames:
            metafunc.parametrize("sample", list(self.samples.values()), ids=list(self.samples))

    @pytest.fixture
    def codec_session(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
        """A session over a store in which everything lies in segments, never in the catalog."""
        monkeypatch.setenv("WORKBENCH_INLINE", "0")
        with Session(tmp_path / "codec store", capacity=1 << 30) as session:
            yield session

    # -- tests -----------------------------------------------------------------------------------------------------

    def test_value_comes_back_exactly(self, sample: Callable[[], Any], codec_session: Session) -> None:
        """What is got is the same as what was put, in everything, each time."""
        codec_session.put(sample(), "x")
        for _ in range(2):
            self.assert_same(codec_session.get("x"), sample())

    def test_encoding_changes_nothing(self, sample: Callable[[], Any]) -> None:
        """A value is as before when it was encoded, and is encoded the same again."""
        value = sample()
        first = _bytes(codecs.encode(value))
        self.assert_same(value, sample())
        assert _bytes(codecs.encode(value)) == first

    def test_large_memory_leaves_the_header(self, sample: Callable[[], Any]) -> None:
        """The memory of a value is in buffers, flat and contiguous; the header stays small."""
        value = sample()
        encoded = codecs.encode(value)
        assert len(encoded.header) <= self.header_nbytes
        for buffer in encoded.buffers:
            assert (buffer.ndim, buffer.format, buffer.contiguous) == (1, "B", True)
        used = sum(part.nbytes for part in self.memory(value))
        assert sum(buffer.nbytes for buffer in encoded.buffers) + self.header_nbytes >= min(used, 1 << 20)

    def test_slices_are_cut(self, sample: Callable[[], Any]) -> None:
        """A value that is part of a larger one does not bring the rest."""
        value = sample()
        shown = sum(part.nbytes for part in self.memory(value))
        assert codecs.encode(value).nbytes <= shown * 1.25 + self.header_nbytes + self.more_nbytes

    def test_nothing_is_copied(self, sample: Callable[[], Any], codec_session: Session) -> None:
        """The memory of a decoded value is the store's, and is aligned."""
        ref = codec_session.put(sample(), "x")
        value = codec_session.get("x")
        places = [_place(buffer) for buffer in codec_session.store.read(ref).buffers]
        for part in self.memory(value):
            start, stop = _place(part)
            if start == stop:
                continue
            assert any(low <= start and stop <= high for low, high in places), (start, stop, places)
            assert start % self.alignment == 0

    def test_shared_memory_never_changes(self, sample: Callable[[], Any], codec_session: Session) -> None:
        """Whatever a user does to what was got, who gets it next finds it as it was put."""
        ref = codec_session.put(sample(), "x")
        before = [bytes(buffer) for buffer in codec_session.store.read(ref).buffers]
        value = codec_session.get("x")
        # It may be refused, too.
        with contextlib.suppress(ValueError, TypeError, BufferError, AttributeError):
            self.assign(value)
        assert [bytes(buffer) for buffer in codec_session.store.read(ref).buffers] == before
        self.assert_same(codec_session.get("x"), sample())

    def test_description_is_right(self, sample: Callable[[], Any]) -> None:
        """Kind, type and shape are told without decoding, and can be sent as JSON."""
        value = sample()
        description = codecs.encode(value).description
        assert description.kind == self.kind
        assert description.type.split(".")[-1] == type(value).__qualname__.split(".")[-1]
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            assert description.shape == shape
        json.dumps(dataclasses.asdict(description))

    def test_other_processes_can_use_it(self, sample: Callable[[], Any], codec_session: Session) -> None:
        """Another process gets the value, puts what it got, and that is the same as what was put here."""
        codec_session.put(sample(), "there")
        code = _AGAIN.format(preamble=textwrap.dedent(self.preamble))
        path = os.pathsep.join([str(Path(workbench.__file__).parents[1]), *sys.path])
        done = subprocess.run(
            [sys.executable, "-c", code, str(codec_session.store.directory)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        self.assert_same(codec_session.get("back"), sample())

    def test_memory_is_let_go(self, sample: Callable[[], Any], codec_session: Session) -> None:
        """With the last reference to what was got its lease ends."""
        codec_session.put(sample(), "x")
        value = codec_session.get("x")
        del value
        gc.collect()
        assert codec_session.holders("x") == []


def _bytes(encoded: Encoded) -> tuple[bytes, list[bytes]]:
    return encoded.header, [bytes(buffer) for buffer in encoded.buffers]


def _place(part: memoryview | np.ndarray[Any, Any]) -> tuple[int, int]:
    if isinstance(part, np.ndarray):
        low, high = np.lib.array_utils.byte_bounds(part)
        return (low, high) if part.size else (low, low)
    array = np.frombuffer(part, np.uint8)
    return array.ctypes.data, array.ctypes.data + array.nbytes
