"""Verbs about this host: its memory, who holds it, its stores side by side, and how fast it is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from workbench import completion
from workbench.listing import Listing
from workbench.objects import Event, Figure, Holder, Namespace
from workbench.verbs.verb import Verb, add_key, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workbench.session import Session

__all__ = ["TERMINAL_VERBS", "VERBS"]


def _memory(session: Session, _args: argparse.Namespace) -> Any:
    return session.memory()


def _holders(session: Session, args: argparse.Namespace) -> Any:
    return Listing(session.holders(args.key), of=Holder)


def _doctor(session: Session, _args: argparse.Namespace) -> list[str]:
    return session.store.doctor()


def _namespaces(session: Session | None, args: argparse.Namespace) -> Any:
    from workbench.store.namespaces import namespaces

    directory = completion.directory_of(args) if session is None else session.store.directory
    return Listing(namespaces(directory), of=Namespace)


def _watch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", default="*", help="names to watch, such as 'runs/*'")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="end after so long (default: at Ctrl-C)")


def _watch(session: Session, args: argparse.Namespace) -> Iterator[Event]:
    return session.watch(args.pattern, timeout=args.timeout)


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", default="256 MiB", metavar="SIZE", help="of the large array (default: %(default)s)")


def _bench(_session: None, args: argparse.Namespace) -> Any:
    from workbench.bench import measure

    return Listing(measure(args.size), of=Figure)


VERBS: tuple[Verb, ...] = (
    Verb("memory", "show where the bytes of this host's store are", _memory, example="--json"),
    Verb(
        "holders",
        "list the processes that have an object mapped",
        _holders,
        lambda parser: add_key(parser, optional=True),
        "flights",
    ),
    Verb("doctor", "reclaim what dead processes left, and look for damage", _doctor),
    Verb("namespaces", "list your stores side by side, with what they use", _namespaces, alone=True),
)
TERMINAL_VERBS: tuple[Verb, ...] = (
    Verb("watch", "show what happens to objects, as it happens", _watch, _watch_arguments, "'runs/*' --json"),
    Verb("bench", "measure how fast this host is, in a few seconds", _bench, _bench_arguments, alone=True),
)
