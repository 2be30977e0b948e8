"""What the words after ``%share`` and ``%fetch`` mean.

Covers text only: nothing is evaluated and nothing is looked up here. What is done with the answer is in ``magics.py``.
"""

from __future__ import annotations

import keyword
import re
import shlex
from dataclasses import dataclass

__all__ = ["FetchWish", "MagicError", "ShareWish", "parse_fetch", "parse_share", "split"]

_AS = re.compile(r"""^(?P<what>.*?)\s+as\s+(?P<name>"[^"]*"|'[^']*'|[^\s"']+)$""", re.DOTALL)
_AS_OPTION = re.compile(r"\s--as[\s=]+")
_AS_WHAT = re.compile(r"^(?P<what>.*\S)\s+as(?:\s+(?P<words>.*))?$", re.DOTALL)
_ONE = r"--(?:(?P<flag>pin)|(?P<option>ttl|replicas)(?:[\s=]+(?P<value>\S+))?)"
_FIRST = re.compile(rf"^{_ONE}(?=\s|$)")
_LAST = re.compile(rf"(?<=\s){_ONE}$")
_UNKNOWN = re.compile(r"(?:^|\s)(?P<word>--[a-z]\S*)")
_OPTIONS = "--as NAME, --pin, --ttl SECONDS and --replicas N"


class MagicError(Exception):
    """A magic was used in a way that it does not understand; only the message is shown."""


@dataclass(frozen=True, slots=True)
class ShareWish:
    """What a ``%share`` line asks for.

    `variables` are names of variables, each shared under its own name; or `expression` is one expression, shared as
    `name`. In a cell magic both are empty.
    """

    variables: tuple[str, ...] = ()
    expression: str | None = None
    name: str | None = None
    pin: bool = False
    ttl: float | None = None
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class FetchWish:
    """What a ``%fetch`` line asks for: objects by the variables that they become, each awaited for at most `timeout` seconds."""

    variables: dict[str, str]
    timeout: float | None = None


def split(line: str) -> list[str]:
    """Split a line at blanks as a shell does, so that names in quotes may have blanks.

    Raises
    ------
    MagicError
        If a quote is not closed.
    """
    try:
        return shlex.split(line)
    except ValueError as error:
        raise MagicError(f"Cannot read {line!r}: {error}.") from None


def parse_share(line: str, *, cell: bool = False) -> ShareWish:
    """Understand ``VAR [VAR ...] [as NAME]``, or ``NAME`` for a whole cell, with options before it or after it.

    Raises
    ------
    MagicError
        If the line says something else; the message shows how it is written.
    """
    rest, pin, ttl, replicas = _options(_AS_OPTION.sub(" as ", line.strip()))
    if cell:
        words = split(rest)
        if len(words) != 1:
            raise MagicError("Say one name: %%share NAME. The value of the cell's last line is shared under it.")
        return ShareWish(name=words[0], pin=pin, ttl=ttl, replicas=replicas)
    if not rest:
        raise MagicError("Say what to share: %share VAR [VAR ...] [as NAME].")
    if match := _AS.match(rest):
        name = match["name"].strip("\"'")
        words = match["what"].split()
        if len(words) > 1 and all(word.isidentifier() and not keyword.iskeyword(word) for word in words):
            together = ", ".join(words)
            raise MagicError(
                f"{together} are {len(words)} values, and {name!r} is one name: %share {' '.join(words)} gives each its own, %share ({together}) as {name} puts them together."
            )
        return ShareWish(expression=match["what"], name=name, pin=pin, ttl=ttl, replicas=replicas)
    if match := _AS_WHAT.match(rest):
        if match["words"]:
            raise MagicError(f"A name with blanks stands in quotes: %share {match['what']} as {match['words']!r}.")
        raise MagicError(f"A name is missing after 'as': %share {match['what']} as NAME.")
    variables = tuple(rest.replace(",", " ").split())
    if not all(variable.isidentifier() for variable in variables):
        if option := _UNKNOWN.search(rest):
            if option["word"] in {"--ttl", "--replicas"}:
                said = rest[option.start() :].split(maxsplit=1)[-1]
                raise MagicError(f"{option['word']} takes one number (of seconds, of nodes), not {said!r}.")
            raise MagicError(f"{option['word']} is not an option of %share; it has {_OPTIONS}.")
        raise MagicError(f"{rest!r} is not the name of a variable; give the value a name: %share {rest} as NAME.")
    return ShareWish(variables=variables, pin=pin, ttl=ttl, replicas=replicas)


def _options(rest: str) -> tuple[str, bool, float | None, int]:
    found: dict[str, str] = {}
    while match := _FIRST.match(rest) or _LAST.search(rest):
        found[match["flag"] or match["option"]] = match["value"] or ""
        rest = (rest[: match.start()] + rest[match.end() :]).strip()
    if rest.startswith("--"):
        raise MagicError(f"{rest.split()[0]} is not an option of %share; it has {_OPTIONS}.")
    ttl = _number(found["ttl"], "--ttl takes a number of seconds") if "ttl" in found else None
    replicas = int(_number(found["replicas"], "--replicas takes a number of nodes")) if "replicas" in found else 1
    return rest, "pin" in found, ttl, replicas


def _number(word: str, what: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise MagicError(f"{what}, not {word!r}.")
    return number


def parse_fetch(line: str) -> FetchWish:
    """Understand ``NAME [as VAR] [NAME [as VAR] ...] [--timeout SECONDS]``, with blanks or commas between; ``--as`` is ``as``.

    Raises
    ------
    MagicError
        If the line says something else, or if a name cannot be that of a variable and none was given.
    """
    words = [part for word in split(line) for part in ([word.rstrip(",")] if word.rstrip(",") else [])]
    timeout = None
    for at, word in enumerate(words):
        if word == "--timeout" or word.startswith("--timeout="):
            value = word.partition("=")[2] or (words[at + 1] if at + 1 < len(words) else "")
            timeout = _number(value, "--timeout takes a number of seconds")
            del words[at : at + (1 if "=" in word else 2)]
            break
    words = [part for word in words for part in (["as", word[5:]] if word.startswith("--as=") else [word])]
    variables: dict[str, str] = {}
    while words:
        name = words.pop(0)
        if name.startswith("--"):
            raise MagicError(f"{name} is not an option of %fetch; it has --as VAR and --timeout SECONDS.")
        variable = name
        if words and words[0] in {"as", "--as"}:
            if len(words) == 1:
                raise MagicError(f"The name of a variable is missing after 'as': %fetch {shlex.quote(name)} as VAR.")
            variable = words[1]
            del words[:2]
        _check_variable(variable, name)
        if variable in variables:
            raise MagicError(f"Two objects cannot both be {variable}; give one of them another name: NAME as VAR.")
        variables[variable] = name
    if not variables:
        raise MagicError("Say what to fetch: %fetch NAME [as VAR] [NAME ...] [--timeout SECONDS].")
    return FetchWish(variables, timeout)


def _check_variable(variable: str, name: str) -> None:
    if variable == name and set(name) & set("*?["):
        raise MagicError(
            f"%fetch takes names, one by one, and {name!r} is a pattern: %wb ls {name!r} lists what fits it."
        )
    if not variable.isidentifier() or keyword.iskeyword(variable):
        raise MagicError(
            f"{variable!r} cannot be the name of a variable; choose one: %fetch {shlex.quote(name)} as VAR."
        )
