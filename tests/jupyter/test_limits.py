"""How often one user may ask."""

from __future__ import annotations

from workbench.jupyter.server.limits import Limits


def test_a_burst_passes_and_then_the_rate_holds_for_each_user_and_kind() -> None:
    """Ten seconds' worth at once, then as many as the rate allows; others are not concerned."""
    now = [0.0]
    limits = Limits({"read": 2.0, "write": 0.5, "free": 0.0}, lambda: now[0])
    assert [limits.take("a", "read") for _ in range(21)] == [0] * 20 + [1]
    assert limits.take("b", "read") == limits.take("a", "write") == 0
    now[0] += 1
    assert [limits.take("a", "read") for _ in range(3)] == [0, 0, 1]
    assert [limits.take("a", "write") for _ in range(5)] == [0, 0, 0, 0, 1]
    assert not any(limits.take("a", "free") for _ in range(1000))


def test_users_who_came_and_went_are_forgotten() -> None:
    """However many users there were, only those whose bucket is not full are remembered."""
    now = [0.0]
    limits = Limits({"read": 2.0}, lambda: now[0])
    for number in range(5000):
        now[0] += 1
        assert limits.take(str(number), "read") == 0
    assert len(limits._buckets) <= 1001
