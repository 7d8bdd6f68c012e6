"""The evidence of a run that kept every promise, for tests that violate one of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from chaos.client_logs import ChangeResult, ClientLog, RefundLog
from chaos.evidence import Evidence, Sums, Workflow
from chaos.order_plans import TOTAL, Action, Channel, OrderPlan, PaymentPlan, Place, RefundPlan
from orderfleet.domain import ledger
from orderfleet.domain.events import EventKind, RecordedEvent, RecordedOrder
from orderfleet.domain.ledger import AuthorizationView, EntryKind, EntrySource, IntentStatus, IntentView, Pieces
from orderfleet.domain.money import minor_units
from orderfleet.domain.names import (
    ENDED_LABEL,
    ORDER_REFUND,
    ORDER_WORKFLOW,
    REFUND_WORKFLOW,
    order_workflow_id,
    refund_workflow_id,
    shipment_id,
)
from orderfleet.domain.order import Address, CaptureMode
from orderfleet.domain.status import OrderStatus, PaymentStatus, PaymentView, ShipmentStatus, ShipmentView, Step
from orderfleet.providers.carriers.simulated import BookedParcel
from orderfleet.providers.payments.simulated_entries import PaymentEntry
from support.factories import ADDRESS_JSON, ELSEWHERE_JSON

SHIPPED = "shipped-over-http"
CANCELED = "canceled-in-kubernetes"
FAILED = "failed-over-http"
DECLARED = "shipped-in-kubernetes"
DELETED = "deleted-in-kubernetes"
CAPTURED = "captured-on-shipment"
HELD = "held-and-canceled"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)

AMOUNT_REFUND = RefundPlan("part-1", (Place.API,), Decimal("4.50"))
LINE_REFUND = RefundPlan("part-2", (Place.COMMAND_LINE,), pieces=1)
TOO_LARGE = RefundPlan("part-3", (Place.API,), Decimal("24.98"))
_REFUNDS = (AMOUNT_REFUND, LINE_REFUND, TOO_LARGE)

_BEGUN = [(EventKind.RECEIVED, Step.RECEIVE), (EventKind.VALIDATED, Step.CHARGE), (EventKind.APPROVED, Step.CHARGE)]
_REJECTED = [(EventKind.CHARGE_REFUSED, Step.CHARGE), (EventKind.FAILED, Step.FAILED)]
_LEFT = [(EventKind.DISPATCHED, Step.SHIPPING), (EventKind.SHIPPED, Step.SHIPPED)]
_CHARGED = [*_BEGUN, (EventKind.CHARGED, Step.SHIPPING)]
_AUTHORIZED = [*_BEGUN, (EventKind.AUTHORIZED, Step.SHIPPING)]
_STOPPED = [(EventKind.CANCEL_REQUESTED, Step.SHIPPING), (EventKind.CANCELED, Step.CANCELED)]
_PARTS = [(kind, Step.CHARGE) for kind in (EventKind.REFUND_PENDING, EventKind.REFUNDED)]

Events = Sequence[tuple[EventKind, Step]]


def valid_evidence() -> Evidence:
    """Return seven correct orders; each call returns new objects, which a test may change."""
    evidence = Evidence({}, [], [], {}, {}, {}, {}, {}, {}, [])
    redirect = [(Action.REDIRECT, ChangeResult.ACCEPTED)]
    _add(evidence, SHIPPED, Channel.HTTP, Step.SHIPPED, PaymentStatus.CHARGED, redirect, [*_CHARGED, *_LEFT])
    _add(evidence, DECLARED, Channel.KUBERNETES, Step.SHIPPED, PaymentStatus.CHARGED, [], [*_CHARGED, *_LEFT])
    for name in (CANCELED, DELETED):
        changes = [(Action.CANCEL if name == CANCELED else Action.DELETE, ChangeResult.QUEUED)]
        events = [*_CHARGED, (EventKind.REFUNDED, Step.CHARGE), *_STOPPED]
        _add(evidence, name, Channel.KUBERNETES, Step.CANCELED, PaymentStatus.REFUNDED, changes, events)
    _add(evidence, FAILED, Channel.HTTP, Step.FAILED, PaymentStatus.FAILED, [], [*_BEGUN, *_REJECTED])
    captured = [*_AUTHORIZED, (EventKind.CAPTURED, Step.SHIPPING), *_LEFT, *_PARTS, *_PARTS]
    _add(evidence, CAPTURED, Channel.HTTP, Step.SHIPPED, PaymentStatus.PARTIALLY_REFUNDED, [], captured)
    canceled = [(Action.CANCEL, ChangeResult.ACCEPTED)]
    voided = [*_AUTHORIZED, (EventKind.PAYMENT_VOIDED, Step.CHARGE), *_STOPPED]
    _add(evidence, HELD, Channel.HTTP, Step.CANCELED, PaymentStatus.VOIDED, canceled, voided)
    del evidence.resources[DELETED]  # type: ignore[attr-defined]
    return evidence


def _add(
    evidence: Any,
    name: str,
    channel: Channel,
    step: Step,
    paid: PaymentStatus,
    changes: list[tuple[Action, ChangeResult]],
    events: Events,
) -> None:
    redirected = Action.REDIRECT in dict(changes)
    address = ELSEWHERE_JSON if redirected else ADDRESS_JSON
    if redirected:
        events = [*events, (EventKind.ADDRESS_CHANGED, Step.SHIPPING)]
    refunds = _REFUNDS if name == CAPTURED else ()
    terms = PaymentPlan(on_shipment=name in {CAPTURED, HELD}, refunds=(refunds,) if refunds else ())
    plan = OrderPlan(name, channel, False, None, None, tuple((0.0, action) for action, _ in changes), terms)
    evidence.client_logs[name] = ClientLog(plan, name, [(action, outcome, False) for action, outcome in changes])
    evidence.client_logs[name].refunds += [_refund_log(refund) for refund in refunds]
    books = [*(entry(kind, name) for kind in _BOOKS[paid]), *(part_entry(refund) for refund in refunds[:2])]
    evidence.money.extend(books)
    if paid is PaymentStatus.REFUNDED:
        evidence.workflows[refund_workflow_id(f"pay-{name}")] = Workflow(REFUND_WORKFLOW, "COMPLETED")
    if step is Step.SHIPPED:
        evidence.parcels.append(parcel(name, address))
    payment = evidence.payments[f"pay-{name}"] = _payment(name, paid, books)
    evidence.derived[f"pay-{name}"] = Sums(paid, *(Decimal(each) / 100 for each in _amounts(payment)))
    status = _status(name, step, payment, address)
    evidence.orders[name] = RecordedOrder(
        order_id=name, owner="", owner_uid="", content_hash="", version=3, status=status
    )
    evidence.events[name] = _events(events)
    failed = step is Step.FAILED
    evidence.workflows[order_workflow_id(name)] = Workflow(
        ORDER_WORKFLOW, "FAILED" if failed else "COMPLETED", None if failed else status
    )
    if channel is Channel.KUBERNETES:
        evidence.resources[name] = _resource(status, cancel=step is Step.CANCELED)


_BOOKS = {
    PaymentStatus.CHARGED: ("charge",),
    PaymentStatus.REFUNDED: ("charge", "refund"),
    PaymentStatus.FAILED: (),
    PaymentStatus.PARTIALLY_REFUNDED: ("authorize", "capture"),
    PaymentStatus.VOIDED: ("authorize", "void", "release"),
}
"""Kinds of the provider's entries, by status of the payment; partial refunds are added."""
_LEDGER = {
    "charge": EntryKind.CAPTURED,
    "authorize": EntryKind.AUTHORIZED,
    "capture": EntryKind.CAPTURED,
    "refund": EntryKind.REFUNDED,
    "release": EntryKind.VOIDED,
}


