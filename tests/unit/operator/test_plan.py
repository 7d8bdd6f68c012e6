"""What the operator does next, from what is declared and what is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from declared import ELSEWHERE, ENDED, NOW, body, kinds, observed, order, planned, record, started

from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.operator.cache import Dependency, ObservedState
from orderfleet.operator.conditions import Reason
from orderfleet.operator.crd import DELETED as DELETED_REASON
from orderfleet.operator.crd import DeletedOrder
from orderfleet.operator.plan import (
    AddFinalizer,
    ApplySpec,
    CheckWorkflow,
    FindWorkflow,
    ReadRecord,
    RemoveFinalizer,
    StartWorkflow,
    WriteStatus,
    plan_deleted_invalid,
)
from orderfleet.services.errors import Closed
from orderfleet.services.workflow_client import Claim

DELETED = {"deletionTimestamp": "2026-11-01T00:00:00Z", "generation": 2}


def shown(told, state):
    """The status that the plan writes."""
    (status,) = [action.status for action in planned(told, state) if isinstance(action, WriteStatus)]
    return status


def settled_body(state, **changes):
    """An Order whose status already shows what is known."""
    told = body(**changes)
    heard = replace(state, sent_generation=told["metadata"]["generation"])
    return {**told, "status": shown(told, heard)}


def test_unknown_order_is_looked_up_in_the_record_first():
    assert kinds(planned(body(has_finalizer=False), ObservedState())) == ["ReadRecord"]


def test_new_order_is_held_before_it_is_started():
    actions = planned(body(has_finalizer=False), observed())
    assert kinds(actions) == ["AddFinalizer", "StartWorkflow"]
    assert actions[1].order.owner == "shop/o-1"


def test_held_order_is_started_only():
    assert kinds(planned(body(), observed())) == ["StartWorkflow"]


def test_started_order_shows_that_it_is_being_recorded():
    status = shown(body(), observed(workflow=started(), started_generation=1))
    assert (status["step"], status["workflowId"], status["observedGeneration"]) == ("receive", "order-o-1", 1)


def test_nothing_is_left_to_do_when_the_status_shows_what_is_known():
    state = observed(record())
    assert planned(settled_body(state), state) == []


def test_recorded_order_is_not_started_again():
    assert "StartWorkflow" not in kinds(planned(body(), observed(record())))


def test_recorded_order_without_our_finalizer_is_held():
    assert planned(body(has_finalizer=False), observed(record()))[0] == AddFinalizer()


def test_edit_is_declared_once():
    state = observed(record())
    told = settled_body(state, generation=2, approved=True)
    (declare,) = planned(told, state)
    assert isinstance(declare, ApplySpec)
    assert (declare.spec_update.generation, declare.spec_update.approved) == (2, True)
    assert planned(told, observed(record(), sent_generation=2)) == []


def test_edit_that_the_workflow_answered_is_not_declared_again():
    answered = observed(record(declared=2))
    assert planned(settled_body(answered, generation=2, approved=True), answered) == []


def test_cancel_at_creation_is_declared_after_the_start():
    told = body(cancel=True, approved=True)
    (start,) = planned(told, observed())
    assert isinstance(start, StartWorkflow)
    assert (start.order.approved, start.order.generation) == (False, 0)
    (declare,) = planned(told, observed(workflow=started()))
    assert (declare.spec_update.generation, declare.spec_update.cancel) == (1, True)


def test_order_applied_again_declares_its_first_generation():
    adopted = observed(record(owner_uid="older", declared=5, declared_by="older"))
    declare = planned(body(address=ELSEWHERE), adopted)[0]
    assert (declare.spec_update.generation, declare.spec_update.owner_uid) == (1, "uid-1")
    assert declare.spec_update.address.street == "2 Side St"


def test_ended_order_shows_its_end_and_is_then_released_with_the_label():
    state = observed(record(Step.SHIPPED, payment=PaymentStatus.CHARGED))
    status = shown(body(), state)
    assert status["ended"] is True
    assert planned({**body(), "status": status}, state) == [RemoveFinalizer(ended=True)]
    has_ended_label = body(has_finalizer=False, labels={ENDED: "true"})
    assert planned({**has_ended_label, "status": status}, state) == []


@pytest.mark.parametrize("owed", [PaymentStatus.CHARGED, PaymentStatus.REFUNDING])
def test_ended_order_that_owes_a_refund_is_watched_and_not_held(owed):
    state = observed(record(Step.CANCELED, canceled=True, payment=owed))
    actions = planned(body(), state)
    assert kinds(actions) == ["WriteStatus", "RemoveFinalizer"]
    assert actions[1] == RemoveFinalizer(ended=False)
    assert "ended" not in actions[0].status
    done = observed(record(Step.CANCELED, canceled=True, payment=PaymentStatus.REFUNDED))
    assert shown(body(has_finalizer=False), done)["ended"] is True


def test_order_of_another_owner_is_a_conflict_and_is_not_held():
    state = observed(record(owner="other/o-1", owner_uid="theirs"))
    assert kinds(planned(body(has_finalizer=False), state)) == ["WriteStatus"]
    assert kinds(planned(body(), state)) == ["WriteStatus", "RemoveFinalizer"]


def test_order_of_the_same_owner_with_another_content_is_a_conflict():
    state = observed(record(owner_uid="older", content_hash="another"))
    assert shown(body(has_finalizer=False), state)["conditions"][0]["reason"] == Reason.CONFLICT


def test_order_made_outside_kubernetes_is_a_conflict():
    state = observed(record(owner="", owner_uid=""))
    assert "outside Kubernetes" in shown(body(has_finalizer=False), state)["conditions"][0]["message"]


def test_conflict_found_before_is_not_tried_again():
    status = shown(body(has_finalizer=False), observed(conflict="taken"))
    assert planned(body(has_finalizer=False, status=status), ObservedState()) == []


@pytest.mark.parametrize("state", [observed(conflict="taken"), observed(record(owner="other/o-1", owner_uid="theirs"))])
def test_deleted_conflicting_order_only_lets_go(state):
    assert planned(body(**DELETED), state) == [RemoveFinalizer(ended=False)]


def test_deleted_order_declares_its_cancel_and_then_lets_go():
    (declare,) = planned(body(**DELETED), observed(record()))
    assert (declare.spec_update.cancel, declare.spec_update.cancel_reason) == (True, "the Order was deleted")
    assert planned(body(**DELETED), observed(record(), sent_generation=2)) == [RemoveFinalizer(ended=False)]


def test_deleted_order_needs_no_record_when_its_status_names_the_workflow():
    assert kinds(planned(body(status={"workflowId": "order-o-1"}, **DELETED), ObservedState())) == ["ApplySpec"]


def test_deleted_orphan_lets_go_at_once():
    assert planned(body(deletionPolicy="Orphan", **DELETED), observed(record())) == [RemoveFinalizer(ended=False)]


def test_deleted_order_that_has_ended_lets_go():
    assert planned(body(**DELETED), observed(record(Step.SHIPPED))) == [RemoveFinalizer(ended=False)]


def test_deleted_order_whose_workflow_is_gone_lets_go():
    assert planned(body(**DELETED), observed(record(), workflow_missing=True)) == [RemoveFinalizer(ended=False)]


def test_deleted_order_of_an_unknown_start_is_sought_and_never_started():
    assert kinds(planned(body(**DELETED), ObservedState())) == ["ReadRecord"]
    (find,) = planned(body(**DELETED), observed())
    assert isinstance(find, FindWorkflow)
    assert planned(body(**DELETED), observed(workflow_searched=True)) == [RemoveFinalizer(ended=False)]
    assert kinds(planned(body(**DELETED), observed(workflow=started()))) == ["ApplySpec"]


def left(state, *, status=None, has_finalizer=True, **spec):
    """The plan for a deleted Order whose items are another version's."""
    told = body(has_finalizer=has_finalizer, status=status, **DELETED, **spec)
    told["spec"]["items"] = "nonsense"
    return plan_deleted_invalid(DeletedOrder.model_validate(told), state)


