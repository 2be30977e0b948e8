from __future__ import annotations

import collections
import datetime as dt
import enum
import functools
import gc
import pickle
import subprocess
import sys
import textwrap
import threading
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest

from tests.codecs.layout import Laid, relay
from workbench.codecs import decode, encode
from workbench.codecs.pickling import MAX_HEADER_NBYTES
from workbench.errors import CodecError

pytestmark = pytest.mark.usefixtures("either_way")


class Colour(enum.Enum):
    """Two of them."""

    RED = 1
    BLUE = 2


@dataclass
class Model:
    """An object with an array in it."""

    weights: Any
    name: str = "model"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        10**40,
        1.5,
        "text",
        b"bytes",
        bytearray(b"bytes"),
        (1, [2, {3, 4}], {"five": 6}),
        frozenset({1}),
        range(5),
        dt.datetime(2013, 1, 1, tzinfo=dt.timezone.utc),  # noqa: UP017
        Colour.RED,
        Colour,
        Model(1),
        collections.OrderedDict(a=1),
        functools.partial(int, base=2),
        len,
        np.sum,
        pd.Timestamp("2013-01-01", tz="UTC"),
        pd.NA,
        Path("a/b"),
        ValueError("said"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_picklable_object_comes_back(value: Any) -> None:
    """What pickle can carry comes back equal, with its type."""
    result = relay(value)
    assert type(result) is type(value)
    assert repr(result) == repr(value)


def test_arrays_within_objects_lie_in_the_given_memory() -> None:
    """An array that is an attribute of some object is used where it lies."""
    laid = Laid([Model(np.arange(1000.0))])
    (result,) = laid.decode()
    assert type(result) is Model
    assert laid.holds(result.weights.ctypes.data, result.weights.nbytes)


def test_cycles_and_identity_survive() -> None:
    """An object that contains itself, and one that is there twice, keep their shape."""
    cycle: list[Any] = [1]
    cycle.append(cycle)
    result = relay(cycle)
    assert result[1] is result
    shared = {"x": 1}
    one, two = relay((shared, shared))
    assert one is two


def test_lambdas_and_closures_travel_by_value() -> None:
    """Cloudpickle carries what has no name, and arrays in a closure are still shared."""
    offset = np.arange(1000.0)

    def shifted(value: float) -> Any:
        return offset + value

    laid = Laid({"f": shifted, "g": lambda x: x + 1})
    result = laid.decode()
    assert result["g"](1) == 2
    assert result["f"](1.0)[5] == 6.0
    (cell,) = result["f"].__closure__
    assert laid.holds(cell.cell_contents.ctypes.data, cell.cell_contents.nbytes)


def test_modules_registered_by_value_travel_by_value() -> None:
    """A class of a module that the user registered with cloudpickle is found where that module is not."""
    module = types.ModuleType("only_here")
    exec("class Thing:\n    size = 3", module.__dict__)
    sys.modules["only_here"] = module
    cloudpickle.register_pickle_by_value(module)
    try:
        encoded = encode(module.Thing())
    finally:
        cloudpickle.unregister_pickle_by_value(module)
        del sys.modules["only_here"]
    assert decode(encoded.header, encoded.buffers).size == 3


def test_classes_of_a_notebook_are_found_in_another(tmp_path: Path) -> None:
    """An object whose class and function are of ``__main__`` decodes in a process whose ``__main__`` lacks them."""
    writer = textwrap.dedent(
        """
        import enum, pickle, sys
        import numpy as np
        from workbench.codecs import encode

        class Shade(enum.Enum):
            DARK = 1

        class Cell:
            shade = Shade.DARK
            def __init__(self): self.data = np.arange(1000)
            def total(self): return helper(self.data)

        def helper(data): return int(data.sum())

        encoded = encode({"cells": [Cell()], "kind": Cell, "f": helper})
        pickle.dump((encoded.header, [bytes(b) for b in encoded.buffers]), open(sys.argv[1], "wb"))
        """
    )
    reader = textwrap.dedent(
        """
        import pickle, sys
        from workbench.codecs import decode
        header, buffers = pickle.load(open(sys.argv[1], "rb"))
        value = decode(header, [memoryview(buffer) for buffer in buffers])
        (cell,) = value["cells"]
        assert isinstance(cell, value["kind"]) and cell.total() == 499500 == value["f"](cell.data)
        assert cell.shade.name == "DARK" and not cell.data.flags.writeable
        """
    )
    for code in (writer, reader):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "file")], check=True, timeout=120)


def test_large_streams_leave_the_header() -> None:
    """A large pickle becomes a buffer, is unpickled where it lies, and the header stays small."""
    value = {"texts": np.array([f"text {n}" for n in range(100_000)], dtype=object), "numbers": np.arange(1000)}
    encoded = encode(value)
    assert len(encoded.header) < MAX_HEADER_NBYTES
    assert encoded.buffers[0].nbytes > MAX_HEADER_NBYTES
    result = relay(value)
    assert (result["texts"] == value["texts"]).all()
    assert (result["numbers"] == value["numbers"]).all()
    assert relay(b"x" * 1_000_000) == b"x" * 1_000_000


