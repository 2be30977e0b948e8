"""What an error says to do next, in the words of whoever reads it: errors speak Python, a command line has verbs and options.

Covers turning the one into the other in a finished message. What has no verb, such as ``wb.put``, stays Python.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

__all__ = ["in_words_of"]

_OPTIONS: Final = (
    (re.compile(r"say (replace|force)=True"), r"add --\1"),
    (re.compile(r"\bwb\.connect\([^()]*\)"), "--scheduler ADDRESS"),
    (re.compile(r"\bwb\.use\(capacity=\.\.\.\), of a namespace with (?=wb\.use)"), ""),
    (re.compile(r"\bwb\.undrain\(([^()]*)\)"), r"wb.drain(\1, --undo)"),
)
_CALL: Final = re.compile(r"(?P<quote>`?)\bwb\.(?P<verb>[a-z_]+)\b(?P<call>\((?P<args>[^()]*)\))?(?P=quote)")
_VERBS: Final = {"delete": "rm", "remove_namespace": "remove-namespace"}
"""What the verb of a function is called where that is not the function's own name."""


def in_words_of(prefix: str, verbs: Sequence[str], message: str) -> str:
    """Return a message with functions as verbs, and arguments as options.

    Parameters
    ----------
    prefix : str
        What stands before a verb: ``workbench`` or ``%wb``.
    verbs : sequence of str
        Those that there are; other functions stay as they are.
    message : str
    """
    if prefix == "%wb":  # a notebook has wb.connect, and wb.use, too
        patterns: Sequence[tuple[re.Pattern[str], str]] = _OPTIONS[:1]
    else:
        patterns = _OPTIONS
    for pattern, words in patterns:
        message = pattern.sub(words, message)

    def as_verb(call: re.Match[str]) -> str:
        verb = _VERBS.get(call["verb"], call["verb"])
        if verb not in verbs:
            return call[0]
        words = [_word(argument.strip()) for argument in (call["args"] or "").split(",") if argument.strip()]
        return f"`{' '.join([prefix, verb, *words])}`"

    return _CALL.sub(as_verb, message)


def _word(argument: str) -> str:
    """Write an argument as a shell wants it; what stands for one is in capitals."""
    if argument[:1] in "\"'" and argument[-1:] == argument[:1]:
        return shlex.quote(argument[1:-1])
    return argument.upper() if argument.isidentifier() else argument
