"""Priority and merge patch of a changed status."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from orderfleet.domain.status import PaymentStatus, ShipmentStatus, ShipmentView, Step
from orderfleet.operator.conditions import ConditionType
from orderfleet.operator.crd import OrderResourceStatus
from orderfleet.operator.status import WritePriority, invalid_spec_status, merge_patch, wanted_status, write_priority
from support.observed_orders import NOW, body, observed, order, record, started


def status(*args, **changes):
    return wanted_status(order(), observed(record(*args, **changes)), NOW)


def test_priority_of_equal_status_is_none():
    assert write_priority(status(), status()) is WritePriority.NONE


def test_priority_of_update_time_is_none():
    assert write_priority(status(), status(updated_at=NOW.replace(minute=9))) is WritePriority.NONE


def test_priority_of_step_is_immediate():
    assert write_priority(status(), status(Step.CHARGE)) is WritePriority.IMMEDIATE


def test_priority_of_observed_generation_is_immediate():
    assert write_priority(status(), status(declared=2)) is WritePriority.IMMEDIATE


def test_priority_of_charge_is_immediate():
    assert write_priority(status(), status(payment=PaymentStatus.CHARGED)) is WritePriority.IMMEDIATE


def test_priority_of_details_is_normal():
    assert write_priority(status(), status(last_error="timed out", retries={"charge": 1})) is WritePriority.NORMAL


def test_priority_of_shipment_state_is_low():
    parcel = ShipmentView(id="s", status=ShipmentStatus.PREPARED)
    assert write_priority(status(), status(shipments=(parcel,))) is WritePriority.LOW
    assert write_priority(status(), status(shipments=(parcel,), last_error="timed out")) is WritePriority.NORMAL


def test_priority_of_first_record_in_step_receive_is_low():
    started_status = wanted_status(order(), observed(workflow=started(), started_generation=1), NOW)
    assert write_priority({}, started_status) is WritePriority.IMMEDIATE
    assert write_priority(started_status, status(Step.RECEIVE)) is WritePriority.LOW
    assert write_priority(started_status, status(Step.RECEIVE, approved=True)) is WritePriority.LOW


def test_priority_of_approval_is_immediate():
    assert write_priority(status(), status(approved=True)) is WritePriority.IMMEDIATE


def test_status_round_trips_through_json():
    parcel = ShipmentView(id="s", status=ShipmentStatus.DISPATCHED, carrier="DHL", tracking_number="T1", attempts=2)
    written = status(Step.SHIPPED, shipments=(parcel,), payment=PaymentStatus.CHARGED, retries={"charge": 2})
    assert OrderResourceStatus.model_validate(json.loads(json.dumps(written))).body() == written


def test_invalid_spec_status_has_problem_and_keeps_other_fields():
    before = status()
    status_after = invalid_spec_status(before, 3, "spec.items: missing", NOW)
    accepted = OrderResourceStatus.model_validate(status_after).condition(ConditionType.ACCEPTED)
    assert (accepted.status, accepted.message, status_after["step"]) == ("False", "spec.items: missing", before["step"])


def test_wanted_status_of_unobserved_order_has_order_id_only():
    assert wanted_status(order(), observed(), NOW)["orderId"] == "o-1"
    assert "step" not in wanted_status(order(), observed(), NOW)


values = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)
statuses = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


def merged(target, patch):
    """Apply a merge patch as RFC 7386 specifies."""
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
def test_merge_patch_turns_one_status_into_the_other(before, after):
    assert merged(before, merge_patch(before, after)) == after


def test_order_factory_has_expected_owner_and_uid():
    assert order().owner == "shop/o-1"
    assert body()["metadata"]["uid"] == "uid-1"
