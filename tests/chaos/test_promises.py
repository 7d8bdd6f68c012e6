"""The checker of a chaos run finds each kind of violation: one that can't fail would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from customers import HOME, Outcome
from evidence import Workflow
from promises import promises
from schedule import Act
from sound_evidence import CANCELED, DECLARED, DELETED, FAILED, NOW, SHIPPED, entry, parcel, sound

from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.names import ORDER_WORKFLOW, REFUND_WORKFLOW, order_workflow_id, refund_workflow_id
from orderfleet.domain.order import Address
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step


def test_evidence_without_a_fault_breaks_no_promise() -> None:
    judged = promises(sound())
    assert not [str(promise) for promise in judged if promise.broken]
    assert all(promise.held_against for promise in judged), "each promise is held against something"


def _set(name: str, **changes: Any) -> Callable[[Any], None]:
    """Let the record say something else of an order, and its workflow with it."""

    def spoil(found: Any) -> None:
        order = found.orders[name]
        payment = order.status.payment.model_copy(update={"status": changes.pop("paid", order.status.payment.status)})
        status = order.status.model_copy(update={**changes, "payment": payment})
        found.orders[name] = order.model_copy(update={"status": status})
        workflow = found.workflows[order_workflow_id(name)]
        if workflow.result is not None:
            found.workflows[order_workflow_id(name)] = replace(workflow, result=status)

    return spoil


def _shipment(name: str, **changes: Any) -> Callable[[Any], None]:
    def spoil(found: Any) -> None:
        (shipment,) = found.orders[name].status.shipments
        _set(name, shipments=(shipment.model_copy(update=changes),))(found)

    return spoil


def _untold(name: str, *kinds: EventKind) -> Callable[[Any], None]:
    def spoil(found: Any) -> None:
        found.events[name] = [event for event in found.events[name] if event.kind not in kinds]

    return spoil


def _event(name: str, kind: EventKind, step: Step) -> Callable[[Any], None]:
    return lambda found: found.events[name].append(RecordedEvent(id=99, kind=kind, step=step, at=NOW))


def _events(name: str, *kinds: EventKind) -> Callable[[Any], None]:
    """Let events follow its validation."""
    at = {EventKind.CHARGE_STARTED: Step.CHARGE, EventKind.REVIEW_STARTED: Step.MANUAL_REVIEW}

    def spoil(found: Any) -> None:
        told = [RecordedEvent(id=90, kind=kind, step=at[kind], at=NOW) for kind in kinds]
        found.events[name][2:2] = told

    return spoil


def _shown(name: str, **changes: Any) -> Callable[[Any], None]:
    return lambda found: found.resources[name]["status"].update(changes)


def _condition(name: str, kind: str, status: str) -> Callable[[Any], None]:
    def spoil(found: Any) -> None:
        told = found.resources[name]["status"]["conditions"]
        told[:] = [*(one for one in told if one["type"] != kind), {"type": kind, "status": status}]

    return spoil


def _workflow(name: str, kind: str, status: str) -> Callable[[Any], None]:
    return lambda found: found.workflows.update({name: Workflow(kind, status)})


def _taken(name: str, act: Act) -> Callable[[Any], None]:
    return lambda found: found.told[name].changes.append((act, Outcome.TAKEN, False))


ANSWERED, RECORDED, END, STEPS = (
    "a client that asks",
    "each accepted order is rec",
    "each accepted order rea",
    "an order m",
)
MONEY, LEDGER, PARCELS, ADDRESS = "no charge", "the provider", "one parcel", "a parcel went"
EVENTS, WORDS, TEMPORAL = "the audit trail", "what a client", "Temporal"
SHOWN, EDITS, GONE = "each Order's status", "each edit", "no finalizer"

VIOLATIONS: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("never accepted", ANSWERED, lambda found: setattr(found.told[SHIPPED], "order_id", None)),
    ("a wrong answer", ANSWERED, lambda found: found.told[SHIPPED].problems.append("answered 404")),
    ("a change never answered", ANSWERED, lambda found: found.told[SHIPPED].changes.clear()),
    ("lost from the record", RECORDED, lambda found: found.orders.pop(SHIPPED)),
    ("one order for two customers", RECORDED, lambda found: setattr(found.told[FAILED], "order_id", SHIPPED)),
    ("asked for by nobody", RECORDED, lambda found: found.told.pop(FAILED)),
    ("deleted unseen, and charged", RECORDED, lambda found: found.orders.pop(DELETED)),
    ("stuck", END, _set(SHIPPED, step=Step.SHIPPING, completed_at=None)),
    ("no end noted", END, _set(SHIPPED, completed_at=None)),
    ("a refund still owed", END, _set(CANCELED, paid=PaymentStatus.REFUNDING)),
    ("a charge begun and left", END, _set(CANCELED, paid=PaymentStatus.INIT)),
    ("shipped after its cancel", STEPS, _event(CANCELED, EventKind.SHIPPED, Step.SHIPPED)),
    ("back to the charge", STEPS, _event(SHIPPED, EventKind.CHARGE_STARTED, Step.CHARGE)),
    ("reviewed after the charge began", STEPS, _events(SHIPPED, EventKind.CHARGE_STARTED, EventKind.REVIEW_STARTED)),
    ("charged twice", MONEY, lambda found: found.money.append(entry("charge", SHIPPED))),
    ("shipped for nothing", MONEY, lambda found: found.money.remove(entry("charge", SHIPPED))),
    ("shipped and given back", MONEY, lambda found: found.money.append(entry("refund", SHIPPED))),
    ("canceled and kept", MONEY, lambda found: found.money.remove(entry("refund", CANCELED))),
    ("failed and charged", MONEY, lambda found: found.money.append(entry("charge", FAILED))),
    ("given back twice", MONEY, lambda found: found.money.append(entry("refund", CANCELED))),
    ("the record knows of no refund", MONEY, _set(CANCELED, paid=PaymentStatus.CHARGED)),
    ("money of nobody", LEDGER, lambda found: found.money.append(entry("charge", "nobody"))),
    ("a part given back", LEDGER, lambda found: found.money.append(replace(entry("refund", SHIPPED), amount=1))),
    ("twice in the books", LEDGER, lambda found: found.money.append(entry("charge", SHIPPED))),
    ("two parcels", PARCELS, lambda found: found.parcels.append(parcel(SHIPPED))),
    ("no parcel", PARCELS, lambda found: found.parcels.clear()),
    ("a parcel for a canceled order", PARCELS, lambda found: found.parcels.append(parcel(CANCELED))),
    ("a parcel for a failed order", PARCELS, lambda found: found.parcels.append(parcel(FAILED))),
    ("a parcel of nobody", PARCELS, lambda found: found.parcels.append(parcel("nobody"))),
    ("shipped, and its shipment failed", PARCELS, _shipment(SHIPPED, status=ShipmentStatus.FAILED)),
    ("to the old address", ADDRESS, _set(SHIPPED, address=Address(**HOME))),
    ("another tracking number", ADDRESS, _shipment(SHIPPED, tracking_number="SIM-other")),
    ("no end told", EVENTS, _untold(SHIPPED, EventKind.SHIPPED)),
    ("two ends told", EVENTS, _event(CANCELED, EventKind.FAILED, Step.FAILED)),
    ("never received", EVENTS, _untold(SHIPPED, EventKind.RECEIVED)),
    ("canceled by nobody", EVENTS, _untold(CANCELED, EventKind.CANCEL_REQUESTED)),
    ("approved by nobody", EVENTS, _untold(SHIPPED, EventKind.APPROVED)),
    ("charged, untold", EVENTS, _untold(SHIPPED, EventKind.CHARGED)),
    ("refunded, untold", EVENTS, _untold(CANCELED, EventKind.REFUNDED)),
    ("refused, untold", EVENTS, _untold(FAILED, EventKind.CHARGE_REFUSED)),
    ("redirected, untold", EVENTS, _untold(SHIPPED, EventKind.ADDRESS_CHANGED)),
    ("a charge of no payment", EVENTS, _set(SHIPPED, paid=None)),
    ("a taken cancel was shipped", WORDS, _taken(SHIPPED, Act.CANCEL)),
    ("a taken approval was lost", WORDS, _taken(FAILED, Act.APPROVE)),
    ("a taken address was lost", WORDS, _taken(FAILED, Act.REDIRECT)),
    ("no workflow", TEMPORAL, lambda found: found.workflows.pop(order_workflow_id(SHIPPED))),
    ("failed in Temporal alone", TEMPORAL, _workflow(order_workflow_id(SHIPPED), ORDER_WORKFLOW, "FAILED")),
    ("completed in Temporal alone", TEMPORAL, _workflow(order_workflow_id(FAILED), ORDER_WORKFLOW, "COMPLETED")),
    ("a workflow goes on", TEMPORAL, _workflow("shipping-x-1", "ShippingWorkflow", "RUNNING")),
    ("a refund failed", TEMPORAL, _workflow(refund_workflow_id(f"pay-{CANCELED}"), REFUND_WORKFLOW, "FAILED")),
    ("a workflow of no record", TEMPORAL, _workflow("order-nobody", ORDER_WORKFLOW, "COMPLETED")),
    ("another step in Kubernetes", SHOWN, _shown(DECLARED, step="shipping")),
    ("another payment in Kubernetes", SHOWN, _shown(DECLARED, payment={"id": "x"})),
    ("no tracking number in Kubernetes", SHOWN, _shown(DECLARED, trackingNumber=None)),
    ("an edit not observed", SHOWN, _shown(DECLARED, observedGeneration=1)),
    ("not ended in Kubernetes", SHOWN, _shown(DECLARED, ended=None)),
    ("not ready", SHOWN, _condition(DECLARED, "Ready", "False")),
    ("still reconciling", SHOWN, _condition(DECLARED, "Reconciling", "True")),
    ("an Order of no record", SHOWN, lambda found: found.orders.pop(DECLARED)),
    ("an edit nobody answered", EDITS, lambda found: found.resources[DECLARED]["spec"].update(cancel=True)),
    ("a finalizer", GONE, lambda found: found.resources[DECLARED]["metadata"].update(finalizers=["x"])),
    ("no label", GONE, lambda found: found.resources[DECLARED]["metadata"].update(labels={})),
    ("deleted by nobody", GONE, lambda found: found.resources.pop(DECLARED)),
    ("deleted in vain", GONE, lambda found: found.told[DECLARED].changes.append((Act.DELETE, Outcome.QUEUED, False))),
]


@pytest.mark.parametrize(("promise", "spoil"), [(p, s) for _, p, s in VIOLATIONS], ids=[v[0] for v in VIOLATIONS])
def test_a_violation_breaks_its_promise(promise: str, spoil: Callable[[Any], Any]) -> None:
    found = sound()
    spoil(found)
    broken = [judged.text for judged in promises(found) if judged.broken]
    assert any(text.startswith(promise) for text in broken), broken


def test_every_promise_has_a_violation() -> None:
    for judged in promises(sound()):
        assert any(judged.text.startswith(promise) for _, promise, _ in VIOLATIONS), judged.text


def test_a_workflow_that_ended_as_another_than_the_record_says_is_found() -> None:
    found: Any = sound()
    workflow = found.workflows[order_workflow_id(SHIPPED)]
    told = workflow.result.model_copy(update={"step": Step.CANCELED})
    found.workflows[order_workflow_id(SHIPPED)] = replace(workflow, result=told)
    (broken,) = [judged for judged in promises(found) if judged.broken]
    assert broken.text.startswith(TEMPORAL)
    assert broken.broken == [f"{SHIPPED}: step is shipped in the record, canceled in its workflow"]


def test_an_order_deleted_before_anybody_took_it_up_leaves_no_trace() -> None:
    found: Any = sound()
    del found.orders[DELETED], found.events[DELETED], found.workflows[order_workflow_id(DELETED)]
    del found.workflows[refund_workflow_id(f"pay-{DELETED}")]
    found.money[:] = [line for line in found.money if line.order_id != DELETED]
    assert not [str(judged) for judged in promises(found) if judged.broken]


def test_a_review_told_by_a_task_that_was_run_again_is_a_step_back_that_may_be() -> None:
    found = sound()
    _events(SHIPPED, EventKind.REVIEW_STARTED, EventKind.CHARGE_STARTED)(found)
    assert not [str(judged) for judged in promises(found) if judged.broken]


def test_an_edit_before_the_operator_took_the_order_up_has_no_event() -> None:
    found = sound()
    _untold(DECLARED, EventKind.APPROVED)(found)
    assert [judged.text for judged in promises(found) if judged.broken]
    found.told[DECLARED].changes.append((Act.APPROVE, Outcome.QUEUED, False))
    assert not [str(judged) for judged in promises(found) if judged.broken]


def test_a_refused_edit_is_no_violation() -> None:
    found = sound()
    found.resources[DECLARED]["spec"].update(cancel=True)  # type: ignore[attr-defined]
    _condition(DECLARED, "SpecApplied", "False")(found)
    assert not [str(judged) for judged in promises(found) if judged.broken]
