"""Which store and which cluster a command line means, and what it does when one of them is not there.

Covers opening and joining for ``cli.py``. Looking makes nothing: a store that is named and not there is an error, and one that is not named, because
nobody has put anything yet, is as an empty one, and said. A cluster that was killed does not stop a verb that can do without.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from workbench import completion, connection
from workbench.errors import ClusterError, StoreError
from workbench.session import Session
from workbench.texts import printable

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

__all__ = ["reached"]

_SLOW: Final = 1.5
"""Seconds after which the command line says what it waits for."""


@contextlib.contextmanager
def reached(args: argparse.Namespace) -> Iterator[Session]:
    """Give a session on the store, and in the cluster, that the words after ``workbench`` mean.

    Parameters
    ----------
    args : argparse.Namespace
        With ``verb``, ``directory``, ``namespace``, ``scheduler`` and ``local``.

    Raises
    ------
    StoreError
        There is no such store.
    ClusterError
        The cluster does not answer; or it is dead, and the verb cannot do without.
    """
    directory = completion.directory_of(args)
    with contextlib.ExitStack() as stack:
        is_there = (directory / "catalog.sqlite").exists()
        is_named = args.directory is not None or args.namespace is not None
        if not is_there and not is_named and (args.verb.store == "lists" or args.scheduler is not None):
            if not args.json:
                sys.stderr.write(f"workbench: {printable(str(_missing(args, directory)))}\n")
            directory = stack.enter_context(_no_store())
        elif not is_there and (args.verb.store != "makes" or args.namespace is not None):
            raise _missing(args, directory)
        session = stack.enter_context(Session(directory))
        session.store.set_process("script", f"workbench {args.verb.name}")
        _join(session, args)
        yield session


@contextlib.contextmanager
def _no_store() -> Iterator[Path]:
    """Give a place for a store that holds nothing, and ends with the verb."""
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="workbench-empty-") as path:
        yield Path(path) / "store"


def _missing(args: argparse.Namespace, directory: Path) -> StoreError:
    if args.namespace is not None:
        # A slip of the finger is no wish for one more store.
        return StoreError(
            f"There is no store {args.namespace!r}; `workbench namespaces` lists those that there are. "
            f"The first put makes it: wb.use({args.namespace!r}) in Python, or WORKBENCH_NAMESPACE={args.namespace} in its environment."
        )
    return StoreError(f"There is no store in {directory}: nothing was put there yet. The first put makes it.")


@contextlib.contextmanager
def _said_if_slow(address: str) -> Iterator[None]:
    """Say what is waited for, once that takes longer than a person likes to look at nothing."""
    timer = threading.Timer(
        _SLOW, lambda: sys.stderr.write(f"workbench: Waiting for the scheduler at {printable(address)} ...\n")
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _join(session: Session, args: argparse.Namespace) -> None:
    if args.scheduler is not None and args.verb.cluster == "never":
        raise ValueError(f"`workbench {args.verb.name}` is about this host alone; it takes no --scheduler.")
    if args.local or args.verb.cluster == "never":
        return
    if args.scheduler is not None:
        with _said_if_slow(args.scheduler):
            session.connect(args.scheduler)
        return
    found = connection.read(session.store.directory)
    if found is None:
        return
    why = connection.why_dead(found)
    if why is None:
        try:
            with _said_if_slow(found.scheduler):
                session.connect()
        except ClusterError as error:
            if connection.refuses(found.scheduler):
                _go_on_alone(args, f"nothing listens at {found.scheduler}")
                return
            hint = " With --local the verb looks at this host's store alone." if args.verb.cluster == "joins" else ""
            raise ClusterError(f"{error}{hint}") from error
        return
    _go_on_alone(args, why)


def _go_on_alone(args: argparse.Namespace, why: str) -> None:
    said = f"The cluster of this host does not run any more: {why}. `workbench doctor` removes its connection file."
    if args.verb.cluster == "needs":
        raise ClusterError(f"{said} Start one with wb.LocalCluster(nodes=2), or name one with --scheduler ADDRESS.")
    sys.stderr.write(f"workbench: {printable(said)} Going on with this host's store alone.\n")
