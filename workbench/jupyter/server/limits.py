"""How often one user may ask: a bucket of tokens for each user and kind of request.

Pure but for the clock. Bounded: buckets that are full are the same as none.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Final

__all__ = ["Limits"]

_BURST: Final = 10.0
"""A bucket holds what comes in so many seconds, so that one gesture with many objects passes."""
_MOST_USERS: Final = 1000


class Limits:
    """Counts requests.

    Parameters
    ----------
    rates : mapping of str to float
        Kind of request to requests a second; 0 for no limit.
    clock : callable
        Returns seconds.
    """

    def __init__(self, rates: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self._rates = dict(rates)
        self._clock = clock
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def take(self, user: str, kind: str) -> int:
        """Count a request; return 0, or in how many seconds it may be asked again."""
        rate = self._rates[kind]
        if rate <= 0:
            return 0
        now, most = self._clock(), max(1.0, rate * _BURST)
        tokens, since = self._buckets.get((user, kind), (most, now))
        tokens = min(most, tokens + (now - since) * rate)
        if tokens < 1:
            self._buckets[user, kind] = tokens, now
            return max(1, math.ceil((1 - tokens) / rate))
        self._buckets[user, kind] = tokens - 1, now
        if len(self._buckets) > _MOST_USERS:
            self._forget(now)
        return 0

    def _forget(self, now: float) -> None:
        self._buckets = {
            (user, kind): (tokens, since)
            for (user, kind), (tokens, since) in self._buckets.items()
            if tokens + (now - since) * self._rates[kind] < max(1.0, self._rates[kind] * _BURST)
        }
