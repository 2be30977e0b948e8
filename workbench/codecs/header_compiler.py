"""Compiles the header of an object: its pickle is run once symbolically, and from then on a function builds the object.

The symbolic machine writes down the calls that pickle would make, with everything constant worked out. The function does what
pickle does, in the same order and with the same functions, so a compiled header means what it always meant.

Covers the opcodes that protocol 5 writes for data (:mod:`pickletools` documents them) and the names of libraries; a header with
anything else stays with pickle. Read next: ``replay.py``, which decides when to compile.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np

from workbench.codecs.numpy_arrays import restore_array

__all__ = ["Replay", "always_the_same", "compile_header"]

Replay: TypeAlias = "Callable[[Sequence[memoryview]], Any]"
"""Builds an object around its buffers."""

_VARIABLE: Final = object()
_LIBRARIES: Final = frozenset(
    [
        *("builtins", "collections", "copyreg", "datetime", "decimal", "zoneinfo"),
        *("numpy", "pandas", "polars", "pyarrow", "scipy", "workbench"),
    ]
)
"""Where names mean the same for as long as the process lives: a class of a notebook can be defined anew."""

_F = TypeVar("_F", bound="Callable[..., Any]")
_same_results: set[Callable[..., Any]] = set()


class _NotCompiledError(Exception):
    """The header has what only pickle can do."""


def compile_header(header: bytes) -> Replay | None:
    """Return a function that builds the object around buffers, or None where only pickle can."""
    import pickletools

    try:
        machine = _Machine()
        for opcode, argument, _ in pickletools.genops(header):
            machine.step(opcode.name, argument)
        return machine.function()
    except Exception:  # noqa: BLE001  whatever is wrong with a header, pickle says it better
        return None


def build(value: Any, state: Any) -> None:
    """Give `value` its state, as pickle's BUILD does."""
    setstate = getattr(value, "__setstate__", None)
    if setstate is not None:
        setstate(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    if state:
        attributes = value.__dict__
        for name, each in state.items():
            attributes[sys.intern(name) if type(name) is str else name] = each
    if slots:
        for name, each in slots.items():
            setattr(value, name, each)


def always_the_same(function: _F) -> _F:
    """Mark a function whose result depends on its arguments alone and may be shared by all decoded objects."""
    _same_results.add(function)
    return function


def _is_immutable(value: Any) -> bool:
    """Tell whether all decoded objects may share `value`."""
    if isinstance(value, (np.dtype, dt.tzinfo, slice)):
        return True
    pa, pd = sys.modules.get("pyarrow"), sys.modules.get("pandas")
    if pa is not None and isinstance(value, pa.DataType):
        return True
    return (
        pd is not None
        and isinstance(value, pd.api.extensions.ExtensionDtype)
        and not isinstance(value, pd.CategoricalDtype)
    )


class _Item:
    """Something on the stack of the machine.

    Parameters
    ----------
    name : str
        An expression for it in the function that is written: cheap, and each time the same object. Empty for a container that
        nobody has asked for yet: most tuples are arguments of one call, which needs their parts only.
    value : object
        Its value, if that is always the same.
    parts : list of _Item, optional
        What is in a container that has no name yet; of a dict, keys and values in turns.
    display : str
        How such a container is written around its parts.
    """

    __slots__ = ("display", "name", "parts", "value")

    def __init__(self, name: str, value: Any = _VARIABLE, parts: list[_Item] | None = None, display: str = "") -> None:
        self.name = name
        self.value = value
        self.parts = parts
        self.display = display

    @property
    def constant(self) -> bool:
        """Tell whether the value is always the same, and may be shared."""
        return self.value is not _VARIABLE


class _Machine:
    """Pickle's machine, on names instead of values."""

    def __init__(self) -> None:
        self.stack: list[_Item] = []
        self.memo: list[_Item] = []
        self.marks: list[int] = []
        self.lines: list[str] = []
        self.scope: dict[str, Any] = {"build": build, "frombuffer": np.frombuffer}
        self.next_buffer = 0

    def step(self, opcode: str, argument: Any) -> None:
        """Do one instruction."""
        if opcode in _CONSTANTS:
            self.stack.append(self.as_constant(_CONSTANTS[opcode](argument)))
        elif opcode not in _IGNORED:
            handler = _HANDLERS.get(opcode)
            if handler is None:
                raise _NotCompiledError(opcode)
            handler(self, argument)

    def function(self) -> Replay:
        """Return the function for what was done."""
        self.lines.append(f"return {self.name(self.stack[-1])}")
        exec("def replay(buffers):\n    " + "\n    ".join(self.lines), self.scope)  # noqa: S102  as dataclasses do; names and literals only
        replay: Replay = self.scope.pop("replay")
        return replay

    # -- items -----------------------------------------------------------------------------------------------------

    def as_constant(self, value: Any) -> _Item:
        if value is None or type(value) in {bool, int, str}:
            return _Item(repr(value), value)
        name = f"c{len(self.scope)}"
        self.scope[name] = value
        return _Item(name, value)

    def as_variable(self, expression: str) -> _Item:
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        return _Item(name)

    def name(self, item: _Item) -> str:
        if not item.name:
            names = [self.name(part) for part in item.parts or ()]
            if item.display == "{}":
                names = [f"{key}: {value}" for key, value in zip(names[::2], names[1::2], strict=True)]
            comma = "," if item.display == "()" else ""
            item.name = self.as_variable(f"{item.display[0]}{', '.join(names)}{comma}{item.display[1]}").name
        return item.name

    def as_tuple(self, parts: list[_Item]) -> _Item:
        if all(part.constant for part in parts):
            return self.as_constant(tuple(part.value for part in parts))
        return _Item("", parts=parts, display="()")

    def pop_to_mark(self) -> list[_Item]:
        start = self.marks.pop()
        popped = self.stack[start:]
        del self.stack[start:]
        return popped

    # -- instructions ----------------------------------------------------------------------------------------------

    def push_tuple(self, length: int) -> None:
        parts = self.stack[-length:]
        del self.stack[-length:]
        self.stack.append(self.as_tuple(parts))

    def add(self, items: list[_Item], display: str) -> None:
        container = self.stack[-1]
        if container.display != display or container.parts is None:
            raise _NotCompiledError("items of an object")
        if not container.name:
            container.parts += items
        elif display == "[]":
            self.lines += [f"{container.name}.append({self.name(item)})" for item in items]
        else:
            pairs = zip(items[::2], items[1::2], strict=True)
            self.lines += [f"{container.name}[{self.name(key)}] = {self.name(value)}" for key, value in pairs]

    def find(self) -> None:
        module, name = (item.value for item in self.stack[-2:])
        del self.stack[-2:]
        if module.partition(".")[0] not in _LIBRARIES:
            raise _NotCompiledError(module)
        __import__(module)
        found: Any = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part)
        self.stack.append(self.as_constant(found))

    def new_object(self, keywords: _Item | None) -> None:
        arguments, cls = self.stack.pop(), self.stack.pop()
        parts = [cls, *self.parts_of(arguments)]
        tail = f", **{self.name(keywords)}" if keywords else ""
        self.stack.append(self.as_variable(f"{cls.name}.__new__({', '.join(self.name(part) for part in parts)}{tail})"))

    def parts_of(self, arguments: _Item) -> Sequence[_Item]:
        if arguments.display == "()" and arguments.parts is not None:
            return arguments.parts
        if type(arguments.value) is not tuple:
            raise _NotCompiledError("arguments that are no tuple")
        return [self.as_constant(value) for value in arguments.value]

    def call(self) -> None:
        arguments, function = self.parts_of(self.stack.pop()), self.stack.pop()
        if function.value is restore_array and all(part.constant for part in arguments[1:]):
            self.stack.append(self.as_array(*arguments))
            return
        if function.constant and all(part.constant for part in arguments):
            value = function.value(*(part.value for part in arguments))
            if function.value in _same_results or _is_immutable(value):
                self.stack.append(self.as_constant(value))
                return
        self.stack.append(
            self.as_variable(f"{self.name(function)}({', '.join(self.name(part) for part in arguments)})")
        )

    def as_array(self, buffer: _Item, dtype: _Item, shape: _Item, strides: _Item | None = None) -> _Item:
        """Write what :func:`restore_array` does with a dtype and a shape that are known."""
        code = np.dtype(dtype.value)
        if strides is not None or code.itemsize * math.prod(shape.value) == 0:
            arguments = [buffer, dtype, shape] + ([] if strides is None else [strides])
            function = self.as_constant(restore_array)
            return self.as_variable(f"{function.name}({', '.join(self.name(part) for part in arguments)})")
        flat = f"frombuffer({self.name(buffer)}, {self.as_constant(code).name})"
        return self.as_variable(flat if len(shape.value) == 1 else f"{flat}.reshape({shape.name})")

    def build(self) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        if value.constant and state.constant:
            build(value.value, state.value)  # a dtype with a unit
        else:
            self.lines.append(f"build({self.name(value)}, {self.name(state)})")

    def push_buffer(self) -> None:
        self.stack.append(_Item(f"buffers[{self.next_buffer}]"))
        self.next_buffer += 1


