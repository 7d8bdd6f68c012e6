"""Workers that are killed the moment their provider or carrier has done the work, and how the orders fare.

The tests of this folder say against which provider, and how often. Provider and carrier take their time to
answer after they did their work; a worker is killed the moment a new entry stands in their books. In the
end books, record and promises are held against each other.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.client import Client

from books import Books, wrong
from orderfleet.domain.order import Address, Item, OrderInput, Review, ReviewMode
from orderfleet.domain.policy import OrderPolicy, OutagePolicy, StepPolicy
from orderfleet.domain.ports import OrderReader
from orderfleet.domain.status import OrderStatus, PaymentStatus
from orderfleet.services.errors import OrderNotFound, OrderRefused, TemporalUnavailable
from orderfleet.services.workflow_client import OrderClient

SEED = int(os.environ.get("CHAOS_SEED", "1"))
UNDER_WAY = 12
"""Orders that are under way at the same time."""
SOON = 120
"""Seconds after the last kill within which every order ends."""
TOOK_IT_FROM = {"charge": "orders", "void": "orders", "refund": "orders", "booking": "shipping"}
"""Which worker waits for the answer to which entry."""


class Nursery:
    """Forks workers, two of each kind, and replaces the ones that are killed."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "nursery.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.workers: dict[str, list[int]] = {"orders": [], "shipping": []}
        self._count = 0

    def start(self, kind: str) -> None:
        self._count += 1
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        wanted = {"kind": kind, "environment": self._environment, "log": str(self._folder / f"{kind}.log")}
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        self.workers[kind].append(int(self._process.stdout.readline()))

    def kill(self, kind: str) -> None:
        """Kill every worker of a kind, one of which waits for an answer, and start as many again."""
        killed, self.workers[kind] = self.workers[kind], []
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        for _ in killed:
            self.start(kind)

    def close(self) -> None:
        for pids in self.workers.values():
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        if self._process.stdout is not None:
            self._process.stdout.close()


@dataclass
class Run:
    """One run, and what it counted."""

    client: OrderClient
    temporal: Client
    reads: OrderReader
    books: Books
    queues: Any
    wanted: int
    """Kills."""
    name: str = "kill"
    """What its orders are called: the Temporal server is shared."""
    charge_attempts: int = 2
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    kills: Counter[str] = field(default_factory=Counter)
    started: list[str] = field(default_factory=list)

    def order(self, number: int) -> OrderInput:
        step = StepPolicy(attempt_timeout="2s", attempts=4, initial_interval="50ms", maximum_interval="200ms")
        gaps = OutagePolicy(first="100ms", longest="500ms")
        sku = "refuse-dispatch" if number % 5 == 0 else "widget"
        return OrderInput(
            order_id=f"{self.name}-{SEED}-{number}",
            items=(Item(sku=sku, qty=1, price="5.00"),),
            address=Address(street="1 Main St", city="Springfield", state="IL", zip="62701", country="US"),
            review=Review(mode=ReviewMode.AUTO),
            policy=OrderPolicy(
                receive=step,
                validation=step,
                record=step,
                charge=step.model_copy(update={"attempts": self.charge_attempts}),
                prepare_package=step,
                dispatch_carrier=step,
                refund=step,
                outage=gaps,
                owed=gaps,
                shipping_task_queue=self.queues.shipping,
            ),
        )

    async def one(self, number: int) -> None:
        """Start an order, perhaps cancel it at some moment, and wait until it has ended."""
        order = self.order(number)
        self.started.append(order.order_id)
        await self.client.start(order)
        if number % 3 == 0:
            await asyncio.sleep(self.dice.random() * 2)
            with suppress(OrderRefused, OrderNotFound, TemporalUnavailable):
                await self.client.cancel(order.order_id, "changed my mind")
        await self.until_ended(order.order_id)

    async def until_ended(self, order_id: str) -> OrderStatus:
        """Its end stands in the record, and nothing is owed any more.

        Under fire an order may take any time; once the killing is over, it has to end soon.
        """
        calm_since = None
        while True:
            found = await self.reads.order(order_id)
            if found and found.status.ended and found.status.payment.status is not PaymentStatus.REFUNDING:
                return found.status
            if self.enough.is_set():
                now = asyncio.get_running_loop().time()
                calm_since = calm_since or now
                assert now - calm_since < SOON, f"stuck: {found}\n{await self.history(order_id)}"
            await asyncio.sleep(0.1)

    async def history(self, order_id: str) -> str:
        """What Temporal knows of an order that is stuck."""
        handle = self.temporal.get_workflow_handle(f"order-{order_id}")
        pending = (await handle.describe()).raw_description
        events = [
            f"{event.event_id} {event.event_time.ToDatetime():%H:%M:%S.%f} {event.WhichOneof('attributes')}"
            async for event in handle.fetch_history_events()
        ]
        return "\n".join([*events, str(pending.pending_activities), str(pending.pending_workflow_task)])


