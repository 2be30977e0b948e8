"""Verbs about the cluster: where objects are, and bringing them elsewhere."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from workbench import completion
from workbench.listing import Listing
from workbench.objects import NodeInfo, OperationInfo, Replica, name_drained
from workbench.verbs.verb import Verb, add_key, complete, count

if TYPE_CHECKING:
    from workbench.session import Session

__all__ = ["VERBS"]


def _move_arguments(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    _node(parser.add_argument("--to", metavar="NODE", required=True, help="name or id of the node that shall have it"))
    _dry_run(parser)


def _replicate_arguments(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    wish = parser.add_mutually_exclusive_group(required=True)
    wish.add_argument("-n", type=count, metavar="N", help="how many nodes shall have it")
    _node(wish.add_argument("--to", metavar="NODE", nargs="+", help="names or ids of nodes that shall have it"))
    _dry_run(parser)


def _drop_arguments(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    _node(parser.add_argument("node", metavar="NODE", nargs="?", help="name or id of the node that gives it up"))
    _node(parser.add_argument("--from", "--node", dest="source", metavar="NODE", help="the same"))
    parser.add_argument("--force", action="store_true", help="even if it is the last replica")
    _dry_run(parser)


def _drain_arguments(parser: argparse.ArgumentParser) -> None:
    _node(parser.add_argument("node", metavar="NODE", help="name or id of the node"))
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--undo", action="store_true", help="the same as undrain: the node gets replicas again")
    _dry_run(how)


def _undrain_arguments(parser: argparse.ArgumentParser) -> None:
    _node(parser.add_argument("node", metavar="NODE", help="name or id of the node"))


def _operations_arguments(parser: argparse.ArgumentParser) -> None:
    action = parser.add_argument("--cancel", metavar="ID", help="end this one; no half replica is left")
    complete(action, completion.operation_ids)


def _node(action: argparse.Action) -> None:
    complete(action, completion.node_names)


def _dry_run(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="only tell what would be done, evicted, spilled and refused, and why"
    )


def _where(session: Session, args: argparse.Namespace) -> Any:
    return Listing(session.where(args.key), of=Replica)


def _nodes(session: Session, _args: argparse.Namespace) -> Any:
    return Listing(session.nodes(), of=NodeInfo)


def _move(session: Session, args: argparse.Namespace) -> Any:
    return _finish(session, session.move(args.key, to=args.to, dry_run=args.dry_run), args.key)


def _replicate(session: Session, args: argparse.Namespace) -> Any:
    wish: dict[str, Any] = {"to": args.to} if args.to else {"n": args.n}
    return _finish(session, session.replicate(args.key, **wish, dry_run=args.dry_run), args.key)


def _finish(session: Session, begun: Any, key: str | None = None) -> Any:
    """Wait for an operation, cancel it on Ctrl-C, and return where the object is then, or what nodes there are; a plan is returned as it is."""
    if not hasattr(begun, "wait"):
        return begun
    try:
        begun.wait()
    except KeyboardInterrupt:
        begun.cancel()
        raise
    return Listing(session.nodes(), of=NodeInfo) if key is None else Listing(session.where(key), of=Replica)


def _drop(session: Session, args: argparse.Namespace) -> Any:
    if (args.node is None) == (args.source is None):
        args.parser.error("say one node that gives it up: NODE or --from NODE")
    done = session.drop(args.key, args.node or args.source, force=args.force, dry_run=args.dry_run)
    if args.dry_run:
        return done
    return Listing(session.where(args.key) if session.exists(args.key) else (), of=Replica)


def _drain(session: Session, args: argparse.Namespace) -> Any:
    if args.undo:
        return _undrain(session, args)
    return _finish(session, session.drain(args.node, dry_run=args.dry_run))


def _undrain(session: Session, args: argparse.Namespace) -> Any:
    session.undrain(args.node)
    return session.nodes()


def _rebalance(session: Session, args: argparse.Namespace) -> Any:
    begun = session.rebalance(dry_run=args.dry_run)
    answer = _finish(session, begun)
    args.nothing_to_do = not args.dry_run and not begun.last_known.total_nbytes
    args.drained = name_drained(session.nodes()) if args.nothing_to_do else ""
    return answer


def _why_nothing(_answer: Any, args: argparse.Namespace) -> str:
    return (
        f"nothing was moved: the nodes are evenly full, or what could move is pinned or mapped{args.drained and '.'}{args.drained}"
        if args.nothing_to_do
        else ""
    )


def _operations(session: Session, args: argparse.Namespace) -> Any:
    if session.cluster is None and args.cancel is None:
        return Listing((), of=OperationInfo)
    operations = session.operations()
    if args.cancel is not None:
        chosen = [operation for operation in operations if operation.id == args.cancel]
        if not chosen:
            raise ValueError(f"There is no operation {args.cancel!r}; wb.operations() lists those that there are.")
        chosen[0].cancel()
        operations = session.operations()
    return operations.infos


def _none_yet(answer: Any, _args: argparse.Namespace) -> str:
    return "" if answer else "operations are moves, replications and drains in a cluster; wb.connect() joins one"


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
        "flights --from node-2",
        cluster="needs",
    ),
    Verb(
        "drain",
        "empty a node before its host goes away",
        _drain,
        _drain_arguments,
        "node-2 --dry-run",
        cluster="needs",
        back="undrain",
    ),
    Verb("undrain", "give a drained node back", _undrain, _undrain_arguments, "node-2", cluster="needs"),
    Verb(
        "rebalance",
        "even out how full the nodes are",
        _rebalance,
        _dry_run,
        "--dry-run",
        cluster="needs",
        says=_why_nothing,
    ),
    Verb(
        "operations",
        "list moves, drains, ...: how far, how long yet, why",
        _operations,
        _operations_arguments,
        "--json",
        cluster="joins",
        store="lists",
        says=_none_yet,
    ),
)
