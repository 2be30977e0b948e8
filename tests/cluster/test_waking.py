from __future__ import annotations

import asyncio

from workbench.cluster.waking import Waking
from workbench.store import Store


def test_waiting_is_cancelled_although_something_is_noticed_in_that_moment(store: Store) -> None:
    """Whoever ends the announcer is heard, however many puts come; a worker would else never end."""

    async def cancelled(turns: int) -> bool:
        with Waking(store) as waking:
            waiting = asyncio.create_task(waking.wait(60.0))
            await asyncio.sleep(0.01)
            waking._notice()
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            return waiting.cancelled()

    assert [asyncio.run(cancelled(turns)) for turns in range(4)] == [True] * 4
