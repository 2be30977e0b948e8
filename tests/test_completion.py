"""Completion in real shells: verbs, options, and the names of objects as they are at this moment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pexpect
import pytest

import workbench as wb
from tests.processes import completions, environment

BIN = str(Path(sys.executable).parent)


@pytest.fixture
def offered(store_directory: Path) -> Callable[..., list[str]]:
    """Return a function that asks as a shell does (argcomplete's protocol)."""
    return partial(completions, store_directory)


def test_verbs_options_and_names_are_offered(offered: Callable[..., list[str]]) -> None:
    """Verbs first, then names of objects that are there, options after a dash, shells for completion."""
    for name in ("flights", "flowers", "my data", "trains", "bad\nname"):
        wb.put(1, name)
    assert offered("workbench sa") == ["save"]
    assert {"ls", "info", "rm", "get", "watch"} <= set(offered("workbench "))
    assert offered("workbench info fl") == ["flights", "flowers"]
    assert offered("workbench rm flights tr") == ["trains"]
    assert offered("workbench pin my") == [r"my\ data"]
    assert offered("workbench info bad") == []
    assert offered("workbench ls --uns") == [] and offered("workbench ls --unn") == ["--unnamed"]
    assert offered("workbench ls --kind ") == ["object"] and offered("workbench ls --kind x") == []
    assert offered("workbench completion f") == ["fish"]
    wb.delete("flights")
    assert offered("workbench info fl") == ["flowers"]


def test_names_of_another_store_are_offered_when_it_is_named(
    offered: Callable[..., list[str]], memory_directory: Path
) -> None:
    """``--directory`` on the line decides whose names are completed; a store that is not there is not made."""
    with wb.Session(memory_directory / "other") as other:
        other.put(1, "elsewhere")
    assert offered(f"workbench info --directory {memory_directory}/other else") == ["elsewhere"]
    assert offered(f"workbench info --directory {memory_directory}/none else") == []
    assert not (memory_directory / "none").exists()
    assert offered("workbench info --namespace no/such ") == []


@pytest.fixture
def bash(store_directory: Path) -> Iterator[pexpect.spawn]:
    """An interactive bash that has evaluated what ``workbench completion bash`` prints."""
    variables = environment(
        store_directory, PATH=f"{BIN}:{os.environ['PATH']}", PS1="$ ", INPUTRC="/dev/null", TERM="dumb"
    )
    shell = pexpect.spawn("bash", ["--norc", "--noprofile", "-i"], env=variables, encoding="utf-8", timeout=60)
    shell.setecho(False)
    shell.sendline('eval "$(workbench completion bash)"; echo rea""dy')
    shell.expect_exact("ready")
    yield shell
    shell.close(force=True)


def test_bash_completes(bash: pexpect.spawn) -> None:
    """In a real bash, Tab completes a verb, the name of an object, and again after that has changed."""
    wb.put(1, "flights-of-2013")
    bash.sendline("complete -p workbench; echo do''ne")
    bash.expect_exact("done")
    assert "_python_argcomplete workbench" in str(bash.before)
    bash.send("echo : workbench; workbench inf\tfli\t --json | head -3; echo do''ne\n")
    bash.expect_exact("done")
    assert '"name": "flights-of-2013"' in str(bash.before), bash.before
    wb.put(1, "trains")
    bash.send("workbench rm tra\t; echo do''ne\n")
    bash.expect_exact("done")
    assert not wb.exists("trains")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_the_script(shell: str, store_directory: Path) -> None:
    """Where they are installed: zsh and fish evaluate the script; fish offers names of objects."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    wb.put(1, "flights-of-2013")
    load = {
        "zsh": 'autoload -U compinit; compinit -u -D; eval "$(workbench completion zsh)"; echo $_comps[workbench]',
        "fish": "workbench completion fish | source; complete --do-complete 'workbench info fli'",
    }
    variables = environment(store_directory, PATH=f"{BIN}:{os.environ['PATH']}", HOME=str(store_directory.parent))
    done = subprocess.run(
        [shell, "-c", load[shell]], env=variables, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == {"zsh": "_python_argcomplete", "fish": "flights-of-2013"}[shell]
    assert done.stderr == ""


def test_zsh_completes(store_directory: Path) -> None:
    """In a real zsh, Tab completes the name of an object, and the line runs."""
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    wb.put(1, "flights-of-2013")
    variables = environment(
        store_directory, PATH=f"{BIN}:{os.environ['PATH']}", HOME=str(store_directory.parent), TERM="vt100"
    )
    shell = pexpect.spawn("zsh", ["-f", "-i"], env=variables, encoding="utf-8", timeout=60)
    shell.sendline("PS1='$ '; autoload -U compinit; compinit -u -D; eval \"$(workbench completion zsh)\"; echo rea''dy")
    shell.expect_exact("ready")
    shell.send("workbench info fli\t --json; echo do''ne\n")
    shell.expect_exact("done")
    assert '"name": "flights-of-2013"' in str(shell.before)
    shell.close(force=True)
