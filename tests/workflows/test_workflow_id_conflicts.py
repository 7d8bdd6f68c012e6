"""An order whose workflow ids other clients use still ships or is refunded, and records the conflict."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from orderfleet.domain import names
from orderfleet.domain.errors import CarrierRefused
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.refunds import RefundOrder
from orderfleet.domain.status import OrderStatus, PaymentStatus, Step
from support.factories import AUTO
from support.metric_samples import metric_changes
from support.polling import eventually
from support.scripted_providers import Gate, fails
from support.workflow_env import WorkflowTestEnv

UNSERVED = "a-queue-without-workers"


@pytest.fixture
def order_id() -> str:
    return f"c-{uuid.uuid4().hex[:8]}"


async def _foreign(
    made: WorkflowTestEnv, workflow_type: str, workflow_id: str, **options: Any
) -> WorkflowHandle[Any, Any]:
    """A workflow of another client."""
    return await made.temporal.start_workflow(workflow_type, id=workflow_id, task_queue=UNSERVED, **options)


async def _undone(made: WorkflowTestEnv, order_id: str) -> OrderStatus:
    """An order that is charged and then fails, since it can't be shipped."""
    made.carrier.booking.always = fails(CarrierRefused("no"))
    await made.start(made.order(order_id, review=AUTO))
    return await made.until_recorded(order_id, lambda status: status.settled)


async def _conflicts(made: WorkflowTestEnv, order_id: str) -> list[str]:
    return [
        event.detail["workflow_id"] for event in await made.events(order_id) if event.kind == "workflow_id_conflict"
    ]


def _refund(made: WorkflowTestEnv, order_id: str, payment_id: str) -> RefundOrder:
    payment = PaymentIntent(payment_id=payment_id, order_id=order_id, amount="19.98", currency="USD")
    return RefundOrder(order_id=order_id, payment=payment, reason="test", policy=made.order(order_id).policy)


@pytest.mark.parametrize("workflow_type", ["Another", names.REFUND_WORKFLOW])
async def test_refund_is_made_when_another_client_has_its_workflow_id(
    workflow_env: WorkflowTestEnv, order_id: str, workflow_type: str
) -> None:
    refund_id = names.refund_workflow_id(f"pay-{order_id}")
    foreign = await _foreign(workflow_env, workflow_type, refund_id)
    with metric_changes() as samples:
        status = await _undone(workflow_env, order_id)
    assert (status.step, status.payment.status) == (Step.FAILED, PaymentStatus.REFUNDED)
    assert workflow_env.provider.balance(f"pay-{order_id}") == 0
    assert await _conflicts(workflow_env, order_id) == [refund_id]
    assert samples("orderfleet_workflow_id_conflicts_total", workflow_type="RefundWorkflow") == 1
    await foreign.terminate()


async def test_refund_is_made_when_the_memo_of_its_workflow_id_names_another_order(
    workflow_env: WorkflowTestEnv, order_id: str
) -> None:
    other = _refund(workflow_env, "another-order", f"pay-{order_id}")
    refund_id = names.refund_workflow_id(f"pay-{order_id}")
    foreign = await _foreign(workflow_env, names.REFUND_WORKFLOW, refund_id, memo=other.memo())
    await _undone(workflow_env, order_id)
    assert workflow_env.provider.balance(f"pay-{order_id}") == 0
    assert await _conflicts(workflow_env, order_id) == [refund_id]
    await foreign.terminate()


async def test_refund_is_made_when_another_type_of_workflow_has_its_id_and_memo(
    workflow_env: WorkflowTestEnv, order_id: str
) -> None:
    own = _refund(workflow_env, order_id, f"pay-{order_id}")
    refund_id = names.refund_workflow_id(f"pay-{order_id}")
    foreign = await _foreign(workflow_env, "Another", refund_id, memo=own.memo())
    await _undone(workflow_env, order_id)
    assert workflow_env.provider.balance(f"pay-{order_id}") == 0
    assert await _conflicts(workflow_env, order_id) == [refund_id]
    await foreign.terminate()


@pytest.mark.slow
async def test_refund_is_made_when_many_of_its_workflow_ids_are_in_use(
    workflow_env: WorkflowTestEnv, order_id: str
) -> None:
    taken = [names.refund_workflow_id(f"pay-{order_id}", number) for number in range(1, 8)]
    foreign = [await _foreign(workflow_env, "Another", workflow_id) for workflow_id in taken]
    await _undone(workflow_env, order_id)
    assert workflow_env.provider.balance(f"pay-{order_id}") == 0
    assert await _conflicts(workflow_env, order_id) == taken[:5]
    for handle in foreign:
        await handle.terminate()


