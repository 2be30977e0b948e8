"""The command line: ``workbench ls``, ``workbench replicate flights -n 2`` and so on.

Covers options, output (a table, or JSON for programs) and exit codes: 0, 1 for an error, 2 for a wrong call. The verbs are
those of ``%wb`` (``verbs.py``). A cluster is found through the connection file in the store's directory.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from workbench import __version__
from workbench.errors import WorkbenchError
from workbench.listing import fields_of, printable, text_fields
from workbench.objects import to_json
from workbench.session import Session
from workbench.verbs import VERBS, Verb, add_verbs, overview

__all__ = ["main"]

_EPILOG = """\
examples:
  workbench ls 'flights*'
  workbench replicate flights -n 2
  workbench holders flights --json

The store is that of --directory, else of WORKBENCH_DIR, else the user's own in /dev/shm.
"""

CLI_VERBS: tuple[Verb, ...] = (
    *VERBS,
    Verb("doctor", "reclaim what dead processes left, and look for damage", lambda session, _: session.store.doctor()),
)


def _common() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--json", action="store_true", help="write JSON: sizes in bytes, times in seconds")
    parser.add_argument("--directory", metavar="DIR", help="the store's directory")
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="the cluster's scheduler (default: the one found on this host)"
    )
    return parser


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="workbench",
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
    args = build_parser().parse_args(argv)
    try:
        text = _run(args)
        if text:
            print(text)  # a command line answers by printing
            sys.stdout.flush()
    except (WorkbenchError, ValueError) as error:
        print(f"workbench: {printable(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read this has read enough (head); Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _run(args: argparse.Namespace) -> str:
    with Session(args.directory) as session:
        session.store.set_process("script", f"workbench {args.verb.name}")
        if args.scheduler is not None:
            session.connect(args.scheduler)
        elif args.verb.cluster and (session.store.directory / "connection.json").exists():
            session.connect()
        answer = args.verb.run(session, args)
        return _json(answer) if args.json else _text(answer)


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
