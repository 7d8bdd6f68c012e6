"""What every side says of a run's orders: customers, provider, carrier, Postgres, Temporal and Kubernetes.

`storm` gathers it, `promises` judges it. It reads each part directly, none through a line or through the
product's own API, and must never change anything.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
from customers import NAMESPACE, Told
from stormy_stack import StormyStack
from temporalio.client import Client, WorkflowExecutionStatus

from orderfleet.domain.events import RecordedEvent, RecordedOrder
from orderfleet.domain.names import ORDER_WORKFLOW, ORPHAN_SWEEP_WORKFLOW, order_workflow_id
from orderfleet.domain.status import OrderStatus
from orderfleet.providers.carriers.simulated import BookedParcel, CarrierLedger
from orderfleet.providers.payments.simulated import PaymentEntry, PaymentLedger
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.temporal.data_converter import DATA_CONVERTER

_AT_ONCE = 200


@dataclass(frozen=True)
class Workflow:
    """One workflow as Temporal has it, its runs taken together."""

    kind: str
    status: str
    result: OrderStatus | None = None
    """Of an order's workflow that completed."""


@dataclass(frozen=True)
class Evidence:
    """Everything that was found."""

    told: Mapping[str, Told]
    """By the customer's own name for it."""
    money: Sequence[PaymentEntry]
    parcels: Sequence[BookedParcel]
    orders: Mapping[str, RecordedOrder]
    events: Mapping[str, Sequence[RecordedEvent]]
    workflows: Mapping[str, Workflow]
    """By workflow id; the sweep's is left out."""
    resources: Mapping[str, Mapping[str, Any]]
    """Orders that are still in Kubernetes, by name."""


async def gather(stack: StormyStack, told: Mapping[str, Told]) -> Evidence:
    """Look everywhere."""
    ledger = stack.parts.ledger
    async with Database(stack.database_url, pool_size=8, timeout=timedelta(seconds=30)) as database:
        reads = OrderReads(database)
        ids = await recorded_ids(stack)
        orders = await reads.orders(ids)
        events: dict[str, list[RecordedEvent]] = {}
        for begin in range(0, len(ids), _AT_ONCE):
            some = ids[begin : begin + _AT_ONCE]
            events |= zip(some, await asyncio.gather(*(_events(reads, order_id) for order_id in some)), strict=True)
    return Evidence(
        told=told,
        money=await asyncio.to_thread(PaymentLedger(ledger).entries),
        parcels=await asyncio.to_thread(CarrierLedger(ledger).parcels),
        orders=orders,
        events=events,
        workflows=await workflows(stack, results=True),
        resources=await resources(stack),
    )


async def _events(reads: OrderReads, order_id: str) -> list[RecordedEvent]:
    return list(await reads.events(order_id))


async def recorded_ids(stack: StormyStack, *, unsettled: bool = False) -> list[str]:
    """The orders of the record; only those that go on or are owed money if asked so."""
    connection = await asyncpg.connect(stack.database_url, timeout=30)
    try:
        rows = await connection.fetch(
            "select o.order_id from orders o left join payments p using (payment_id)"
            " where not $1 or o.completed_at is null or payment_pending(o.step, p.status) order by 1",
            unsettled,
        )
    finally:
        await connection.close()
    return [row["order_id"] for row in rows]


async def workflows(stack: StormyStack, *, results: bool = False) -> dict[str, Workflow]:
    """All workflows but the sweep; the results of the orders' own if asked so."""
    client = await Client.connect(stack.temporal_address, data_converter=DATA_CONVERTER)
    found: dict[str, Workflow] = {}
    async for run in client.list_workflows("", page_size=1000):
        if run.workflow_type == ORPHAN_SWEEP_WORKFLOW or run.status is None:
            continue
        # A run that continued as new is not how it ended.
        if run.id not in found or run.status is not WorkflowExecutionStatus.CONTINUED_AS_NEW:
            found[run.id] = Workflow(run.workflow_type, run.status.name)
    if results:
        completed = [
            name
            for name, workflow in found.items()
            if workflow.kind == ORDER_WORKFLOW and workflow.status == WorkflowExecutionStatus.COMPLETED.name
        ]
        for begin in range(0, len(completed), _AT_ONCE):
            some = completed[begin : begin + _AT_ONCE]
            handles = [client.get_workflow_handle(name, result_type=OrderStatus) for name in some]
            answers = await asyncio.gather(*(handle.result() for handle in handles))
            for name, answer in zip(some, answers, strict=True):
                found[name] = Workflow(ORDER_WORKFLOW, found[name].status, answer)
    return found


async def resources(stack: StormyStack) -> dict[str, Mapping[str, Any]]:
    """The Orders in Kubernetes, by name."""

    def read() -> str:
        command = [str(stack.parts.kubectl), "--kubeconfig", str(stack.parts.kubeconfig), "--namespace", NAMESPACE]
        cache = ["--cache-dir", str(stack.folder / "kubectl-cache")]
        asked = [*command, *cache, "get", "orders.orderfleet.dev", "-o", "json"]
        return subprocess.run(asked, check=True, capture_output=True, text=True, timeout=120).stdout

    items = json.loads(await asyncio.to_thread(read))["items"]
    return {item["metadata"]["name"]: item for item in items}


def of_order(evidence: Evidence, order_id: str) -> Workflow | None:
    """The order's own workflow."""
    return evidence.workflows.get(order_workflow_id(order_id))