STARTED = {"workflowId": "order-o-1", "conditions": "of another version"}


def test_unreadable_order_that_was_never_started_is_sought_and_let_go():
    assert left(ObservedState()) == [ReadRecord("o-1")]
    assert left(observed()) == [FindWorkflow(Claim("o-1", "shop/o-1", "uid-1", ""))]
    assert left(observed(workflow_searched=True)) == [RemoveFinalizer(ended=False)]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (ObservedState(), STARTED),
        (observed(record()), None),
        (observed(workflow=started()), None),
        # Taken over from the Order of this name before it, as its status says.
        (observed(record(owner_uid="older")), STARTED),
    ],
)
def test_unreadable_order_that_was_started_is_canceled_before_it_goes(state, status):
    (declared,) = left(state, status=status)
    assert isinstance(declared, ApplySpec)
    told = declared.spec_update
    assert (declared.order_id, told.owner_uid, told.cancel, told.cancel_reason) == (
        "o-1",
        "uid-1",
        True,
        DELETED_REASON,
    )
    assert left(replace(state, sent_generation=2), status=status) == [RemoveFinalizer(ended=False)]


@pytest.mark.parametrize(
    "state",
    [
        observed(record(owner="other/o-1", owner_uid="theirs")),
        # Perhaps of the Order of this name before it: its content would tell.
        observed(record(owner_uid="older")),
        observed(conflict="another's"),
        observed(record(Step.SHIPPED)),
        observed(record(), workflow_missing=True),
    ],
)
def test_unreadable_order_lets_go_where_nothing_of_its_own_runs(state):
    assert left(state) == [RemoveFinalizer(ended=False)]


