"""Events for the change from one status to another."""

from __future__ import annotations

from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.operator.cache import Dependency
from orderfleet.operator.crd import OrderResource
from orderfleet.operator.events import events_between
from orderfleet.operator.status import wanted_status
from support.observed_orders import NOW, body, observed, order, record, started


def status(state, **changes):
    return wanted_status(order(**changes), state, NOW)


def emitted(before, after):
    return [(note.warning, note.reason) for note in events_between(before, after)]


def test_events_of_several_steps_at_once_are_complete():
    done = status(observed(record(Step.SHIPPED, approved=True, payment=PaymentStatus.CHARGED)))
    assert emitted({}, done) == [(False, "Started"), (False, "Approved"), (False, "Charged"), (False, "Shipped")]


def test_events_of_unchanged_status_are_none():
    same = status(observed(record()))
    assert emitted(same, same) == []


def test_events_of_review_are_one():
    before, after = status(observed(workflow=started())), status(observed(record()))
    assert emitted(before, after) == [(False, "AwaitingReview")]


def test_event_of_failure_is_warning():
    before = status(observed(record()))
    after = status(observed(record(Step.FAILED, last_error="x")))
    assert emitted(before, after) == [(True, "Failed")]


def test_event_of_declared_cancel_is_normal_and_other_is_warning():
    before = status(observed(record()))
    canceled_state = observed(record(Step.CANCELED, canceled=True))
    assert emitted(before, status(canceled_state, cancel=True)) == [(False, "Canceled")]
    assert emitted(before, status(canceled_state)) == [(True, "Canceled")]


def test_events_of_conflict_are_one():
    assert emitted({}, status(observed(conflict="the order id belongs to another order"))) == [(True, "Conflict")]


def test_event_of_unavailable_dependency_is_warning():
    assert emitted({}, status(observed(unavailable=Dependency.STORE))) == [(True, "StoreUnavailable")]


def test_event_of_each_rejected_change_is_emitted():
    first = wanted_status(order(generation=2), observed(record(declared=2, rejected="too late")), NOW)
    again = body(generation=3, status=first)
    second = wanted_status(OrderResource.model_validate(again), observed(record(declared=3, rejected="too late")), NOW)
    assert (True, "SpecChangeRejected") in emitted(status(observed(record())), first)
    assert emitted(first, second) == [(True, "SpecChangeRejected")]