@contextmanager
def nursery(folder: Path, **environment: str) -> Iterator[Nursery]:
    """Two workers of each kind, with these variables beside those of every test."""
    quiet = {"ORDERFLEET_ENVIRONMENT": "local", "ORDERFLEET_HEALTH_PORT": "0", "ORDERFLEET_HEALTH_HOST": "127.0.0.1"}
    made = Nursery({**quiet, "ORDERFLEET_DRAIN_TIMEOUT": "2s", **environment}, folder)
    try:
        for kind in ("orders", "shipping"):
            for _ in range(2):
                made.start(kind)
        yield made
    finally:
        made.close()


async def kill_while_ordering(run: Run, nursery: Nursery) -> None:
    """Until there were enough kills and every order has ended as promised."""
    async with asyncio.TaskGroup() as group:
        group.create_task(keep_ordering(run))
        group.create_task(keep_killing(run, nursery))

    money, parcels = run.books.money(), run.books.parcels()
    ends: Counter[str] = Counter()
    broken: dict[str, list[str]] = {}
    for order_id in run.started:
        status = await run.until_ended(order_id)
        ends[f"{status.step}, payment {status.payment.status}"] += 1
        if problems := wrong(order_id, status, money, parcels):
            broken[order_id] = problems

    print(summary(run, ends, money, parcels))
    assert not broken, broken
    assert run.kills.total() >= run.wanted


async def keep_ordering(run: Run) -> None:
    """Keep a number of orders under way until there were enough kills; then let them end."""
    numbers = iter(range(1, 100_000))

    async def one_after_another() -> None:
        while not run.enough.is_set():
            await run.one(next(numbers))

    async with asyncio.TaskGroup() as group:
        for _ in range(UNDER_WAY):
            group.create_task(one_after_another())


async def keep_killing(run: Run, nursery: Nursery) -> None:
    """Kill whoever waits for the answer to a new entry of the books."""
    seen = run.books.moments()
    while run.kills.total() < run.wanted:
        now = await asyncio.to_thread(run.books.moments)
        fresh = [kind for kind, number in now.items() if number > seen.get(kind, 0)]
        seen = now
        if fresh:
            # The rarest of the moments at hand, so that each has its share.
            moment = min(fresh, key=lambda kind: run.kills[kind])
            nursery.kill(TOOK_IT_FROM[moment])
            run.kills[moment] += 1
            # Without a pause nobody would ever answer: let some of the work be done.
            await asyncio.sleep(0.7 + run.dice.random())
            seen = await asyncio.to_thread(run.books.moments)
        else:
            await asyncio.sleep(0.005)
    run.enough.set()


def summary(run: Run, ends: Counter[str], money: Counter[tuple[str, str]], parcels: Counter[str]) -> str:
    entries: Counter[str] = Counter()
    for (kind, _), count in money.items():
        entries[kind] += count
    lines = [
        f"seed {SEED}: {run.kills.total()} kills over {len(run.started)} orders",
        f"  kills after     {dict(run.kills)}",
        f"  provider        {dict(entries)}",
        f"  carrier         {parcels.total()} parcels",
        *(f"  orders          {count:4} {end}" for end, count in sorted(ends.items())),
    ]
    return "\n".join(["", *lines])
