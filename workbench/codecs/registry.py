"""Which adapter has the say about an object: ours, one that was registered, or one that a distribution provides.

An *adapter* teaches the codecs one library: how its objects become arrays and metadata, and what to say about them without decoding
them. It is found by the root module of an object's class (``xarray`` for ``xarray.DataArray``), or of the nearest base class that has
one, and loaded only when such an object passes through. The adapters of this package keep the same contract, :class:`Adapter`.

Read next: the shortest adapter, ``polars_frames.py``. The guide is ``docs/codecs.md``; ``workbench.testing.CodecTests`` tests yours.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from workbench.codecs.culprits import type_name
from workbench.errors import CodecError
from workbench.objects import Description

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from workbench.codecs.pickling import EncodingPickler

__all__ = ["GROUP", "Adapter", "Reducer", "adapters", "describe", "register"]

GROUP = "workbench.codecs"
"""The group of entry points: the name is a library's root module, the value an :class:`Adapter`."""

Reducer: TypeAlias = "Callable[[Any, EncodingPickler], Any]"
"""Returns what ``__reduce_ex__`` of the object would, or NotImplemented for just that."""


@runtime_checkable
class Adapter(Protocol):
    """What knows the objects of one library; a module with these functions, or an object with these methods.

    Besides :meth:`reducer_for` it can have a function ``describe(value)``, which returns a :class:`workbench.objects.Description` of
    `value`, or None to leave it to others. It looks at types, labels and shapes, never at rows, and its cost does not grow with them.
    """

    def reducer_for(self, cls: type) -> Reducer | None:
        """Return what reduces instances of `cls`, or None where the class's own pickling serves.

        Called once for each class (not for each object) that passes through, subclasses by others included: return None for one
        that has pickling of its own.

        The reducer that is returned
        - gets the object and the pickler, and returns ``(restore, arguments)``, as ``__reduce__`` does, or NotImplemented;
        - leaves the object as it is, copies nothing large, and gives the same result each time. Arrays, tables and frames among the
          arguments go to adapters of their own, which put their bytes into buffers: what is large must be one of these;
        - does not bring along what a slice hides, unless ``pickler.is_shared`` (a callable of address and number of bytes, or None)
          says that this memory is shared already.

        ``restore`` is an importable function, which the header names: it and its arguments never change their meaning, because objects
        that were put with it are out there. It gets read-only arrays that lie in shared memory, builds the object around them without
        copying, and never lifts their flag.

        Parameters
        ----------
        cls : type

        Returns
        -------
        callable or None
        """


_BUILT_IN = {
    "numpy": "workbench.codecs.numpy_arrays",
    "pandas": "workbench.codecs.pandas_frames",
    "pyarrow": "workbench.codecs.arrow_tables",
    "polars": "workbench.codecs.polars_frames",
    "scipy": "workbench.codecs.sparse_matrices",
}

_OURS_LAST = {"torch": "workbench.codecs.torch_tensors"}
"""What only describes: somebody else's codec for the library goes before it."""

_registered: dict[str, Adapter] = {}
reducers: dict[type, Reducer | None] = {}
"""Of the classes that were met."""
_MAX_KNOWN_TYPES = 10_000


def register(library: str, adapter: Adapter) -> None:
    """Let `adapter` have the say about the objects of a library, in this process.

    A library or an application that is installed uses an entry point of the group ``workbench.codecs`` instead, and then needs no call.
    What is registered replaces an entry point, and is asked before the adapters of this package. To decode, nobody needs the adapter: the
    functions that headers name must be importable there (or come from ``__main__``; those travel by value).

    Parameters
    ----------
    library : str
        Root module of the classes: ``xarray``, not ``xarray.core.dataarray``; ``__main__`` for classes of a notebook.
    adapter : Adapter
        Replaces what was registered for the library before.

    Raises
    ------
    CodecError
        It is no adapter, or the library is not named by its root module.
    """
    if not library.isidentifier():
        raise CodecError(
            f"cannot register a codec for {library!r}: a library is named by its root module, such as 'xarray' for xarray.DataArray."
        )
    _require_adapter(adapter, f"cannot register a codec for {library!r}")
    _registered[library] = adapter
    reducers.clear()


def _require_adapter(found: object, what_failed: str) -> Adapter:
    if isinstance(found, Adapter) and callable(found.reducer_for):
        return found
    raise CodecError(
        f"{what_failed}: {found!r} has no function reducer_for(cls). See workbench.codecs.registry.Adapter."
    )


@cache
def _entry_points() -> dict[str, list[EntryPoint]]:
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return found


def _from_entry_points(points: list[EntryPoint]) -> Adapter:
    point = points[0]
    origins = " and ".join(f"{each.dist.name} {each.dist.version}" for each in points if each.dist is not None)
    what_failed = (
        f"cannot use the codec for {point.name!r} objects, {point.value!r}, which the distribution {origins} provides"
    )
    if len(points) > 1:
        raise CodecError(
            f"cannot choose a codec for {point.name!r} objects: the distributions {origins} each provide one as an entry point of "
            f"{GROUP!r}. Remove one of them, or register a codec with workbench.codecs.register."
        )
    try:
        found = point.load()
    except Exception as error:  # foreign code runs at import
        raise CodecError(
            f"{what_failed} as an entry point of {GROUP!r}: loading it fails ({type(error).__name__}: {error}). "
            "Update or remove that distribution, or register another codec with workbench.codecs.register."
        ) from error
    return _require_adapter(found, what_failed)


def _adapters_of(library: str) -> Iterator[Adapter]:
    if library in _registered:
        yield _registered[library]
    if library in _BUILT_IN:
        yield importlib.import_module(_BUILT_IN[library])
    elif library not in _registered and library not in sys.stdlib_module_names and library != "__main__":
        # Most objects do not get here: reading the entry points of an environment takes milliseconds.
        points = _entry_points().get(library)
        if points:
            yield _from_entry_points(points)
    if library in _OURS_LAST:
        yield importlib.import_module(_OURS_LAST[library])


def adapters(cls: type) -> Iterator[Adapter]:
    """Yield the adapters that may know `cls`, those of the class's own library first.

    Raises
    ------
    CodecError
        An adapter that a distribution provides cannot be loaded.
    """
    for library in dict.fromkeys(base.__module__.partition(".")[0] for base in cls.__mro__):
        yield from _adapters_of(library)


def reducer_of(cls: type) -> Reducer | None:
    """Look up the reducer of a class, and remember it.

    Raises
    ------
    CodecError
        An adapter that a distribution provides cannot be loaded.
    """
    reducer = next((found for adapter in adapters(cls) if (found := adapter.reducer_for(cls)) is not None), None)
    if len(reducers) >= _MAX_KNOWN_TYPES:  # types made in a loop must not fill the memory
        reducers.clear()
    reducers[cls] = reducer
    return reducer


def describe(value: Any) -> Description:
    """Return kind, type, shape, dtypes and notes of `value`."""
    for adapter in adapters(type(value)):
        describe_of = getattr(adapter, "describe", None)
        description: Description | None = None if describe_of is None else describe_of(value)
        if description is not None:
            return description
    return Description("object", type_name(type(value)))
