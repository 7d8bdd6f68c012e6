"""The read side's way to the Orders: the change feed tells, the memory remembers, the queue looks.

It must never write anything: what is to be shown is decided when the Order is looked at.
"""

from __future__ import annotations

from collections.abc import Callable

from orderfleet.operator.memory import Key, Memory
from orderfleet.ports import ChangeFeed


async def follow(feed: ChangeFeed, memory: Memory, look: Callable[[Key], None]) -> None:
    """Follow the feed until canceled; orders without a watched Order are passed over.

    That is most of them where operators share the Orders, or orders come over HTTP: the feed doesn't even read them.
    """
    async for batch in feed.follow(memory.owns):
        for record in batch:
            key = memory.remember(record)
            if key is not None:
                look(key)
