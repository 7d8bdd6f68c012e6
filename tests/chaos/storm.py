"""A chaos run: a stack under load in which things go wrong by schedule, and how it stands once it is over.

`chaos` and the tests call it. While it lasts nothing is judged; afterwards everything is healed, the orders
get time to settle, and what every side then says is the evidence.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from customers import Customers, Told, customers
from evidence import Evidence, gather, recorded_ids, resources, workflows
from schedule import Act, Fault, Squall, Wish, squalls, wishes
from stormy_stack import StormyStack, stormy_stack

from orderfleet.domain.names import ENDED_LABEL
from orderfleet.settings import Settings

Say = Callable[[str], None]
_TELL = 10.0
_LOOK_AGAIN = 1.0
_PATIENCE = 120.0
"""Seconds after which a customer lets another one order, whether or not the order has ended."""


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    orders: int
    faults: int
    seed: int
    under_way: int = 40
    """Orders that are under way at the same time, at most."""
    settle: float = 300.0
    """Seconds for the orders to come to their ends once nothing is wrong any more, and no failure before."""


@dataclass
class Run:
    """What happened."""

    size: Size
    suffered: list[Fault] = field(default_factory=list)
    tries: dict[str, int] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    ended_by_itself: dict[str, int] = field(default_factory=dict)
    storm_seconds: float = 0.0
    settle_seconds: float = 0.0
    unsettled: dict[str, list[str]] = field(default_factory=dict)
    """What had not come to rest within the limit, by where."""

    def document(self) -> dict[str, Any]:
        """What the report tells of it."""
        kinds = Counter(f"{' -> '.join(fault.at)}: {fault.wrong}" for fault in self.suffered)
        return {
            "seed": self.size.seed,
            "orders": self.size.orders,
            "faults": len(self.suffered),
            "faults_by_target": dict(sorted(kinds.items())),
            "asked": self.tries,
            "starts": self.starts,
            "ended_by_itself": self.ended_by_itself,
            "storm_seconds": round(self.storm_seconds, 1),
            "settle_seconds": round(self.settle_seconds, 1),
            "unsettled": self.unsettled,
        }


async def storm(size: Size, say: Say) -> tuple[Run, Evidence]:
    """Run the whole of it."""
    say(f"seed {size.seed}: {size.orders} orders, {size.faults} faults")
    began = time.monotonic()
    async with stormy_stack(environment(size.seed)) as stack, customers(stack) as everyone:
        say(f"the stack is ready after {time.monotonic() - began:.0f} s")
        run = Run(size)
        supervising = asyncio.create_task(stack.supervise())
        try:
            await _weather(stack, everyone, run, say)
        finally:
            supervising.cancel()
            await asyncio.gather(supervising, return_exceptions=True)
        run.tries, run.starts = dict(everyone.tries), dict(stack.starts)
        run.ended_by_itself = dict(stack.ended_by_itself)
        return run, await gather(stack, everyone.told)


def environment(seed: int) -> dict[str, str]:
    """What the roles are told: provider and carrier take their time and fail, and waits are short."""
    sick = "error=0.15,hang=0.05,length=8s"
    faults = f"charge:{sick};dispatch_carrier:{sick};prepare_package:error=0.1;refund:error=0.3;void_booking:error=0.2"
    chosen = {
        "faults": f"{faults};seed={seed}",
        "simulated_latency": "50ms",
        "store_outage_max_backoff": "10s",
        "step_maximum_interval": "5s",
        "orphan_sweep_interval": "10s",
    }
    assert chosen.keys() <= Settings.model_fields.keys()
    return {f"ORDERFLEET_{name.upper()}": value for name, value in chosen.items()}


async def _weather(stack: StormyStack, everyone: Customers, run: Run, say: Say) -> None:
    size, began = run.size, time.monotonic()
    ends = _Ends(stack)
    telling = asyncio.create_task(_tell(everyone, ends, run, say))
    looking = asyncio.create_task(ends.look())
    slots = asyncio.Semaphore(size.under_way)

    async def one(wish: Wish) -> None:
        async with slots:
            told = await everyone.order(wish)
            await ends.of(told)

    buying = [asyncio.create_task(one(wish)) for wish in wishes(size.seed, size.orders)]
    try:
        await _let_go_wrong(stack, everyone, run, squalls(size.seed, size.faults, size.orders), buying, say)
        if size.orders > size.under_way:
            say("no more faults; the rest of the orders is asked for")
        run.storm_seconds = time.monotonic() - began
        await stack.well_again()
        say("every part is ready again; waiting for the orders to settle")
        healed = time.monotonic()
        # The last orders may have been asked for only now; from then on the limit counts.
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*buying), size.settle + size.orders)
        run.unsettled = await _settle(stack, size.settle)
        run.settle_seconds = time.monotonic() - healed
    finally:
        for task in (telling, looking, *buying):
            task.cancel()
        await asyncio.gather(telling, looking, *buying, return_exceptions=True)


async def _let_go_wrong(
    stack: StormyStack,
    everyone: Customers,
    run: Run,
    schedule: list[Squall],
    buying: list[asyncio.Task[None]],
    say: Say,
) -> None:
    """Carry out the schedule; what is wrong already is over before something else is wrong with the same target."""
    targets: dict[tuple[str, ...], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def suffer(fault: Fault) -> None:
        async with targets[fault.at]:
            await stack.suffer(fault)
        run.suffered.append(fault)

    async with asyncio.TaskGroup() as group:
        for squall in schedule:
            while len(everyone.told) < squall.after_orders and not all(task.done() for task in buying):  # noqa: ASYNC110 - customers don't know the weather
                await asyncio.sleep(0.1)
            say(f"  {len(everyone.told)} orders: {'; '.join(map(str, squall.faults))}")
            for fault in squall.faults:
                group.create_task(suffer(fault))


class _Ends:
    """Which orders have ended, by the record, so that there are never too many under way."""

    def __init__(self, stack: StormyStack) -> None:
        self._stack = stack
        self._changed = asyncio.Condition()
        self.going_on: set[str] = set()
        self.settled: set[str] = set()

    async def look(self) -> None:
        while True:
            with suppress(Exception):  # Postgres may be away, and that is no news
                async with asyncio.timeout(10):
                    # In this order: what is recorded in between is not taken for settled.
                    recorded = set(await recorded_ids(self._stack))
                    going_on = set(await recorded_ids(self._stack, unsettled=True))
                async with self._changed:
                    self.going_on, self.settled = going_on, recorded - going_on
                    self._changed.notify_all()
            await asyncio.sleep(_LOOK_AGAIN)

    async def of(self, told: Told) -> None:
        """Wait until an order has ended, or for long enough; one that is deleted may never be recorded."""
        if told.order_id is None or any(act is Act.DELETE for act, _outcome, _again in told.changes):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE), self._changed:
                await self._changed.wait_for(lambda: told.order_id in self.settled)


async def _tell(everyone: Customers, ends: _Ends, run: Run, say: Say) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(_TELL)
        accepted = sum(told.order_id is not None for told in everyone.told.values())
        say(
            f"{time.monotonic() - began:5.0f} s: {accepted} of {run.size.orders} orders accepted,"
            f" {len(ends.going_on)} go on, {len(run.suffered)} of {run.size.faults} faults over"
        )


async def _settle(stack: StormyStack, limit: float) -> dict[str, list[str]]:
    """Wait until nothing goes on any more; return what still does at the limit."""
    end = time.monotonic() + limit
    while True:
        left = await _unsettled(stack)
        if not left or time.monotonic() > end:
            return left
        await asyncio.sleep(_LOOK_AGAIN)


async def _unsettled(stack: StormyStack) -> dict[str, list[str]]:
    there = await resources(stack)
    left = {
        "record": await recorded_ids(stack, unsettled=True),
        "temporal": [name for name, found in (await workflows(stack)).items() if found.status == "RUNNING"],
        "kubernetes": [
            name
            for name, order in there.items()
            if order["metadata"].get("finalizers") or ENDED_LABEL not in order["metadata"].get("labels", {})
        ],
    }
    return {where: names for where, names in left.items() if names}
