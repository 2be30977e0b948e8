"""The verbs of ``%wb``: those of the command line, and what only a notebook has.

Covers the table; the magic itself, and how an answer is shown, is in ``magics.py``.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import workbench
from workbench import completion
from workbench.current import current_session
from workbench.jupyter import causes
from workbench.session import Session
from workbench.verbs import VERBS, Verb, complete
from workbench.verbs.verb import seconds

__all__ = ["MAGIC_VERBS"]


def _connect(_session: Session, args: argparse.Namespace) -> Any:
    where, timeout = args.where, args.timeout
    if where is not None and where.isidentifier() and where in args.shell.user_ns:
        where = args.shell.user_ns[where]  # a client, a cluster, or an address
    workbench.connect(where, timeout=timeout)
    return workbench.nodes()


def _connect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "where",
        metavar="WHERE",
        nargs="?",
        help="address of a scheduler, or variable with a client or a cluster (default: the cluster found on this host)",
    )
    parser.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="how long a scheduler that is starting is waited for"
    )


def _browse(_session: Session, _args: argparse.Namespace) -> Any:
    from workbench.jupyter.widget import open_browser

    return open_browser()


def _use(_session: Session, args: argparse.Namespace) -> Any:
    workbench.use(args.namespace)
    return workbench.namespaces()


def _is_new(_answer: Any, args: argparse.Namespace) -> str:
    return (
        f"there was no store {args.namespace!r}: made a new one" if args.namespace and current_session().is_new else ""
    )


def _use_arguments(parser: argparse.ArgumentParser) -> None:
    action = parser.add_argument(
        "namespace", metavar="NAME", nargs="?", help="of the store (default: as the settings say)"
    )
    complete(action, completion.namespace_names)


def _release(session: Session, args: argparse.Namespace) -> None:
    print(causes.release_objects(args.shell, session, args.keys))  # noqa: T201  # a magic answers by printing


def _release_arguments(parser: argparse.ArgumentParser) -> None:
    action = parser.add_argument("keys", metavar="NAME", nargs="*", help="names or ids of objects (default: all)")
    complete(action, completion.object_names)


def _in_a_notebook(verb: Verb) -> Verb:
    """Return a verb as a notebook has it; in the overview, what belongs to another one stands beside it, so that it fits a screen."""
    if verb.name == "holders":
        return dataclasses.replace(verb, back="release", summary=f"{verb.summary}; let go of them")
    if verb.name == "namespaces":
        return dataclasses.replace(verb, back="use", summary="list your stores side by side; go on with another one")
    return verb


MAGIC_VERBS: tuple[Verb, ...] = (
    *(_in_a_notebook(verb) for verb in VERBS),
    Verb("release", "clear what Out, _ and the last error keep mapped", _release, _release_arguments),
    Verb("use", "go on with another store of yours", _use, _use_arguments, says=_is_new),
    Verb("connect", "use a Dask cluster from now on", _connect, _connect_arguments),
    Verb("browse", "look at all of it in a widget", _browse),
)
