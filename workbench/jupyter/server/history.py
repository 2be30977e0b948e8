"""How full each node was in the last minutes: a few points for a small curve.

Pure: times and bytes in, points out. Bounded for each node and in the number of nodes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

__all__ = ["History"]

_POINTS: Final = 60
_STEP: Final = 5.0
"""Seconds between two points: five minutes in all."""
_MOST_NODES: Final = 1000


class History:
    """The curves of all nodes."""

    def __init__(self) -> None:
        self._curves: dict[str, deque[tuple[float, int]]] = {}

    def note(self, now: float, used: Mapping[str, int]) -> None:
        """Note how many bytes each node uses, if it is time for a point; nodes that are not named any more are forgotten.

        Parameters
        ----------
        now : float
            Seconds since the epoch.
        used : mapping of str to int
            Id of the node to bytes.
        """
        self._curves = {node: curve for node, curve in self._curves.items() if node in used}
        for node, nbytes in used.items():
            curve = self._curves.get(node)
            if curve is None:
                if len(self._curves) >= _MOST_NODES:
                    continue
                curve = self._curves[node] = deque(maxlen=_POINTS)
            # A clock that was set back begins anew rather than standing still.
            if not curve or not 0 <= now - curve[-1][0] < _STEP:
                curve.append((round(now, 1), nbytes))

    def curves(self) -> dict[str, list[tuple[float, int]]]:
        """Return the points of each node, oldest first."""
        return {node: list(curve) for node, curve in self._curves.items()}