def _given(argument: Any) -> Any:
    return argument


_IGNORED: Final = frozenset({"PROTO", "FRAME", "STOP", "READONLY_BUFFER"})

_CONSTANTS: Final[dict[str, Callable[[Any], Any]]] = {
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_TUPLE": lambda _: (),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"), _given),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"), _given),
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"), _given),
}

_HANDLERS: Final[dict[str, Callable[[_Machine, Any], None]]] = {
    "MEMOIZE": lambda machine, _: machine.memo.append(machine.stack[-1]),
    "BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "TUPLE1": lambda machine, _: machine.push_tuple(1),
    "TUPLE2": lambda machine, _: machine.push_tuple(2),
    "TUPLE3": lambda machine, _: machine.push_tuple(3),
    "TUPLE": lambda machine, _: machine.stack.append(machine.as_tuple(machine.pop_to_mark())),
    "EMPTY_LIST": lambda machine, _: machine.stack.append(_Item("", parts=[], display="[]")),
    "EMPTY_DICT": lambda machine, _: machine.stack.append(_Item("", parts=[], display="{}")),
    "APPEND": lambda machine, _: machine.add([machine.stack.pop()], "[]"),
    "APPENDS": lambda machine, _: machine.add(machine.pop_to_mark(), "[]"),
    "SETITEM": lambda machine, _: machine.add([machine.stack.pop() for _ in range(2)][::-1], "{}"),
    "SETITEMS": lambda machine, _: machine.add(machine.pop_to_mark(), "{}"),
    "STACK_GLOBAL": lambda machine, _: machine.find(),
    "NEWOBJ": lambda machine, _: machine.new_object(None),
    "NEWOBJ_EX": lambda machine, _: machine.new_object(machine.stack.pop()),
    "BYTEARRAY8": lambda machine, content: machine.stack.append(
        machine.as_variable(f"bytearray({machine.as_constant(bytes(content)).name})")
    ),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
    "NEXT_BUFFER": lambda machine, _: machine.push_buffer(),
}
