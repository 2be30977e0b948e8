"""What an error says to do next, in the words of whoever reads it: errors speak Python, a command line has verbs and options.

Covers turning the one into the other in a finished message. What has no verb, such as ``wb.put``, stays Python.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Sequence
from typing import Any, Final

from workbench.listing import Listing
from workbench.objects import OperationInfo
from workbench.verbs.verb import Said

__all__ = ["answer_in_words_of", "in_words_of"]

_WAITING: Final = "; wb.connect(address, timeout=60) waits for one that is starting."
"""A command line does not wait: it can be run again."""
_OPTIONS: Final = (
    (re.compile(re.escape(_WAITING)), "."),
    (re.compile(r"say (replace|force)=True"), r"add --\1"),
    (re.compile(r"\bwb\.use\(capacity=\.\.\.\), of a namespace with (?=wb\.use)"), ""),
)
_CONNECT: Final = re.compile(r"\bwb\.connect\([^()]*\)")
_CALL: Final = re.compile(r"(?P<quote>`?)\bwb\.(?P<verb>[a-z_]+)\b(?P<call>\((?P<args>[^()]*)\))?(?P=quote)")
_VERBS: Final = {"delete": "rm", "remove_namespace": "remove-namespace"}
"""What the verb of a function is called where that is not the function's own name."""


def in_words_of(prefix: str, verbs: Sequence[str], message: str, *, connects: bool = True) -> str:
    """Return a message with functions as verbs, and arguments as options.

    Parameters
    ----------
    prefix : str
        What stands before a verb: ``workbench`` or ``%wb``.
    verbs : sequence of str
        Those that there are; other functions stay as they are.
    message : str
    connects : bool
        The verb takes ``--scheduler``; where it does not, ``wb.connect`` is for Python.
    """
    for pattern, words in _OPTIONS[1:2] if prefix == "%wb" else _OPTIONS:  # a notebook has wb.connect, and wb.use, too
        message = pattern.sub(words, message)
    if connects and prefix != "%wb":
        message = _CONNECT.sub("--scheduler ADDRESS", message)

    def as_verb(call: re.Match[str]) -> str:
        verb = _VERBS.get(call["verb"], call["verb"])
        if verb not in verbs or (
            verb == "use" and "capacity" in (call["args"] or "")
        ):  # a notebook's `%wb use` takes none
            return call[0]
        words = [_word(argument.strip()) for argument in (call["args"] or "").split(",") if argument.strip()]
        return f"`{' '.join([prefix, verb, *words])}`"

    return _CALL.sub(as_verb, message)


def answer_in_words_of(prefix: str, verbs: Sequence[str], answer: Any, *, connects: bool = True) -> Any:
    """Return what a verb answers, with what it says to do next in the words of who reads it."""

    def words(text: str) -> str:
        return in_words_of(prefix, verbs, text, connects=connects)

    if isinstance(answer, Said):
        return Said(map(words, answer))
    if not isinstance(answer, Listing):
        return answer
    answer.hint = words(answer.hint)
    if not all(isinstance(each, OperationInfo) for each in answer) or not answer:
        return answer
    said = (
        dataclasses.replace(each, error=words(each.error), reasons=tuple(map(words, each.reasons))) for each in answer
    )
    return Listing(said, of=OperationInfo, hint=answer.hint)


def _word(argument: str) -> str:
    """Write an argument as a shell wants it; what stands for one is in capitals."""
    name, equals, value = argument.partition("=")
    if equals and name.isidentifier():
        return f"--{name} {_word(value)}" if len(name) > 1 else f"-{name} {_word(value)}"
    if argument[:1] in "\"'" and argument[-1:] == argument[:1]:
        return shlex.quote(argument[1:-1])
    return argument.upper() if argument.isidentifier() else argument
