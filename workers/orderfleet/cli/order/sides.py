"""What `order describe` found, and how it is shown: the sides beside each other, then what the order is at.

It asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from orderfleet.cli.cluster import KubernetesOrder
from orderfleet.cli.show import plain_table, rows_table, time_text
from orderfleet.client import PendingActivity, SourcedStatus, WorkflowView
from orderfleet.contracts.record import RecordedOrder
from orderfleet.contracts.status import OrderStatus

_SIDES: Final = ("record", "workflow", "kubernetes")


@dataclass(frozen=True)
class Sides:
    """One order from every side; None is a side that is unknown, for the reason given by its name."""

    order_id: str
    record: RecordedOrder | None
    workflow: WorkflowView | None
    live: SourcedStatus | None
    """The workflow's own word."""
    kubernetes: KubernetesOrder | None
    unknown: Mapping[str, str]

    @property
    def status(self) -> OrderStatus | None:
        """The best word on the order there is."""
        return self.live or (self.record.status if self.record else None)

    def document(self) -> dict[str, Any]:
        """What programs get."""
        return {
            "order_id": self.order_id,
            "record": self.record,
            "workflow": self.workflow,
            "status": self.live,
            "kubernetes": self.kubernetes,
            "unknown": dict(self.unknown),
        }


def tables(sides: Sides) -> Iterator[RenderableType]:
    """The parts of the page, from top to bottom."""
    yield Text(f"Order {sides.order_id}", "bold")
    yield rows_table(_head(sides))
    yield _beside_each_other(sides)
    for side in _SIDES:
        if side in sides.unknown:
            yield Text(f"{side}: {sides.unknown[side]}", "yellow")
    yield Text("\nUnder way", "bold")
    pending = sides.workflow.pending if sides.workflow else ()
    yield _pending(pending) if pending else Text("no activity" if sides.workflow else "unknown")
    if sides.status is not None and sides.status.shipments:
        yield Text("\nShipments", "bold")
        yield _shipments(sides.status)
    if sides.kubernetes is not None:
        yield Text("\nConditions in Kubernetes", "bold")
        yield _conditions(sides.kubernetes)


def _head(sides: Sides) -> list[tuple[str, object]]:
    status, workflow = sides.status, sides.workflow
    rows: list[tuple[str, object]] = []
    if status is not None:
        payment = status.payment
        money = f"{payment.id}  {payment.status or 'not charged'}  {payment.amount} {payment.currency}"
        address = ", ".join(part for part in status.address.model_dump().values() if part)
        rows += [("payment", money), ("address", address), ("created", time_text(status.created_at))]
    if workflow is not None:
        rows.append(("workflow", f"{workflow.workflow_id}  {workflow.state}  {workflow.history_length} events"))
        earlier = len(workflow.earlier_runs)
        rows.append(("run", f"{workflow.run_id}  number {earlier + 1}" if earlier else workflow.run_id))
        if workflow.task_attempt > 1:
            rows.append(("stands still", f"try {workflow.task_attempt} of its workflow task; see its history"))
        rows.append(("waits for", ", ".join(workflow.waits_for)))
    if sides.kubernetes is not None:
        order = sides.kubernetes
        rows.append(("Order", f"{order.namespace}/{order.name}, generation {order.generation}"))
    return [*rows, ("", " ")]


def _beside_each_other(sides: Sides) -> RenderableType:
    columns = (
        _of_status(sides.record.status if sides.record else None),
        _of_status(sides.live),
        _of_kubernetes(sides.kubernetes),
    )
    table = plain_table("", *(side.upper() for side in _SIDES))
    for row in dict.fromkeys(name for column in columns for name in column):
        cells = [str(column.get(row) or ("" if column else "-")) for column in columns]
        if any(column.get(row) for column in columns):
            table.add_row(Text(row, "dim"), *(Text(cell) for cell in cells))
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
        "updated": _moment(status.get("updatedAt")),
        "ended": _moment(status.get("completedAt")),
    }


def _moment(text: str | None) -> str:
    return time_text(datetime.fromisoformat(text)) if text else ""


def _counts(retries: Mapping[str, int]) -> str:
    return "  ".join(f"{step} {count}" for step, count in retries.items())


def _pending(pending: tuple[PendingActivity, ...]) -> RenderableType:
    table = plain_table("ACTIVITY", "STATE", "ATTEMPT", "NEXT ATTEMPT", "LAST FAILURE", "WORKFLOW")
    for each in pending:
        attempts = f"{each.attempt} of {each.maximum_attempts}" if each.maximum_attempts else f"{each.attempt}"
        following = time_text(each.next_attempt_at) if each.next_attempt_at else ""
        table.add_row(each.activity, each.state, attempts, following, Text(each.last_failure or ""), each.workflow_id)
    return table


def _shipments(status: OrderStatus) -> RenderableType:
    table = plain_table("SHIPMENT", "STATUS", "ATTEMPTS", "CARRIER", "TRACKING", "FAILED")
    for one in status.shipments:
        told = (one.carrier or "", one.tracking_number or "")
        table.add_row(one.id, one.status, str(one.attempts), *told, Text(one.dispatch_failed_reason or ""))
    return table


def _conditions(order: KubernetesOrder) -> RenderableType:
    table = plain_table("CONDITION", "STATUS", "REASON", "MESSAGE")
    for condition in order.status.get("conditions", ()):
        table.add_row(condition["type"], condition["status"], condition["reason"], Text(condition["message"]))
    return table
