"""What each version changed: what somebody who knows one is sent."""

from __future__ import annotations

import random

from workbench.jupyter.server.deltas import Board


def test_who_knows_a_version_is_sent_what_is_new_since_then() -> None:
    """Rows that came or changed are sent once, those that went are named, and all else is left out."""
    board = Board("boot")
    assert board.update({"a": (1.0, "A"), "b": (2.0, "B")}, [])
    first = board.version
    assert board.since(None).rows == board.since(first + "0").rows == ["B", "A"]
    assert board.update({"c": (3.0, "C"), "a": (1.0, "A2")}, ["b", "never"])
    found = board.since(first)
    assert (found.full, sorted(found.rows), found.removed) == (False, ["A2", "C"], ["b"])
    assert board.since(board.version) == type(found)(False, [], [])
    assert board.update({"b": (4.0, "B")}, [])
    assert (board.since(first).rows[-1], board.since(first).removed) == ("B", [])


def test_a_version_is_new_only_when_something_is() -> None:
    """The same rows and the same rest are no news; another rest is, without any row."""
    board = Board("boot")
    board.update({"a": (1.0, "A")}, [], "rest")
    version = board.version
    assert not board.update({"a": (1.0, "A")}, ["b"], "rest")
    assert board.version == version
    assert board.update({}, [], "another")
    assert board.since(version) == type(board.since(version))(False, [], [])


def test_versions_of_others_and_old_ones_get_everything() -> None:
    """Another server's version, one from the future, nonsense, and one of which too much went since: all rows are sent."""
    board = Board("boot", remembered=2)
    board.update({str(number): (number, "x") for number in range(5)}, [])
    old = board.version
    for number in range(3):
        board.update({}, [str(number)])
    for version in ("other-1", "boot-99", "boot-", "boot-²", "", "-", old):
        assert board.since(version).full
        assert len(board.since(version).rows) == 2


def test_following_deltas_ends_with_what_a_full_answer_says() -> None:
    """Whatever happens, and whenever it is asked, a panel that applies what it is sent has the same rows as one that begins anew."""
    drawn = random.Random(7)
    board = Board("boot", remembered=20)
    seen: dict[str, str] = {}
    version = None
    for _ in range(500):
        ids = [str(drawn.randrange(40)) for _ in range(drawn.randrange(4))]
        changed = {id_: (float(id_), f"{id_}:{drawn.randrange(5)}") for id_ in ids if drawn.random() < 0.6}
        board.update(changed, [id_ for id_ in ids if id_ not in changed])
        if drawn.random() < 0.5:
            found = board.since(version)
            seen = {} if found.full else seen
            for id_ in found.removed:
                seen.pop(id_, None)
            seen |= {row.partition(":")[0]: row for row in found.rows}
            version = board.version
            assert sorted(seen.values()) == sorted(board.since(None).rows)
