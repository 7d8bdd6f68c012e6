"""`orderfleet order describe`: one order as the order store, its workflow and Kubernetes have it; what it waits for.

It only reads. A source that is unavailable is shown with the reason.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from orderfleet.cli.local_stack import stack_kubectl
from orderfleet.cli.order import session
from orderfleet.cli.order.session import Connection, OrderId, resolve_order_id, run_with_progress
from orderfleet.cli.output import (
    Output,
    OutputOption,
    address_text,
    console,
    counts_text,
    payment_text,
    plain_table,
    print_document,
    rows_table,
    time_text,
    waiting_rows,
)
from orderfleet.cli.plugin import RESOURCE
from orderfleet.domain.base import Contract
from orderfleet.domain.errors import OrderfleetError, StoreUnavailable
from orderfleet.domain.events import RecordedOrder
from orderfleet.domain.status import OrderStatus
from orderfleet.services.errors import OrderNotFound, Source, SourcedStatus, TemporalUnavailable
from orderfleet.services.inspection import WorkflowView
from orderfleet.services.pending import PendingActivity
from orderfleet.settings import Settings
from orderfleet.settings.connections import database_address

_KUBECTL_TIMEOUT: Final = 5
"""Seconds that the API server has to answer; kubectl itself gets twice as long."""


class KubernetesUnavailable(OrderfleetError):
    """The Order can't be read from Kubernetes; the message says why."""


class KubernetesOrder(Contract):
    """An Order: where it is, its generation and its status."""

    namespace: str
    name: str
    generation: int
    status: dict[str, Any]


def find_order(owner: str, settings: Settings) -> KubernetesOrder:
    """Return the Order that an order was started from, read by kubectl.

    It runs against the local stack's cluster if the database in use is the local stack's, else against the user's
    current context.

    Args:
        owner: its `namespace/name`; empty for an order that was started outside Kubernetes.
        settings: name the database, which shows whether the local stack is in use.

    Raises:
        KubernetesUnavailable: there is no such Order, no kubeconfig, or the cluster doesn't answer.
    """
    namespace, _, name = owner.partition("/")
    if not name:
        raise KubernetesUnavailable("the order was started outside Kubernetes")
    kubectl = _kubectl(settings)
    text = _run_kubectl(
        [*kubectl, "get", RESOURCE, name, "-n", namespace, "-o", "json", f"--request-timeout={_KUBECTL_TIMEOUT}s"]
    )
    order = json.loads(text)
    return KubernetesOrder(
        namespace=namespace, name=name, generation=order["metadata"]["generation"], status=order.get("status") or {}
    )


def _kubectl(settings: Settings) -> list[str]:
    """Return kubectl with the options that select the cluster."""
    local = stack_kubectl(database_address(settings)())
    if local:
        return local
    program = shutil.which("kubectl")
    if program is None:
        raise KubernetesUnavailable("kubectl is not on the PATH")
    try:
        _run_kubectl([program, "config", "current-context"])
    except KubernetesUnavailable:
        raise KubernetesUnavailable("there is no kubeconfig; set KUBECONFIG") from None
    return [program]


def _run_kubectl(command: list[str]) -> str:
    try:
        result = subprocess.run(  # noqa: S603 - the user's kubectl
            command, capture_output=True, text=True, check=False, timeout=2 * _KUBECTL_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise KubernetesUnavailable(f"kubectl did not answer within {2 * _KUBECTL_TIMEOUT} s") from None
    if result.returncode != 0:
        raise KubernetesUnavailable((result.stderr.strip() or "kubectl failed").splitlines()[-1])
    return result.stdout


_SOURCES: Final = ("database", "workflow", "kubernetes")


@dataclass(frozen=True)
class OrderComparison:
    """One order in every source; a source that is None is unavailable, and `unknown` has the reason by its name.

    `-o json` and `-o yaml` print the fields.
    """

    order_id: str
    database: RecordedOrder | None
    workflow: WorkflowView | None
    status: SourcedStatus | None
    """The status that the workflow returned."""
    kubernetes: KubernetesOrder | None
    unknown: dict[str, str]

    @property
    def latest(self) -> OrderStatus | None:
        """The workflow's status if there is one, else the recorded status."""
        return self.status or (self.database.status if self.database else None)


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
    if comparison.latest is not None and comparison.latest.shipments:
        yield Text("\nShipments", "bold")
        yield _shipments(comparison.latest)
    if comparison.kubernetes is not None:
        yield Text("\nConditions in Kubernetes", "bold")
        yield _conditions(comparison.kubernetes)


def _head(comparison: OrderComparison) -> list[tuple[str, object]]:
    status, workflow = comparison.latest, comparison.workflow
    rows: list[tuple[str, object]] = []
    if status is not None:
        rows += [
            ("reference", status.reference),
            ("payment", payment_text(status)),
            *waiting_rows(status),
            ("address", address_text(status)),
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
        _of_status(comparison.status),
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
        "held": status.hold and status.hold.name,
        "tracking": status.tracking_number,
        "canceled": status.cancel_reason,
        "dispatch failed": status.dispatch_failed_reason,
        "retries": counts_text(status.retries),
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
        "held": (status.get("hold") or {}).get("name"),
        "tracking": status.get("trackingNumber"),
        "canceled": status.get("cancelReason"),
        "dispatch failed": status.get("dispatchFailedReason"),
        "retries": counts_text(status.get("retries") or {}),
        "last error": status.get("lastError"),
        "updated": _time_or_empty(status.get("updatedAt")),
        "ended": _time_or_empty(status.get("completedAt")),
    }


def _time_or_empty(text: str | None) -> str:
    return time_text(datetime.fromisoformat(text)) if text else ""


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


def describe(order_id: OrderId, output: OutputOption = Output.TABLE) -> None:
    """Compare an order in the order store, its workflow and Kubernetes; show pending activities and shipments."""
    settings = session.local_settings()
    comparison = run_with_progress(
        lambda connection: _compare(connection, order_id, settings), "reading every source", settings
    )
    if output is not Output.TABLE:
        print_document(vars(comparison), output)
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
    kubernetes = None
    with _reason(unknown, "kubernetes"):
        kubernetes = await asyncio.to_thread(find_order, owner, settings)
    return OrderComparison(order_id, record, workflow, live, kubernetes, unknown)


@contextmanager
def _reason(unknown: dict[str, str], source: str) -> Iterator[None]:
    """Note why the source that is read inside is unavailable."""
    try:
        yield
    except (TemporalUnavailable, StoreUnavailable, KubernetesUnavailable) as error:
        unknown[source] = str(error)


async def _record(connection: Connection, order_id: str, unknown: dict[str, str]) -> RecordedOrder | None:
    record = None
    with _reason(unknown, "database"):
        record = await connection.reads.order(order_id)
        if record is None:
            unknown["database"] = "not recorded yet"
    return record


async def _workflow(connection: Connection, order_id: str, unknown: dict[str, str]) -> WorkflowView | None:
    with _reason(unknown, "workflow"):
        try:
            return await connection.inspector.workflow(order_id)
        except OrderNotFound:
            unknown["workflow"] = "Temporal has no such workflow any more"
    return None


async def _live(connection: Connection, order_id: str, unknown: dict[str, str]) -> SourcedStatus | None:
    with _reason(unknown, "workflow"):
        live = await connection.orders.live(order_id)
        if live.source is Source.WORKFLOW:
            return live
        unknown["workflow"] = "no worker answers its query"
    return None