def test_encoded_object_can_be_let_go() -> None:
    """After encoding nothing but the buffers keeps the source alive, even before a garbage collection."""
    gc.disable()
    try:
        for make in (lambda m: [m], lambda m: (m, lambda: 0), lambda m: (m, pd.DataFrame({"x": m.weights}))):
            model = Model(np.arange(1000))
            model.weights = np.arange(1000)
            reference = weakref.ref(model)
            value = make(model)
            encoded = encode(value)
            del model, value
            assert reference() is None
            assert encoded.nbytes > 1000
    finally:
        gc.enable()


@pytest.mark.parametrize("mode", ["r", "w", "rb"])
@pytest.mark.parametrize("wrap", [lambda file: file, lambda file: {"file": file}], ids=["file", "in a dict"])
def test_an_open_file_is_refused(mode: str, wrap: Callable[[Any], Any], tmp_path: Path) -> None:
    """Whoever got it would have a file that is no file; its position does not move, and what is in it can be shared."""
    path = tmp_path / "some.txt"
    path.write_text("text")
    with path.open(mode) as file:
        with pytest.raises(CodecError, match=r"cannot be pickled .*(open file: share what is in it|BufferedReader)"):
            encode(wrap(file))
        assert file.tell() == 0


def test_the_standard_streams_are_each_process_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no files in this sense: who gets an object that writes to one has its own."""
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    assert relay({"out": sys.stdout, "log": lambda: None})["out"] is sys.stdout


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (threading.Lock(), r"cannot encode this _thread.lock: it cannot be pickled"),
        ({"a": [1, threading.Lock()]}, r"its part \['a'\]\[1\] is a _thread.lock"),
        (Model(threading.Lock()), r"its part .weights is a _thread.lock"),
        ((n for n in [1]), "generator"),
        ([Model([Path("x"), sys._getframe()])], r"\[0\].weights\[1\] is a frame"),
        (pd.DataFrame({"x": [1, 2], "y": ["a", threading.Lock()]}), r"its part \['y'\].iloc\[1\] is a _thread.lock"),
        ([np.array([1, threading.Lock()], object)], r"its part \[0\].flat\[1\] is a _thread.lock"),
    ],
    ids=["lock", "in containers", "in an object", "generator", "frame of a call", "in a column", "in an array"],
)
def test_what_cannot_be_pickled_is_named(value: Any, said: str) -> None:
    """The error names the type, the part that is to blame and the next step."""
    with pytest.raises(CodecError, match=said) as caught:
        encode(value)
    assert "__reduce__" in str(caught.value)
    assert caught.value.kind == "codec"


class Broken:
    """Raises what it likes."""

    def __reduce__(self) -> Any:
        raise RuntimeError("no today")


def test_errors_of_foreign_pickling_are_told() -> None:
    """Whatever an object's own pickling raises becomes a CodecError with the cause in it."""
    with pytest.raises(CodecError, match=r"part \['x'\] is a .*Broken.*RuntimeError: no today"):
        encode({"x": Broken()})


def header_naming(module: str, name: str) -> bytes:
    """Return a header that refers to a global which may not exist."""
    return b"\x80\x05c" + module.encode() + b"\n" + name.encode() + b"\n]]\x87."


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (header_naming("not_installed_here", "Thing"), "the module 'not_installed_here' is not installed here"),
        (header_naming("collections", "NotThere"), "class or function that it uses is missing here.*NotThere"),
        (b"\x80\x63.", "newer Python"),
        (pickle.dumps((1, [], []), 5)[:-4], "cannot decode this object"),
        (b"Z???", "form 'Z' that is not known here: update workbench"),
    ],
    ids=["module", "name", "protocol", "cut off", "form"],
)
def test_what_cannot_be_decoded_is_explained(header: bytes, said: str) -> None:
    """The error names what is missing here, and the next step."""
    with pytest.raises(CodecError, match=said):
        decode(header, ())


def test_importing_codecs_loads_no_heavy_library() -> None:
    """Importing the codecs imports neither pandas nor Arrow, Polars, SciPy, Dask or cloudpickle; nor does an array."""
    code = textwrap.dedent(
        """
        import sys
        import numpy as np
        from workbench.codecs.pickling import decode, encode
        encoded = encode([np.arange(1000), {"a": 1}])
        decode(encoded.header, encoded.buffers)
        heavy = {"pandas", "pyarrow", "polars", "scipy", "dask", "distributed", "cloudpickle"} & set(sys.modules)
        # What the package's own __init__ imports is not for the codecs to answer for.
        assert not heavy - before, heavy
        """
    )
    prelude = "import sys; import workbench; before = set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", prelude + code], check=True, timeout=120)
