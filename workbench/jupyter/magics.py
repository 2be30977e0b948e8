"""The magics: ``%share``, ``%%share``, ``%fetch`` and ``%wb``.

Covers what they do in the kernel. What their words mean is in ``parsing.py``, the verbs of ``%wb`` are in ``magic_verbs.py``, how values look is in ``display.py``. An error of the workbench is shown as one message
without a traceback of our own code; it stays an error, so that a notebook run stops there.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import difflib
import importlib
import inspect
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NoReturn

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class

import workbench
from workbench import codecs, lazy, progress, script_causes
from workbench.current import current_session
from workbench.errors import ObjectNotFoundError, WorkbenchError
from workbench.jupyter import bars, causes, display
from workbench.jupyter.completing import Completer, own_variables
from workbench.jupyter.magic_verbs import MAGIC_VERBS
from workbench.jupyter.messages import hide_our_frames, one_message, show_all_frames, users_code
from workbench.jupyter.parsing import MagicError, ShareWish, parse_fetch, parse_share, split
from workbench.listing import Listing
from workbench.objects import ObjectInfo, Ref
from workbench.session import Session
from workbench.texts import format_nbytes as size
from workbench.texts import printable, shape_text
from workbench.verbs import add_verbs, no_such_verb, overview, parse
from workbench.verbs.wording import answer_in_words_of, in_words_of

__all__ = ["WorkbenchMagics", "register", "unregister"]

_VERBS: Final = tuple(verb.name for verb in MAGIC_VERBS)
_ALL: Final = 0.99
"""Part of an object's bytes that is said to be all of it."""
_HELP = """\
%share VAR ..., EXPR as NAME  put values; %%share NAME: that of the cell's last line
%fetch NAME ..., NAME as VAR  map objects: no copy, read-only
%wb help VERB                 more about a verb; %share? and %fetch?: about those two
"""


def _confirm(objects: Sequence[ObjectInfo]) -> bool:
    """Refuse: a notebook is run from top to bottom, also with nobody there to ask."""
    names = ", ".join(printable(info.name or info.id, 40) for info in objects[:5])
    more = f" and {len(objects) - 5} more" if len(objects) > 5 else ""
    raise MagicError(f"These are {len(objects)} objects: {names}{more}. Add --yes to delete them.")


_INTERRUPTED: Final = (
    "Interrupted; no variable was assigned. What is on its way from another node goes on, for others may wait for it, too: `%wb operations` shows it, "
    "and `%wb operations --cancel ID` ends it."
)


