"""The state of a run's orders in every system: clients, provider, carrier, Postgres, Temporal and Kubernetes.

It reads each system directly, not through a proxy and not through the product's API, and must never change anything.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
from temporalio.client import Client, WorkflowExecutionStatus

from chaos.client_logs import ClientLog
from chaos.clients import NAMESPACE
from chaos.proxied_stack import ProxiedStack
from orderfleet.domain.events import RecordedEvent, RecordedOrder
from orderfleet.domain.ledger import PaymentDetail
from orderfleet.domain.money import to_decimal
from orderfleet.domain.names import ORDER_WORKFLOW, ORPHAN_SWEEP_WORKFLOW, order_workflow_id
from orderfleet.domain.status import OrderStatus, PaymentStatus
from orderfleet.providers.carriers.simulated import BookedParcel, CarrierLedger
from orderfleet.providers.payments.simulated import SimulatedPayments
from orderfleet.providers.payments.simulated_entries import PaymentEntry
from orderfleet.store.payment_reads import EARLIEST, payment_detail
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.temporal.data_converter import DATA_CONVERTER

_BATCH_SIZE = 200


@dataclass(frozen=True)
class Workflow:
    """One workflow in Temporal, all runs together."""

    kind: str
    status: str
    result: OrderStatus | None = None
    """Of an order workflow that completed."""


@dataclass(frozen=True)
class Sums:
    """The status and the amounts of a payment."""

    status: PaymentStatus | None
    authorized: Decimal
    """Authorized or captured, without what was released."""
    captured: Decimal
    refunded: Decimal


@dataclass(frozen=True)
class Evidence:
    """Everything that was collected."""

    client_logs: Mapping[str, ClientLog]
    """By the client's own name for the order."""
    money: Sequence[PaymentEntry]
    parcels: Sequence[BookedParcel]
    orders: Mapping[str, RecordedOrder]
    events: Mapping[str, Sequence[RecordedEvent]]
    workflows: Mapping[str, Workflow]
    """By workflow id, without the orphan sweep."""
    resources: Mapping[str, Mapping[str, Any]]
    """Orders that still exist in Kubernetes, by name."""
    payments: Mapping[str, PaymentDetail]
    """The payments of the order store with their entries and intents, by payment id."""
    derived: Mapping[str, Sums]
    """What the entries of each payment derive, by payment id."""
    discrepancies: Sequence[tuple[str, str]]
    """Payments whose entries do not fit together, and why."""


async def gather(stack: ProxiedStack, client_logs: Mapping[str, ClientLog]) -> Evidence:
    """Collect the evidence.

    Args:
        stack: whose systems are read.
        client_logs: of the run's clients.
    """
    provider = SimulatedPayments(ledger=stack.parts.ledger)
    # The provider releases an authorization that has lapsed when its books are read.
    async for _ in provider.payments(EARLIEST, datetime.now(UTC)):
        pass
    async with Database(stack.database_url, pool_size=8, timeout=timedelta(seconds=30)) as database:
        reads = OrderReads(database)
        ids = await recorded_ids(stack)
        orders = await reads.orders(ids)
        events: dict[str, list[RecordedEvent]] = {}
        for begin in range(0, len(ids), _BATCH_SIZE):
            batch = ids[begin : begin + _BATCH_SIZE]
            events |= zip(batch, await asyncio.gather(*(_events(reads, order_id) for order_id in batch)), strict=True)
        payments = [
            payment_detail(row) for row in await database.fetch("select * from recorded_payments order by payment_id")
        ]
        derived = {row["payment_id"]: _sums(row) for row in await database.fetch(_DERIVED)}
        discrepancies = await database.fetch("select payment_id, kind from payment_discrepancies order by 1, 2")
    return Evidence(
        client_logs=client_logs,
        money=await asyncio.to_thread(provider.ledger.entries),
        parcels=await asyncio.to_thread(CarrierLedger(stack.parts.ledger).parcels),
        orders=orders,
        events=events,
        workflows=await workflows(stack, results=True),
        resources=await resources(stack),
        payments={payment.payment_id: payment for payment in payments},
        derived=derived,
        discrepancies=[(row["payment_id"], row["kind"]) for row in discrepancies],
    )


_DERIVED = """
select payment_id, currency, d.status, d.authorized - d.released as authorized, d.captured, d.refunded
from derived_payments as d join payments using (payment_id)
"""


def _sums(row: asyncpg.Record) -> Sums:
    amounts = {name: to_decimal(row[name], row["currency"]) for name in ("authorized", "captured", "refunded")}
    return Sums(status=PaymentStatus(row["status"]), **amounts)


async def _events(reads: OrderReads, order_id: str) -> list[RecordedEvent]:
    return list(await reads.events(order_id))


async def recorded_ids(stack: ProxiedStack, *, unsettled: bool = False) -> list[str]:
    """Return the ids of stored orders; with `unsettled` only those that are open or have a pending refund."""
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


async def recorded_refunds(stack: ProxiedStack) -> dict[str, Decimal]:
    """Return what is refunded of each order, by order id."""
    connection = await asyncpg.connect(stack.database_url, timeout=30)
    try:
        rows = await connection.fetch("select order_id, refunded, currency from payments")
    finally:
        await connection.close()
    return {row["order_id"]: to_decimal(row["refunded"], row["currency"]) for row in rows}


async def workflows(stack: ProxiedStack, *, results: bool = False) -> dict[str, Workflow]:
    """Return all workflows but the orphan sweep; with `results` also the results of order workflows."""
    client = await Client.connect(stack.temporal_address, data_converter=DATA_CONVERTER)
    found: dict[str, Workflow] = {}
    async for run in client.list_workflows("", page_size=1000):
        if run.workflow_type == ORPHAN_SWEEP_WORKFLOW or run.status is None:
            continue
        # A run that continued as new doesn't say how the workflow ended.
        if run.id not in found or run.status is not WorkflowExecutionStatus.CONTINUED_AS_NEW:
            found[run.id] = Workflow(run.workflow_type, run.status.name)
    if results:
        completed = [
            name
            for name, workflow in found.items()
            if workflow.kind == ORDER_WORKFLOW and workflow.status == WorkflowExecutionStatus.COMPLETED.name
        ]
        for begin in range(0, len(completed), _BATCH_SIZE):
            batch = completed[begin : begin + _BATCH_SIZE]
            handles = [client.get_workflow_handle(name, result_type=OrderStatus) for name in batch]
            answers = await asyncio.gather(*(handle.result() for handle in handles))
            for name, response in zip(batch, answers, strict=True):
                found[name] = Workflow(ORDER_WORKFLOW, found[name].status, response)
    return found


async def resources(stack: ProxiedStack) -> dict[str, Mapping[str, Any]]:
    """Return the Orders in Kubernetes, by name."""

    def read() -> str:
        command = [str(stack.parts.kubectl), "--kubeconfig", str(stack.parts.kubeconfig), "--namespace", NAMESPACE]
        cache = ["--cache-dir", str(stack.folder / "kubectl-cache")]
        command_line = [*command, *cache, "get", "orders.orderfleet.dev", "-o", "json"]
        return subprocess.run(command_line, check=True, capture_output=True, text=True, timeout=120).stdout

    items = json.loads(await asyncio.to_thread(read))["items"]
    return {item["metadata"]["name"]: item for item in items}


def order_workflow(evidence: Evidence, order_id: str) -> Workflow | None:
    """Return the order's own workflow."""
    return evidence.workflows.get(order_workflow_id(order_id))