@pytest.mark.slow
async def test_refund_is_started_again_when_the_one_before_was_terminated(
    workflow_env: WorkflowTestEnv, order_id: str
) -> None:
    own = _refund(workflow_env, order_id, f"pay-{order_id}")
    before = await _foreign(
        workflow_env, names.REFUND_WORKFLOW, names.refund_workflow_id(f"pay-{order_id}"), memo=own.memo()
    )
    await before.terminate()
    await _undone(workflow_env, order_id)
    assert workflow_env.provider.balance(f"pay-{order_id}") == 0
    assert await _conflicts(workflow_env, order_id) == []


async def test_refund_that_this_order_started_before_is_not_started_twice(
    workflow_env: WorkflowTestEnv, order_id: str
) -> None:
    payment_id = f"pay-{order_id}"
    own = _refund(workflow_env, order_id, payment_id)
    gate = Gate()
    workflow_env.carrier.booking.before.append(gate)
    workflow_env.carrier.held_back.add(f"ship-{order_id}")
    handle = await workflow_env.start(workflow_env.order(order_id, review=AUTO))
    await gate.reached.wait()
    refund = await workflow_env.temporal.start_workflow(
        names.REFUND_WORKFLOW,
        own,
        id=names.refund_workflow_id(payment_id),
        task_queue=workflow_env.settings.orders_task_queue,
        memo=own.memo(),
    )
    await refund.result()
    await handle.signal(names.CANCEL_ORDER, "changed my mind")
    gate.opened.set()
    status = await workflow_env.until_recorded(order_id, lambda status: status.settled)
    assert status.payment.status is PaymentStatus.REFUNDED
    assert (await handle.result()).payment.status is PaymentStatus.REFUNDED
    assert workflow_env.provider.refunds[payment_id] == 1
    second = names.refund_workflow_id(payment_id, 2)
    assert (await workflow_env.temporal.count_workflows(f'WorkflowId = "{second}"')).count == 0


async def test_shipment_whose_order_is_gone_refunds_when_another_client_has_the_workflow_id(
    workflow_env: WorkflowTestEnv, order_id: str
) -> None:
    gate = Gate()
    workflow_env.carrier.booking.before.append(gate)
    handle = await workflow_env.start(workflow_env.order(order_id, review=AUTO))
    await gate.reached.wait()
    await handle.terminate()
    refund_id = names.refund_workflow_id(f"pay-{order_id}")
    foreign = await _foreign(workflow_env, "Another", refund_id)
    workflow_env.carrier.booking.always = fails(CarrierRefused("no"))
    workflow_env.carrier.voided[f"ship-{order_id}"] = 1
    gate.opened.set()

    async def balance() -> int:
        return workflow_env.provider.balance(f"pay-{order_id}")

    await eventually(balance, lambda left: left == 0)
    assert await eventually(lambda: _conflicts(workflow_env, order_id), bool) == [refund_id]
    await foreign.terminate()


async def test_order_is_shipped_by_its_next_shipment_when_another_client_has_the_workflow_id(
    workflow_env: WorkflowTestEnv, order_id: str
) -> None:
    first = names.shipment_id(order_id, 1)
    foreign = await _foreign(workflow_env, names.SHIPPING_WORKFLOW, first)
    with metric_changes() as samples:
        await workflow_env.start(workflow_env.order(order_id, review=AUTO))
        status = await workflow_env.until_recorded(order_id, lambda status: status.ended)
    assert status.step is Step.SHIPPED
    assert workflow_env.provider.balance(f"pay-{order_id}") == 1
    assert await _conflicts(workflow_env, order_id) == [first]
    assert samples("orderfleet_workflow_id_conflicts_total", workflow_type="ShippingWorkflow") == 1
    await foreign.terminate()


async def test_order_is_refunded_when_another_client_has_all_its_shipping_workflow_ids(
    workflow_env: WorkflowTestEnv, order_id: str
) -> None:
    foreign = [await _foreign(workflow_env, "Another", names.shipment_id(order_id, attempt)) for attempt in (1, 2)]
    await workflow_env.start(workflow_env.order(order_id, review=AUTO))
    status = await workflow_env.until_recorded(order_id, lambda status: status.settled)
    assert status.step is Step.FAILED
    assert "is in use" in (status.last_error or "")
    assert workflow_env.provider.balance(f"pay-{order_id}") == 0
    for handle in foreign:
        await handle.terminate()
