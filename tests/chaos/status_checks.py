"""Checks of Temporal and Kubernetes against the order store: both show the same, and nothing is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chaos.check_context import CheckContext, Finding, requested
from chaos.evidence import order_workflow
from chaos.order_plans import OTHER_METHOD, Action, Channel
from orderfleet.domain.ledger import EntryKind
from orderfleet.domain.names import ENDED_LABEL, ORDER_WORKFLOW, REFUND_WORKFLOW, order_id_of, order_workflow_id
from orderfleet.domain.order import Address
from orderfleet.domain.status import OrderStatus, Step
from orderfleet.operator.conditions import ConditionType
from support.ledgers import SHIPPED

_REFUND = {"begin_refund", "refund"}
"""The activities of a refund."""


def temporal(context: CheckContext) -> Iterator[Finding]:
    """Each workflow ended as its order."""
    for order_id, status in context.statuses.items():
        workflow = order_workflow(context.evidence, order_id)
        expected = "FAILED" if status.step is Step.FAILED else "COMPLETED"
        if workflow is None:
            yield order_id, "stored, and Temporal has no workflow for it"
        elif workflow.status != expected:
            yield order_id, f"{status.step} in the order store, its workflow is {workflow.status}"
        else:
            yield order_id, "" if workflow.result is None else _differences(workflow.result, status)
    for name, workflow in context.evidence.workflows.items():
        if workflow.status == "RUNNING":
            yield name, "still runs"
        elif workflow.kind == REFUND_WORKFLOW and workflow.status != "COMPLETED":
            yield name, f"a refund {workflow.status}"
        elif workflow.kind == ORDER_WORKFLOW and order_id_of(name) not in context.evidence.orders:
            yield name, "a workflow of an order that isn't stored"


def kubernetes(context: CheckContext) -> Iterator[Finding]:
    """Each Order's status equals the order store."""
    for name, order in context.evidence.resources.items():
        status = context.statuses.get(name)
        if status is None:
            yield name, "an Order that isn't stored"
        else:
            yield name, "; ".join(_status_errors(context, order, status))


def edits(context: CheckContext) -> Iterator[Finding]:
    """Each edit of an Order is applied or rejected."""
    for name, order in context.evidence.resources.items():
        status = context.statuses.get(name)
        if status is None:
            continue
        spec = order["spec"]
        open_edits = {
            "approved": bool(spec.get("approved")) and not status.approved,
            "cancel": bool(spec.get("cancel")) and not status.canceled,
            "address": Address(**spec["address"]) != status.address,
            "payment.method": status.step in SHIPPED and _is_paid_otherwise(context, spec, status),
        }
        # A declared cancel that took effect overrides other edits.
        canceled_by_edit = bool(spec.get("cancel")) and status.canceled
        left = [edit for edit, is_open in open_edits.items() if is_open and not canceled_by_edit]
        rejected = _condition(order, ConditionType.SPEC_APPLIED) == "False"
        yield name, f"{', '.join(left)}: neither applied nor rejected" if left and not rejected else ""


def finalizers(context: CheckContext) -> Iterator[Finding]:
    """No finalizer is left, and deleted Orders are gone."""
    for order_id, client_log in context.accepted.items():
        if client_log.plan.channel is not Channel.KUBERNETES:
            continue
        deleted = requested(client_log, Action.DELETE)
        order = context.evidence.resources.get(order_id)
        if order is None:
            yield order_id, "" if deleted else "gone, and no client deleted it"
        elif deleted:
            yield order_id, "deleted, and still there"
        else:
            left, labels = order["metadata"].get("finalizers"), order["metadata"].get("labels", {})
            yield order_id, f"has finalizers {left}" if left else "" if ENDED_LABEL in labels else "has no ended label"


def _differences(result: OrderStatus, status: OrderStatus) -> str:
    names = ("step", "approved", "canceled", "cancel_reason", "address", "dispatch_failed_reason")
    return ", ".join(
        f"{name} is {getattr(status, name)} in the order store, {getattr(result, name)} in its workflow"
        for name in names
        if getattr(result, name) != getattr(status, name)
    )


def _status_errors(context: CheckContext, order: Mapping[str, Any], status: OrderStatus) -> Iterator[str]:
    amounts = {name: str(getattr(status.payment, name)) for name in ("amount", "authorized", "captured", "refunded")}
    payment = {"id": status.payment.id, "currency": status.payment.currency, **amounts}
    if status.payment.status is not None:
        payment["status"] = status.payment.status
    shown, retries = dict(order.get("status", {})), dict(status.retries)
    if _is_refunded_after_end(context, status):
        # Attempts of such a refund are counted in the order store only.
        retries, seen = (
            {name: count for name, count in each.items() if name not in _REFUND}
            for each in (retries, shown.get("retries", {}))
        )
        shown["retries"] = seen or None
    tracking = next((one.tracking_number for one in reversed(status.shipments) if one.tracking_number), None)
    expected = {
        "orderId": status.order_id,
        "workflowId": order_workflow_id(status.order_id),
        "runId": status.run_id,
        "step": status.step,
        "approved": status.approved,
        "canceled": status.canceled,
        "ended": True,
        "cancelReason": status.cancel_reason,
        "dispatchFailedReason": status.dispatch_failed_reason,
        "payment": payment,
        "trackingNumber": tracking,
        "observedGeneration": order["metadata"]["generation"],
        "lastError": status.last_error,
        "retries": retries or None,
    }
    for name, value in expected.items():
        if shown.get(name) != value:
            yield f"{name} is {shown.get(name)}, the order store has {value}"
    ready = status.step in SHIPPED or (status.step is Step.CANCELED and bool(order["spec"].get("cancel")))
    for kind, holds in {
        ConditionType.READY: ready,
        ConditionType.STALLED: not ready,
        ConditionType.RECONCILING: False,
    }.items():
        if _condition(order, kind) != str(holds):
            yield f"{kind} is {_condition(order, kind)} of an order that is {status.step}"


def _is_refunded_after_end(context: CheckContext, status: OrderStatus) -> bool:
    payment = context.evidence.payments.get(status.payment.id)
    return any(
        entry.kind is EntryKind.REFUNDED
        and status.completed_at
        and (entry.recorded_at or entry.at) > status.completed_at
        for entry in (() if payment is None else payment.entries)
    )


def _is_paid_otherwise(context: CheckContext, spec: Mapping[str, Any], status: OrderStatus) -> bool:
    """Whether a client changed the spec's means of payment, and the last authorization is of another one."""
    payment = context.evidence.payments.get(status.payment.id)
    method = spec.get("payment", {}).get("method")
    last = None if payment is None or not payment.authorizations else payment.authorizations[-1].method
    return method == OTHER_METHOD and last != method


def _condition(order: Mapping[str, Any], kind: str) -> str | None:
    return next(
        (found["status"] for found in order["status"].get("conditions", ()) if found["type"] == kind),
        None,
    )
