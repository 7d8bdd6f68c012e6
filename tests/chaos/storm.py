"""A chaos run: the local stack under load, with faults that follow a schedule.

Nothing is judged during the run. Afterwards all faults are removed, the orders get time to settle, and the evidence is
collected from every system.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from chaos.client_logs import ClientLog
from chaos.clients import Clients, start_clients
from chaos.evidence import Evidence, gather, recorded_ids, recorded_refunds, resources, workflows
from chaos.order_plans import Action, OrderPlan, order_plans
from chaos.proxied_stack import ProxiedStack, proxied_stack
from chaos.schedule import Fault, FaultGroup, fault_groups
from orderfleet.domain.names import ENDED_LABEL
from orderfleet.settings import Settings

Log = Callable[[str], None]
_PROGRESS_SECONDS = 10.0
_POLL_SECONDS = 1.0
_END_TIMEOUT = 120.0
"""Seconds after which a client slot is free again, whether or not the order has ended."""


@dataclass(frozen=True)
class Size:
    """The size of a run."""

    orders: int
    faults: int
    seed: int
    concurrency: int = 40
    """Orders in progress at the same time, at most."""
    settle: float = 300.0
    """Seconds for the orders to end once all faults are removed."""


@dataclass
class Run:
    """What a run did."""

    size: Size
    faults_applied: list[Fault] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    unexpected_exits: dict[str, int] = field(default_factory=dict)
    storm_seconds: float = 0.0
    settle_seconds: float = 0.0
    unsettled: dict[str, list[str]] = field(default_factory=dict)
    """What had not settled at the limit, by system."""

    def document(self) -> dict[str, Any]:
        """Return the run as the report's JSON has it."""
        kinds = Counter(f"{' -> '.join(fault.target)}: {fault.kind}" for fault in self.faults_applied)
        return {
            "seed": self.size.seed,
            "orders": self.size.orders,
            "faults": len(self.faults_applied),
            "faults_by_target": dict(sorted(kinds.items())),
            "requests": self.attempts,
            "starts": self.starts,
            "unexpected_exits": self.unexpected_exits,
            "storm_seconds": round(self.storm_seconds, 1),
            "settle_seconds": round(self.settle_seconds, 1),
            "unsettled": self.unsettled,
        }


async def storm(size: Size, log: Log) -> tuple[Run, Evidence]:
    """Run a storm.

    Args:
        size: of the run.
        log: gets a line of progress now and then.

    Returns:
        What the run did, and the evidence of its outcome.
    """
    log(f"seed {size.seed}: {size.orders} orders, {size.faults} faults")
    began = time.monotonic()
    async with proxied_stack(environment(size.seed)) as stack, start_clients(stack) as clients:
        log(f"the stack is ready after {time.monotonic() - began:.0f} s")
        run = Run(size)
        supervising = asyncio.create_task(stack.supervise())
        try:
            await _run_storm(stack, clients, run, log)
        finally:
            supervising.cancel()
            await asyncio.gather(supervising, return_exceptions=True)
        run.attempts, run.starts = dict(clients.attempts), dict(stack.starts)
        run.unexpected_exits = dict(stack.unexpected_exits)
        return run, await gather(stack, clients.client_logs)


def environment(seed: int) -> dict[str, str]:
    """Return the settings of every role: provider and carrier are slow and fail, and waits are short."""
    rates = "error=0.15,hang=0.05,length=8s"
    faults = (
        f"charge:{rates};dispatch_carrier:{rates};prepare_package:error=0.1;refund:error=0.3;void_booking:error=0.2;"
        f"capture_payment:{rates};begin_refund:error=0.2;void_payment:error=0.3"
    )
    chosen = {
        "faults": f"{faults};seed={seed}",
        "simulated_latency": "50ms",
        "store_outage_max_backoff": "10s",
        "step_maximum_interval": "5s",
        "orphan_sweep_interval": "10s",
        "payment_hold": "40s",
    }
    assert chosen.keys() <= Settings.model_fields.keys()
    return {f"ORDERFLEET_{name.upper()}": value for name, value in chosen.items()}


