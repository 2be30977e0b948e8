"""The words that magics understand."""

from __future__ import annotations

import pytest

from workbench.jupyter.parsing import FetchWish, ShareWish, parse_fetch, parse_share


@pytest.mark.parametrize(
    ("line", "wish"),
    [
        ("df", ShareWish(variables=("df",))),
        ("a, b c", ShareWish(variables=("a", "b", "c"))),
        ("df as flights", ShareWish(expression="df", name="flights")),
        ("f('x as y') as 'my z'", ShareWish(expression="f('x as y')", name="my z")),
        ("--pin --replicas 2 df", ShareWish(variables=("df",), pin=True, replicas=2)),
        ("--ttl=1.5 df", ShareWish(variables=("df",), ttl=1.5)),
        ("df --pin", ShareWish(variables=("df",), pin=True)),
        ("df --ttl 60", ShareWish(variables=("df",), ttl=60)),
        ("--pin df n --ttl=60 --replicas 2", ShareWish(variables=("df", "n"), pin=True, ttl=60, replicas=2)),
        ("df --as flights --pin", ShareWish(expression="df", name="flights", pin=True)),
        ("df.x - 1 as 'the x' --ttl 60 --pin", ShareWish(expression="df.x - 1", name="the x", pin=True, ttl=60)),
    ],
)
def test_share_lines(line: str, wish: ShareWish) -> None:
    """The words after ``%share`` mean what the help says."""
    assert parse_share(line) == wish


@pytest.mark.parametrize(
    ("line", "wish"),
    [
        ("flights", FetchWish({"flights": "flights"})),
        ("flights as f", FetchWish({"f": "flights"})),
        ("'a b' as f --timeout 5", FetchWish({"f": "a b"}, 5.0)),
        ("--timeout=5 a, b c", FetchWish({"a": "a", "b": "b", "c": "c"}, 5.0)),
        ("a --as x, 'b c' as y d --as=z", FetchWish({"x": "a", "y": "b c", "z": "d"})),
    ],
)
def test_fetch_lines(line: str, wish: FetchWish) -> None:
    """The words after ``%fetch`` mean what the help says."""
    assert parse_fetch(line) == wish
