"""The command line: ``workbench ls``, ``workbench replicate flights -n 2`` and so on.

Covers options, output (a table, or JSON for programs) and exit codes: 0, 1 for an error, 2 for a wrong call. The verbs are
those of ``%wb`` and some more (``verbs/``). A cluster is found through the connection file in the store's directory.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from workbench import __version__, completion
from workbench.errors import WorkbenchError
from workbench.listing import Listing, fields_of, printable, rows_of, text_fields
from workbench.objects import ObjectInfo, format_nbytes, to_json
from workbench.session import Session
from workbench.store import default_directory
from workbench.verbs import TERMINAL_VERBS, VERBS, Verb, add_verbs, overview

__all__ = ["main"]

_EPILOG = """\
examples:
  workbench ls 'flights*'
  workbench holders flights --json
  workbench ls --help

The store is that of --directory or --namespace, else of WORKBENCH_DIR or
WORKBENCH_NAMESPACE, else your own in /dev/shm.
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


def _common() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--json", action="store_true", help="write JSON: sizes in bytes, times in seconds")
    store = parser.add_mutually_exclusive_group()
    store.add_argument("--directory", metavar="DIR", help="the store's directory")
    action = store.add_argument("--namespace", metavar="NAME", help="one of several stores; `namespaces` lists them")
    action.completer = completion.namespace_names  # type: ignore[attr-defined]  # where argcomplete looks for it
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="the cluster's scheduler (default: the one found on this host)"
    )
    return parser


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="workbench",
        usage="workbench VERB [-h] ...",
        description="See, move and delete the objects of the shared-memory workbench.\n\n" + overview(CLI_VERBS, " "),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"workbench {__version__}")
    add_verbs(parser, CLI_VERBS, parents=[_common()])
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
    args = parser.parse_args(argv)
    args.confirm = _confirm
    try:
        _run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read this has read enough (head); Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (WorkbenchError, ValueError, OSError) as error:
        print(f"workbench: {printable(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _run(args: argparse.Namespace) -> None:
    if args.verb.alone:
        _show(args.verb.run(None, args), as_json=args.json)
        return
    with _session(args) as session:
        session.store.set_process("script", f"workbench {args.verb.name}")
        if args.scheduler is not None:
            session.connect(args.scheduler)
        elif args.verb.cluster and (session.store.directory / "connection.json").exists():
            session.connect()
        _show(args.verb.run(session, args), as_json=args.json)


def _session(args: argparse.Namespace) -> Session:
    if args.namespace is not None and not default_directory(args.namespace).exists():
        # A slip of the finger is no wish for one more store.
        raise ValueError(
            f"There is no store {args.namespace!r}; `workbench namespaces` lists those that there are. "
            f"To make it: WORKBENCH_NAMESPACE={args.namespace} workbench ls"
        )
    return Session(args.directory, namespace=args.namespace)


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
    if isinstance(answer, list):
        return "\n".join(answer) if answer else "nothing to report"
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        return text_fields(fields_of(answer))
    return str(answer)


def _json(answer: Any) -> str:
    is_sequence = isinstance(answer, Sequence) and not isinstance(answer, str)
    return json.dumps(to_json(list(answer) if is_sequence else answer), indent=2)


if __name__ == "__main__":
    sys.exit(main())
