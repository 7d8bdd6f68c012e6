"""`orderfleet order describe`: one order as the order store, its workflow and Kubernetes have it, side by side.

It only reads. A source that is unavailable is shown with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from orderfleet.cli import connection as connections
from orderfleet.cli.order.session import TABLE, OrderId, resolve_order_id, run_with_progress
from orderfleet.cli.output import Output, OutputOption, console, plain_table, print_document, rows_table, time_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orderfleet.cli.connection import Connection
    from orderfleet.cli.kubernetes import KubernetesOrder
    from orderfleet.domain.events import RecordedOrder
    from orderfleet.domain.status import OrderStatus
    from orderfleet.services.inspection import WorkflowView
    from orderfleet.services.orders import SourcedStatus
    from orderfleet.services.pending import PendingActivity
    from orderfleet.settings import Settings


_SOURCES: Final = ("database", "workflow", "kubernetes")


@dataclass(frozen=True)
class OrderComparison:
    """One order in every source; a source that is None is unavailable, and `unknown` has the reason by its name."""

    order_id: str
    database: RecordedOrder | None
    workflow: WorkflowView | None
    live: SourcedStatus | None
    """The status that the workflow returned."""
    kubernetes: KubernetesOrder | None
    unknown: Mapping[str, str]

    @property
    def status(self) -> OrderStatus | None:
        """The workflow's status if there is one, else the recorded status."""
        return self.live or (self.database.status if self.database else None)

    def document(self) -> dict[str, Any]:
        """Return what `-o json` and `-o yaml` print."""
        return {
            "order_id": self.order_id,
            "database": self.database,
            "workflow": self.workflow,
            "status": self.live,
            "kubernetes": self.kubernetes,
            "unknown": dict(self.unknown),
        }


def tables(comparison: OrderComparison) -> Iterator[RenderableType]:
    """Yield the parts of the page, from top to bottom."""
    yield Text(f"Order {comparison.order_id}", "bold")
    yield rows_table(_head(comparison))
    yield _comparison_table(comparison)
    for source in _SOURCES:
        if source in comparison.unknown:
            yield Text(f"{source}: {comparison.unknown[source]}", "yellow")
    yield Text("\nIn progress", "bold")
    pending = comparison.workflow.pending if comparison.workflow else ()
    yield _pending(pending) if pending else Text("no activity" if comparison.workflow else "unknown")
    if comparison.status is not None and comparison.status.shipments:
        yield Text("\nShipments", "bold")
        yield _shipments(comparison.status)
    if comparison.kubernetes is not None:
        yield Text("\nConditions in Kubernetes", "bold")
        yield _conditions(comparison.kubernetes)


def _head(comparison: OrderComparison) -> list[tuple[str, object]]:
    status, workflow = comparison.status, comparison.workflow
    rows: list[tuple[str, object]] = []
    if status is not None:
        payment = status.payment
        money = f"{payment.id}  {payment.status or 'not charged'}  {payment.amount} {payment.currency}"
        address = ", ".join(part for part in status.address.model_dump().values() if part)
        rows += [
            ("reference", status.reference),
            ("payment", money),
            ("address", address),
            ("created", time_text(status.created_at)),
        ]
    if workflow is not None:
        rows.append(("workflow", f"{workflow.workflow_id}  {workflow.state}  {workflow.history_length} events"))
        earlier = len(workflow.earlier_runs)
        rows.append(("run", f"{workflow.run_id}  number {earlier + 1}" if earlier else workflow.run_id))
        if workflow.task_attempt > 1:
            rows.append(("blocked", f"attempt {workflow.task_attempt} of its workflow task; see its history"))
        rows.append(("waits for", ", ".join(workflow.waits_for)))
    if comparison.kubernetes is not None:
        order = comparison.kubernetes
        rows.append(("Order", f"{order.namespace}/{order.name}, generation {order.generation}"))
    return [*rows, ("", " ")]


def _comparison_table(comparison: OrderComparison) -> RenderableType:
    columns = (
        _of_status(comparison.database.status if comparison.database else None),
        _of_status(comparison.live),
        _of_kubernetes(comparison.kubernetes),
    )
    table = plain_table("", *(source.upper() for source in _SOURCES))
    for name in dict.fromkeys(name for column in columns for name in column):
        cells = [str(column.get(name) or ("" if column else "-")) for column in columns]
        if any(column.get(name) for column in columns):
            table.add_row(Text(name, "dim"), *(Text(cell) for cell in cells))
    return table


def _of_status(status: OrderStatus | None) -> dict[str, object]:
    if status is None:
        return {}
    return {
        "step": status.step,
        "approved": "yes" if status.approved else "no",
        "payment": status.payment.status or "not charged",
        "tracking": next((one.tracking_number for one in reversed(status.shipments) if one.tracking_number), None),
        "canceled": status.cancel_reason,
        "dispatch failed": status.dispatch_failed_reason,
        "retries": _counts(status.retries),
        "last error": status.last_error,
        "updated": time_text(status.updated_at),
        "ended": status.completed_at and time_text(status.completed_at),
    }


