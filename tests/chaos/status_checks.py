"""Promises about what Temporal and Kubernetes show: the same as the record, and nothing left. `promises` lists them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from check_context import CheckContext, Finding, requested
from evidence import order_workflow
from schedule import Action, Channel

from orderfleet.domain.names import ENDED_LABEL, ORDER_WORKFLOW, order_id_of, order_workflow_id, refund_workflow_id
from orderfleet.domain.order import Address
from orderfleet.domain.status import OrderStatus, Step
from orderfleet.operator.conditions import ConditionType
from support.ledgers import SHIPPED


def temporal(context: CheckContext) -> Iterator[Finding]:
    """Each workflow, beside the record."""
    for order_id, status in context.statuses.items():
        workflow = order_workflow(context.found, order_id)
        expected = "FAILED" if status.step is Step.FAILED else "COMPLETED"
        if workflow is None:
            yield order_id, "recorded, and Temporal knows no workflow for it"
        elif workflow.status != expected:
            yield order_id, f"{status.step} in the record, its workflow is {workflow.status}"
        elif workflow.result is not None and _differences(workflow.result, status):
            yield order_id, _differences(workflow.result, status)
        else:
            refunds = context.found.workflows.get(refund_workflow_id(status.payment.id))
            yield order_id, "" if refunds is None or refunds.status == "COMPLETED" else f"refund {refunds.status}"
    for name, workflow in context.found.workflows.items():
        if workflow.status == "RUNNING":
            yield name, "goes on"
        elif workflow.kind == ORDER_WORKFLOW and order_id_of(name) not in context.found.orders:
            yield name, "a workflow of an order that isn't recorded"


def kubernetes(context: CheckContext) -> Iterator[Finding]:
    """Each Order's status, beside the record."""
    for name, order in context.found.resources.items():
        status = context.statuses.get(name)
        if status is None:
            yield name, "an Order that isn't recorded"
        else:
            yield name, "; ".join(_status_errors(order, status))


def edits(context: CheckContext) -> Iterator[Finding]:
    """What each Order declares is so, or refused."""
    for name, order in context.found.resources.items():
        status = context.statuses.get(name)
        if status is None:
            continue
        spec = order["spec"]
        open_edits = {
            "approved": bool(spec.get("approved")) and not status.approved,
            "cancel": bool(spec.get("cancel")) and not status.canceled,
            "address": Address(**spec["address"]) != status.address,
        }
        # A declared cancel that was carried out has the last word.
        carried_out = bool(spec.get("cancel")) and status.canceled
        left = [edit for edit, is_open in open_edits.items() if is_open and not carried_out]
        refused = _condition(order, ConditionType.SPEC_APPLIED) == "False"
        yield name, f"{', '.join(left)}: neither applied nor refused" if left and not refused else ""


def finalizers(context: CheckContext) -> Iterator[Finding]:
    """What is left of each Order."""
    for order_id, client_log in context.accepted.items():
        if client_log.plan.channel is not Channel.KUBERNETES:
            continue
        deleted = requested(client_log, Action.DELETE)
        order = context.found.resources.get(order_id)
        if order is None:
            yield order_id, "" if deleted else "gone, and nobody deleted it"
        elif deleted:
            yield order_id, "deleted, and still there"
        else:
            held, labels = order["metadata"].get("finalizers"), order["metadata"].get("labels", {})
            yield order_id, f"held by {held}" if held else "" if ENDED_LABEL in labels else "not marked as ended"


def _differences(result: OrderStatus, status: OrderStatus) -> str:
    names = ("step", "approved", "canceled", "cancel_reason", "address", "dispatch_failed_reason")
    return ", ".join(
        f"{name} is {getattr(status, name)} in the record, {getattr(result, name)} in its workflow"
        for name in names
        if getattr(result, name) != getattr(status, name)
    )


def _status_errors(order: Mapping[str, Any], status: OrderStatus) -> Iterator[str]:
    status_checks = order.get("status", {})
    payment = {"id": status.payment.id, "amount": str(status.payment.amount), "currency": status.payment.currency}
    if status.payment.status is not None:
        payment["status"] = status.payment.status
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
        "retries": dict(status.retries) or None,
    }
    for name, value in expected.items():
        if status_checks.get(name) != value:
            yield f"{name} is {status_checks.get(name)}, the record says {value}"
    ready = status.step in SHIPPED or (status.step is Step.CANCELED and bool(order["spec"].get("cancel")))
    for kind, holds in {
        ConditionType.READY: ready,
        ConditionType.STALLED: not ready,
        ConditionType.RECONCILING: False,
    }.items():
        if _condition(order, kind) != str(holds):
            yield f"{kind} is {_condition(order, kind)} of an order that is {status.step}"


def _condition(order: Mapping[str, Any], kind: str) -> str | None:
    return next(
        (client_log["status"] for client_log in order["status"].get("conditions", ()) if client_log["type"] == kind),
        None,
    )