async def _run_storm(stack: ProxiedStack, clients: Clients, run: Run, log: Log) -> None:
    size, began = run.size, time.monotonic()
    ends = _OrderEnds(stack)
    reporting = asyncio.create_task(_report_progress(clients, ends, run, log))
    polling = asyncio.create_task(ends.poll())
    slots = asyncio.Semaphore(size.concurrency)

    async def run_client(plan: OrderPlan) -> None:
        async with slots:
            client_log = await clients.order(plan)
            await ends.wait_for(client_log)
            await clients.refund_after_end(client_log)

    ordering = [asyncio.create_task(run_client(plan)) for plan in order_plans(size.seed, size.orders)]
    try:
        await _apply_faults(stack, clients, run, fault_groups(size.seed, size.faults, size.orders), ordering, log)
        if size.orders > size.concurrency:
            log("no more faults; sending the remaining orders")
        run.storm_seconds = time.monotonic() - began
        await stack.until_ready()
        log("every part is ready again; waiting for the orders to settle")
        ready_at = time.monotonic()
        # The last orders may be sent only now, so that the limit counts from here.
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*ordering), size.settle + size.orders)
        run.unsettled = await _settle(stack, size.settle)
        run.settle_seconds = time.monotonic() - ready_at
    finally:
        for task in (reporting, polling, *ordering):
            task.cancel()
        await asyncio.gather(reporting, polling, *ordering, return_exceptions=True)


async def _apply_faults(
    stack: ProxiedStack,
    clients: Clients,
    run: Run,
    schedule: list[FaultGroup],
    ordering: list[asyncio.Task[None]],
    log: Log,
) -> None:
    """Apply the schedule; a target's next fault waits until its last one is over."""
    targets: dict[tuple[str, ...], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def apply(fault: Fault) -> None:
        async with targets[fault.target]:
            await stack.apply(fault)
        run.faults_applied.append(fault)

    async with asyncio.TaskGroup() as group:
        for fault_group in schedule:
            while len(clients.client_logs) < fault_group.after_orders and not all(task.done() for task in ordering):  # noqa: ASYNC110 - clients set no event
                await asyncio.sleep(0.1)
            log(f"  {len(clients.client_logs)} orders: {'; '.join(map(str, fault_group.faults))}")
            for fault in fault_group.faults:
                group.create_task(apply(fault))


class _OrderEnds:
    """The orders that have ended, according to the order store; they bound the orders in progress."""

    def __init__(self, stack: ProxiedStack) -> None:
        self._stack = stack
        self._changed = asyncio.Condition()
        self.open: set[str] = set()
        self.settled: set[str] = set()

    async def poll(self) -> None:
        while True:
            with suppress(Exception):  # a fault may have stopped Postgres
                async with asyncio.timeout(10):
                    # In this order: an order that is stored in between must not count as settled.
                    recorded = set(await recorded_ids(self._stack))
                    unsettled = set(await recorded_ids(self._stack, unsettled=True))
                async with self._changed:
                    self.open, self.settled = unsettled, recorded - unsettled
                    self._changed.notify_all()
            await asyncio.sleep(_POLL_SECONDS)

    async def wait_for(self, client_log: ClientLog) -> None:
        """Wait until an order has ended, for a limited time; a deleted Order may never be stored."""
        if client_log.order_id is None or any(
            action is Action.DELETE for action, _outcome, _again in client_log.changes
        ):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_TIMEOUT), self._changed:
                await self._changed.wait_for(lambda: client_log.order_id in self.settled)


async def _report_progress(clients: Clients, ends: _OrderEnds, run: Run, log: Log) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        accepted = sum(client_log.order_id is not None for client_log in clients.client_logs.values())
        log(
            f"{time.monotonic() - began:5.0f} s: {accepted} of {run.size.orders} orders accepted,"
            f" {len(ends.open)} open, {len(run.faults_applied)} of {run.size.faults} faults over"
        )


async def _settle(stack: ProxiedStack, limit: float) -> dict[str, list[str]]:
    """Wait until every order has settled; return what has not at the limit, by system."""
    end = time.monotonic() + limit
    while True:
        left = await _unsettled(stack)
        if not left or time.monotonic() > end:
            return left
        await asyncio.sleep(_POLL_SECONDS)


async def _unsettled(stack: ProxiedStack) -> dict[str, list[str]]:
    orders_in_kubernetes, refunds = await resources(stack), await recorded_refunds(stack)
    left = {
        "order store": await recorded_ids(stack, unsettled=True),
        "temporal": [name for name, found in (await workflows(stack)).items() if found.status == "RUNNING"],
        "kubernetes": [
            name
            for name, order in orders_in_kubernetes.items()
            if order["metadata"].get("finalizers")
            or ENDED_LABEL not in order["metadata"].get("labels", {})
            or Decimal(order["status"].get("payment", {}).get("refunded", 0)) != refunds.get(name, 0)
        ],
    }
    return {where: names for where, names in left.items() if names}
