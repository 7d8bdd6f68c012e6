"""Workers that are killed and replaced, and the orders that they work on."""

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

from orderfleet.domain.order import Item, OrderInput
from orderfleet.domain.policy import OrderPolicy, OutagePolicy, StepPolicy
from orderfleet.domain.ports import OrderReader
from orderfleet.domain.status import OrderStatus
from orderfleet.services.errors import OrderChangeRejected, OrderNotFound, TemporalUnavailable
from orderfleet.services.workflow_client import Change, OrderClient
from support.factories import STEPS, automatic_order
from support.ledgers import Ledgers

SEED = int(os.environ.get("CHAOS_SEED", "1"))
END_TIMEOUT = 120
"""Seconds after the last kill within which every order ends."""


class ForkServer:
    """Forks workers, and replaces those that are killed."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "fork_server.py")],
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
        """Kill and replace every worker of a kind, and so the one that waits for an answer."""
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
    """One run and its counts."""

    client: OrderClient
    temporal: Client
    reads: OrderReader
    ledgers: Ledgers
    queues: Any
    wanted: int
    """Kills to reach."""
    name: str = "kill"
    """Prefix of its order ids: the Temporal server is shared."""
    charge_attempts: int = 2
    concurrent: int = 12
    """Orders in progress at the same time."""
    rng: random.Random = field(default_factory=lambda: random.Random(SEED))
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    kills: Counter[str] = field(default_factory=Counter)
    started: list[str] = field(default_factory=list)

    def order(self, number: int) -> OrderInput:
        step = StepPolicy(attempt_timeout="2s", attempts=4, initial_interval="50ms", maximum_interval="200ms")
        backoff = OutagePolicy(first="100ms", longest="500ms")
        sku = "refuse-dispatch" if number % 5 == 0 else "widget"
        policy = {
            **dict.fromkeys(STEPS, step),
            "charge": step.model_copy(update={"attempts": self.charge_attempts}),
            "outage": backoff,
            "retry_forever_backoff": backoff,
            "capture_retries": backoff,
        }
        return automatic_order(
            f"{self.name}-{SEED}-{number}",
            self.queues,
            items=(Item(sku=sku, qty=1, price="5.00"),),
            policy=OrderPolicy(shipping_task_queue=self.queues.shipping, **policy),
        )

    async def run_order(self, number: int) -> OrderStatus:
        """Start an order, cancel every third one after a random time, and return its status when it has ended."""
        order = self.order(number)
        self.started.append(order.order_id)
        await self.client.start(order)
        if number % 3 == 0:
            await asyncio.sleep(self.rng.random() * 2)
            with suppress(OrderChangeRejected, OrderNotFound, TemporalUnavailable):
                await self.client.change(order.order_id, Change.cancel("changed my mind"))
        return await self.until_ended(order.order_id)

    async def until_ended(self, order_id: str) -> OrderStatus:
        """Return the order's status once it has ended and no charge, refund or void is pending.

        There is no limit while workers are killed; afterwards each order has to end within `END_TIMEOUT`.
        """
        quiet_since = None
        while True:
            found = await self.reads.order(order_id)
            if found and found.status.settled:
                return found.status
            if self.stop.is_set():
                now = asyncio.get_running_loop().time()
                quiet_since = quiet_since or now
                assert now - quiet_since < END_TIMEOUT, f"stuck: {found}\n{await self.history(order_id)}"
            await asyncio.sleep(0.1)

    async def history(self, order_id: str) -> str:
        """Return the history and the pending activities of an order that doesn't end."""
        handle = self.temporal.get_workflow_handle(f"order-{order_id}")
        pending = (await handle.describe()).raw_description
        events = [
            f"{event.event_id} {event.event_time.ToDatetime():%H:%M:%S.%f} {event.WhichOneof('attributes')}"
            async for event in handle.fetch_history_events()
        ]
        return "\n".join([*events, str(pending.pending_activities), str(pending.pending_workflow_task)])


@contextmanager
def fork_server(folder: Path, workers: int = 2, **environment: str) -> Iterator[ForkServer]:
    """Yield that number of workers of each kind, with additional environment variables."""
    made = ForkServer({**environment, "ORDERFLEET_HEALTH_PORT": "0", "ORDERFLEET_DRAIN_TIMEOUT": "2s"}, folder)
    try:
        for kind in ("orders", "shipping"):
            for _ in range(workers):
                made.start(kind)
        yield made
    finally:
        made.close()


async def keep_ordering(run: Run) -> None:
    """Keep orders in progress until there were enough kills; then let them end."""
    numbers = iter(range(1, 100_000))

    async def order_repeatedly() -> None:
        while not run.stop.is_set():
            await run.run_order(next(numbers))

    async with asyncio.TaskGroup() as group:
        for _ in range(run.concurrent):
            group.create_task(order_repeatedly())
