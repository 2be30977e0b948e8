"""A descriptor tells that somebody commits."""

from __future__ import annotations

import select

import pytest

from tests.store.encoding import encoded
from workbench.store import Store, syscalls
from workbench.store.notices import Notices


def is_readable(notices: Notices) -> bool:
    """Whether something was noticed since it was cleared."""
    return bool(select.select([notices], [], [], 0)[0])


def test_a_commit_of_another_process_or_thread_is_noticed_once(store: Store) -> None:
    """Nothing is noticed of reading; however many puts there are until somebody looks, one look clears them."""
    notices = store.notices()
    assert notices is not None
    try:
        with Store.open(store.directory) as other:
            notices.clear()
            other.ls()
            assert not is_readable(notices)
            for number in range(100):
                other.put(encoded(100), f"x{number}")
            assert is_readable(notices)
            notices.clear()
            assert not is_readable(notices)
    finally:
        notices.close()


def test_without_notices_there_are_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user has a limited number of them, and a kernel may have none."""
    monkeypatch.setattr(syscalls, "_inotify_init1", lambda _: -1)
    assert store.notices() is None
