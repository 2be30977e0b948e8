"""Verbs about this host: its memory, who holds it, its stores side by side, and how fast it is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from workbench import completion
from workbench.listing import Listing
from workbench.objects import Diagnosis, Event, Figure, Holder, Namespace
from workbench.texts import counted
from workbench.verbs.verb import Verb, add_key, complete, seconds, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workbench.session import Session

__all__ = ["DAMAGED", "TERMINAL_VERBS", "VERBS"]

DAMAGED: Final = 3
"""Exit code of the doctor where something is broken that it cannot mend."""


def _memory(session: Session, _args: argparse.Namespace) -> Any:
    session.store.upkeep.give_back()  # as opening the store does in the background, a moment later
    return session.memory()


def _holders(session: Session, args: argparse.Namespace) -> Any:
    return Listing(session.holders(args.key), of=Holder)


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Clean up after dead processes, and find damage on this host. Exit code 3: there is damage; 0: there is none, or what "
        "was found is put right."
    )
    parser.add_argument(
        "--fix",
        action="store_true",
        help="also remove the stores of other nodes that a killed cluster left, objects and all",
    )


def _doctor(session: Session, args: argparse.Namespace) -> Diagnosis:
    return session.doctor(fix=args.fix)


def _namespaces(session: Session | None, args: argparse.Namespace) -> Any:
    from workbench.store.namespaces import namespaces

    directory = completion.directory_of(args) if session is None else session.store.directory
    return Listing(namespaces(directory), of=Namespace)


def _remove_arguments(parser: argparse.ArgumentParser) -> None:
    complete(parser.add_argument("name", metavar="NAME", help="of the store"), completion.namespace_names)
    parser.add_argument("--yes", "-y", action="store_true", help="also if there are objects in it")


def _remove(_session: Session | None, args: argparse.Namespace) -> Listing[Namespace]:
    from workbench.removing import find_namespace, remove_namespace

    found = find_namespace(args.name)
    if found.objects != 0 and not args.yes:
        many = "objects that cannot be counted" if found.objects is None else counted(found.objects, "object")
        raise ValueError(
            f"The store {args.name!r} holds {many}. Nothing was removed. Add --yes to remove it with them."
        )
    return Listing([remove_namespace(args.name)], of=Namespace)


def _watch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", default="*", help="names to watch, such as 'runs/*'")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="end after so long (default: at Ctrl-C)")


def _watch(session: Session, args: argparse.Namespace) -> Iterator[Event]:
    return session.watch(args.pattern, timeout=args.timeout)


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=size, metavar="SIZE", help="of the large array (default: 256 MiB, if it fits)")


def _bench(_session: None, args: argparse.Namespace) -> Any:
    from workbench.bench import measure

    return Listing(measure(args.size), of=Figure)


VERBS: tuple[Verb, ...] = (
    Verb("memory", "show where the bytes are on this host", _memory, example="--json"),
    Verb(
        "holders",
        "list who has objects mapped on this host",
        _holders,
        lambda parser: add_key(parser, optional=True),
        "flights",
        store="lists",
    ),
    Verb(
        "doctor",
        "clean up after dead processes, find damage on this host",
        _doctor,
        _doctor_arguments,
        exit_code=lambda found: DAMAGED if found.damage else 0,
    ),
    Verb("namespaces", "list your stores side by side, with what they use", _namespaces, alone=True),
)
TERMINAL_VERBS: tuple[Verb, ...] = (
    Verb(
        "remove-namespace",
        "remove a store that nobody uses",
        _remove,
        _remove_arguments,
        "old --yes",
        alone=True,
        says=lambda removed, _args: f"removed the store {removed[0].name}",
    ),
    Verb("watch", "show what happens to objects on this host", _watch, _watch_arguments, "'runs/*'", store="makes"),
    Verb("bench", "measure how fast this host is, in a few seconds", _bench, _bench_arguments, alone=True),
)