def _of_kubernetes(order: KubernetesOrder | None) -> dict[str, object]:
    if order is None:
        return {}
    status = order.status
    return {
        "step": status.get("step", "no status yet"),
        "approved": "yes" if status.get("approved") else "no",
        "payment": (status.get("payment") or {}).get("status", "not charged"),
        "tracking": status.get("trackingNumber"),
        "canceled": status.get("cancelReason"),
        "dispatch failed": status.get("dispatchFailedReason"),
        "retries": _counts(status.get("retries") or {}),
        "last error": status.get("lastError"),
        "updated": _time_or_empty(status.get("updatedAt")),
        "ended": _time_or_empty(status.get("completedAt")),
    }


def _time_or_empty(text: str | None) -> str:
    return time_text(datetime.fromisoformat(text)) if text else ""


def _counts(retries: Mapping[str, int]) -> str:
    return "  ".join(f"{step} {count}" for step, count in retries.items())


def _pending(pending: tuple[PendingActivity, ...]) -> RenderableType:
    table = plain_table("ACTIVITY", "STATE", "ATTEMPT", "NEXT ATTEMPT", "LAST FAILURE", "WORKFLOW")
    for each in pending:
        attempts = f"{each.attempt} of {each.maximum_attempts}" if each.maximum_attempts else f"{each.attempt}"
        next_attempt = time_text(each.next_attempt_at) if each.next_attempt_at else ""
        table.add_row(
            each.activity, each.state, attempts, next_attempt, Text(each.last_failure or ""), each.workflow_id
        )
    return table


def _shipments(status: OrderStatus) -> RenderableType:
    table = plain_table("SHIPMENT", "STATUS", "ATTEMPTS", "CARRIER", "TRACKING", "FAILED")
    for each in status.shipments:
        carrier = (each.carrier or "", each.tracking_number or "")
        table.add_row(each.id, each.status, str(each.attempts), *carrier, Text(each.dispatch_failed_reason or ""))
    return table


def _conditions(order: KubernetesOrder) -> RenderableType:
    table = plain_table("CONDITION", "STATUS", "REASON", "MESSAGE")
    for condition in order.status.get("conditions", ()):
        table.add_row(condition["type"], condition["status"], condition["reason"], Text(condition["message"]))
    return table


def describe(order_id: OrderId, output: OutputOption = TABLE) -> None:
    """Compare an order in the order store, its workflow and Kubernetes; show pending activities and shipments."""
    settings = connections.local_settings()
    comparison = run_with_progress(
        lambda connection: _compare(connection, order_id, settings), "reading every source", settings
    )
    if output is not Output.TABLE:
        print_document(comparison.document(), output)
        return

    for part in tables(comparison):
        console().print(part)


async def _compare(connection: Connection, order_id: str, settings: Settings) -> OrderComparison:
    """Read the order from each source.

    Raises:
        OrderNotFound: neither the order store nor Temporal has the order.
        StoreUnavailable: neither of them answers.
    """
    order_id = await resolve_order_id(connection, order_id)
    unknown: dict[str, str] = {}
    record, workflow = await asyncio.gather(
        _record(connection, order_id, unknown), _workflow(connection, order_id, unknown)
    )
    live = await _live(connection, order_id, unknown) if workflow else None
    if record is None and workflow is None:
        # This call raises: the order store or Temporal is unavailable, or there is no such order.
        await connection.orders.recorded(order_id)
    owner = record.owner if record else workflow.owner if workflow else ""
    kubernetes = await _kubernetes(owner, settings, unknown)
    return OrderComparison(order_id, record, workflow, live, kubernetes, unknown)


async def _record(connection: Connection, order_id: str, unknown: dict[str, str]) -> RecordedOrder | None:
    from orderfleet.domain.errors import StoreUnavailable  # noqa: PLC0415

    try:
        record = await connection.reads.order(order_id)
    except StoreUnavailable as error:
        unknown["database"] = str(error)
        return None
    if record is None:
        unknown["database"] = "not recorded yet"
    return record


async def _workflow(connection: Connection, order_id: str, unknown: dict[str, str]) -> WorkflowView | None:
    from orderfleet.services.errors import OrderNotFound, TemporalUnavailable  # noqa: PLC0415

    try:
        return await connection.inspector.workflow(order_id)
    except OrderNotFound:
        unknown["workflow"] = "Temporal has no such workflow any more"
    except TemporalUnavailable as error:
        unknown["workflow"] = str(error)
    return None


async def _live(connection: Connection, order_id: str, unknown: dict[str, str]) -> SourcedStatus | None:
    from orderfleet.domain.errors import StoreUnavailable  # noqa: PLC0415
    from orderfleet.services.errors import TemporalUnavailable  # noqa: PLC0415
    from orderfleet.services.orders import Source  # noqa: PLC0415

    try:
        live = await connection.orders.live(order_id)
    except (TemporalUnavailable, StoreUnavailable) as error:
        unknown["workflow"] = str(error)
        return None
    if live.source is Source.WORKFLOW:
        return live
    unknown["workflow"] = "no worker answers its query"
    return None


async def _kubernetes(owner: str, settings: Settings, unknown: dict[str, str]) -> KubernetesOrder | None:
    from orderfleet.cli.kubernetes import KubernetesUnavailable, find_order  # noqa: PLC0415

    try:
        return await asyncio.to_thread(find_order, owner, settings)
    except KubernetesUnavailable as error:
        unknown["kubernetes"] = str(error)
        return None
