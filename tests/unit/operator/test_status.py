"""What a difference between two statuses is worth, and how it is written."""

from __future__ import annotations

import json

from declared import NOW, body, observed, order, record, started
from hypothesis import given
from hypothesis import strategies as st

from orderfleet.domain.status import PaymentStatus, ShipmentStatus, ShipmentView, Step
from orderfleet.operator.conditions import ConditionType
from orderfleet.operator.crd import OrderState
from orderfleet.operator.status import WritePriority, invalid_spec_status, merge_patch, wanted_status, write_priority


def status(*args, **changes):
    return wanted_status(order(), observed(record(*args, **changes)), NOW)


def test_same_status_is_worth_nothing():
    assert write_priority(status(), status()) is WritePriority.NONE


def test_time_of_change_alone_is_worth_nothing():
    assert write_priority(status(), status(updated_at=NOW.replace(minute=9))) is WritePriority.NONE


def test_new_step_is_written_at_once():
    assert write_priority(status(), status(Step.CHARGE)) is WritePriority.IMMEDIATE


def test_answered_edit_is_written_at_once():
    assert write_priority(status(), status(declared=2)) is WritePriority.IMMEDIATE


def test_charge_is_written_at_once():
    assert write_priority(status(), status(payment=PaymentStatus.CHARGED)) is WritePriority.IMMEDIATE


def test_details_may_wait():
    assert write_priority(status(), status(last_error="timed out", retries={"charge": 1})) is WritePriority.NORMAL


def test_state_of_a_shipment_may_wait_longer():
    parcel = ShipmentView(id="s", status=ShipmentStatus.PREPARED)
    assert write_priority(status(), status(shipments=(parcel,))) is WritePriority.LOW
    assert write_priority(status(), status(shipments=(parcel,), last_error="timed out")) is WritePriority.NORMAL


def test_first_record_of_an_order_that_is_being_received_may_wait_longer():
    began = wanted_status(order(), observed(workflow=started(), started_generation=1), NOW)
    assert write_priority({}, began) is WritePriority.IMMEDIATE
    assert write_priority(began, status(Step.RECEIVE)) is WritePriority.LOW
    assert write_priority(began, status(Step.RECEIVE, approved=True)) is WritePriority.LOW


def test_approval_is_written_at_once():
    assert write_priority(status(), status(approved=True)) is WritePriority.IMMEDIATE


def test_status_is_read_back_as_it_was_written():
    parcel = ShipmentView(id="s", status=ShipmentStatus.DISPATCHED, carrier="DHL", tracking_number="T1", attempts=2)
    written = status(Step.SHIPPED, shipments=(parcel,), payment=PaymentStatus.CHARGED, retries={"charge": 2})
    assert OrderState.model_validate(json.loads(json.dumps(written))).body() == written


def test_unreadable_order_says_why_and_keeps_what_it_showed():
    before = status()
    told = invalid_spec_status(before, 3, "spec.items: missing", NOW)
    accepted = OrderState.model_validate(told).condition(ConditionType.ACCEPTED)
    assert (accepted.status, accepted.message, told["step"]) == ("False", "spec.items: missing", before["step"])


def test_spec_is_not_needed_for_what_is_not_known_yet():
    assert wanted_status(order(), observed(), NOW)["orderId"] == "o-1"
    assert "step" not in wanted_status(order(), observed(), NOW)


values = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)
statuses = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


def merged(target, patch):
    """RFC 7386, as it is written there."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@given(statuses, statuses)
def test_change_turns_one_status_into_the_other(before, after):
    assert merged(before, merge_patch(before, after)) == after


def test_body_of_an_order_is_what_the_tests_think():
    assert order().owner == "shop/o-1"
    assert body()["metadata"]["uid"] == "uid-1"
