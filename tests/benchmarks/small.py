"""Small objects, which lie in the catalog: one by one, by many, and from four processes at once."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from tests.benchmarks import data
from tests.benchmarks.measuring import MIB, Figure, Scale, at_least, at_most, new_session, seconds
from tests.processes import Process
from workbench import Session

_ROUNDS = 5


def one_process(scale: Scale) -> list[Figure]:
    """Puts and gets of 1 KiB arrays, without and with a name; rates are the median of rounds that are taken in turns."""
    arrays = list(data.array(1024 * 100).reshape(100, 128))
    count = scale.small // _ROUNDS
    rates: dict[str, list[float]] = {}

    def take(what: str, action: Callable[[], Any]) -> Any:
        results: list[Any] = []
        rates.setdefault(what, []).append(count / seconds(lambda: results.append(action())))
        return results[0]

    with new_session(scale.small * 4 * 1024) as session:
        many = _many(session)
        for turn in range(_ROUNDS):
            values = [arrays[number % 100] for number in range(count)]
            refs = take("puts of 1 KiB arrays", lambda: [session.put(value) for value in values])  # noqa: B023  # now
            got = take("gets of 1 KiB arrays", lambda: [session.get(ref) for ref in refs])  # noqa: B023
            assert np.array_equal(got, values)
            names = [f"small-{turn}-{number}" for number in range(count)]
            pairs = list(zip(values, names, strict=True))
            take("... puts with a name", lambda: [session.put(value, name) for value, name in pairs])  # noqa: B023
            take("... gets by name", lambda: [session.get(name) for name in names])  # noqa: B023
            if many is not None:
                refs = take("... put_many", lambda: many[0](values))  # noqa: B023
                got = take("... get_many", lambda: many[1](refs))  # noqa: B023
                assert np.array_equal(got, values)
    asked = {"puts of 1 KiB arrays": at_least(40_000), "gets of 1 KiB arrays": at_least(100_000)}
    medians = {what: statistics.median(taken) for what, taken in rates.items()}
    asked["... put_many"] = at_least(medians["puts of 1 KiB arrays"])
    asked["... get_many"] = at_least(medians["gets of 1 KiB arrays"])
    return [Figure(what, rate, "/s", asked=asked.get(what)) for what, rate in medians.items()]


def _many(session: Session) -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """Return the methods for many objects at once, where this version has them."""
    put, get = getattr(session, "put_many", None), getattr(session, "get_many", None)
    return None if put is None or get is None else (put, get)


_PUTS = """
import time
import numpy as np
import workbench as wb
array = np.zeros(128)
def puts(number, duration):
    session, clock = wb.current_session(), time.perf_counter
    refs, longest = [], 0.0
    now = start = clock()
    while now < start + duration:
        array[:] = number, *([len(refs)] * 127)
        before = clock()
        refs.append(session.put(array))
        now = clock()
        longest = max(longest, now - before)
    return len(refs), now - start, longest, [ref.id for ref in refs]
wb.put(array)
"""


def four_processes(scale: Scale) -> list[Figure]:
    """Puts of four processes at once beside those of one, in turns: total, nothing lost, longest wait."""
    alone, together = [], []
    for _ in range(max(1, scale.repeats // 3)):
        alone.append(_at_once(1, scale.contention_s))
        together.append(_at_once(4, scale.contention_s))
    one, four = (statistics.median(rate for rate, _, _ in taken) for taken in (alone, together))
    return [
        Figure("puts of 1 KiB arrays, one process, for a while", one, "/s"),
        Figure("... four processes at once, all", four, "/s", asked=at_least(one)),
        Figure("... objects lost or wrong", sum(wrong for _, _, wrong in together), "", asked=at_most(0)),
        Figure(
            "... longest wait for one put",
            max(wait for _, wait, _ in together) * 1000,
            "ms",
            asked=at_most(50),
            note=f"alone: {max(wait for _, wait, _ in alone) * 1000:.1f} ms",
        ),
    ]


def _at_once(count: int, duration: float) -> tuple[float, float, int]:
    """Return puts per second of all processes, the longest wait in seconds, and how many objects are not what was put."""
    with new_session(int(duration * 256 * MIB)) as session, ExitStack() as stack:
        processes = [stack.enter_context(Process(session.store.directory)) for _ in range(count)]
        for process in processes:
            process.do(_PUTS)
        for number, process in enumerate(processes):
            process.start(f"result = puts({number}, {duration})")
        answers = [process.finish() for process in processes]
        wrong = abs(len(session.store.ls()) - count - sum(answer[0] for answer in answers))
        for number, (_, _, _, ids) in enumerate(answers):
            for index, key in enumerate(ids):
                expected = np.array([number, *([index] * 127)], float)
                wrong += not np.array_equal(session.get(key), expected)
    rate = sum(done / elapsed for done, elapsed, _, _ in answers)
    return rate, max(answer[2] for answer in answers), wrong