class _Parser(argparse.ArgumentParser):
    """A parser that raises instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        if message == "unrecognized arguments: --json":
            message = (
                "--json is for terminals; here Python has the values: wb.ls().to_pandas(), wb.info(name).nbytes, ..."
            )
        raise MagicError(f"{message}\n{self.format_usage().strip()}")

    def exit(self, _status: int = 0, _message: str | None = None) -> NoReturn:
        raise _HelpShown


class _HelpShown(Exception):  # noqa: N818  # not an error
    """The help was printed; there is nothing else to do."""


@magics_class
class WorkbenchMagics(Magics):
    """The workbench's magics; ``%wb`` alone shows what there is."""

    @property
    def _ip(self) -> InteractiveShell:
        assert self.shell is not None  # the magics are only registered with a shell
        return self.shell

    @line_cell_magic
    def share(self, line: str, cell: str | None = None) -> Ref | Listing[Ref] | None:
        """Put values into the workbench, so that other notebooks can fetch them.

        %share VAR [VAR ...]        each under its own name
        %share EXPRESSION as NAME   one value under another name
        %%share NAME                the value of the cell's last line

        The variable keeps what it had, this notebook's own copy; %fetch NAME puts the shared one in its place.
        What was fetched is not written again: another name for it, or one more column, costs next to nothing.

        Options, before the rest or after it:
        --as NAME       the same as `as NAME`
        --pin           keep it in memory, also when its last name goes
        --ttl SECONDS   delete it after so long
        --replicas N    have it on so many nodes of the cluster
        """
        if _asks_for_help(line, WorkbenchMagics.share):
            return None
        with one_message(self._ip):
            wish = parse_share(line, cell=cell is not None)
            values = self._values(wish) if cell is None else {wish.name: self._run(cell)}
            if cell is not None and values[wish.name] is None:
                raise MagicError(
                    f"The value of the cell's last line is None, as that of print(...) is. Nothing was shared as {wish.name!r}. End the cell with the "
                    f"value to share; None itself: %share None as {wish.name!r}."
                )
        with one_message(self._ip), _words_of_magics():
            session = current_session()
            refs = []
            for name, value in values.items():
                old = _id_of(session, name)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", lazy.LazyWarning)  # in the words of magics, below
                    refs.append(session.put(value, name, pin=wish.pin, ttl=wish.ttl, replicas=wish.replicas))
                if old is not None:
                    print(f"replaced the object that had the name {printable(str(name))!r} (id {old})")  # noqa: T201  # the answer is the new one
                if said := lazy.about(
                    value, wish.expression or str(name), name, partial("%share {0} as {name}".format, name=name)
                ):
                    print(f"note: {said}")  # noqa: T201  # likewise
            return refs[0] if len(refs) == 1 else Listing(refs)

    @line_magic
    def fetch(self, line: str) -> None:
        """Map objects of the workbench and assign them to variables; a line for each says what it is.

        %fetch NAME [NAME ...]           each as the variable of that name
        %fetch NAME as VAR [NAME ...]    or as another one

        The pages are shared with everyone who fetched it, and read-only. Options:
        --as VAR            the same as `as VAR`
        --timeout SECONDS   wait until somebody has shared it
        """
        if _asks_for_help(line, WorkbenchMagics.fetch):
            return
        fetched: dict[str, tuple[Any, str]] = {}
        with one_message(self._ip), _words_of_magics():
            wish = parse_fetch(line)
            session = current_session()
            try:
                for variable, name in wish.variables.items():
                    fetched[variable] = self._fetch(session, variable, name, wish.timeout)
            except KeyboardInterrupt:
                fetched.clear()
                if session.cluster is None:
                    raise
                raise KeyboardInterrupt(_INTERRUPTED) from None
            except BaseException:
                fetched.clear()  # or the traceback would keep what was mapped before
                raise
        # All of them or none: a line that failed can be run again.
        for variable, (value, said) in fetched.items():
            self._ip.user_ns[variable] = value
            print(said)  # noqa: T201  # a magic answers by printing: a value that it returned would stay in Out

    def _fetch(self, session: Session, variable: str, name: str, timeout: float | None) -> tuple[Any, str]:
        _import_for(session, name)
        # A dataset is opened, not got: getting it would bring all of its partitions here.
        is_dataset = session.exists(name) and session.info(name).kind == "dataset"
        start = time.perf_counter()
        value = workbench.open(name) if is_dataset else session.get(name, timeout=timeout)
        seconds = time.perf_counter() - start
        info = session.info(name)
        if info.kind == "dataset":
            return value if is_dataset else workbench.open(name), _fetched(variable, name, info, "lazy", seconds)
        return value, _fetched(variable, name, info, _how(session, name, info), seconds)

    @line_magic
    def wb(self, line: str) -> Any:
        """Ask the workbench: %wb ls, %wb where NAME, %wb replicate NAME -n 2; %wb alone shows all verbs."""
        with one_message(self._ip), _words_of_magics():
            return self._answer(split(line))

    def _answer(self, words: list[str]) -> Any:
        if words[:1] == ["help"] and len(words) == 2 and words[1].lstrip("%") in {"share", "fetch"}:
            print(inspect.getdoc(getattr(WorkbenchMagics, words[1].lstrip("%"))))  # noqa: T201  # a magic answers by printing
            return None
        if words[:1] == ["help"] and len(words) == 2:
            words = [words[1], "--help"]
        if not words or words[0] in {"help", "-h", "--help"}:
            print(_HELP + overview(MAGIC_VERBS, "%wb"))  # noqa: T201  # a magic answers by printing
            return None
        known = [word for verb in MAGIC_VERBS for word in (verb.name, *verb.aliases)]
        if words[0] not in known:
            raise MagicError(f"%wb: {no_such_verb(words[0], MAGIC_VERBS, '%wb')}")
        if words[0] == "load" and words[2:3] == ["as"]:  # as %fetch has it
            del words[2]
        parser = _Parser(prog="%wb")
        add_verbs(parser, MAGIC_VERBS)
        try:
            args = parse(parser, words)
        except _HelpShown:
            return None
        args.shell, args.confirm = self._ip, _confirm
        try:
            answer = args.verb.run(current_session(), args)
        except WorkbenchError:
            raise
        except ValueError as error:
            raise MagicError(_in_words_of_magics(str(error))) from error
        if said := args.verb.says(answer, args):
            print(printable(_in_words_of_magics(said)))  # noqa: T201  # above the answer
        return answer_in_words_of("%wb", _VERBS, answer)

    def _values(self, wish: ShareWish) -> dict[str | None, Any]:
        if wish.expression is not None:
            with users_code(self._ip):
                name = self._ip.compile.cache(wish.expression, _number(self._ip))
                code = compile(wish.expression, name, "eval")
                return {wish.name: eval(code, self._ip.user_ns)}  # noqa: S307  # the user's own code
        missing = [name for name in wish.variables if name not in self._ip.user_ns]
        if missing:
            near = difflib.get_close_matches(missing[0], own_variables(self._ip), 3)
            hint = f" There is {', '.join(near)}." if near else ""
            raise MagicError(f"This notebook has no variable {missing[0]!r}.{hint}")
        return {name: self._ip.user_ns[name] for name in wish.variables}

    def _run(self, cell: str) -> Any:
        """Run a cell and return the value of its last line: an expression, or an assignment to one variable."""
        shell = self._ip
        source = f"\n{shell.transform_cell(cell)}"  # the first line of the cell was the magic
        filename = shell.compile.cache(source, _number(shell))
        with users_code(shell):
            tree = shell.transform_ast(shell.compile.ast_parse(source, filename))
        last = tree.body[-1] if tree.body else None
        match last:
            case ast.Expr(value=value):
                tree.body.pop()
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                value = ast.copy_location(ast.Name(name, ast.Load()), last)
            case _:
                raise MagicError("The last line of the cell has no value; end it with an expression or an assignment.")
        with users_code(shell):
            exec(compile(tree, filename, "exec"), shell.user_ns)  # noqa: S102  # the user's own cell
            return eval(compile(ast.Expression(value), filename, "eval"), shell.user_ns)  # noqa: S307  # likewise


