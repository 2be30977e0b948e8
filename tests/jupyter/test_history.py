"""How full the nodes were: points for a small curve."""

from __future__ import annotations

import itertools

from workbench.jupyter.server.history import History


def test_a_curve_has_few_points_and_forgets_nodes_that_are_gone() -> None:
    """A point every five seconds, sixty of them; a clock that was set back starts anew."""
    history = History()
    for second in range(1000):
        history.note(float(second), {"a": second})
    curve = history.curves()["a"]
    assert (len(curve), curve[-1]) == (60, (995.0, 995))
    assert {later - earlier for (earlier, _), (later, _) in itertools.pairwise(curve)} == {5.0}
    history.note(10.0, {"a": 1, "b": 2})
    assert history.curves()["a"][-1] == (10.0, 1)
    history.note(20.0, {"b": 3})
    assert list(history.curves()) == ["b"]
