"""Completion in a shell: names of objects and of stores, as they are at this moment.

Covers what a completion offers, and what a shell must be told to ask for it (argcomplete does the talking). A completion opens no store: it makes nothing,
reclaims nothing and waits for nobody.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    import argparse

__all__ = [
    "SHELLS",
    "autocomplete",
    "directory_of",
    "kinds",
    "namespace_names",
    "node_names",
    "object_names",
    "operation_ids",
    "script",
]

SHELLS: Final = ("bash", "zsh", "fish")
_MOST: Final = 200
"""Names that are offered at once."""


def directory_of(args: argparse.Namespace) -> Path:
    """Return the directory of the store that the options of a command line mean."""
    from workbench.store import default_directory

    if directory := getattr(args, "directory", None):
        return Path(directory).expanduser().absolute()
    return default_directory(getattr(args, "namespace", None))


def object_names(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Return names of objects that begin so, and can be typed."""
    from workbench.store.namespaces import names_in

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # someone is typing
            return [name for name in names_in(directory_of(parsed_args), prefix, limit=_MOST) if name.isprintable()]
    except WorkbenchError:
        return []


def kinds(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Return the kinds of the objects in a store that begin so."""
    from workbench.store.namespaces import kinds_in

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [kind for kind in kinds_in(directory_of(parsed_args)) if kind.startswith(prefix)]
    except WorkbenchError:
        return []


def namespace_names(prefix: str, **_: Any) -> list[str]:
    """Return names of this user's stores that begin so."""
    from workbench.store.directory import namespace_directories

    return sorted(name for name in namespace_directories() if name.startswith(prefix))


def node_names(_prefix: str, **_: Any) -> list[str]:
    """Return no names of nodes: a shell cannot wait the second that it takes to ask a cluster. Notebooks, which are connected, know better."""
    return []


def operation_ids(_prefix: str, **_: Any) -> list[str]:
    """Return no ids of operations, as :func:`node_names`."""
    return []


def autocomplete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for a completion, and leave; do nothing if none does."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        # The shell's own files for -o FILE and URL; no options unless a dash is typed.
        argcomplete.autocomplete(parser, always_complete_options=False)


def script(shell: str) -> str:
    """Return what a shell must evaluate to complete ``workbench``."""
    from argcomplete.shell_integration import shellcode

    code: str = shellcode(["workbench"], shell=shell)
    return code.strip()
