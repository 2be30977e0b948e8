"""Verbs about objects: what there is, and keeping, deleting, saving and showing it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workbench import completion, finding
from workbench.errors import ObjectNotFoundError, WorkbenchError
from workbench.exporting import FORMATS, export, preview, print_as
from workbench.finding import SORT_ORDERS
from workbench.objects import ObjectInfo
from workbench.texts import counted, format_nbytes
from workbench.verbs.verb import Said, Verb, add_key, add_keys, complete, count, tag

if TYPE_CHECKING:
    from workbench.session import Session

__all__ = ["TERMINAL_VERBS", "VERBS"]


def _ls_arguments(parser: argparse.ArgumentParser) -> None:
    action = parser.add_argument(
        "pattern", metavar="PATTERN", nargs="?", help="names to list, such as 'flights*' (default: also without a name)"
    )
    complete(action, completion.object_names)
    parser.add_argument(
        "--sort",
        "--sort-by",
        choices=(*SORT_ORDERS, "size"),
        default="created",
        help="order (default: newest first; size: nbytes)",
    )
    action = parser.add_argument(
        "--kind", metavar="KIND", help="only objects of this kind or type: dataframe, array, pandas.Series, ..."
    )
    complete(action, completion.kinds)
    parser.add_argument(
        "--tag",
        type=tag,
        action="append",
        metavar="KEY[=VALUE]",
        dest="tags",
        help="only objects with this tag; several: with all of them",
    )
    complete(parser.add_argument("--node", metavar="NODE", help="only what this node has"), completion.node_names)
    parser.add_argument("--unnamed", action="store_true", help="only objects without a name")
    parser.add_argument("--parts", action="store_true", help="also the partitions of datasets")
    parser.add_argument("--limit", type=count, metavar="N", help="at most so many")


def _ls(session: Session, args: argparse.Namespace) -> Any:
    return session.ls(
        args.pattern,
        sort_by="nbytes" if args.sort == "size" else args.sort,
        kind=args.kind,
        tags=dict(args.tags or ()),
        node=args.node,
        parts=args.parts,
        unnamed=args.unnamed,
        limit=args.limit,
    )


def _info(session: Session, args: argparse.Namespace) -> Any:
    return session.info(args.key)


def _rename_arguments(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    parser.add_argument("name", metavar="NEW", help="the name that it gets")
    parser.add_argument("--replace", action="store_true", help="delete the object that has this name now")


def _rename(session: Session, args: argparse.Namespace) -> Said:
    session.rename(args.key, args.name, replace=args.replace)
    return Said([f"renamed {args.key} to {args.name}"])


def _rm_arguments(parser: argparse.ArgumentParser) -> None:
    action = parser.add_argument(
        "keys", metavar="NAME", nargs="*", help="names, ids, or patterns for names such as 'runs/*'"
    )
    complete(action, completion.object_names)
    parser.add_argument(
        "--unnamed", action="store_true", help="objects without a name that are not pinned; no pattern fits them"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask, however many objects match")


def _rm(session: Session, args: argparse.Namespace) -> Any:
    if not args.keys and not args.unnamed:
        args.parser.error("say which objects to delete: names, ids, patterns, or --unnamed")
    wanted = {info.id: info for info in (finding.clearable(session.ls(unnamed=True)) if args.unnamed else ())}
    try:
        for key in args.keys:
            wanted |= {info.id: info for info in _matches(session, key)}
    except ObjectNotFoundError as error:
        if len(args.keys) > 1 or args.unnamed:
            error.message = f"{error.message} Nothing was deleted."
        raise
    by_pattern = args.unnamed or any(_is_pattern(session, key) for key in args.keys)
    if by_pattern and len(wanted) > 1 and not args.yes and not args.confirm(tuple(wanted.values())):
        return None
    return session.delete_all(tuple(wanted.values()))


def _is_pattern(session: Session, key: str) -> bool:
    return bool(set(key) & set("*?[")) and not session.exists(key)


def _matches(session: Session, key: str) -> Sequence[ObjectInfo]:
    if not _is_pattern(session, key):
        return [session.info(key)]
    found = session.ls(key)
    if not found:
        raise _nothing_fits(key)
    return found


def _nothing_fits(pattern: str) -> ObjectNotFoundError:
    return ObjectNotFoundError(f"No object has a name that fits {pattern!r}. wb.ls() lists what there is.")


def _deleted(answer: Sequence[ObjectInfo] | None, _args: argparse.Namespace) -> str:
    return "" if answer is None else f"deleted {counted(len(answer), 'object')}"


_NOT_DONE: Final = "not done: "


def _for_each(act: Callable[[Session, str], str]) -> Callable[[Session, argparse.Namespace], Said]:
    """Return a verb that acts on each of several keys of this host, patterns among them.

    What one of many that fit a pattern refuses is said, and the others are done; a key that was named refuses for all. Nothing is done before all are found.
    """

    def run(session: Session, args: argparse.Namespace) -> Said:
        wanted = [(key, _names_here(session, key) if _is_pattern(session, key) else None) for key in args.keys]
        for key, names in wanted:
            if names is None:
                session.info(key)
        lines: list[str] = []
        refused: dict[str, list[str]] = {}
        for key, names in wanted:
            if names is None:
                lines.append(act(session, key))
                continue
            errors: list[WorkbenchError] = []
            for name in names:
                try:
                    lines.append(act(session, name))
                except WorkbenchError as error:
                    errors.append(error.with_traceback(None))
                    refused.setdefault(str(error), []).append(name)
            if len(errors) == len(names):
                raise errors[0]
        return Said([*lines, *(f"{_NOT_DONE}{', '.join(names)}: {why}" for why, names in refused.items())])

    return run


def _names_here(session: Session, pattern: str) -> list[str]:
    found = [info.name or info.id for info in session.store.ls(finding.ANY_NAME if pattern == "*" else pattern)]
    if not found:
        raise _nothing_fits(pattern)
    return sorted(found)


def _some_refused(answer: Said) -> int:
    return int(any(line.startswith(_NOT_DONE) for line in answer))


def _pin(session: Session, key: str) -> str:
    was = session.store.exists(key) and session.store.info(key).pinned
    session.pin(key)
    return f"{key} was pinned already" if was else f"pinned {key}"


def _unpin(session: Session, key: str) -> str:
    was = session.store.exists(key) and session.store.info(key).pinned
    session.unpin(key)
    return f"unpinned {key}" if was else f"{key} was not pinned"


def _spill(session: Session, key: str) -> str:
    before = _states(session, key)
    session.spill(key)
    if not before:
        return f"{key} lies in the catalog, so it cannot be spilled"
    return f"{key} was on disk already" if before == {"disk"} else f"spilled {key} to disk"


def _restore(session: Session, key: str) -> str:
    before = _states(session, key)
    session.restore(key)
    return f"restored {key} to memory" if "disk" in before else f"{key} was in memory already"


def _states(session: Session, key: str) -> set[str]:
    """Return where an object is on this host, or the partitions of a dataset; nothing if it lies in the catalog, or is not here."""
    if not session.store.exists(key):
        return set()
    info = session.store.info(key)
    parts = session.store.ls(dataset=info.id) if info.kind == "dataset" else [info]
    return {part.replicas[0].state for part in parts if session.store.residence.can_be_spilled(part.id)}


def _save_arguments(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    parser.add_argument("url", metavar="URL", help="a path, or anything that fsspec knows, such as s3://bucket/file")


def _save(session: Session, args: argparse.Namespace) -> Any:
    return session.save(args.key, args.url)


def _load_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="what `save` wrote: a path, https://..., s3://..., ...")
    parser.add_argument("name", metavar="NAME", nargs="?", help="name that it gets (default: the one it was saved by)")


def _load(session: Session, args: argparse.Namespace) -> Any:
    return session.load(args.url, args.name)


def _get_arguments(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    formats = ", ".join(FORMATS)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=f"write it there, as its suffix says: {formats}; -: print it"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        metavar="FORMAT",
        help="instead of what the suffix says; of -: csv for tables, else json",
    )


def _get(session: Session, args: argparse.Namespace) -> Any:
    if args.output == "-" and args.json:
        args.parser.error("-o - prints the object itself, so it takes no --json; for JSON: --format json")
    if args.output is None and args.format is not None:
        args.parser.error("--format is the format of a file; say which: -o FILE, or -o - to print it")
    info = session.info(args.key)
    value = session.get(info.ref)
    if args.output is None:
        return preview(info, value)
    title = info.name or info.id
    if args.output == "-":
        print_as(value, args.format or ("csv" if info.shape and len(info.shape) <= 2 else "json"), called=title)
        return None
    path = Path(args.output)
    export(value, path, called=title, suffix=args.format)
    return Said([f"wrote {title} to {args.output}, {format_nbytes(path.stat().st_size)}"])


VERBS: tuple[Verb, ...] = (
    Verb(
        "ls",
        "list objects, newest first",
        _ls,
        _ls_arguments,
        "'flights*' --sort nbytes",
        cluster="joins",
        store="lists",
    ),
    Verb("info", "describe one object", _info, add_key, "flights", cluster="joins"),
    Verb(
        "rm",
        "delete objects",
        _rm,
        _rm_arguments,
        "'runs/2025*' --yes",
        cluster="joins",
        aliases=("delete",),
        says=_deleted,
    ),
    Verb(
        "rename",
        "give an object another name",
        _rename,
        _rename_arguments,
        "flights flights-2013",
        cluster="joins",
    ),
    Verb(
        "pin",
        "keep objects in memory on this host",
        _for_each(_pin),
        add_keys,
        "flights",
        back="unpin",
        exit_code=_some_refused,
    ),
    Verb("unpin", "undo pin on this host", _for_each(_unpin), add_keys, "'runs/*'", exit_code=_some_refused),
    Verb(
        "spill",
        "move objects to disk on this host, readable there",
        _for_each(_spill),
        add_keys,
        "flights",
        back="restore",
        exit_code=_some_refused,
    ),
    Verb(
        "restore",
        "bring spilled objects back to memory on this host",
        _for_each(_restore),
        add_keys,
        "flights",
        exit_code=_some_refused,
    ),
    Verb(
        "save",
        "write an object to a file, with checksums",
        _save,
        _save_arguments,
        "flights f.wb",
        cluster="joins",
        back="load",
    ),
    Verb(
        "load",
        "share an object from a file that save wrote",
        _load,
        _load_arguments,
        "flights.wb",
        cluster="joins",
        store="makes",
    ),
)
TERMINAL_VERBS: tuple[Verb, ...] = (
    Verb(
        "get",
        "show an object, or write it in another format",
        _get,
        _get_arguments,
        "flights -o f.csv",
        cluster="joins",
    ),
)
