"""Verbs about the cluster: where objects are, and bringing them elsewhere."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from workbench.listing import Listing
from workbench.objects import NodeInfo, Replica
from workbench.verbs.verb import Verb, add_key, count

if TYPE_CHECKING:
    from workbench.session import Session

__all__ = ["VERBS"]


def _move_arguments(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    parser.add_argument("--to", metavar="NODE", required=True, help="name or id of the node that shall have it")


def _replicate_arguments(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    wish = parser.add_mutually_exclusive_group(required=True)
    wish.add_argument("-n", type=count, metavar="N", help="how many nodes shall have it")
    wish.add_argument("--to", metavar="NODE", nargs="+", help="names or ids of nodes that shall have it")


def _drop_arguments(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    parser.add_argument("--node", metavar="NODE", required=True, help="name or id of the node that gives it up")
    parser.add_argument("--force", action="store_true", help="even if it is the last replica")


def _where(session: Session, args: argparse.Namespace) -> Any:
    return Listing(session.where(args.key), of=Replica)


def _nodes(session: Session, _args: argparse.Namespace) -> Any:
    return Listing(session.nodes(), of=NodeInfo)


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


VERBS: tuple[Verb, ...] = (
    Verb("nodes", "list the nodes: room, use, workers", _nodes, example="--json", cluster="joins", store="lists"),
    Verb("where", "tell which nodes have a replica of an object", _where, add_key, "flights", cluster="joins"),
    Verb("move", "move an object to another node", _move, _move_arguments, "flights --to node-2", cluster="needs"),
    Verb("replicate", "put an object on more nodes", _replicate, _replicate_arguments, "flights -n 2", cluster="needs"),
    Verb(
        "drop",
        "remove the replica of an object on one node",
        _drop,
        _drop_arguments,
        "flights --node node-2",
        cluster="needs",
    ),
)
