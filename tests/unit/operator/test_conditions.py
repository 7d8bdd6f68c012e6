"""Conditions of an Order by step, payment and observed state."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orderfleet.domain.status import PaymentStatus, ShipmentStatus, ShipmentView, Step
from orderfleet.operator.cache import Dependency
from orderfleet.operator.conditions import ConditionType
from orderfleet.operator.crd import OrderResource
from orderfleet.operator.status import wanted_status
from support.factories import ADDRESS_JSON, ELSEWHERE_JSON
from support.observed_orders import NOW, body, observed, order, record, started

SUMMARY = (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED)


def conditions(order_body, state, now=NOW):
    status = wanted_status(OrderResource.model_validate(order_body), state, now)
    return {condition["type"]: condition for condition in status["conditions"]}


def status_and_reason(order_body, state):
    return {kind: (each["status"], each["reason"]) for kind, each in conditions(order_body, state).items()}


@pytest.mark.parametrize(
    ("step", "changes", "spec", "true", "reason"),
    [
        (Step.RECEIVE, {}, {}, "Reconciling", "Receiving"),
        (Step.VALIDATE, {}, {}, "Reconciling", "Validating"),
        (Step.MANUAL_REVIEW, {}, {}, "Reconciling", "AwaitingReview"),
        (Step.CHARGE, {}, {}, "Reconciling", "Charging"),
        (Step.SHIPPING, {}, {}, "Reconciling", "Shipping"),
        (Step.SHIPPED, {"completed_at": None}, {}, "Reconciling", "AwaitingDelivery"),
        (Step.SHIPPED, {}, {}, "Ready", "Shipped"),
        (Step.DELIVERED, {}, {}, "Ready", "Delivered"),
        (Step.CANCELED, {"cancel_reason": "changed my mind"}, {"cancel": True}, "Ready", "Canceled"),
        (Step.CANCELED, {"cancel_reason": "review timed out"}, {}, "Stalled", "Canceled"),
        (Step.FAILED, {"last_error": "charge: refused"}, {}, "Stalled", "Failed"),
    ],
)
def test_summary_conditions_exactly_one_is_true(step, changes, spec, true, reason):
    found = status_and_reason(body(**spec), observed(record(step, **changes)))
    assert {kind: found[kind] for kind in SUMMARY} == {
        kind: ("True" if kind == true else "False", reason) for kind in SUMMARY
    }


@pytest.mark.parametrize(
    ("dependency", "reason"), [(Dependency.TEMPORAL, "TemporalUnavailable"), (Dependency.STORE, "StoreUnavailable")]
)
def test_reconciling_names_unavailable_dependency(dependency, reason):
    assert status_and_reason(body(), observed(unavailable=dependency))["Reconciling"] == ("True", reason)


def test_ended_order_is_ready_despite_unavailable_dependency():
    assert status_and_reason(body(), observed(record(Step.SHIPPED), unavailable=Dependency.TEMPORAL))["Ready"] == (
        "True",
        "Shipped",
    )


def test_started_order_is_accepted():
    assert status_and_reason(body(), observed(workflow=started()))["Accepted"] == ("True", "Started")


def test_order_started_by_earlier_object_is_adopted():
    assert status_and_reason(body(), observed(record(owner_uid="older")))["Accepted"] == ("True", "Adopted")


def test_conflict_is_stalled_without_state_of_other_order():
    found = status_and_reason(
        body(), observed(record(Step.SHIPPED, owner="other/o-1"), conflict="the order id belongs to another order")
    )
    assert found["Accepted"] == ("False", "Conflict")
    assert found["Stalled"] == ("True", "Conflict")
    assert "Shipped" not in found


@pytest.mark.parametrize(
    ("payment", "expected"),
    [
        (None, ("False", "NotCharged")),
        (PaymentStatus.INIT, ("False", "NotCharged")),
        (PaymentStatus.CHARGED, ("True", "Charged")),
        (PaymentStatus.FAILED, ("False", "ChargeDeclined")),
        (PaymentStatus.VOIDED, ("False", "Voided")),
        (PaymentStatus.REFUNDING, ("False", "Refunding")),
        (PaymentStatus.REFUNDED, ("False", "Refunded")),
    ],
)
def test_charged_condition_reflects_payment_status(payment, expected):
    assert status_and_reason(body(), observed(record(payment=payment)))["Charged"] == expected


@pytest.mark.parametrize("payment", [PaymentStatus.PENDING, PaymentStatus.AUTHORIZED])
def test_charged_condition_of_an_ended_order_says_that_its_payment_is_voided(payment):
    assert status_and_reason(body(), observed(record(Step.CANCELED, payment=payment)))["Charged"] == (
        "False",
        "Voiding",
    )


def test_approved_condition_reflects_recorded_approval():
    assert status_and_reason(body(), observed(record(approved=True)))["Approved"] == ("True", "Approved")
    assert status_and_reason(body(), observed(record()))["Approved"] == ("False", "AwaitingReview")
    assert status_and_reason(body(), observed(record(Step.CANCELED)))["Approved"] == ("False", "NotApproved")


def test_shipped_condition_message_names_carrier():
    parcel = ShipmentView(id="s", status=ShipmentStatus.DISPATCHED, carrier="DHL", tracking_number="T1")
    found = conditions(body(), observed(record(Step.SHIPPED, shipments=(parcel,))))
    assert found["Shipped"]["message"] == "the package is on the way by DHL as T1"


def test_failed_dispatch_sets_shipped_reason_and_message():
    found = conditions(body(), observed(record(Step.FAILED, dispatch_failed_reason="no such street")))
    assert (found["Shipped"]["reason"], found["Shipped"]["message"]) == ("DispatchFailed", "no such street")


def test_spec_applied_is_absent_before_first_rejection():
    assert "SpecApplied" not in status_and_reason(body(), observed(record()))


def test_spec_applied_is_false_after_rejection_and_true_after_later_change():
    rejected = observed(record(declared=2, rejected="address: too late"))
    order_body = body(generation=2)
    found = conditions(order_body, rejected)
    assert (found["SpecApplied"]["status"], found["SpecApplied"]["message"]) == ("False", "address: too late")
    order_body["status"] = wanted_status(OrderResource.model_validate(order_body), rejected, NOW)
    assert status_and_reason({**order_body}, observed(record(declared=3)))["SpecApplied"] == ("True", "Applied")


def test_change_after_end_is_rejected():
    changed = body(generation=2, address=ELSEWHERE_JSON)
    found = conditions(changed, observed(record(Step.SHIPPED, approved=True)))
    assert found["SpecApplied"]["message"] == "address: the order has already ended"
    assert found["Ready"]["status"] == "True"


def test_change_after_end_that_matches_order_is_not_rejected():
    same = body(generation=2, address=ADDRESS_JSON, approved=True)
    assert "SpecApplied" not in status_and_reason(same, observed(record(Step.SHIPPED, approved=True)))


def test_transition_time_changes_only_with_condition_status():
    order_body = body()
    order_body["status"] = wanted_status(order(), observed(record()), NOW)
    later = NOW + timedelta(minutes=5)
    found = conditions(order_body, observed(record(Step.CHARGE, approved=True)), later)
    assert found["Reconciling"]["reason"] == "Charging"
    assert found["Reconciling"]["lastTransitionTime"] == "2026-11-01T12:00:00Z"
    assert found["Approved"]["lastTransitionTime"] == "2026-11-01T12:05:00Z"
