"""What is offered behind ``%share``, ``%fetch`` and ``%wb``, and in ``wb.get("``, while somebody types: verbs, flags, names of objects, nodes, variables.

Covers which words fit where, for IPython and whatever asks a kernel (JupyterLab, Notebook, VS Code, Colab). It opens no store, waits for no scheduler for longer than
:data:`PATIENCE`, and never raises: no completion is better than an error, or a stumble, while someone types.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import re
import shlex
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.interactiveshell import InteractiveShell

import workbench
from workbench import completion
from workbench.current import active_session
from workbench.errors import WorkbenchError
from workbench.session import Session
from workbench.store import default_directory
from workbench.store.namespaces import kinds_in, names_in
from workbench.verbs import Verb

__all__ = ["Completer", "Offer", "own_variables"]

PATIENCE: Final = 0.03
"""Seconds that a completion waits for a cluster; what it said the last time is offered then."""
_MOST: Final = 200
_SHARE_OPTIONS: Final = ("--as", "--pin", "--replicas", "--ttl")
_FETCH_OPTIONS: Final = ("--as", "--timeout")
_VALUES: Final = {"--ttl", "--replicas", "--timeout"}
"""Options of ``%share`` and ``%fetch`` that a number follows."""

_CALL: Final = re.compile(r"""\b(?P<owner>\w+)\.(?P<verb>\w+)\((?P<before>[^()]*)(?P<quote>["'])(?P<typed>[^"']*)$""")
"""A call whose last string is open, perhaps."""
_FIRST: Final = re.compile(r"""\s*(keys?\s*=\s*)?|\s*(keys\s*=\s*)?\[(\s*["'][^"']*["']\s*,)*\s*""")
_NODE: Final = re.compile(r"""(\b(to|node)\s*=\s*(\[[^\]]*)?|^\s*["'][^"']*["']\s*,\s*)$""")
"""What stands before an argument that is a key, or a node."""
_TAKE_KEYS: Final = frozenset(
    {"get", "get_many", "info", "exists", "where", "delete", "rename", "pin", "unpin", "spill", "restore", "holders"}
    | {"save", "open", "move", "replicate", "drop"}
)
_TAKE_NODES: Final = frozenset({"ls", "move", "replicate", "drop"})
_TAKE_A_NODE_FIRST: Final = frozenset({"drain", "undrain"})

Offer = tuple[str, str]
"""What is offered, and of which kind it is: a front end shows both."""


class Completer:
    """Offers what fits behind the workbench's magics.

    Parameters
    ----------
    shell : InteractiveShell
    verbs : sequence of Verb
        Those of ``%wb``.
    """

    def __init__(self, shell: InteractiveShell, verbs: Sequence[Verb]) -> None:
        self._shell = shell
        self._verbs = verbs
        self._cluster = _Asked()

        @context_matcher(priority=1000, identifier="workbench")
        def matcher(
            context: CompletionContext,
        ) -> SimpleMatcherResult:  # IPython wants to write on it, so it is no method
            return self._match(context)

        self.matcher = matcher

    def register(self) -> None:
        """Take part in the shell's completion."""
        self._shell.Completer.custom_matchers.append(self.matcher)

    def unregister(self) -> None:
        """Take part no longer."""
        with contextlib.suppress(ValueError):
            self._shell.Completer.custom_matchers.remove(self.matcher)

    def _match(self, context: CompletionContext) -> SimpleMatcherResult:
        fragment: str = ""
        offers: list[Offer] = []
        with contextlib.suppress(Exception):  # whatever is wrong, somebody is typing
            fragment, offers = self.offers(context.text_until_cursor)
        found = [SimpleCompletion(text=text, type=kind) for text, kind in offers]
        return {"completions": found, "matched_fragment": fragment, "suppress": bool(found), "ordered": True}

    def offers(self, line: str) -> tuple[str, list[Offer]]:
        """Return what fits at the end of a line, and the part of it that is to be replaced."""
        if (call := _CALL.search(line)) is not None:
            return self._in_call(call)
        magic, blank, rest = line.lstrip().partition(" ")
        if not blank or magic not in {"%share", "%%share", "%fetch", "%wb"}:
            return "", []
        before, fragment = _cut(rest)
        words = _split(before)
        if magic == "%wb":
            fragment, offers = self._wb(words, fragment)
        elif magic == "%fetch":
            offers = self._fetch(words, fragment)
        else:
            offers = self._share(words, fragment, cell=magic == "%%share")
        typed = fragment.lstrip("\"'")
        return fragment, [(_quoted(text, fragment), kind) for text, kind in offers if text.startswith(typed)]

    def _in_call(self, call: re.Match[str]) -> tuple[str, list[Offer]]:
        """Offer what fits in a string that was begun in a call such as ``wb.get("fl``."""
        owner, before, quote, typed = (
            self._shell.user_ns.get(call["owner"]),
            call["before"],
            call["quote"],
            call["typed"],
        )
        is_closed = before.count('"') % 2 or before.count("'") % 2
        if is_closed or not (owner is workbench or isinstance(owner, Session)):
            return "", []
        if call["verb"] in _TAKE_KEYS and _FIRST.fullmatch(before):
            offers = self._objects(typed)
        elif _NODE.search(before) if call["verb"] in _TAKE_NODES else call["verb"] in _TAKE_A_NODE_FIRST:
            offers = self._of_cluster(completion.node_names)
        else:
            return "", []
        return typed, [
            (text, kind) for text, kind in offers if text.startswith(typed) and not set(text) & {quote, "\\"}
        ]

    def _share(self, words: list[str], fragment: str, *, cell: bool) -> list[Offer]:
        if fragment.startswith("-"):
            return _options(_SHARE_OPTIONS)
        if words and words[-1] in _VALUES:
            return []
        if cell or (words and words[-1] in {"as", "--as"}):
            return self._objects(fragment)
        return [(name, "variable") for name in own_variables(self._shell)]

    def _fetch(self, words: list[str], fragment: str) -> list[Offer]:
        if fragment.startswith("-"):
            return _options(_FETCH_OPTIONS)
        if words and words[-1] in _VALUES:
            return []
        if words and words[-1] in {"as", "--as"}:
            return [(name, "variable") for name in own_variables(self._shell)]
        return self._objects(fragment)

    def _wb(self, words: list[str], fragment: str) -> tuple[str, list[Offer]]:
        verbs = {name: verb for verb in self._verbs for name in (verb.name, *verb.aliases)}
        if not words or words[0] == "help":
            return fragment, [(name, "verb") for name in (*verbs, *(() if words else ("help",)))]
        if (verb := verbs.get(words[0])) is None:
            return fragment, []
        parser = argparse.ArgumentParser(add_help=False)
        verb.arguments(parser)
        actions = parser._actions  # noqa: SLF001  # the arguments of a parser have no public name
        options = {text: action for action in actions for text in action.option_strings}
        option, equals, value = fragment.partition("=")
        if equals and option in options:
            return value, self._values(options[option], value)
        if fragment.startswith("-"):
            return fragment, _options(options)
        action = _action([action for action in actions if not action.option_strings], options, words[1:])
        return fragment, [] if action is None else self._values(action, fragment)

    def _values(self, action: argparse.Action, typed: str) -> list[Offer]:
        if action.choices is not None:
            return [(str(choice), "value") for choice in action.choices]
        completer = getattr(action, "completer", None)
        if completer is completion.object_names:
            return self._objects(typed)
        if completer is completion.kinds:
            return [(kind, "kind") for kind in kinds_in(self._directory())]
        if completer is completion.namespace_names:
            return [(name, "store") for name in completion.namespace_names(typed)]
        return self._of_cluster(completer)

    def _of_cluster(self, completer: Callable[..., list[str]] | None) -> list[Offer]:
        session = active_session()
        if session is None or completer not in {completion.node_names, completion.operation_ids}:
            return []
        if completer is completion.operation_ids:
            return [(each, "operation") for each in self._cluster.ask("operations", lambda: _operations(session))]
        return [(name, "node") for name in self._cluster.ask("nodes", lambda: _nodes(session))]

    def _directory(self) -> Path:
        session = active_session()
        return default_directory() if session is None else session.store.directory

    def _objects(self, fragment: str) -> list[Offer]:
        session, typed = active_session(), fragment.lstrip("\"'")
        names = dict.fromkeys(names_in(self._directory(), typed, limit=_MOST))
        if session is not None:
            names |= dict.fromkeys(self._cluster.ask(f"names {typed}", lambda: _names(session, typed)))
        return [(name, "object") for name in names if name.isprintable()]


def _action(
    own: list[argparse.Action], options: dict[str, argparse.Action], words: list[str]
) -> argparse.Action | None:
    """Return the argument whose value comes next, after the words of a verb that are there already."""
    last = next((at for at in reversed(range(len(words))) if words[at] in options), None)
    if last is not None:
        option, values = options[words[last]], len(words) - 1 - last
        if option.nargs == "+" or (option.nargs is None and values == 0):
            return option
    given, skip = 0, False
    for word in words:
        if word in options:
            skip = options[word].nargs is None
        else:
            given, skip = given + (not skip), False
    if own and own[-1].nargs in {"*", "+"}:
        given = min(given, len(own) - 1)
    return own[given] if given < len(own) else None


class _Asked:
    """Asks a cluster in a thread of its own, and goes by the last answer if a new one does not come at once."""

    def __init__(self) -> None:
        self._known: dict[str, Iterable[str]] = {}
        self._busy: threading.Thread | None = None

    def ask(self, what: str, question: Callable[[], Iterable[str]]) -> Iterable[str]:
        def work() -> None:
            with contextlib.suppress(WorkbenchError, OSError):
                found = list(question())
                if len(self._known) > _MOST:
                    self._known.clear()
                self._known[what] = found

        if self._busy is None or not self._busy.is_alive():
            self._busy = threading.Thread(target=work, name="workbench-completion", daemon=True)
            self._busy.start()
        self._busy.join(PATIENCE)
        return self._known.get(what, ())


def _names(session: Session, typed: str) -> list[str]:
    cluster = session.cluster
    if cluster is None:
        return []
    page = cluster.ls(f"{glob.escape(typed)}*", limit=_MOST, order="name")
    return [name for info in page for name in info.names if name.startswith(typed)]


def _nodes(session: Session) -> list[str]:
    return [node.name for node in session.nodes()]


def _operations(session: Session) -> list[str]:
    cluster = session.cluster
    return [] if cluster is None else [each.id for each in cluster.operations() if each.last_known.state == "running"]


def own_variables(shell: InteractiveShell) -> list[str]:
    """Return the names of the user's variables, without those that IPython made."""
    hidden = shell.user_ns_hidden
    return [name for name in shell.user_ns if not name.startswith("_") and name not in hidden]


def _options(names: Iterable[str]) -> list[Offer]:
    return [(name, "option") for name in names if name.startswith("--") or len(name) == 2]


def _cut(text: str) -> tuple[str, str]:
    """Cut a line before its last word, which may be in quotes that are still open."""
    start, quote = 0, ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char.isspace() or char == ",":
            start = at + 1
    return text[:start], text[start:]


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text.replace(",", " "))
    except ValueError:
        return text.split()


def _quoted(text: str, fragment: str) -> str:
    """Write a word as the line wants it: in quotes where it has blanks, or where a quote was begun."""
    if fragment.startswith('"') and not set(text) & set('"\\'):
        return f'"{text}"'
    return f"'{text}'" if fragment.startswith("'") and "'" not in text else shlex.quote(text)
