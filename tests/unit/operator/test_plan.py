"""The plan for an Order by its spec, status and observed state."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
from support.factories import ELSEWHERE_JSON
from support.observed_orders import ENDED, NOW, body, kinds, observed, order, planned, record, started

DELETED = {"deletionTimestamp": "2026-11-01T00:00:00Z", "generation": 2}


def shown(order_body, state):
    """The status that the plan writes."""
    (status,) = [action.status for action in planned(order_body, state) if isinstance(action, WriteStatus)]
    return status


def settled_body(state, **changes):
    """An Order whose status is up to date."""
    order_body = body(**changes)
    sent = replace(state, sent_generation=order_body["metadata"]["generation"])
    return {**order_body, "status": shown(order_body, sent)}


def test_plan_unobserved_order_reads_record_first():
    assert kinds(planned(body(has_finalizer=False), ObservedState())) == ["ReadRecord"]


def test_plan_new_order_adds_finalizer_before_start():
    actions = planned(body(has_finalizer=False), observed())
    assert kinds(actions) == ["AddFinalizer", "StartWorkflow"]
    assert actions[1].order.owner == "shop/o-1"


def test_plan_order_with_finalizer_only_starts():
    assert kinds(planned(body(), observed())) == ["StartWorkflow"]


def test_plan_started_order_shows_step_receive():
    status = shown(body(), observed(workflow=started(), started_generation=1))
    assert (status["step"], status["workflowId"], status["observedGeneration"]) == ("receive", "order-o-1", 1)


def test_plan_current_status_has_no_actions():
    state = observed(record())
    assert planned(settled_body(state), state) == []


def test_plan_recorded_order_is_not_started_again():
    assert "StartWorkflow" not in kinds(planned(body(), observed(record())))


def test_plan_recorded_order_without_finalizer_adds_it():
    assert planned(body(has_finalizer=False), observed(record()))[0] == AddFinalizer()


def test_plan_change_is_sent_once():
    state = observed(record())
    order_body = settled_body(state, generation=2, approved=True)
    (action,) = planned(order_body, state)
    assert isinstance(action, ApplySpec)
    assert (action.spec_update.generation, action.spec_update.approved) == (2, True)
    assert planned(order_body, observed(record(), sent_generation=2)) == []


def test_plan_processed_change_is_not_sent_again():
    answered = observed(record(declared=2))
    assert planned(settled_body(answered, generation=2, approved=True), answered) == []


def test_plan_cancel_at_creation_is_sent_after_start():
    order_body = body(cancel=True, approved=True)
    (start,) = planned(order_body, observed())
    assert isinstance(start, StartWorkflow)
    assert (start.order.approved, start.order.generation) == (False, 0)
    (action,) = planned(order_body, observed(workflow=started()))
    assert (action.spec_update.generation, action.spec_update.cancel) == (1, True)


def test_plan_adopted_order_sends_first_generation():
    adopted = observed(record(owner_uid="older", declared=5, declared_by="older"))
    action = planned(body(address=ELSEWHERE_JSON), adopted)[0]
    assert (action.spec_update.generation, action.spec_update.owner_uid) == (1, "uid-1")
    assert action.spec_update.address.street == "2 Side St"


def test_plan_ended_order_writes_status_then_removes_finalizer_with_label():
    state = observed(record(Step.SHIPPED, payment=PaymentStatus.CHARGED))
    status = shown(body(), state)
    assert status["ended"] is True
    assert planned({**body(), "status": status}, state) == [RemoveFinalizer(ended=True)]
    has_ended_label = body(has_finalizer=False, labels={ENDED: "true"})
    assert planned({**has_ended_label, "status": status}, state) == []


@pytest.mark.parametrize("payment", [PaymentStatus.CHARGED, PaymentStatus.REFUNDING])
def test_plan_ended_order_with_pending_refund_removes_finalizer_without_label(payment):
    state = observed(record(Step.CANCELED, canceled=True, payment=payment))
    actions = planned(body(), state)
    assert kinds(actions) == ["WriteStatus", "RemoveFinalizer"]
    assert actions[1] == RemoveFinalizer(ended=False)
    assert "ended" not in actions[0].status
    done = observed(record(Step.CANCELED, canceled=True, payment=PaymentStatus.REFUNDED))
    assert shown(body(has_finalizer=False), done)["ended"] is True


def test_plan_order_of_other_owner_is_conflict_without_finalizer():
    state = observed(record(owner="other/o-1", owner_uid="theirs"))
    assert kinds(planned(body(has_finalizer=False), state)) == ["WriteStatus"]
    assert kinds(planned(body(), state)) == ["WriteStatus", "RemoveFinalizer"]


def test_plan_same_owner_with_other_content_is_conflict():
    state = observed(record(owner_uid="older", content_hash="another"))
    assert shown(body(has_finalizer=False), state)["conditions"][0]["reason"] == Reason.CONFLICT


def test_plan_order_from_outside_kubernetes_is_conflict():
    state = observed(record(owner="", owner_uid=""))
    assert "outside Kubernetes" in shown(body(has_finalizer=False), state)["conditions"][0]["message"]


def test_plan_conflict_in_status_has_no_actions():
    status = shown(body(has_finalizer=False), observed(conflict="the order id belongs to another order"))
    assert planned(body(has_finalizer=False, status=status), ObservedState()) == []


@pytest.mark.parametrize(
    "state",
    [
        observed(conflict="the order id belongs to another order"),
        observed(record(owner="other/o-1", owner_uid="theirs")),
    ],
)
def test_plan_deleted_conflict_only_removes_finalizer(state):
    assert planned(body(**DELETED), state) == [RemoveFinalizer(ended=False)]


def test_plan_deleted_order_sends_cancel_then_removes_finalizer():
    (action,) = planned(body(**DELETED), observed(record()))
    assert (action.spec_update.cancel, action.spec_update.cancel_reason) == (True, "the Order was deleted")
    assert planned(body(**DELETED), observed(record(), sent_generation=2)) == [RemoveFinalizer(ended=False)]


def test_plan_deleted_order_with_workflow_in_status_needs_no_record():
    assert kinds(planned(body(status={"workflowId": "order-o-1"}, **DELETED), ObservedState())) == ["ApplySpec"]


def test_plan_deleted_orphan_removes_finalizer():
    assert planned(body(deletionPolicy="Orphan", **DELETED), observed(record())) == [RemoveFinalizer(ended=False)]


def test_plan_deleted_ended_order_removes_finalizer():
    assert planned(body(**DELETED), observed(record(Step.SHIPPED))) == [RemoveFinalizer(ended=False)]


def test_plan_deleted_order_with_missing_workflow_removes_finalizer():
    assert planned(body(**DELETED), observed(record(), workflow_missing=True)) == [RemoveFinalizer(ended=False)]


def test_plan_deleted_order_with_unobserved_start_searches_and_never_starts():
    assert kinds(planned(body(**DELETED), ObservedState())) == ["ReadRecord"]
    (find,) = planned(body(**DELETED), observed())
    assert isinstance(find, FindWorkflow)
    assert planned(body(**DELETED), observed(workflow_searched=True)) == [RemoveFinalizer(ended=False)]
    assert kinds(planned(body(**DELETED), observed(workflow=started()))) == ["ApplySpec"]


def plan_deletion(state, *, status=None, has_finalizer=True, **spec):
    """The plan for a deleted Order with invalid items."""
    order_body = body(has_finalizer=has_finalizer, status=status, **DELETED, **spec)
    order_body["spec"]["items"] = "nonsense"
    return plan_deleted_invalid(DeletedOrder.model_validate(order_body), state)


STARTED = {"workflowId": "order-o-1", "conditions": "of another version"}


def test_plan_deleted_invalid_order_never_started_searches_then_removes_finalizer():
    assert plan_deletion(ObservedState()) == [ReadRecord("o-1")]
    assert plan_deletion(observed()) == [FindWorkflow(Claim("o-1", "shop/o-1", "uid-1", ""))]
    assert plan_deletion(observed(workflow_searched=True)) == [RemoveFinalizer(ended=False)]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (ObservedState(), STARTED),
        (observed(record()), None),
        (observed(workflow=started()), None),
        # Adopted from an earlier Order of this name, as the status shows.
        (observed(record(owner_uid="older")), STARTED),
    ],
)
def test_plan_deleted_invalid_order_started_is_canceled_first(state, status):
    (action,) = plan_deletion(state, status=status)
    assert isinstance(action, ApplySpec)
    update = action.spec_update
    assert (action.order_id, update.owner_uid, update.cancel, update.cancel_reason) == (
        "o-1",
        "uid-1",
        True,
        DELETED_REASON,
    )
    assert plan_deletion(replace(state, sent_generation=2), status=status) == [RemoveFinalizer(ended=False)]


@pytest.mark.parametrize(
    "state",
    [
        observed(record(owner="other/o-1", owner_uid="theirs")),
        # It may be of an earlier Order of this name; without a content hash that is undecidable.
        observed(record(owner_uid="older")),
        observed(conflict="the order id belongs to another order"),
        observed(record(Step.SHIPPED)),
        observed(record(), workflow_missing=True),
    ],
)
def test_plan_deleted_invalid_order_without_running_workflow_removes_finalizer(state):
    assert plan_deletion(state) == [RemoveFinalizer(ended=False)]


def test_plan_deleted_invalid_order_follows_policy_and_reason():
    assert plan_deletion(ObservedState(), deletionPolicy="Orphan", status=STARTED) == [RemoveFinalizer(ended=False)]
    (action,) = plan_deletion(ObservedState(), cancelReason="we moved", status=STARTED)
    assert action.spec_update.cancel_reason == "we moved"


def test_plan_unknown_deletion_policy_of_started_order_is_none():
    assert plan_deletion(ObservedState(), deletionPolicy="Someday", status=STARTED) is None
    assert plan_deletion(observed(workflow_searched=True), deletionPolicy="Someday") == [RemoveFinalizer(ended=False)]


def test_plan_deleted_invalid_order_that_ended_gets_label():
    assert plan_deletion(ObservedState(), status={**STARTED, "ended": True}) == [RemoveFinalizer(ended=True)]
    assert plan_deletion(ObservedState(), status={**STARTED, "ended": True}, has_finalizer=False) == []


def test_plan_deleted_order_without_finalizer_has_no_actions():
    assert planned(body(has_finalizer=False, **DELETED), ObservedState()) == []


def test_plan_other_finalizers_are_ignored():
    assert planned(body(finalizers=["else/where"], **DELETED), ObservedState()) == []


def test_plan_unavailable_dependency_is_shown():
    status = shown(body(), observed(unavailable=Dependency.TEMPORAL, workflow=started(), sent_generation=1))
    conditions = {condition["type"]: condition for condition in status["conditions"]}
    assert (conditions["Reconciling"]["status"], conditions["Reconciling"]["reason"]) == (
        "True",
        Reason.TEMPORAL_UNAVAILABLE,
    )


def test_order_id_defaults_to_object_name():
    assert order(orderId="X_1").order_id == "X_1"
    assert order().order_id == "o-1"


def closed(how="failed", reason="review.timeout: has to be above zero"):
    return Closed(how=how, reason=reason, at=NOW)


def test_plan_unrecorded_order_checks_workflow_when_due():
    state = observed(workflow=started(), started_generation=1, workflow_unchecked=True)
    assert planned(body(), state) == [CheckWorkflow("o-1")]
    assert "CheckWorkflow" not in kinds(planned(body(), replace(state, record=record())))


def test_plan_failed_start_shows_error_and_ends():
    state = observed(workflow=started(), started_generation=1, workflow_closed=closed())
    status = shown(body(), state)
    assert (status["step"], status["ended"], status["observedGeneration"]) == ("failed", True, 1)
    assert status["lastError"].endswith("before the order was recorded: review.timeout: has to be above zero")
    stalled = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}
    assert (stalled["Stalled"], stalled["Accepted"]) == (("True", "Failed"), ("False", "Failed"))
    assert kinds(planned({**body(), "status": status}, state)) == ["RemoveFinalizer"]


def test_plan_change_after_unrecorded_end_is_not_sent():
    state = observed(workflow=started(), started_generation=1, workflow_closed=closed("terminated", ""))
    assert "ApplySpec" not in kinds(planned(body(generation=2, approved=True), state))


def test_plan_deleted_order_after_unrecorded_end_removes_finalizer():
    state = observed(workflow=started(), workflow_closed=closed("terminated", ""))
    assert kinds(planned(body(**DELETED), state)) == ["RemoveFinalizer"]
