"""The steady load of a soak: a constant number of open orders, and clients that watch them.

Orders and actions are those of a storm, without faults, captures on shipment and partial refunds. Every Order in
Kubernetes is deleted after a time in which it can end. A new order starts when one has ended, so that a slow machine
has no more open orders than a fast one.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import aiohttp

from chaos.clients import Clients, start_clients
from chaos.order_plans import Action, Channel, OrderPlan, PaymentPlan, order_plans
from chaos.proxied_stack import ProxiedStack
from soak.completions import Completions, track_completions

_START_INTERVAL = 0.1
"""Seconds between two starts, so that orders are not all at the same step."""
_PLANS_PER_SEED = 1000
_DELETE_AFTER = 25.0
"""Seconds; a review without a decision takes 20."""
_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10)
_SHORT_TIMEOUT = aiohttp.ClientTimeout(total=1.5)


class LoadGenerator:
    """Sends orders, and watches them.

    Args:
        clients: send the orders and their actions.
        completions: of their orders.
        api: address of the HTTP API.
        session: of the watching clients.
    """

    def __init__(self, clients: Clients, completions: Completions, api: str, session: aiohttp.ClientSession) -> None:
        self._clients = clients
        self._completions = completions
        self._api = api
        self._session = session
        self.done: Counter[str] = Counter()
        """Counts by kind of request; `orders` are those that have ended."""

    async def run(self, seed: int, concurrency: int) -> None:
        """Keep `concurrency` orders open until canceled."""
        slots = asyncio.Semaphore(concurrency)
        async with asyncio.TaskGroup() as group:
            for plan in _order_plans(seed):
                await slots.acquire()
                client = group.create_task(self._order_and_watch(plan))
                client.add_done_callback(lambda _: slots.release())
                await asyncio.sleep(_START_INTERVAL)

    async def _order_and_watch(self, plan: OrderPlan) -> None:
        rng = random.Random(plan.order_id)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_order(plan, rng))
            ordering = group.create_task(self._clients.order(plan))
        client_log = ordering.result()
        self.done["rejected"] += client_log.order_id is None
        self.done.update(str(action) for action, _outcome, _again in client_log.changes)
        # A storm keeps the log as evidence; here it would be memory that grows.
        del self._clients.client_logs[plan.order_id]
        if client_log.order_id is not None:
            self.done["orders" if await self._completions.wait_for(client_log.order_id) else "without an end"] += 1

    async def _read_order(self, plan: OrderPlan, rng: random.Random) -> None:
        path = f"/orders/{plan.order_id}"
        await self._get(f"{path}/watch", "watched before its start")
        await asyncio.sleep(1)
        if rng.random() < 0.5:
            await self._get(f"{path}/watch", "watched and left", _SHORT_TIMEOUT)
        if rng.random() < 0.5:
            await self._watch_to_the_end(f"{path}/watch")
        await self._get(f"{path}/{rng.choice(('status', 'events'))}", "looked up")
        await self._get("/orders?limit=20", "listed")

    async def _watch_to_the_end(self, path: str) -> None:
        last = ""
        async for name, value in self._lines(path):
            last = value if name == "id" else last
        self.done["watched"] += 1
        await self._get(path, "watched after its end", last_event_id=last)

    async def _lines(self, path: str) -> AsyncIterator[tuple[str, str]]:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(f"{self._api}{path}", timeout=_REQUEST_TIMEOUT) as response:
                async for line in response.content:
                    name, _, value = line.decode().strip().partition(": ")
                    yield name, value

    async def _get(
        self, path: str, count_as: str, limit: aiohttp.ClientTimeout = _REQUEST_TIMEOUT, *, last_event_id: str = ""
    ) -> None:
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(f"{self._api}{path}", timeout=limit, headers=headers) as response:
                await response.read()
        self.done[count_as] += 1


def _order_plans(seed: int) -> Iterator[OrderPlan]:
    """Yield plans without end, each with a new order id."""
    while True:
        for planned in order_plans(seed, _PLANS_PER_SEED):
            plan = replace(planned, payment=PaymentPlan())
            if plan.channel is Channel.KUBERNETES:
                actions = tuple((after, action) for after, action in plan.actions if action is not Action.DELETE)
                yield replace(plan, actions=(*actions, (_DELETE_AFTER, Action.DELETE)))
            elif not plan.order_id.endswith("3"):  # the fleet chooses the id of those, so that no client could watch it
                yield plan
        seed += 1


@asynccontextmanager
async def generate_load(stack: ProxiedStack) -> AsyncIterator[LoadGenerator]:
    """Yield the load of a stack."""
    async with (
        start_clients(stack) as clients,
        track_completions(stack.database_url) as order_completions,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        yield LoadGenerator(clients, order_completions, stack.parts.api_url, session)
