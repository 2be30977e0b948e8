"""The command line: real processes, their output and exit codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pexpect
import pytest

import workbench as wb
from tests.processes import Process, environment, run
from workbench.cli import CLI_VERBS, build_parser, main
from workbench.listing import Listing
from workbench.objects import OperationInfo
from workbench.verbs import Verb
from workbench.verbs.wording import answer_in_words_of, in_words_of

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(store_directory: Path) -> Run:
    """Return a function that runs ``workbench`` on the test's store."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "workbench.cli", *words],
            env=environment(store_directory, COLUMNS="100"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def main_here(store_directory: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that does the same in this process: a tenth of the time."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        try:
            code: int | str | None = main(words)
        except SystemExit as ended:
            code = ended.code
        shown = capsys.readouterr()
        assert isinstance(code, int)
        return subprocess.CompletedProcess(words, code, shown.out, shown.err)

    return run


def test_memory_shows_what_is_left_after_idle_memory_was_given_back(store_directory: Path) -> None:
    """Nobody had the store open when it was time: the command that gives it back says how it is then."""
    assert (
        run("import workbench as wb; wb.put(b'x' * 30_000_000, 'x'); wb.delete('x')", store_directory).returncode == 0
    )
    command = [sys.executable, "-m", "workbench", "memory", "--json"]
    for idle, pooled in (("never", True), ("0", False)):
        variables = environment(store_directory, WORKBENCH_POOL_IDLE=idle)
        shown = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=True).stdout
        assert bool(json.loads(shown)["pooled"]) is pooled


def test_ls_shows_a_table_and_json(cli: Run) -> None:
    """What is in the store is listed for people and for programs."""
    assert cli("ls").stdout == "no objects\n"
    assert json.loads(cli("ls", "--json").stdout) == []
    ref = wb.put(np.arange(1000), "a\nb")
    table = cli("ls").stdout
    assert len(table.splitlines()) == 2 and r"a\nb" in table
    (found,) = json.loads(cli("ls", "--json").stdout)
    assert (found["id"], found["name"], found["nbytes"]) == (ref.id, "a\nb", ref.nbytes)
    assert json.loads(cli("ls", "x*", "--json").stdout) == []


def test_ls_shows_a_page(cli: Run) -> None:
    """Kind, names, order and length of a listing are options."""
    for number in range(5):
        wb.put(np.zeros(100 * (number + 1)), f"runs/{number}")
    wb.put({"a": 1})
    names = [info["name"] for info in json.loads(cli("ls", "--json").stdout)]
    assert names == [None, "runs/4", "runs/3", "runs/2", "runs/1", "runs/0"]
    for words, expected in (
        (("runs/*", "--limit", "2"), ["runs/4", "runs/3"]),
        (("--unnamed",), [None]),
        (("--kind", "array", "--sort", "name", "--limit", "1"), ["runs/0"]),
        (("--sort", "size", "--limit", "1"), ["runs/4"]),
    ):
        assert [info["name"] for info in json.loads(cli("ls", *words, "--json").stdout)] == expected


def test_rm_deletes_names_and_patterns(cli: Run) -> None:
    """Several names, patterns and ids; what was deleted is shown; a name that is none deletes nothing."""
    for name in ("a", "runs/1", "runs/2", "x[1]", "x1"):
        wb.put(1, name)
    ended = cli("rm", "a", "nope")
    assert ended.returncode == 1 and wb.exists("a")
    assert "no object 'nope'" in ended.stderr and ended.stderr.endswith("Nothing was deleted.\n")
    assert "Nothing was" not in cli("rm", "nope").stderr
    deleted = json.loads(cli("rm", "runs/*", "a", "--yes", "--json").stdout)
    assert {info["name"] for info in deleted} == {"a", "runs/1", "runs/2"}
    assert "x[1]" in cli("rm", "x[1]").stdout
    assert [info.name for info in wb.ls()] == ["x1"]
    ended = cli("rm", "runs/*")
    assert ended.returncode == 1 and "No object has a name that fits 'runs/*'" in ended.stderr
    ended = cli("rm")
    assert ended.returncode == 2 and "say which objects to delete" in ended.stderr


def test_a_wrong_word_gets_the_right_one(main_here: Run) -> None:
    """What is no verb, an option of another verb's, and a folder instead of a pattern are answered with what to say instead."""
    wb.put(1, "runs/1")
    assert "wb.put(value, name)" in main_here("put", "x").stderr
    assert "did you mean 'ls'" in main_here("LS").stderr
    ended = main_here("ls", "--bogus")
    assert ended.returncode == 2 and "unrecognized arguments: --bogus" in ended.stderr and "PATTERN" in ended.stderr
    assert main_here("ls", "runs/").stdout == (
        "no objects\nNo name is 'runs/'. `workbench ls 'runs/*'` lists the names that begin so.\n"
    )
    for words in (("node-2",), ("--from", "node-2"), ("--node", "node-2")):
        args = build_parser().parse_args(["drop", "runs/1", *words])
        assert (args.node or args.source) == "node-2"


def test_what_was_done_is_said(main_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verbs that keep, move, write and delete say what they did, one line for each object; JSON has lists."""
    wb.put(np.arange(200_000), "x")
    wb.put(1, "small")
    monkeypatch.setenv("WORKBENCH_SPILL_DIRECTORY", str(tmp_path / "spilled"))
    ended = main_here("spill", "x")
    assert (ended.stdout, ended.stderr) == ("spilled x to disk\n", "")
    assert main_here("spill", "x").stdout == "x was on disk already\n"
    assert main_here("restore", "x", "small").stdout == "restored x to memory\nsmall was in memory already\n"
    assert json.loads(main_here("pin", "x", "--json").stdout) == ["pinned x"]
    assert main_here("unpin", "x", "small").stdout == "unpinned x\nsmall was not pinned\n"
    assert main_here("get", "x", "-o", str(tmp_path / "x.npy")).stdout.startswith(
        f"wrote x to {tmp_path}/x.npy, 1.5 MiB"
    )
    assert "nothing to spill" in main_here("spill", "small").stderr
    assert main_here("rm", "x", "small").stdout.startswith("deleted 2 objects\n")


def test_what_keeps_objects_takes_patterns(main_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pin, unpin, spill and restore act on all that fits; one that refuses does not stop the others, all that do are an error."""
    for name in ("runs/1", "runs/2", "x*"):
        wb.put(1, name)
    assert main_here("pin", "runs/*").stdout == "pinned runs/1\npinned runs/2\n"
    assert main_here("unpin", "x*", "runs/?").stdout == "x* was not pinned\nunpinned runs/1\nunpinned runs/2\n"
    assert "No object has a name that fits 'n*'" in main_here("unpin", "n*").stderr
    ended = main_here("spill", "runs/*")
    assert ended.returncode == 1 and "nothing to spill" in ended.stderr
    wb.put(np.arange(100_000), "runs/3")
    monkeypatch.setenv("WORKBENCH_SPILL_DIRECTORY", str(tmp_path))
    ended = main_here("spill", "runs/*")
    assert ended.returncode == 1 and ended.stdout.startswith("spilled runs/3 to disk\nnot done: runs/1: ")
    ended = main_here("pin", "runs/*", "nope")
    assert ended.returncode == 1 and "There is no object 'nope'" in ended.stderr and not wb.info("runs/3").pinned
    assert main_here("load", "x.wb", "--name", "y").returncode == 2, "it is no short form of --namespace"
    with pytest.raises(wb.ObjectNotFoundError, match="A key names one object"):
        wb.delete("runs/[12]")


def test_rm_of_a_pattern_needs_an_answer(cli: Run) -> None:
    """Where nobody can be asked, several objects are deleted only with ``--yes``."""
    for number in range(3):
        wb.put(number, f"runs/{number}")
    done = cli("rm", "runs/*")
    assert done.returncode == 1 and "would delete 3 objects" in done.stderr and "Add --yes" in done.stderr
    assert len(wb.ls()) == 3


def test_a_pattern_fits_no_object_without_a_name(main_here: Run) -> None:
    """``rm '*'`` deletes what has a name, and ``ls '*'`` lists that; ``ls`` alone shows all; the others go by --unnamed."""
    for name in ("a", "b"):
        wb.put(1, name, tags={"project": name})
    wb.put(3)
    assert len(json.loads(main_here("ls", "*", "--json").stdout)) == 2 == len(wb.ls()) - 1
    assert [each["name"] for each in json.loads(main_here("ls", "--tag", "project=b", "--json").stdout)] == ["b"]
    assert len(json.loads(main_here("ls", "--tag", "project", "--json").stdout)) == 2
    assert "no pattern fits them" in " ".join(main_here("rm", "--help").stdout.split())
    assert main_here("pin", "*").stdout == "pinned a\npinned b\n"
    assert main_here("rm", "*", "--yes").returncode == 0
    assert [info.name for info in wb.ls()] == [None]


def test_rm_clears_the_unnamed(cli: Run) -> None:
    """Objects without a name go in one action; named and pinned ones stay."""
    wb.put(1, "named")
    wb.put(2)
    wb.put(3)
    pinned = wb.put(4, pin=True)
    assert len(json.loads(cli("rm", "--unnamed", "--yes", "--json").stdout)) == 2
    assert {info.id for info in wb.ls()} == {wb.info("named").id, pinned.id}


@pytest.mark.parametrize(("answer", "left"), [("n", 2), ("", 2), ("y", 0)])
def test_rm_asks_at_a_terminal(store_directory: Path, answer: str, left: int) -> None:
    """Whoever sits at a terminal sees what a pattern matches, and is asked; ``--yes`` asks nothing."""
    wb.put(1, "runs/1")
    wb.put(2, "runs/2")
    shell = pexpect.spawn(
        sys.executable,
        ["-m", "workbench.cli", "rm", "runs/*"],
        env=environment(store_directory),
        encoding="utf-8",
        timeout=60,
    )
    shell.expect_exact("Delete these 2 objects, ")
    assert "runs/1" in str(shell.before) and "runs/2" in str(shell.before)
    shell.sendline(answer)
    shell.expect(pexpect.EOF)
    shell.close()
    assert len(wb.ls()) == left
    if left:
        assert (
            pexpect.run(
                f"{sys.executable} -m workbench.cli rm runs/* --yes",
                env=environment(store_directory),
                withexitstatus=True,
            )[1]
            == 0
        )
        assert len(wb.ls()) == 0


def test_get_shows_and_writes(cli: Run, tmp_path: Path) -> None:
    """Without a file, a few lines; with one, the format that its suffix says."""
    frame = pd.DataFrame({"x": np.arange(1000.0), "s": ["a", "b"] * 500})
    wb.put(frame, "frame")
    shown = cli("get", "frame").stdout
    assert shown.startswith("pandas.DataFrame, 1,000 x 2, ") and "999.0" in shown and len(shown.splitlines()) < 20
    assert "999.0" in json.loads(cli("get", "frame", "--json").stdout)
    done = cli("get", "frame", "-o", str(tmp_path / "frame.parquet"))
    assert done.returncode == 0 and done.stdout.startswith(f"wrote frame to {tmp_path}/frame.parquet, ")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "frame.parquet"), frame)
    for name, message in (
        ("frame.txt", "no suffix that says a format"),
        ("no/frame.csv", "non-existent directory"),
        ("frame.npy", "'frame' is a DataFrame"),
    ):
        ended = cli("get", "frame", "-o", str(tmp_path / name))
        assert ended.returncode == 1 and message in ended.stderr and len(ended.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["frame.parquet"]


def test_get_prints_for_the_next_program(main_here: Run, tmp_path: Path) -> None:
    """``-o -`` prints tables as CSV and the rest as JSON, or what --format says, and nothing beside it."""
    wb.put(pd.DataFrame({"x": [1, 2]}), "frame")
    wb.put({"a": [1, 2]}, "settings")
    assert main_here("get", "frame", "-o", "-").stdout == "x\n1\n2\n"
    assert main_here("get", "settings", "-o", "-").stdout == '{"a": [1, 2]}'
    assert main_here("get", "frame", "-o", "-", "--format", "json").stdout == '[{"x":1},{"x":2}]'
    assert main_here("get", "frame", "-o", f"{tmp_path}/frame", "--format", "csv").stdout.startswith("wrote frame to ")
    assert (tmp_path / "frame").read_text() == "x\n1\n2\n"
    assert "say which: -o FILE" in main_here("get", "frame", "--format", "csv").stderr
    assert "takes no --json" in main_here("get", "frame", "-o", "-", "--json").stderr


def test_save_and_load(cli: Run, tmp_path: Path) -> None:
    """An object travels through a file; errors are one line."""
    ref = wb.put(np.arange(100_000), "x")
    assert ref.id in cli("save", "x", str(tmp_path / "x.wb")).stdout
    assert json.loads(cli("load", str(tmp_path / "x.wb"), "y", "--json").stdout)["name"] == "y"
    assert wb.get("y").size == 100_000
    ended = cli("load", str(tmp_path / "nope"))
    assert ended.returncode == 1 and "cannot be read" in ended.stderr


def test_spill_and_restore(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object goes to disk and comes back, and the listing says where it is."""
    monkeypatch.setenv("WORKBENCH_SPILL_DIRECTORY", str(tmp_path))
    wb.put(np.arange(100_000), "x")
    for verb, state in (("spill", "disk"), ("restore", "memory")):
        assert cli(verb, "x").returncode == 0
        assert [each["state"] for each in json.loads(cli("where", "x", "--json").stdout)] == [state]
    wb.put(1, "small")
    ended = cli("spill", "small")
    assert ended.returncode == 1 and "lies in the catalog itself" in ended.stderr


def test_watch_prints_as_it_happens(store_directory: Path) -> None:
    """Each event is a line at once, in JSON a document a line; it ends at its timeout or at Ctrl-C, without a complaint."""
    wb.put(0, "before")
    for words in ((), ("--json",)):
        process = subprocess.Popen(
            [sys.executable, "-m", "workbench.cli", "watch", "a*", *words],
            env=environment(store_directory),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        deadline = time.monotonic() + 30
        while len(list((store_directory).glob("holder-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        writer = threading.Thread(target=put_until, args=(process, deadline))
        writer.start()
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
        writer.join()
        assert (process.returncode, complaint) == (130, "")
        assert json.loads(line)["name"] == "a\nb" if words else r"a\nb" in line
        assert (json.loads(line)["what"] if words else line.split()[1]) in {"put", "delete"}


def put_until(process: subprocess.Popen[str], deadline: float) -> None:
    """Put objects until a process has ended, which may not have begun to watch yet."""
    while process.poll() is None and time.monotonic() < deadline:
        wb.put(1, "a\nb")
        time.sleep(0.05)


def test_watch_ends_at_its_timeout(cli: Run) -> None:
    """Nothing happened: nothing is printed, and that is no error."""
    ended = cli("watch", "--timeout", "0.1")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_namespace_is_not_made_by_a_slip(cli: Run) -> None:
    """A store that is not there is an error that says how to make it, and where to see those that are."""
    ended = cli("ls", "--namespace", f"t{os.getpid()}-nope")
    assert ended.returncode == 1
    assert "There is no store" in ended.stderr and "workbench namespaces" in ended.stderr
    assert cli("ls", "--namespace", "a", "--directory", "b").returncode == 2
    wb.put(1, "x")
    (found,) = [each for each in json.loads(cli("namespaces", "--json").stdout) if each["current"]]
    assert (found["name"], found["objects"]) == ("default", 1)


def test_verbs_without_a_cluster(cli: Run) -> None:
    """Info, where, nodes, memory, holders, pin, doctor and delete (another word for rm) work on the store of this host."""
    wb.put(np.arange(10), "x")
    assert "numpy.ndarray" in cli("info", "x").stdout
    assert len(json.loads(cli("where", "x", "--json").stdout)) == 1
    assert [node["state"] for node in json.loads(cli("nodes", "--json").stdout)] == ["local"]
    assert json.loads(cli("memory", "--json").stdout)["sealed"] > 0
    assert cli("holders").stdout == "no holders\n"
    assert cli("doctor").stdout == "nothing to report\n"
    assert json.loads(cli("doctor", "--json").stdout) == {"damage": [], "reclaimed": [], "left": []}
    assert cli("pin", "x").returncode == 0 and wb.info("x").pinned
    assert cli("delete", "x").returncode == 0 and not wb.exists("x")


def test_zombies_are_listed_with_who_keeps_them(cli: Run) -> None:
    """What is deleted, but still mapped, has its old name and a mark, and its bytes are in `memory`."""
    wb.put(np.arange(100_000), "x")
    array = wb.get("x")
    wb.delete("x")
    assert "x (deleted)" in cli("holders").stdout and str(os.getpid()) in cli("holders").stdout
    (zombie,) = json.loads(cli("holders", "--json").stdout)
    assert (zombie["pid"], zombie["name"], zombie["state"], zombie["object"]) == (os.getpid(), "x", "deleted", None)
    assert json.loads(cli("memory", "--json").stdout)["deleted"] == zombie["nbytes"] >= array.nbytes
    del array
    assert cli("holders").stdout == "no holders\n"


def test_looking_makes_no_store(main_here: Run, store_directory: Path) -> None:
    """A directory with a slip in it is an error; before the first put, there is nothing to list."""
    wrong = store_directory.with_name("wrong")
    for words in (("ls",), ("memory",), ("info", "x"), ("doctor",), ("holders",)):
        ended = main_here("--directory", str(wrong), *words)
        assert ended.returncode == 1 and f"There is no store in {wrong}" in ended.stderr
    assert (main_here("ls").stdout, main_here("holders").stdout, main_here("rm", "x").returncode) == (
        "no objects\n",
        "no holders\n",
        1,
    )
    assert not wrong.exists() and not store_directory.exists()


def test_options_may_stand_before_the_verb(main_here: Run, store_directory: Path) -> None:
    """Before the verb or after it, and one of each kind."""
    wb.put(1, "x")
    words = ("--json", "--directory", str(store_directory))
    before, after = main_here(*words, "--local", "ls"), main_here("ls", "--local", *words)
    assert before.stdout == after.stdout and json.loads(after.stdout)[0]["name"] == "x"
    ended = main_here("--namespace", "a", "ls", "--directory", "b")
    assert ended.returncode == 2 and "not allowed with argument --namespace" in ended.stderr
    assert main_here("--scheduler", "a", "ls", "--local").returncode == 2


def test_the_doctor_says_by_its_exit_code_that_something_is_broken(main_here: Run, store_directory: Path) -> None:
    """Damage is 3, also when it is found a second time; what is put right is 0."""
    wb.put(np.arange(100_000), "x")
    (segment,) = store_directory.glob("*.segment")
    os.utime(segment, (5, 5))
    ended = main_here("doctor")
    assert (ended.returncode, ended.stderr) == (3, "") and "Object" in ended.stdout
    found = json.loads(main_here("doctor", "--json").stdout)
    assert len(found["damage"]) == 1 and not found["left"]
    wb.delete("x")
    assert main_here("doctor").returncode == 0


def test_the_doctor_tells_what_was_reclaimed_by_opening_the_store(main_here: Run, store_directory: Path) -> None:
    """What a process left that was killed in the middle of a put is told, though opening the store has put it right before."""
    with Process(store_directory) as process:
        process.do("import workbench as wb; made = wb.create(1_000_000); array = made.__enter__()")
        process.kill()
    assert "was left writing by a process that died: removed" in main_here("doctor").stdout
    assert main_here("doctor").stdout == "nothing to report\n"


def test_a_store_that_is_not_there_is_said_in_the_same_words_by_all(main_here: Run, store_directory: Path) -> None:
    """Lists are empty then, and say why; what needs a store is an error."""
    said = f"workbench: There is no store in {store_directory}: nothing was put there yet. The first put makes it.\n"
    assert (main_here("ls").stdout, main_here("ls").stderr) == ("no objects\n", said)
    assert (main_here("memory").returncode, main_here("memory").stderr) == (1, said)
    assert (json.loads(main_here("ls", "--json").stdout), main_here("ls", "--json").stderr) == ([], "")
    assert not store_directory.exists()


def test_python_runs_the_package(store_directory: Path) -> None:
    """``python -m workbench`` is the command line."""
    wb.put(1, "x")
    command = [sys.executable, "-m", "workbench", "info", "x", "--json"]
    done = subprocess.run(
        command, env=environment(store_directory), capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout)["name"] == "x"


def test_errors_name_verbs_and_options(main_here: Run) -> None:
    """What to do next is said in the words of the command line, with the names that are meant."""
    wb.put(1, "x")
    wb.put(1, "y y", pin=True)
    for words, said in {
        ("rename", "x", "y y"): "or add --replace to delete that one.",
        ("info", "q"): "`workbench ls` lists what there is.",
        ("info", "[a-c]*"): "`workbench ls '[a-c]*'` lists what fits",
        ("spill", "y y"): "",
        (
            "move",
            "x",
            "--to",
            "a",
        ): "Connect with --scheduler ADDRESS, or start one on this machine with wb.LocalCluster(nodes=2).",
    }.items():
        ended = main_here(*words)
        assert ended.returncode == 1 and said in ended.stderr, ended.stderr
        assert not re.search(r"=True|wb\.(ls|delete|unpin|connect)", ended.stderr), ended.stderr


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("use wb.delete, or say force=True to lose it", "use `workbench rm`, or add --force to lose it"),
        (
            "Undo that with wb.unpin first: wb.unpin('a b')",
            "Undo that with `workbench unpin` first: `workbench unpin 'a b'`",
        ),
        ("Give a name: wb.load(url, name); and", "Give a name: `workbench load URL NAME`; and"),
        ("of one that runs; wb.connect(address, timeout=60) waits for one that is starting.", "of one that runs."),
        ("wb.replicate(key, n=2)", "`workbench replicate KEY -n 2`"),
        ("wb.undrain('node-2') gives it back", "`workbench undrain node-2` gives it back"),
        ("put it with wb.put(obj, 'x'), see wb.memory()", "put it with wb.put(obj, 'x'), see `workbench memory`"),
        ("wb.remove_namespace('x')", "`workbench remove-namespace x`"),
        ("An object is called 'say force=false' already", "An object is called 'say force=false' already"),
    ],
)
def test_python_in_a_message_becomes_words(message: str, words: str) -> None:
    """Functions that have a verb become that, keywords options; the rest stays as it is."""
    assert in_words_of("workbench", [verb.name for verb in CLI_VERBS], message) == words


def test_connecting_is_an_option_only_of_verbs_that_take_it() -> None:
    """`workbench pin` is about this host alone: what it says of a cluster is for Python."""
    message = "wb.connect() reaches its other nodes, too."
    assert in_words_of("workbench", [], message) == "--scheduler ADDRESS reaches its other nodes, too."
    assert in_words_of("workbench", [], message, connects=False) == message


def test_reasons_of_operations_are_said_in_words_too() -> None:
    """What a table of operations says to do next is a verb; JSON has what the cluster said."""
    failed = OperationInfo(
        *("1", "drain", "", "n", (), "failed", 0, 0, None, None, 0.0, 1.0), ("wb.memory()",), "wb.undrain('n')"
    )
    said = answer_in_words_of("workbench", ["undrain", "memory"], Listing([failed]))
    assert [(each.error, each.reasons) for each in said] == [("`workbench undrain n`", ("`workbench memory`",))]


def test_what_a_verb_acts_on_is_what_its_summary_says() -> None:
    """Verbs join the cluster of this host, but for those that say that they are about this host."""
    for verb in CLI_VERBS:
        assert ("on this host" in verb.summary or verb.alone) == (verb.cluster == "never"), verb.name


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("info", "nope"), 1, "There is no object 'nope'"),
        (("move", "x", "--to", "y"), 1, "LocalCluster"),
        (("ls", "--directory", "/proc/1/workbench"), 1, "/proc/1/workbench"),
        (("ls", "--scheduler", "not an address"), 1, "not an address"),
        (("ls", "--sort", "colour"), 2, "invalid choice"),
        (("replicate", "x"), 2, "required"),
        (("fly",), 2, "there is no verb 'fly'; see workbench --help"),
        (("lss",), 2, "did you mean 'ls'?"),
        (("rm",), 2, "say which objects to delete"),
        (("ls", "--limit", "x"), 2, "argument --limit: must be a whole number, at least 1, not 'x'"),
        (("watch", "--timeout", "x"), 2, "argument --timeout: must be a number of seconds, not 'x'"),
        (("bench", "--size", "10 GIG"), 2, "argument --size: must be a size from 1 byte on, such as"),
        (("bench", "--size", "0"), 2, "not '0'"),
        (
            ("bench", "--size", "10 PiB"),
            1,
            "An array of 10240.0 TiB is too large to measure with: this host has room for",
        ),
        (("remove-namespace", "none-such"), 1, "'none-such'. `workbench namespaces` lists those"),
        (("get", "f", "-o", "f.pkl"), 1, "cannot be written as .pkl"),
        (("undrain", "node-2"), 1, "Giving a node back needs a cluster"),
        (("ls", "--scheduler", "tcp://127.0.0.1:1"), 1, "give the address of one that runs.\n"),
        ((), 2, "VERB"),
    ],
)
def test_errors_are_a_message_and_an_exit_code(cli: Run, words: tuple[str, ...], code: int, message: str) -> None:
    """A failure is 1 and one line, a wrong call is 2 and how it is right; never a traceback."""
    wb.put(np.arange(10), "x")
    wb.put(lambda: 1, "f")
    ended = cli(*words)
    assert ended.returncode == code
    assert ended.stdout == ""
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    if code == 1:
        assert len(ended.stderr.splitlines()) == 1 and ended.stderr.startswith("workbench: ")


def test_help_and_version(cli: Run) -> None:
    """The overview names each verb and fits a screen; the version is the package's."""
    shown = cli("--help").stdout
    for verb in CLI_VERBS:
        assert re.search(rf"^  (\w+, )?{verb.name}[ ,]", shown, re.MULTILINE)
    assert len(shown.splitlines()) <= 48 and max(map(len, shown.splitlines())) <= 80
    assert cli("--version").stdout == f"workbench {wb.__version__}\n"


@pytest.mark.parametrize("verb", CLI_VERBS, ids=lambda verb: verb.name)
def test_help_of_a_verb_has_an_example_that_parses(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    """Each verb's help ends with an example, and the parser understands it."""
    parser = build_parser()
    with pytest.raises(SystemExit, match="0"):
        parser.parse_args([verb.name, "--help"])
    *_, title, example = capsys.readouterr().out.partition("example:\n")
    assert title == "example:\n" and verb.name != ""
    words = shlex.split(example.splitlines()[0], comments=True)
    assert words[:2] == ["workbench", verb.name]
    assert parser.parse_args(words[1:]).verb is verb


def test_reader_that_leaves_early_is_no_error(store_directory: Path) -> None:
    """``workbench ls | head -1`` ends without a complaint."""
    for number in range(300):
        wb.put(number, f"object with a rather long name, to fill the pipe, number {number}")
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench.cli", "ls", "--json"],
        env=environment(store_directory),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    os.read(read, 1)
    os.close(read)
    _, complaint = process.communicate(timeout=60)
    assert complaint == ""
