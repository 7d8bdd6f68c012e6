"""The page of conditions is generated from the enums, and each reason has an Event or a cause why it has none."""

from __future__ import annotations

import runpy

from orderfleet.domain.status import Step
from orderfleet.operator import conditions
from orderfleet.operator.conditions import ConditionType, Reason
from orderfleet.operator.events import EVENT_REASONS, WARNINGS
from orderfleet_local.stack import paths

DEPLOY = paths.checkout() / "deploy"
WITHOUT_EVENT = {
    # Steps without a wait: they last seconds, and an Event of each would be a write per step.
    Reason.RECEIVING,
    Reason.VALIDATING,
    Reason.CHARGING,
    Reason.SHIPPING,
    # What has not happened; the Event about the end says why.
    Reason.NOT_APPROVED,
    Reason.NOT_CHARGED,
    Reason.NOT_SHIPPED,
}


def test_page_is_generated_from_the_enums():
    text = (DEPLOY / "docs" / "conditions.md").read_text()
    assert text == runpy.run_path(str(DEPLOY / "tools" / "condition_docs.py"))["markdown"](), "run make generate"


def test_each_reason_has_an_event_or_is_listed_without_one():
    with_event = set().union(*EVENT_REASONS.values())
    assert with_event | WITHOUT_EVENT == set(Reason), "add the reason to EVENT_REASONS of operator/events.py, or here"
    assert not with_event & WITHOUT_EVENT


def test_each_warning_is_an_event_and_each_condition_type_has_one():
    assert all(reason in EVENT_REASONS[kind] for kind, reason in WARNINGS)
    assert set(EVENT_REASONS) == set(ConditionType)


def test_each_step_before_the_end_has_a_reason_of_reconciling():
    ends = {Step.DELIVERED, Step.CANCELED, Step.FAILED}
    assert set(conditions._IN_PROGRESS) == set(Step) - ends, "add the step to _IN_PROGRESS of operator/conditions.py"