def entry(kind: str, name: str, **changes: Any) -> PaymentEntry:
    """An entry of the provider's ledger, of the whole amount."""
    payment = f"pay-{name}"
    keys = {
        "capture": f"{payment}/1/capture/1",
        "refund": f"{payment}/refund/{ORDER_REFUND}/1",
        "void": f"{payment}/void",
        "release": "",
    }
    given = {"amount": TOTAL, "key": keys.get(kind, payment), **changes}
    return PaymentEntry(kind, payment, name, currency="USD", reference="ch", **given)


def part_entry(refund: RefundPlan) -> PaymentEntry:
    """The provider's entry of a partial refund."""
    key = f"pay-{CAPTURED}/refund/{refund.refund_id}/1"
    return entry("refund", CAPTURED, amount=refund.value, key=key)


def parcel(name: str, address: dict[str, str] = ADDRESS_JSON) -> BookedParcel:
    """A parcel that left."""
    where = Address(**address).model_dump_json()
    return BookedParcel(f"ship-{name}", name, shipment_id(name, 1), where, f"SIM-{name}", False)


def _refund_log(refund: RefundPlan) -> RefundLog:
    if refund is TOO_LARGE:
        return RefundLog(refund, refund.places[0], LATER, ChangeResult.REJECTED)
    return RefundLog(refund, refund.places[0], LATER, ChangeResult.ACCEPTED, amount=refund.value)


