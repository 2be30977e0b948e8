"""What is offered while somebody types, in a real IPython shell."""

from __future__ import annotations

import time
from pathlib import Path

from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

import workbench as wb


def completions(shell: InteractiveShell, line: str) -> list[str]:
    """What the shell offers at the end of a line: whole lines."""
    with provisionalcompleter():
        return [line[: found.start] + found.text for found in shell.Completer.completions(line, len(line))]


def test_completion_offers_what_fits(shell: InteractiveShell) -> None:
    """Verbs, flags, choices, names of objects (in quotes where they need them) and variables, each where it belongs."""
    for name in ("runs/1", "runs/2", "my flights", "it's"):
        wb.put(1, name)
    shell.user_ns |= {"runway": 1, "run_count": 2}
    for line, expected in {
        "%share run": ["%share runway", "%share run_count"],
        "%share df as ru": ["%share df as runs/1", "%share df as runs/2"],
        "%share --r": ["%share --replicas"],
        "%%share my": ["%%share 'my flights'"],
        "%fetch runs/": ["%fetch runs/1", "%fetch runs/2"],
        "%fetch 'my f": ["%fetch 'my flights'"],
        '%fetch "my f': ['%fetch "my flights"'],
        "%fetch it": ["%fetch 'it'\"'\"'s'"],
        "%fetch runs/1 as runw": ["%fetch runs/1 as runway"],
        "%fetch runs/1, run": ["%fetch runs/1, runs/1", "%fetch runs/1, runs/2"],
        "%wb rep": ["%wb replicate"],
        "%wb help und": ["%wb help undrain"],
        "%wb help unp": ["%wb help unpin"],
        "%wb info my": ["%wb info 'my flights'"],
        "%wb pin runs/1 runs/": ["%wb pin runs/1 runs/1", "%wb pin runs/1 runs/2"],
        "%wb ls --so": ["%wb ls --sort", "%wb ls --sort-by"],
        "%wb ls --sort la": ["%wb ls --sort last_used"],
        "%wb ls --sort=la": ["%wb ls --sort=last_used"],
        "%wb move runs/1 --dry": ["%wb move runs/1 --dry-run"],
        "%wb ls --kind ": ["%wb ls --kind object"],
        "x = 5\n%fetch my": ["x = 5\n%fetch 'my flights'"],
    }.items():
        assert completions(shell, line) == expected, line


def test_names_are_offered_within_calls(shell: InteractiveShell) -> None:
    """In ``wb.get("`` and the like, however the module or the session is called; not behind a string that is closed, nor in others' calls."""
    for name in ("flights", "flowers", 'fl"at'):
        wb.put(1, name)
    shell.user_ns |= {"bench": wb, "session": wb.current_session(), "other": {}}
    for line, expected in {
        'bench.get("fl': ['bench.get("flights', 'bench.get("flowers'],
        "x = len(bench.info('flo": ["x = len(bench.info('flowers"],
        "session.delete('fli": ["session.delete('flights"],
        'bench.get_many(["flights", "flo': ['bench.get_many(["flights", "flowers'],
        'bench.holders(key="fli': ['bench.holders(key="flights'],
        "bench.rename('fli": ["bench.rename('flights"],
    }.items():
        assert completions(shell, line) == expected, line
    for line in (
        'bench.get("flights"',
        'other.get("fl',
        'bench.use("fl',
        'bench.put(x, "fl',
        'bench.get("flights", timeout="fl',
    ):
        assert not [each for each in completions(shell, line) if "flowers" in each], line


def test_completion_opens_nothing_and_is_quick(shell: InteractiveShell, store_directory: Path) -> None:
    """Somebody types: no store is made, and an answer comes at once although there are many objects."""
    assert completions(shell, "%fetch fl") == []
    assert not store_directory.exists()
    wb.put_many({f"flights/{number:06}": number for number in range(20_000)})
    begin = time.perf_counter()
    found = completions(shell, "%fetch flights/0150")
    print(f"completed among 20,000 names in {(time.perf_counter() - begin) * 1e3:.1f} ms")
    assert found == [f"%fetch flights/0150{number:02}" for number in range(100)]
