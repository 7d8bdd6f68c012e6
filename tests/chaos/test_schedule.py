"""A seed determines a storm: the same faults at the same orders, and every part in turn."""

from __future__ import annotations

from chaos.order_plans import TOTAL, Action, Channel, Place, order_plans
from chaos.schedule import CONNECTIONS, PARTS, FaultKind, fault_groups


def test_schedule_of_the_same_seed_is_the_same() -> None:
    assert fault_groups(7, 100, 2000) == fault_groups(7, 100, 2000)
    assert order_plans(7, 200) == order_plans(7, 200)
    assert fault_groups(7, 100, 2000) != fault_groups(8, 100, 2000)
    assert order_plans(7, 200) != order_plans(8, 200)


def test_schedule_of_sixteen_faults_hits_every_part() -> None:
    found = [fault for fault_group in fault_groups(3, 16, 100) for fault in fault_group.faults]
    assert len(found) == 16
    assert {fault.target[0] for fault in found if len(fault.target) == 1} == set(PARTS)


def test_schedule_of_a_hundred_faults_has_every_kind_on_every_target() -> None:
    every = fault_groups(7, 100, 2000)
    found = [fault for fault_group in every for fault in fault_group.faults]
    assert {fault.target for fault in found} == {*((part,) for part in PARTS), *CONNECTIONS}
    assert {fault.kind for fault in found} == set(FaultKind)
    for part in PARTS:
        assert {fault.kind for fault in found if fault.target == (part,)} == {FaultKind.KILLED, FaultKind.FROZEN}
    assert max(len(fault_group.faults) for fault_group in every) > 1
    assert 0 < every[0].after_orders < every[-1].after_orders < 2000


def test_order_plans_have_every_action_on_both_channels() -> None:
    every = order_plans(7, 500)
    actions = {
        channel: {action for plan in every if plan.channel is channel for _, action in plan.actions}
        for channel in Channel
    }
    assert actions[Channel.HTTP] == set(Action) - {Action.DELETE}
    assert actions[Channel.KUBERNETES] == set(Action) - {Action.CANCEL_PAYMENT}
    assert {plan.rejected_by for plan in every} == {"provider", "carrier", None}
    assert any(plan.manual and not plan.actions for plan in every), "some reviews time out"


def test_order_plans_have_every_kind_of_payment_and_refund() -> None:
    every = [plan.payment for plan in order_plans(7, 500)]
    assert 0.3 < sum(each.on_shipment for each in every) / len(every) < 0.4
    assert {each.retried_by for each in every} == {None, *Place}
    assert {each.early is None for each in every if each.refunds} == {True, False}
    refunds = [refund for each in every for group in each.refunds for refund in group]
    assert {place for refund in refunds for place in refund.places} == {Place.API, Place.COMMAND_LINE}
    assert any(refund.pieces for refund in refunds)
    assert any(refund.value > TOTAL for refund in refunds), "some are too large"
    assert any(len(refund.places) == 2 for refund in refunds), "some ids are used in two places at once"
    groups = [group for each in every for group in each.refunds if len(group) == 2]
    assert {first.value + second.value > TOTAL for first, second in groups} == {True, False}
    assert all(first.value == second.value for first, second in groups), "two equal refunds at once"
