"""``persist_shared`` as a method of Dask's DataFrame, Series and Array, without importing Dask for who does not use it.

What has no partitions, a Scalar or a Delayed, has it, too, and it says what to do instead: else Dask looks for the name in what that computes to.

Covers one import hook: Dask has no registry for methods (its accessors would make it ``ddf.workbench.persist_shared``, and need Dask
DataFrame, a second of import). If Dask DataFrame or Dask Array is there already, the method is added at once; else right after its import.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from workbench.lazy import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

_METHOD = "persist_shared"


def register() -> None:
    """Give Dask's DataFrame, Series and Array the method ``persist_shared``, now or when they are imported."""
    watched = {finder.target for finder in sys.meta_path if isinstance(finder, _Finder)}
    for target, kinds in _TARGETS.items():
        module = sys.modules.get(target)
        if module is not None and all(hasattr(module, kind) for kind in kinds):
            _add_method(module)
        elif target not in watched:
            sys.meta_path.insert(0, _Finder(target))


def persist_shared(self: Any, name: str | None = None, replicas: int = 1) -> Any:
    """Compute this collection once and leave its partitions in shared memory.

    Parameters
    ----------
    name : str, optional
        What others open it by, with ``wb.open(name)``.
    replicas : int
        How many nodes shall have each partition.

    Returns
    -------
    DataFrame, Series or Array
        The same collection, lazy; its tasks map the partitions.
    """
    from workbench.collections import persist_shared as persist

    return persist(self, name, replicas=replicas)


_TARGETS = {
    "dask.dataframe": {"DataFrame": persist_shared, "Series": persist_shared, "Scalar": refuse},
    "dask.array": {"Array": persist_shared},
    "dask.delayed": {"Delayed": refuse},
}


def _add_method(module: ModuleType) -> None:
    for name, method in _TARGETS[module.__name__].items():
        kind = getattr(module, name, None)
        if kind is not None and _METHOD not in vars(kind):
            setattr(kind, _METHOD, method)


class _Finder(MetaPathFinder):
    """Waits for the import of a module, and leaves ``sys.meta_path`` when it comes."""

    def __init__(self, target: str) -> None:
        self.target = target

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002  # part of Python's protocol
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname != self.target:
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    """Loads as the original loader does, and then adds the method."""

    def __init__(self, original: Loader) -> None:
        self._original = original

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._original.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Whoever asks the module where it comes from (inspect, importlib.resources) must find the original.
        module.__loader__ = self._original
        if module.__spec__ is not None:
            module.__spec__.loader = self._original
        self._original.exec_module(module)
        _add_method(module)