def _in_words_of_magics(message: str) -> str:
    return in_words_of("%wb", _VERBS, message)


@contextlib.contextmanager
def _words_of_magics() -> Iterator[None]:
    """Let an error of the workbench say what to do next by magics."""
    try:
        yield
    except WorkbenchError as error:
        error.message = _in_words_of_magics(error.message)
        raise


def _number(shell: InteractiveShell) -> int:
    """Return the number of the cell that runs; ``execution_count`` may be the next one's already."""
    return max(0, len(shell.user_ns.get("In", ())) - 1)


def _asks_for_help(line: str, magic: Callable[..., Any]) -> bool:
    """Print the help of a magic if that is what its line asks for."""
    if line.strip() not in {"-h", "--help"}:
        return False
    print(inspect.getdoc(magic))  # noqa: T201
    return True


def _id_of(session: Session, name: str | None) -> str | None:
    """Return the id of the object that has a name, if one has it."""
    try:
        return None if name is None or not session.exists(name) else session.info(name).id
    except ObjectNotFoundError:
        return None  # deleted in this moment


def _import_for(session: Session, name: str) -> None:
    """Import the library of an object's type beforehand, so that the time that is shown is that of mapping it."""
    if session.store.exists(name):
        kind = session.store.info(name).type
        library = kind.rpartition(".")[0] if kind.startswith("dask.") else kind.partition(".")[0]
        if library in {"numpy", "pandas", "polars", "pyarrow", "dask.dataframe", "dask.array"}:
            importlib.import_module(library)


def _how(session: Session, name: str, info: ObjectInfo) -> str:
    """Say how much of an object that was fetched is shared."""
    if not session.store.exists(name) or not session.store.segments_of(name):
        return "small: a copy"
    record = session.store.read(name)
    pickled = codecs.pickled_nbytes(record.header, record.buffers)
    if not pickled:
        return "shared"
    is_all = pickled >= _ALL * (info.nbytes + info.shared_nbytes)
    return "a copy: it is pickled" if is_all else f"shared but for {size(pickled)} that are pickled"


def _fetched(variable: str, name: str, info: ObjectInfo, how: str, seconds: float) -> str:
    title = variable if name == variable else f"{variable} = {printable(name, 60)!r}"
    parts = [
        info.type,
        shape_text(info.shape),
        size(info.nbytes + info.shared_nbytes),
        how,
        f"fetched in {_duration(seconds)}",
    ]
    lines = [f"{title}: {', '.join(part for part in parts if part)}"]
    return "\n".join([*lines, *(f"note: {printable(note)}" for note in info.notes)])


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


@dataclasses.dataclass(frozen=True)
class _Parts:
    """What a shell that has the magics was given besides."""

    completer: Completer
    after_cell: causes.AfterCell


_REGISTERED: weakref.WeakKeyDictionary[InteractiveShell, _Parts] = weakref.WeakKeyDictionary()


def register(shell: InteractiveShell) -> None:
    """Add the magics, the display of values, completion and bars to IPython; doing it twice changes nothing.

    Parameters
    ----------
    shell : InteractiveShell
    """
    display.register(shell)
    if shell in _REGISTERED:
        return
    shell.register_magics(WorkbenchMagics)
    parts = _REGISTERED[shell] = _Parts(Completer(shell, MAGIC_VERBS), causes.AfterCell(shell))
    parts.completer.register()
    shell.events.register("post_run_cell", parts.after_cell)
    script_causes.look_with(partial(causes.note, shell))
    progress.show_with(bars.display_for(shell))
    hide_our_frames(shell)


def unregister(shell: InteractiveShell) -> None:
    """Undo :func:`register` as far as IPython can: its magics stay known to the shell."""
    display.unregister(shell)
    parts = _REGISTERED.pop(shell, None)
    if parts is not None:
        parts.completer.unregister()
        shell.events.unregister("post_run_cell", parts.after_cell)
        progress.show_with(None)
        script_causes.look_with(None)
        show_all_frames(shell)
