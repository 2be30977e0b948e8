"""The command line: ``workbench ls``, ``workbench replicate flights -n 2`` and so on.

Covers options, output (a table, or JSON for programs) and exit codes: 0, 1 for an error, 2 for a wrong call, 3 for damage that the doctor finds, 130
for Ctrl-C. The verbs are those of ``%wb`` and some more (``verbs/``). Which store and which cluster they act on: ``reaching.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from workbench import __version__, completion, progress
from workbench.errors import WorkbenchError
from workbench.listing import Listing, rows_of
from workbench.objects import ObjectInfo, Ref, to_json
from workbench.reaching import reached
from workbench.texts import fields_of, format_nbytes, printable, text_fields
from workbench.verbs import TERMINAL_VERBS, VERBS, Verb, add_verbs, no_such_verb, overview, parse
from workbench.verbs.wording import answer_in_words_of, in_words_of

__all__ = ["main"]

_EPILOG = """\
examples:
  workbench ls 'flights*'
  workbench ls --help

The store is that of --directory or --namespace, else of WORKBENCH_DIR or
WORKBENCH_NAMESPACE, else your own in /dev/shm. If a cluster runs on this host,
all verbs act on all of it, but for those that say "on this host".
Exit codes: 0, 1 error, 2 wrong call, 3 damage (doctor), 130 Ctrl-C.
"""


def _script(_session: None, args: argparse.Namespace) -> str:
    return completion.script(args.shell)


def _script_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=completion.SHELLS, metavar="SHELL", help=", ".join(completion.SHELLS))


CLI_VERBS: tuple[Verb, ...] = (
    *VERBS,
    *TERMINAL_VERBS,
    Verb(
        "completion",
        "print what a shell evaluates to complete names",
        _script,
        _script_arguments,
        'bash                # in ~/.bashrc: eval "$(workbench completion bash)"\n'
        '  workbench completion zsh                 # in ~/.zshrc: eval "$(workbench completion zsh)"\n'
        "  workbench completion fish | source       # in ~/.config/fish/config.fish",
        alone=True,
    ),
)


_VERBS = tuple(verb.name for verb in CLI_VERBS)


class _Parser(argparse.ArgumentParser):
    """A parser that guesses which verb was meant rather than list all of them."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("argument VERB: invalid choice: "):
            word = message.split("'")[1] if "'" in message else ""
            message = no_such_verb(word, CLI_VERBS, "workbench --help")
        super().error(message)


def _common(*, again: bool) -> argparse.ArgumentParser:
    """Return the options of every verb, which may stand before the verb and after it (`again`: those of the former stay)."""
    how: dict[str, Any] = {"default": argparse.SUPPRESS} if again else {}
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--json", action="store_true", help="write JSON: sizes in bytes, times in seconds", **how)
    store = parser.add_mutually_exclusive_group()
    store.add_argument("--directory", metavar="DIR", help="the store's directory", **how)
    action = store.add_argument("--namespace", metavar="NAME", help="the store, if you have several", **how)
    action.completer = completion.namespace_names  # type: ignore[attr-defined]  # where argcomplete looks for it
    cluster = parser.add_mutually_exclusive_group()
    cluster.add_argument("--scheduler", metavar="ADDRESS", help="the cluster (default: that of this host)", **how)
    cluster.add_argument("--local", action="store_true", help="this host's store alone, no cluster", **how)
    return parser


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="workbench",
        usage="workbench [OPTIONS] VERB [-h] ...",
        description="See, move and delete the objects of the shared-memory workbench.\n\n" + overview(CLI_VERBS, " "),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_common(again=False)],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"workbench {__version__}")
    add_verbs(parser, CLI_VERBS, parents=[_common(again=True)])
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and print its answer.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``workbench``; those of the process if None.

    Returns
    -------
    int
        The exit code.
    """
    parser = build_parser()
    completion.autocomplete(parser)
    args = parse(parser, argv)
    for one, other in (("directory", "namespace"), ("scheduler", "local")):
        if getattr(args, one) and getattr(args, other):  # one before the verb and one after it
            parser.error(f"argument --{one}: not allowed with argument --{other}")
    args.confirm = _confirm
    warnings.formatwarning = lambda message, *_, **__: f"workbench: {printable(_in_our_words(args, str(message)))}\n"
    if sys.stderr.isatty() and not args.json:
        progress.show_with(progress.TerminalLine())
    try:
        code = _run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read this has read enough (head); Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (WorkbenchError, ValueError, OSError) as error:
        print(f"workbench: {printable(_in_our_words(args, str(error)))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _run(args: argparse.Namespace) -> int:
    with contextlib.nullcontext() if args.verb.alone else reached(args) as session:
        answer = args.verb.run(session, args)
        if not args.json:
            if said := args.verb.says(answer, args):
                print(printable(_in_our_words(args, said)))
            answer = answer_in_words_of("workbench", _VERBS, answer, connects=_connects(args))
        _show(answer, as_json=args.json)
        code: int = args.verb.exit_code(answer)
        return code


def _in_our_words(args: argparse.Namespace, message: str) -> str:
    return in_words_of("workbench", _VERBS, message, connects=_connects(args))


def _connects(args: argparse.Namespace) -> bool:
    return bool(args.verb.cluster != "never")


def _confirm(objects: Sequence[ObjectInfo]) -> bool:
    """Ask whoever is at the terminal; where nobody is, only ``--yes`` is an answer."""
    if not sys.stdin.isatty():
        raise ValueError(
            f"This would delete {len(objects)} objects, and there is no terminal to ask at. Nothing was deleted. Add --yes to delete them."
        )
    nbytes = format_nbytes(sum(info.nbytes for info in objects))
    print(Listing(objects, of=ObjectInfo), file=sys.stderr)
    print(f"Delete these {len(objects)} objects, {nbytes}? [y/N] ", end="", file=sys.stderr, flush=True)
    agreed = sys.stdin.readline().strip().lower() in {"y", "yes"}
    if not agreed:
        print("Nothing was deleted.", file=sys.stderr)
    return agreed


def _show(answer: Any, *, as_json: bool) -> None:
    if isinstance(answer, Iterator):
        with contextlib.closing(answer):  # type: ignore[type-var]  # a Watch; a generator would have it, too
            for item in answer:
                print(
                    json.dumps(to_json(item)) if as_json else "  ".join(map(printable, rows_of([item])[1][0])),
                    flush=True,
                )
        return
    text = _json(answer) if as_json else _text(answer)
    if text:
        print(text)  # a command line answers by printing


def _text(answer: Any) -> str:
    if answer is None:
        return ""
    return text_fields(fields_of(answer)) if isinstance(answer, Ref) else str(answer)


def _json(answer: Any) -> str:
    is_sequence = isinstance(answer, Sequence) and not isinstance(answer, str)
    return json.dumps(to_json(list(answer) if is_sequence else answer), indent=2)


if __name__ == "__main__":
    sys.exit(main())
