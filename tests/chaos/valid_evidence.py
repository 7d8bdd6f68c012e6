"""The evidence of a run that kept every promise, for tests that violate one of them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from chaos.clients import ChangeResult, ClientLog
from chaos.evidence import Evidence, Workflow
from chaos.schedule import Action, Channel, OrderPlan
from orderfleet.domain.events import EventKind, RecordedEvent, RecordedOrder
from orderfleet.domain.names import (
    ENDED_LABEL,
    ORDER_WORKFLOW,
    REFUND_WORKFLOW,
    order_workflow_id,
    refund_workflow_id,
    shipment_id,
)
from orderfleet.domain.order import Address
from orderfleet.domain.status import OrderStatus, PaymentStatus, PaymentView, ShipmentStatus, ShipmentView, Step
from orderfleet.providers.carriers.simulated import BookedParcel
from orderfleet.providers.payments.simulated_entries import PaymentEntry
from support.factories import ADDRESS_JSON, ELSEWHERE_JSON

SHIPPED = "shipped-over-http"
CANCELED = "canceled-in-kubernetes"
FAILED = "failed-over-http"
DECLARED = "shipped-in-kubernetes"
DELETED = "deleted-in-kubernetes"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
AMOUNT = Decimal("19.98")

_BEGUN = [(EventKind.RECEIVED, Step.RECEIVE), (EventKind.VALIDATED, Step.CHARGE)]
_CHARGED = [*_BEGUN, (EventKind.APPROVED, Step.CHARGE), (EventKind.CHARGED, Step.SHIPPING)]
_SHIPPED = [*_CHARGED, (EventKind.DISPATCHED, Step.SHIPPING), (EventKind.SHIPPED, Step.SHIPPED)]
_CANCELED = [*_CHARGED, (EventKind.CANCEL_REQUESTED, Step.SHIPPING), (EventKind.REFUNDED, Step.CHARGE)]


def valid_evidence() -> Evidence:
    """Return five correct orders; each call returns new objects, which a test may change."""
    evidence = Evidence({}, [], [], {}, {}, {}, {})
    _add(
        evidence,
        SHIPPED,
        Channel.HTTP,
        Step.SHIPPED,
        PaymentStatus.CHARGED,
        [(Action.REDIRECT, ChangeResult.ACCEPTED)],
        _SHIPPED,
    )
    _add(evidence, DECLARED, Channel.KUBERNETES, Step.SHIPPED, PaymentStatus.CHARGED, [], _SHIPPED)
    for name in (CANCELED, DELETED):
        action = Action.CANCEL if name == CANCELED else Action.DELETE
        events = [*_CANCELED, (EventKind.CANCELED, Step.CANCELED)]
        changes = [(action, ChangeResult.QUEUED)]
        _add(evidence, name, Channel.KUBERNETES, Step.CANCELED, PaymentStatus.REFUNDED, changes, events)
    rejected = [*_BEGUN, (EventKind.CHARGE_REFUSED, Step.CHARGE), (EventKind.FAILED, Step.FAILED)]
    _add(evidence, FAILED, Channel.HTTP, Step.FAILED, PaymentStatus.FAILED, [], rejected)
    del evidence.resources[DELETED]  # type: ignore[attr-defined]
    return evidence


def _add(
    evidence: Any,
    name: str,
    channel: Channel,
    step: Step,
    paid: PaymentStatus,
    changes: list[tuple[Action, ChangeResult]],
    events: list[tuple[EventKind, Step]],
) -> None:
    redirected = Action.REDIRECT in dict(changes)
    address = ELSEWHERE_JSON if redirected else ADDRESS_JSON
    if redirected:
        events = [*events, (EventKind.ADDRESS_CHANGED, Step.SHIPPING)]
    plan = OrderPlan(name, channel, False, None, None, tuple((0.0, action) for action, _ in changes))
    evidence.client_logs[name] = ClientLog(plan, name, [(action, outcome, False) for action, outcome in changes])
    if paid in {PaymentStatus.CHARGED, PaymentStatus.REFUNDED}:
        evidence.money.append(entry("charge", name))
    if paid is PaymentStatus.REFUNDED:
        evidence.money.append(entry("refund", name))
        evidence.workflows[refund_workflow_id(f"pay-{name}")] = Workflow(REFUND_WORKFLOW, "COMPLETED")
    if step is Step.SHIPPED:
        evidence.parcels.append(parcel(name, address))
    status = _status(name, step, paid, address)
    evidence.orders[name] = RecordedOrder(
        order_id=name, owner="", owner_uid="", content_hash="", version=3, status=status
    )
    evidence.events[name] = [
        RecordedEvent(id=number, kind=kind, step=at, at=NOW) for number, (kind, at) in enumerate(events, 1)
    ]
    failed = step is Step.FAILED
    evidence.workflows[order_workflow_id(name)] = Workflow(
        ORDER_WORKFLOW, "FAILED" if failed else "COMPLETED", None if failed else status
    )
    if channel is Channel.KUBERNETES:
        evidence.resources[name] = _resource(status, cancel=step is Step.CANCELED)


def entry(kind: str, name: str) -> PaymentEntry:
    """An entry of the provider's ledger."""
    return PaymentEntry(kind, f"pay-{name}", name, AMOUNT, "USD", "ch")


def parcel(name: str, address: dict[str, str] = ADDRESS_JSON) -> BookedParcel:
    """A parcel that left."""
    where = Address(**address).model_dump_json()
    return BookedParcel(f"ship-{name}", name, shipment_id(name, 1), where, f"SIM-{name}", False)


def _status(name: str, step: Step, paid: PaymentStatus, address: dict[str, str]) -> OrderStatus:
    shipment = ShipmentView(
        id=shipment_id(name, 1),
        status=ShipmentStatus.DISPATCHED if step is Step.SHIPPED else ShipmentStatus.CANCELED,
        tracking_number=f"SIM-{name}" if step is Step.SHIPPED else None,
    )
    return OrderStatus(
        order_id=name,
        workflow_id=order_workflow_id(name),
        run_id="run",
        step=step,
        approved=step is not Step.FAILED,
        canceled=step is Step.CANCELED,
        cancel_reason="changed my mind" if step is Step.CANCELED else None,
        address=Address(**address),
        payment=PaymentView(id=f"pay-{name}", status=paid, amount=AMOUNT, currency="USD"),
        shipments=(shipment,),
        created_at=NOW,
        updated_at=NOW,
        completed_at=NOW,
    )


def _resource(status: OrderStatus, *, cancel: bool) -> dict[str, Any]:
    ready = {"Ready": "True", "Stalled": "False", "Reconciling": "False"}
    status_checks = {
        "orderId": status.order_id,
        "workflowId": status.workflow_id,
        "runId": status.run_id,
        "step": status.step,
        "approved": status.approved,
        "canceled": status.canceled,
        "cancelReason": status.cancel_reason,
        "ended": True,
        "payment": {
            "id": status.payment.id,
            "status": status.payment.status,
            "amount": str(status.payment.amount),
            "authorized": str(status.payment.authorized),
            "captured": str(status.payment.captured),
            "refunded": str(status.payment.refunded),
            "currency": status.payment.currency,
        },
        "trackingNumber": status.shipments[-1].tracking_number,
        "observedGeneration": 2,
        "conditions": [{"type": kind, "status": value} for kind, value in ready.items()],
    }
    metadata = {"name": status.order_id, "generation": 2, "labels": {ENDED_LABEL: "true"}}
    spec = {"address": status.address.model_dump(), "cancel": cancel}
    return {"metadata": metadata, "spec": spec, "status": status_checks}
