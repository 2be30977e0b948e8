"""Completion in a shell: names of objects and of stores, as they are at this moment.

Covers what a completion offers, and what a shell must be told to ask for it (argcomplete does the talking). A completion opens no store: it makes nothing and
reclaims nothing. A cluster that runs on this host is asked one question, which takes about half a second, most of it Dask's import.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import warnings
from collections.abc import Iterator
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
_PATIENCE: Final = 2.0
"""Seconds that a cluster has for its answer."""


def directory_of(args: argparse.Namespace) -> Path:
    """Return the directory of the store that the options of a command line mean."""
    from workbench.store import default_directory

    if directory := getattr(args, "directory", None):
        return Path(directory).expanduser().absolute()
    return default_directory(getattr(args, "namespace", None))


def object_names(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Return names of objects that begin so, and can be typed; also of other nodes, for a verb that acts on them."""
    from workbench.store.namespaces import names_in

    names: list[str] = []
    with contextlib.suppress(WorkbenchError), _quietly():
        names = names_in(directory_of(parsed_args), prefix, limit=_MOST)
    page = _ask(parsed_args, "ls", pattern=f"{glob.escape(prefix)}*", order="name", limit=_MOST, parts=False) or {}
    there = (name for info in page.get("objects", ()) for name in info["names"] if name.startswith(prefix))
    return [name for name in dict.fromkeys([*names, *there]) if name.isprintable()]


def kinds(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Return the kinds of the objects in a store that begin so."""
    from workbench.store.namespaces import kinds_in

    with contextlib.suppress(WorkbenchError), _quietly():
        return [kind for kind in kinds_in(directory_of(parsed_args)) if kind.startswith(prefix)]
    return []


def namespace_names(prefix: str, **_: Any) -> list[str]:
    """Return names of this user's stores that begin so."""
    from workbench.store.directory import namespace_directories

    return sorted(name for name in namespace_directories() if name.startswith(prefix))


def node_names(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Return names of the cluster's nodes that begin so."""
    nodes = _ask(parsed_args, "nodes") or ()
    return [node["name"] for node in nodes if node["name"].startswith(prefix)]


def operation_ids(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Return ids of the cluster's operations that run and begin so."""
    operations = (_ask(parsed_args, "operations") or {}).get("operations", ())
    return [each["id"] for each in operations if each["state"] == "running" and each["id"].startswith(prefix)]


def _ask(args: argparse.Namespace, verb: str, **arguments: Any) -> Any:
    """Ask the cluster that the words of a command line mean; None: there is none, it does not answer at once, or the verb is about this host alone."""
    if getattr(args, "local", False) or getattr(getattr(args, "verb", None), "cluster", "never") == "never":
        return None
    from workbench import connection

    with contextlib.suppress(WorkbenchError, OSError, ValueError), _quietly():
        address = getattr(args, "scheduler", None)
        if address is None:
            found = connection.read(directory_of(args))
            address = None if found is None or connection.why_dead(found) is not None else found.scheduler
        if address is not None:
            from workbench.cluster.glance import ask_once

            return ask_once(address, verb, patience=_PATIENCE, **arguments)
    return None


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Let nothing be said: someone is typing."""
    logging.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


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
