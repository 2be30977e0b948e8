"""The thread that does what nobody waits for: it ends when there is nothing to do, and bothers nobody."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from workbench.store.background import Background


@pytest.fixture
def background() -> Iterator[Background]:
    """One of the test's own."""
    made = Background()
    yield made
    made.close()


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll, with a deadline."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def threads() -> list[threading.Thread]:
    """The threads of this kind in this process."""
    return [thread for thread in threading.enumerate() if thread.name == "workbench-store"]


def test_tasks_run_in_order_of_their_time_and_the_thread_ends(background: Background) -> None:
    """The earliest first; when all are done there is no thread, and the next task starts another."""
    done: list[str] = []
    background.do("later", lambda _: done.append("later"), after=0.05)
    background.do("now", lambda _: done.append("now"))
    assert all(thread.daemon for thread in threads())
    wait_until(lambda: done == ["now", "later"])
    wait_until(lambda: threads() == [])
    background.do("again", lambda _: done.append("again"))
    wait_until(lambda: done == ["now", "later", "again"])


def test_task_that_waits_already_is_not_added_again(background: Background) -> None:
    """One that runs is another matter: what it saw may be over."""
    done: list[int] = []
    for number in range(5):
        background.do("same", lambda _, number=number: done.append(number), after=0.05)  # type: ignore[misc]
    wait_until(lambda: threads() == [])
    assert done == [0]


def test_task_that_fails_is_logged_and_the_next_runs(background: Background, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is raised into anybody's face."""
    done = threading.Event()

    def fail(_: Callable[[], bool]) -> None:
        raise OSError(28, "No space left on device")

    with caplog.at_level(logging.DEBUG, "workbench.store"):
        background.do("warm-up", fail)
        background.do("next", lambda _: done.set())
        assert done.wait(30)
    assert "warm-up failed in the background: OSError(28, 'No space left on device')" in caplog.text


def test_close_stops_what_runs_and_drops_what_waits(background: Background) -> None:
    """The task is told, and waited for; nothing begins afterwards."""
    began = threading.Event()
    done: list[str] = []

    def long(is_stopped: Callable[[], bool]) -> None:
        began.set()
        wait_until(is_stopped)
        done.append("stopped")

    background.do("long", long)
    background.do("never", lambda _: done.append("never"))
    assert began.wait(30)
    background.close()
    background.do("too late", lambda _: done.append("too late"))
    assert done == ["stopped"]
    assert threads() == []


def test_forked_child_has_a_thread_of_its_own(background: Background) -> None:
    """What waits in the parent is the parent's; the child can begin anew, even if the lock was held when it was made."""
    began, over = threading.Event(), threading.Event()

    def wait(_: Callable[[], bool]) -> None:
        began.set()
        over.wait(30)

    background.do("parent", wait)
    assert began.wait(30)
    with background._condition:
        pid = os.fork()
    if pid == 0:
        done = threading.Event()
        background.reset_after_fork()
        background.do("child", lambda _: done.set())
        os._exit(0 if done.wait(30) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    over.set()
