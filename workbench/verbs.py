"""The verbs as words: one parser and one table for the command line and for ``%wb``.

Covers what both of them accept and which method of a session each verb calls. How the answer is shown, and how an
error ends, is the business of ``cli.py`` and of ``jupyter/magics.py``. To add a verb, add one row to :data:`VERBS`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.listing import Listing
from workbench.objects import Holder, NodeInfo, ObjectInfo, Replica

if TYPE_CHECKING:
    from workbench.session import Session

__all__ = ["VERBS", "Verb", "add_verbs", "overview"]

SORT_ORDERS = ("created", "name", "nbytes", "last_used", "kind")


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb.

    Parameters
    ----------
    name : str
    summary : str
        One line for the overview.
    run : callable
        Takes the session and the parsed arguments, returns what is shown (None: nothing).
    arguments : callable, optional
        Adds the verb's arguments to its parser.
    cluster : bool
        Whether the verb acts on the cluster where there is one.
    """

    name: str
    summary: str
    run: Callable[[Session, argparse.Namespace], Any]
    arguments: Callable[[argparse.ArgumentParser], None] = lambda _parser: None
    cluster: bool = False


def add_verbs(parser: argparse.ArgumentParser, verbs: Sequence[Verb], parents: Sequence[Any] = ()) -> None:
    """Give `parser` a sub-command for each verb; the chosen one is ``args.verb`` afterwards."""
    choices = parser.add_subparsers(metavar="VERB", required=True, help="one of the above; VERB --help tells more")
    for verb in verbs:
        child = choices.add_parser(verb.name, description=verb.summary, parents=list(parents))
        child.set_defaults(verb=verb)
        verb.arguments(child)


def overview(verbs: Sequence[Verb], prefix: str) -> str:
    """Return one line for each verb, aligned."""
    width = max(len(verb.name) for verb in verbs)
    return "\n".join(f"{prefix} {verb.name.ljust(width)}  {verb.summary}" for verb in verbs)


def _key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="NAME", help="name or id of the object")


def _keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("keys", metavar="NAME", nargs="+", help="names or ids of objects")


def _ls_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", default="*", help="names to list, such as 'flights*'")
    parser.add_argument("--sort", choices=SORT_ORDERS, default="created", help="order (default: newest first)")
    parser.add_argument("--node", metavar="NODE", help="only what this node has")


def _move_arguments(parser: argparse.ArgumentParser) -> None:
    _key(parser)
    parser.add_argument("--to", metavar="NODE", required=True, help="name or id of the node that shall have it")


def _replicate_arguments(parser: argparse.ArgumentParser) -> None:
    _key(parser)
    wish = parser.add_mutually_exclusive_group(required=True)
    wish.add_argument("-n", type=_count, metavar="N", help="how many nodes shall have it")
    wish.add_argument("--to", metavar="NODE", nargs="+", help="names or ids of nodes that shall have it")


def _drop_arguments(parser: argparse.ArgumentParser) -> None:
    _key(parser)
    parser.add_argument("--node", metavar="NODE", required=True, help="name or id of the node that gives it up")
    parser.add_argument("--force", action="store_true", help="even if it is the last replica")


def _holders_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="NAME", nargs="?", help="name or id of the object (default: all objects)")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _ls(session: Session, args: argparse.Namespace) -> Any:
    return Listing(session.ls(args.pattern, sort_by=args.sort, node=args.node), of=ObjectInfo)


def _where(session: Session, args: argparse.Namespace) -> Any:
    return Listing(session.where(args.key), of=Replica)


def _move(session: Session, args: argparse.Namespace) -> Any:
    return _finish(session, args.key, session.move(args.key, to=args.to))


def _replicate(session: Session, args: argparse.Namespace) -> Any:
    operation = session.replicate(args.key, to=args.to) if args.to else session.replicate(args.key, n=args.n)
    return _finish(session, args.key, operation)


def _finish(session: Session, key: str, operation: Any) -> Any:
    """Wait for a move or a replication, cancel it on Ctrl-C, and return where the object is then."""
    try:
        operation.wait()
    except KeyboardInterrupt:
        operation.cancel()
        raise
    return Listing(session.where(key), of=Replica)


def _drop(session: Session, args: argparse.Namespace) -> Any:
    session.drop(args.key, args.node, force=args.force)
    return Listing(session.where(args.key) if session.exists(args.key) else (), of=Replica)


def _delete(session: Session, args: argparse.Namespace) -> None:
    for key in args.keys:
        session.delete(key)


def _pin(session: Session, args: argparse.Namespace) -> None:
    for key in args.keys:
        session.pin(key)


def _unpin(session: Session, args: argparse.Namespace) -> None:
    for key in args.keys:
        session.unpin(key)


VERBS: tuple[Verb, ...] = (
    Verb("ls", "list objects, newest first", _ls, _ls_arguments),
    Verb("info", "describe one object", lambda session, args: session.info(args.key), _key),
    Verb("where", "tell which nodes have a replica of an object", _where, _key, cluster=True),
    Verb("nodes", "list the nodes: room, use, workers", lambda s, _: Listing(s.nodes(), of=NodeInfo), cluster=True),
    Verb("move", "move an object to another node", _move, _move_arguments, cluster=True),
    Verb("replicate", "put an object on more nodes", _replicate, _replicate_arguments, cluster=True),
    Verb("drop", "remove the replica of an object on one node", _drop, _drop_arguments, cluster=True),
    Verb("delete", "delete objects everywhere", _delete, _keys, cluster=True),
    Verb("pin", "never make room at the cost of these objects", _pin, _keys),
    Verb("unpin", "undo pin", _unpin, _keys),
    Verb("memory", "show where the bytes of this host's store are", lambda session, _: session.memory()),
    Verb(
        "holders",
        "list the processes that have an object mapped",
        lambda session, args: Listing(session.holders(args.key), of=Holder),
        _holders_arguments,
    ),
)
