"""What a verb is, and how a parser is made of many.

Covers parsing only; the verbs themselves are in the other modules.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from workbench import completion
from workbench.texts import printable

__all__ = [
    "Said",
    "Verb",
    "add_key",
    "add_keys",
    "add_verbs",
    "complete",
    "count",
    "no_such_verb",
    "overview",
    "parse",
    "seconds",
    "size",
    "tag",
]


_PUT: Final = (
    "a notebook puts with %share VAR as NAME, Python with wb.put(value, name); `load` shares a file that `save` wrote"
)
_GET: Final = "a notebook gets with %fetch NAME, Python with wb.get(name)"
_WATCH: Final = "a notebook watches with `for event in wb.watch(pattern)`, a terminal with `workbench watch`"
_REMOVE: Final = (
    "Python removes a store with wb.remove_namespace(name), a terminal with `workbench remove-namespace name`"
)
_IN_PYTHON: Final = {
    "remove-namespace": _REMOVE,
    "remove_namespace": _REMOVE,
    "put": _PUT,
    "share": _PUT,
    "fetch": _GET,
    "get": _GET,
    "watch": _WATCH,
}
"""What a word that is no verb is done with."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb.

    Parameters
    ----------
    name : str
    summary : str
        One line for the overview.
    run : callable
        Takes the session and the parsed arguments, returns what is shown (None: nothing; an iterator: one after the other).
    arguments : callable, optional
        Adds the verb's arguments to its parser.
    example : str
        What follows the verb in an example.
    cluster : str
        ``never``: it is about this host; ``joins``: it acts on the cluster of this host where one runs; ``needs``: it cannot do without.
    store : str
        What a command line does where there is no store yet: ``lists`` (as if it were empty), ``needs`` (an error) or ``makes`` (it makes one).
    exit_code : callable
        What a command line's exit code is, by what was answered.
    alone : bool
        The verb needs no store: on the command line its session is None.
    aliases : tuple of str
        Other words for the same.
    says : callable
        What was done, or what to try instead, as a line that people see above the answer; takes the answer and the parsed arguments.
    back : str
        The verb that goes the way back; the overview has both in one line, with this one's summary.
    """

    name: str
    summary: str
    run: Callable[[Any, argparse.Namespace], Any]
    arguments: Callable[[argparse.ArgumentParser], None] = lambda _parser: None
    example: str = ""
    cluster: Literal["never", "joins", "needs"] = "never"
    store: Literal["lists", "needs", "makes"] = "needs"
    exit_code: Callable[[Any], int] = lambda _answer: 0
    alone: bool = False
    aliases: tuple[str, ...] = ()
    says: Callable[[Any, argparse.Namespace], str] = lambda _answer, _args: ""
    back: str = ""


class Said(tuple[str, ...]):
    """What a verb has done, where there is nothing else to show: a line for each object. JSON has a list of them."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(printable, self))

    __repr__ = __str__  # as a notebook shows it


def add_verbs(parser: argparse.ArgumentParser, verbs: Sequence[Verb], parents: Sequence[Any] = ()) -> None:
    """Give `parser` a sub-command for each verb; the chosen one is ``args.verb`` afterwards, its own parser ``args.parser``."""
    choices = parser.add_subparsers(metavar="VERB", required=True, prog=parser.prog, help=argparse.SUPPRESS)
    for verb in verbs:
        child = choices.add_parser(
            verb.name,
            description=f"{verb.summary[0].upper()}{verb.summary[1:]}.",
            epilog=f"example:\n  {parser.prog} {verb.name} {verb.example}".rstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=list(parents),
            aliases=verb.aliases,
            allow_abbrev=False,
        )
        child.set_defaults(verb=verb, parser=child)
        verb.arguments(child)


def parse(parser: argparse.ArgumentParser, words: Sequence[str] | None) -> argparse.Namespace:
    """Parse words (None: those of the process); what the verb does not know is an error that shows how that verb is used."""
    args, unknown = parser.parse_known_args(words)
    if unknown:
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return args


def no_such_verb(word: str, verbs: Sequence[Verb], overview_by: str) -> str:
    """Say that a word is no verb, and which was meant."""
    if word.lower() in _IN_PYTHON and word.lower() not in {verb.name for verb in verbs}:
        return f"there is no verb {word!r}; {_IN_PYTHON[word.lower()]}"
    known = [name for verb in verbs for name in (verb.name, *verb.aliases)]
    near = difflib.get_close_matches(word.lower(), known, 1)
    return f"there is no verb {word!r}; " + (f"did you mean {near[0]!r}?" if near else f"see {overview_by}")


def overview(verbs: Sequence[Verb], prefix: str) -> str:
    """Return one line for each verb, aligned, and one for two that go opposite ways."""
    ways_back = {verb.back for verb in verbs}
    lines = [
        (f"{verb.name}, {verb.back}" if verb.back else verb.name, verb.summary)
        for verb in verbs
        if verb.name not in ways_back
    ]
    width = max(len(names) for names, _ in lines)
    return "\n".join(f"{prefix} {names.ljust(width)}  {summary}" for names, summary in lines)


def complete(action: argparse.Action, completer: Callable[..., list[str]]) -> None:
    """Say how the shell completes an argument."""
    action.completer = completer  # type: ignore[attr-defined]  # where argcomplete looks for it


def add_key(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add the argument ``key``: one object."""
    how: dict[str, Any] = {"nargs": "?"} if optional else {}
    text = "name or id of the object" + (" (default: all objects)" if optional else "")
    complete(parser.add_argument("key", metavar="NAME", help=text, **how), completion.object_names)


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Add the argument ``keys``: one object or more."""
    action = parser.add_argument("keys", metavar="NAME", nargs="+", help="names, ids, or patterns such as 'runs/*'")
    complete(action, completion.object_names)


def count(text: str) -> int:
    """Understand a number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1, not {text!r}")
    return int(text)


def size(text: str) -> int:
    """Understand a number of bytes from 1 on, such as ``2 GiB``."""
    import dask.utils

    try:
        nbytes = int(dask.utils.parse_bytes(text))
    except ValueError:
        nbytes = 0
    if nbytes < 1:
        raise argparse.ArgumentTypeError(f"must be a size from 1 byte on, such as 1000000 or '2 GiB', not {text!r}")
    return nbytes


def tag(text: str) -> tuple[str, str | None]:
    """Understand a tag, or one of any value."""
    key, equals, value = text.partition("=")
    return key, value if equals else None


def seconds(text: str) -> float:
    """Understand a length of time in seconds."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, not {text!r}")
    return number
