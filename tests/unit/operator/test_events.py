"""The story that Events tell, from one status to the next."""

from __future__ import annotations

from declared import NOW, body, known, order, record, started

from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.operator.cache import Part
from orderfleet.operator.crd import OrderResource
from orderfleet.operator.events import notes
from orderfleet.operator.status import wanted_status


def status(knowledge, **changes):
    return wanted_status(order(**changes), knowledge, NOW)


def story(before, after):
    return [(note.warning, note.reason) for note in notes(before, after)]


def test_steps_that_were_passed_at_once_are_all_told():
    done = status(known(record(Step.SHIPPED, approved=True, payment=PaymentStatus.CHARGED)))
    assert story({}, done) == [(False, "Started"), (False, "Approved"), (False, "Charged"), (False, "Shipped")]


def test_nothing_new_is_nothing_told():
    same = status(known(record()))
    assert story(same, same) == []


def test_review_is_told_once():
    before, after = status(known(workflow=started())), status(known(record()))
    assert story(before, after) == [(False, "AwaitingReview")]


def test_failure_is_a_warning():
    before = status(known(record()))
    after = status(known(record(Step.FAILED, last_error="x")))
    assert story(before, after) == [(True, "Failed")]


def test_declared_cancel_is_normal_and_another_is_a_warning():
    before = status(known(record()))
    gone = known(record(Step.CANCELED, canceled=True))
    assert story(before, status(gone, cancel=True)) == [(False, "Canceled")]
    assert story(before, status(gone)) == [(True, "Canceled")]


def test_conflict_is_told_once():
    assert story({}, status(known(taken="taken"))) == [(True, "Conflict")]


def test_outage_is_a_warning():
    assert story({}, status(known(away=Part.STORE))) == [(True, "StoreUnavailable")]


def test_each_refused_edit_is_told():
    first = wanted_status(order(generation=2), known(record(declared=2, refused="too late")), NOW)
    again = body(generation=3, status=first)
    second = wanted_status(OrderResource.model_validate(again), known(record(declared=3, refused="too late")), NOW)
    assert (True, "EditRefused") in story(status(known(record())), first)
    assert story(first, second) == [(True, "EditRefused")]
