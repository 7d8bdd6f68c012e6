"""The checks of a chaos run find each kind of violation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos.client_logs import ChangeResult
from chaos.evidence import Workflow
from chaos.order_plans import Action
from chaos.payment_violations import ANSWERED, EDITS, KUBERNETES_STATUS, MONEY, PAYMENT_VIOLATIONS
from chaos.promises import PROMISES, promises
from chaos.valid_evidence import (
    CANCELED,
    CAPTURED,
    DECLARED,
    DELETED,
    FAILED,
    NOW,
    SHIPPED,
    entry,
    parcel,
    valid_evidence,
)
from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.names import ORDER_WORKFLOW, REFUND_WORKFLOW, order_workflow_id, refund_workflow_id
from orderfleet.domain.order import Address
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step
from support.factories import ADDRESS_JSON


def test_promises_with_valid_evidence_are_kept() -> None:
    checked = promises(valid_evidence())
    assert not [str(promise) for promise in checked if promise.broken]
    assert all(promise.cases for promise in checked), "each promise has a case"


def _change_status(name: str, **changes: Any) -> Callable[[Any], None]:
    """Change the stored status of an order, and the result of its workflow with it."""

    def violate(found: Any) -> None:
        order = found.orders[name]
        payment = order.status.payment.model_copy(update={"status": changes.pop("paid", order.status.payment.status)})
        status = order.status.model_copy(update={"payment": payment, **changes})
        found.orders[name] = order.model_copy(update={"status": status})
        workflow = found.workflows[order_workflow_id(name)]
        if workflow.result is not None:
            found.workflows[order_workflow_id(name)] = replace(workflow, result=status)

    return violate


def _shipment(name: str, **changes: Any) -> Callable[[Any], None]:
    def violate(found: Any) -> None:
        (shipment,) = found.orders[name].status.shipments
        _change_status(name, shipments=(shipment.model_copy(update=changes),))(found)

    return violate


def _without_events(name: str, *kinds: EventKind) -> Callable[[Any], None]:
    def violate(found: Any) -> None:
        found.events[name] = [event for event in found.events[name] if event.kind not in kinds]

    return violate


def _event(name: str, kind: EventKind, step: Step) -> Callable[[Any], None]:
    return lambda found: found.events[name].append(RecordedEvent(id=99, kind=kind, step=step, at=NOW))


def _events(name: str, *kinds: EventKind) -> Callable[[Any], None]:
    """Insert events after the validation."""
    at = {EventKind.CHARGE_STARTED: Step.CHARGE, EventKind.REVIEW_STARTED: Step.MANUAL_REVIEW}

    def violate(found: Any) -> None:
        added = [RecordedEvent(id=90, kind=kind, step=at[kind], at=NOW) for kind in kinds]
        found.events[name][2:2] = added

    return violate


def _kubernetes_status(name: str, **changes: Any) -> Callable[[Any], None]:
    return lambda found: found.resources[name]["status"].update(changes)


def _condition(name: str, kind: str, status: str) -> Callable[[Any], None]:
    def violate(found: Any) -> None:
        conditions = found.resources[name]["status"]["conditions"]
        conditions[:] = [*(one for one in conditions if one["type"] != kind), {"type": kind, "status": status}]

    return violate


def _workflow(name: str, kind: str, status: str) -> Callable[[Any], None]:
    return lambda found: found.workflows.update({name: Workflow(kind, status)})


def _accepted(name: str, action: Action) -> Callable[[Any], None]:
    return lambda found: found.client_logs[name].changes.append((action, ChangeResult.ACCEPTED, False))


RECORDED, END, STEPS = "each accepted order is st", "each accepted order rea", "an order m"
PARCELS, DESTINATION = "one parcel", "a parcel went"
EVENTS, ACCEPTED_CHANGES, TEMPORAL = "the audit trail", "what a client", "Temporal"
FINALIZERS = "no finalizer"

VIOLATIONS: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("never accepted", ANSWERED, lambda found: setattr(found.client_logs[SHIPPED], "order_id", None)),
    ("a wrong response", ANSWERED, lambda found: found.client_logs[SHIPPED].problems.append("answered 404")),
    ("a change never answered", ANSWERED, lambda found: found.client_logs[SHIPPED].changes.clear()),
    ("not stored", RECORDED, lambda found: found.orders.pop(SHIPPED)),
    ("one order for two clients", RECORDED, lambda found: setattr(found.client_logs[FAILED], "order_id", SHIPPED)),
    ("stored without a request", RECORDED, lambda found: found.client_logs.pop(FAILED)),
    ("deleted before its start, and charged", RECORDED, lambda found: found.orders.pop(DELETED)),
    ("not ended", END, _change_status(SHIPPED, step=Step.SHIPPING, completed_at=None)),
    ("no completion time", END, _change_status(SHIPPED, completed_at=None)),
    ("a pending refund", END, _change_status(CANCELED, paid=PaymentStatus.REFUNDING)),
    ("still authorized", END, _change_status(SHIPPED, paid=PaymentStatus.AUTHORIZED)),
    ("a charge without an outcome", END, _change_status(CANCELED, paid=PaymentStatus.INIT)),
    ("shipped after its cancel", STEPS, _event(CANCELED, EventKind.SHIPPED, Step.SHIPPED)),
    ("back to the charge", STEPS, _event(SHIPPED, EventKind.CHARGE_STARTED, Step.CHARGE)),
    ("reviewed after the charge began", STEPS, _events(SHIPPED, EventKind.CHARGE_STARTED, EventKind.REVIEW_STARTED)),
    ("a refund that is not stored", MONEY, _change_status(CANCELED, paid=PaymentStatus.CHARGED)),
    ("two parcels", PARCELS, lambda found: found.parcels.append(parcel(SHIPPED))),
    ("no parcel", PARCELS, lambda found: found.parcels.clear()),
    ("a parcel for a canceled order", PARCELS, lambda found: found.parcels.append(parcel(CANCELED))),
    ("a parcel for a failed order", PARCELS, lambda found: found.parcels.append(parcel(FAILED))),
    ("a parcel of an unknown order", PARCELS, lambda found: found.parcels.append(parcel("unknown"))),
    ("shipped, and its shipment failed", PARCELS, _shipment(SHIPPED, status=ShipmentStatus.FAILED)),
    ("to the old address", DESTINATION, _change_status(SHIPPED, address=Address(**ADDRESS_JSON))),
    ("another tracking number", DESTINATION, _shipment(SHIPPED, tracking_number="SIM-other")),
    ("no event of the end", EVENTS, _without_events(SHIPPED, EventKind.SHIPPED)),
    ("events of two ends", EVENTS, _event(CANCELED, EventKind.FAILED, Step.FAILED)),
    ("never received", EVENTS, _without_events(SHIPPED, EventKind.RECEIVED)),
    ("canceled without an event", EVENTS, _without_events(CANCELED, EventKind.CANCEL_REQUESTED)),
    ("approved without an event", EVENTS, _without_events(SHIPPED, EventKind.APPROVED)),
    ("charged without an event", EVENTS, _without_events(SHIPPED, EventKind.CHARGED)),
    ("refunded without an event", EVENTS, _without_events(CANCELED, EventKind.REFUNDED)),
    ("charge rejected without an event", EVENTS, _without_events(FAILED, EventKind.CHARGE_REFUSED)),
    ("address changed without an event", EVENTS, _without_events(SHIPPED, EventKind.ADDRESS_CHANGED)),
    ("events of a charge without a payment", EVENTS, _change_status(SHIPPED, paid=None)),
    ("an accepted cancel was shipped", ACCEPTED_CHANGES, _accepted(SHIPPED, Action.CANCEL)),
    ("an accepted approval was lost", ACCEPTED_CHANGES, _accepted(FAILED, Action.APPROVE)),
    ("an accepted address was lost", ACCEPTED_CHANGES, _accepted(FAILED, Action.REDIRECT)),
    ("no workflow", TEMPORAL, lambda found: found.workflows.pop(order_workflow_id(SHIPPED))),
    ("failed in Temporal alone", TEMPORAL, _workflow(order_workflow_id(SHIPPED), ORDER_WORKFLOW, "FAILED")),
    ("completed in Temporal alone", TEMPORAL, _workflow(order_workflow_id(FAILED), ORDER_WORKFLOW, "COMPLETED")),
    ("a workflow still runs", TEMPORAL, _workflow("shipping-x-1", "ShippingWorkflow", "RUNNING")),
    ("a refund failed", TEMPORAL, _workflow(refund_workflow_id(f"pay-{CANCELED}"), REFUND_WORKFLOW, "FAILED")),
    ("a workflow of an unknown order", TEMPORAL, _workflow("order-unknown", ORDER_WORKFLOW, "COMPLETED")),
    ("another step in Kubernetes", KUBERNETES_STATUS, _kubernetes_status(DECLARED, step="shipping")),
    ("another payment in Kubernetes", KUBERNETES_STATUS, _kubernetes_status(DECLARED, payment={"id": "x"})),
    ("no tracking number in Kubernetes", KUBERNETES_STATUS, _kubernetes_status(DECLARED, trackingNumber=None)),
    ("an edit not observed", KUBERNETES_STATUS, _kubernetes_status(DECLARED, observedGeneration=1)),
    ("not ended in Kubernetes", KUBERNETES_STATUS, _kubernetes_status(DECLARED, ended=None)),
    ("not ready", KUBERNETES_STATUS, _condition(DECLARED, "Ready", "False")),
    ("still reconciling", KUBERNETES_STATUS, _condition(DECLARED, "Reconciling", "True")),
    ("an Order that is not stored", KUBERNETES_STATUS, lambda found: found.orders.pop(DECLARED)),
    ("an edit without an outcome", EDITS, lambda found: found.resources[DECLARED]["spec"].update(cancel=True)),
    ("a finalizer", FINALIZERS, lambda found: found.resources[DECLARED]["metadata"].update(finalizers=["x"])),
    ("no label", FINALIZERS, lambda found: found.resources[DECLARED]["metadata"].update(labels={})),
    ("missing without a deletion", FINALIZERS, lambda found: found.resources.pop(DECLARED)),
    (
        "still there after its deletion",
        FINALIZERS,
        lambda found: found.client_logs[DECLARED].changes.append((Action.DELETE, ChangeResult.QUEUED, False)),
    ),
    *PAYMENT_VIOLATIONS,
]


@pytest.mark.parametrize(("promise", "violate"), [(p, s) for _, p, s in VIOLATIONS], ids=[v[0] for v in VIOLATIONS])
def test_promise_with_violation_is_broken(promise: str, violate: Callable[[Any], Any]) -> None:
    found = valid_evidence()
    violate(found)
    broken = [checked.text for checked in promises(found) if checked.broken]
    assert any(text.startswith(promise) for text in broken), broken


def test_violations_cover_every_promise() -> None:
    for checked in promises(valid_evidence()):
        assert any(checked.text.startswith(promise) for _, promise, _ in VIOLATIONS), checked.text


def test_every_promise_is_documented() -> None:
    document = (Path(__file__).parents[2] / "deploy/docs/reliability.md").read_text()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in document.splitlines() if line.startswith("| ")]
    assert [text for text, _ in PROMISES if text not in rows] == []


def test_workflow_result_other_than_stored_status_is_reported() -> None:
    found: Any = valid_evidence()
    workflow = found.workflows[order_workflow_id(SHIPPED)]
    result = workflow.result.model_copy(update={"step": Step.CANCELED})
    found.workflows[order_workflow_id(SHIPPED)] = replace(workflow, result=result)
    (broken,) = [checked for checked in promises(found) if checked.broken]
    assert broken.text.startswith(TEMPORAL)
    assert broken.broken == [f"{SHIPPED}: step is shipped in the order store, canceled in its workflow"]


def test_order_deleted_before_its_start_may_leave_no_trace() -> None:
    found: Any = valid_evidence()
    del found.orders[DELETED], found.events[DELETED], found.workflows[order_workflow_id(DELETED)]
    del found.workflows[refund_workflow_id(f"pay-{DELETED}")]
    del found.payments[f"pay-{DELETED}"]
    found.money[:] = [line for line in found.money if line.order_id != DELETED]
    assert not [str(checked) for checked in promises(found) if checked.broken]


def test_review_event_of_a_repeated_workflow_task_is_accepted() -> None:
    found = valid_evidence()
    _events(SHIPPED, EventKind.REVIEW_STARTED, EventKind.CHARGE_STARTED)(found)
    assert not [str(checked) for checked in promises(found) if checked.broken]


def test_edit_before_the_order_started_needs_no_event() -> None:
    found = valid_evidence()
    _without_events(DECLARED, EventKind.APPROVED)(found)
    assert [checked.text for checked in promises(found) if checked.broken]
    found.client_logs[DECLARED].changes.append((Action.APPROVE, ChangeResult.QUEUED, False))
    assert not [str(checked) for checked in promises(found) if checked.broken]


def test_rejected_edit_is_no_violation() -> None:
    found = valid_evidence()
    found.resources[DECLARED]["spec"].update(cancel=True)  # type: ignore[attr-defined]
    _condition(DECLARED, "SpecApplied", "False")(found)
    assert not [str(checked) for checked in promises(found) if checked.broken]


def test_rejected_and_repeated_refund_of_a_running_order_may_have_moved_money() -> None:
    found = valid_evidence()
    logs = found.client_logs[CAPTURED].refunds
    early = replace(logs[0], outcome=ChangeResult.REJECTED, amount=None, asked_at=NOW - timedelta(seconds=1))
    logs[0] = early
    assert [checked.text for checked in promises(found) if checked.broken]
    logs[0] = replace(early, again=True)
    assert not [str(checked) for checked in promises(found) if checked.broken]


def test_refund_that_a_void_returned_with_everything_else_is_no_violation() -> None:
    found: Any = valid_evidence()
    key = f"pay-{CANCELED}/refund/order/1"
    assert found.payments[f"pay-{CANCELED}"].intents[0].key == key
    found.money.remove(entry("refund", CANCELED))
    assert [checked.text for checked in promises(found) if checked.broken]
    found.money.append(entry("refund", CANCELED, key=f"pay-{CANCELED}/void"))
    assert not [str(checked) for checked in promises(found) if checked.broken]