def test_unreadable_order_says_what_its_deletion_means():
    assert left(ObservedState(), deletionPolicy="Orphan", status=STARTED) == [RemoveFinalizer(ended=False)]
    (declared,) = left(ObservedState(), cancelReason="we moved", status=STARTED)
    assert declared.spec_update.cancel_reason == "we moved"


def test_deletion_policy_of_a_newer_operator_is_waited_for_once_the_order_was_started():
    assert left(ObservedState(), deletionPolicy="Someday", status=STARTED) is None
    assert left(observed(workflow_searched=True), deletionPolicy="Someday") == [RemoveFinalizer(ended=False)]


def test_unreadable_order_that_ended_is_filed():
    assert left(ObservedState(), status={**STARTED, "ended": True}) == [RemoveFinalizer(ended=True)]
    assert left(ObservedState(), status={**STARTED, "ended": True}, has_finalizer=False) == []


def test_deleted_order_that_is_not_held_needs_nothing():
    assert planned(body(has_finalizer=False, **DELETED), ObservedState()) == []


def test_other_finalizers_are_not_ours():
    assert planned(body(finalizers=["else/where"], **DELETED), ObservedState()) == []


def test_waiting_for_a_part_is_shown():
    status = shown(body(), observed(unavailable=Dependency.TEMPORAL, workflow=started(), sent_generation=1))
    told = {condition["type"]: condition for condition in status["conditions"]}
    assert (told["Reconciling"]["status"], told["Reconciling"]["reason"]) == ("True", Reason.TEMPORAL_UNAVAILABLE)


def test_order_without_its_own_id_is_named_by_its_order():
    assert order(orderId="X_1").order_id == "X_1"
    assert order().order_id == "o-1"


def closed(how="failed", reason="review.timeout: has to be above zero"):
    return Closed(how=how, reason=reason, at=NOW)


def test_workflow_of_an_order_without_a_row_is_checked_once_that_is_due():
    state = observed(workflow=started(), started_generation=1, workflow_unchecked=True)
    assert planned(body(), state) == [CheckWorkflow("o-1")]
    assert "CheckWorkflow" not in kinds(planned(body(), replace(state, record=record())))


def test_order_whose_start_is_refused_shows_why_and_ends():
    state = observed(workflow=started(), started_generation=1, workflow_closed=closed())
    status = shown(body(), state)
    assert (status["step"], status["ended"], status["observedGeneration"]) == ("failed", True, 1)
    assert status["lastError"].endswith("before the order was recorded: review.timeout: has to be above zero")
    stalled = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}
    assert (stalled["Stalled"], stalled["Accepted"]) == (("True", "Failed"), ("False", "Failed"))
    assert kinds(planned({**body(), "status": status}, state)) == ["RemoveFinalizer"]


def test_edit_of_an_order_whose_workflow_ended_unrecorded_is_not_declared():
    state = observed(workflow=started(), started_generation=1, workflow_closed=closed("terminated", ""))
    assert "ApplySpec" not in kinds(planned(body(generation=2, approved=True), state))


def test_deleted_order_whose_workflow_ended_unrecorded_is_let_go():
    state = observed(workflow=started(), workflow_closed=closed("terminated", ""))
    assert kinds(planned(body(**DELETED), state)) == ["RemoveFinalizer"]
