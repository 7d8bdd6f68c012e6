"""The steady load of a soak: always as many orders under way, of every kind, and watchers that come and go.

`soaking` opens it for as long as the soak lasts. Orders and what is done to them are a storm's, without the
weather; every Order in Kubernetes is deleted once it has had time to end. The next order comes when one has ended, so
that a slow machine has no more of them under way than a fast one. Nothing is judged here.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import aiohttp
from customers import Customers, customers
from ends import Ends, ends
from schedule import Act, Side, Wish, wishes
from stormy_stack import StormyStack

_APART = 0.1
"""Seconds from one who comes to the next, at least; they would do everything at the same time otherwise."""
_MANY = 1000
_DELETED_AFTER = 25.0
"""Seconds; a review that nobody decides takes 20."""
_ANSWER = aiohttp.ClientTimeout(total=60, sock_connect=10)
_BORED = aiohttp.ClientTimeout(total=1.5)


class Shoppers:
    """Everyone who orders and watches.

    Args:
        everyone: who order, and do what their wishes say.
        ends: of their orders.
        api: address of the HTTP API.
        session: for those who watch.
    """

    def __init__(self, everyone: Customers, ends: Ends, api: str, session: aiohttp.ClientSession) -> None:
        self._everyone = everyone
        self._ends = ends
        self._api = api
        self._session = session
        self.done: Counter[str] = Counter()
        """What was done how often; `orders` are those that have ended."""

    async def come(self, seed: int, under_way: int) -> None:
        """Let as many order, one more for each whose order has ended, until canceled."""
        places = asyncio.Semaphore(under_way)
        async with asyncio.TaskGroup() as group:
            for wish in _wishes(seed):
                await places.acquire()
                shopper = group.create_task(self._shop(wish))
                shopper.add_done_callback(lambda _: places.release())
                await asyncio.sleep(_APART)

    async def _shop(self, wish: Wish) -> None:
        dice = random.Random(wish.order_id)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._look_around(wish, dice))
            ordering = both.create_task(self._everyone.order(wish))
        told = ordering.result()
        self.done["refused"] += told.order_id is None
        self.done.update(str(act) for act, _outcome, _again in told.changes)
        # What one customer was told is a storm's evidence; here it would be the one thing that grows.
        del self._everyone.told[wish.order_id]
        if told.order_id is not None:
            self.done["orders" if await self._ends.of(told.order_id) else "without an end"] += 1

    async def _look_around(self, wish: Wish, dice: random.Random) -> None:
        path = f"/orders/{wish.order_id}"
        await self._get(f"{path}/watch", "watched before it was there")
        await asyncio.sleep(1)
        if dice.random() < 0.5:
            await self._get(f"{path}/watch", "watched and left", _BORED)
        if dice.random() < 0.5:
            await self._watch_to_the_end(f"{path}/watch")
        await self._get(f"{path}/{dice.choice(('status', 'events'))}", "looked up")
        await self._get("/orders?limit=20", "listed")

    async def _watch_to_the_end(self, path: str) -> None:
        last = ""
        async for name, value in self._lines(path):
            last = value if name == "id" else last
        self.done["watched"] += 1
        await self._get(path, "watched after its end", last_event_id=last)

    async def _lines(self, path: str) -> AsyncIterator[tuple[str, str]]:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(f"{self._api}{path}", timeout=_ANSWER) as answer:
                async for told in answer.content:
                    name, _, value = told.decode().strip().partition(": ")
                    yield name, value

    async def _get(
        self, path: str, told: str, patience: aiohttp.ClientTimeout = _ANSWER, *, last_event_id: str = ""
    ) -> None:
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(f"{self._api}{path}", timeout=patience, headers=headers) as answer:
                await answer.read()
        self.done[told] += 1


def _wishes(seed: int) -> Iterator[Wish]:
    """Without an end, no id twice."""
    while True:
        for wish in wishes(seed, _MANY):
            if wish.side is Side.KUBERNETES:
                acts = tuple((after, act) for after, act in wish.acts if act is not Act.DELETE)
                yield replace(wish, acts=(*acts, (_DELETED_AFTER, Act.DELETE)))
            elif not wish.order_id.endswith("3"):  # its customer leaves the id to the fleet, and couldn't watch it
                yield wish
        seed += 1


@asynccontextmanager
async def shoppers(stack: StormyStack) -> AsyncIterator[Shoppers]:
    """Shoppers of a stack."""
    async with (
        customers(stack) as everyone,
        ends(stack.database_url) as their_ends,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        yield Shoppers(everyone, their_ends, stack.parts.api_url, session)