def _events(events: Events) -> list[RecordedEvent]:
    """The recorded events; those of the first and the second partial refund have its id."""
    partial = EventKind.CAPTURED in dict(events)
    seen: list[EventKind] = []
    found = []
    for number, (kind, step) in enumerate(events, 1):
        seen.append(kind)
        is_part = partial and kind in {EventKind.REFUND_PENDING, EventKind.REFUNDED}
        detail = {"refund": _REFUNDS[seen.count(kind) - 1].refund_id} if is_part else {}
        found.append(RecordedEvent(id=number, kind=kind, step=step, at=NOW, detail=detail))
    return found


def _payment(name: str, status: PaymentStatus, books: list[PaymentEntry]) -> ledger.PaymentDetail:
    """The payment as the order store has it."""
    entries = tuple(
        ledger.PaymentEntry(
            kind=_LEDGER[one.kind],
            key=one.key or f"{one.payment_id}/void",
            amount=minor_units(one.amount, "USD"),
            currency="USD",
            source=EntrySource.ORDER,
            at=NOW,
            recorded_at=NOW,
        )
        for one in books
        if one.kind in _LEDGER
    )
    sums = {
        kind: sum(one.amount for one in entries if one.kind is kind)
        for kind in (EntryKind.AUTHORIZED, EntryKind.CAPTURED, EntryKind.VOIDED, EntryKind.REFUNDED)
    }
    authorized, captured, voided, refunded = sums.values()
    on_shipment = any(one.kind == "authorize" for one in books)
    authorization = AuthorizationView(number=1, amount=1998, state="closed", created_at=NOW)
    return ledger.PaymentDetail(
        payment_id=f"pay-{name}",
        order_id=name,
        status=status,
        capture=CaptureMode.ON_SHIPMENT if on_shipment else CaptureMode.IMMEDIATE,
        currency="USD",
        amount=minor_units(TOTAL, "USD"),
        authorized=authorized - voided if on_shipment else captured,
        captured=captured,
        refunded=refunded,
        charged_back=0,
        open_refunds=0,
        refundable=captured - refunded,
        created_at=NOW,
        updated_at=NOW,
        ordered_at=NOW,
        authorizations=(authorization,) if on_shipment else (),
        entries=entries,
        intents=tuple(intent(one) for one in books if one.kind in {"capture", "refund"}),
    )


def intent(made: PaymentEntry, **changes: Any) -> IntentView:
    """The intent of a capture or of a refund that the provider made."""
    refund_id = made.key.split("/")[2] if made.kind == "refund" else None
    given = {
        "key": made.key,
        "kind": made.kind,
        "number": 1,
        "amount": minor_units(made.amount, "USD"),
        "status": IntentStatus.DONE,
        "refund_id": refund_id,
        "lines": (Pieces(line="1", start=1, end=2),) if refund_id == LINE_REFUND.refund_id else (),
        "created_at": NOW,
        "ended_at": NOW,
    }
    return IntentView(**given | changes)


def _amounts(payment: ledger.PaymentDetail) -> tuple[int, int, int]:
    return payment.authorized, payment.captured, payment.refunded


def _status(name: str, step: Step, payment: ledger.PaymentDetail, address: dict[str, str]) -> OrderStatus:
    shipment = ShipmentView(
        id=shipment_id(name, 1),
        status=ShipmentStatus.DISPATCHED if step is Step.SHIPPED else ShipmentStatus.CANCELED,
        tracking_number=f"SIM-{name}" if step is Step.SHIPPED else None,
    )
    authorized, captured, refunded = (Decimal(each) / 100 for each in _amounts(payment))
    return OrderStatus(
        order_id=name,
        workflow_id=order_workflow_id(name),
        run_id="run",
        step=step,
        approved=step is not Step.FAILED,
        canceled=step is Step.CANCELED,
        cancel_reason="changed my mind" if step is Step.CANCELED else None,
        address=Address(**address),
        payment=PaymentView(
            id=payment.payment_id,
            status=payment.status,
            amount=TOTAL,
            authorized=authorized,
            captured=captured,
            refunded=refunded,
            currency="USD",
        ),
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
