"""Orders without faults, with and without a review."""

from __future__ import annotations

import uuid
from datetime import timedelta

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from orderfleet.domain import names
from orderfleet.domain.order import Review, ReviewTimeoutAction
from orderfleet.domain.policy import AddressChecks, OrderPolicy
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step
from orderfleet.services.workflow_client import Change
from orderfleet.temporal.data_converter import DATA_CONVERTER
from support.factories import AUTO
from support.workflow_env import WorkflowTestEnv, workflow_test_env


async def test_order_with_auto_review_ships(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("auto-1", review=AUTO))
    status = await handle.result()

    assert status.step is Step.SHIPPED
    assert status.payment.status is PaymentStatus.CHARGED
    assert str(status.payment.amount) == "19.98"
    assert status.shipments[0].status is ShipmentStatus.DISPATCHED
    assert status.shipments[0].tracking_number == "track-ship-auto-1"
    assert workflow_env.provider.charges == {"pay-auto-1": 1}
    assert [p.address for p in workflow_env.carrier.parcels["ship-auto-1"]] == [status.address]


async def test_histories_of_an_order_and_its_shipment_are_at_most_8_kib(
    temporal_client: Client, postgres_url: str
) -> None:
    # A history repeats the names of the task queues: names of the test's own, as long as the default ones.
    unique = uuid.uuid4().hex
    queues = [name[0] + unique[: len(name) - 1] for name in (names.ORDERS_TASK_QUEUE, names.SHIPPING_TASK_QUEUE)]
    client = Client(temporal_client.service_client, data_converter=DATA_CONVERTER)
    async with workflow_test_env(client, postgres_url, *queues) as env:
        policy = OrderPolicy(shipping_task_queue=queues[1], address_checks=AddressChecks())
        await (await env.start(env.order("size-1", review=AUTO, policy=policy))).result()
    sizes = {}
    for workflow_id in (names.order_workflow_id("size-1"), names.shipment_id("size-1", 1)):
        description = await client.get_workflow_handle(workflow_id).describe()
        sizes[workflow_id] = description.raw_description.workflow_execution_info.history_size_bytes
    assert sum(sizes.values()) <= 8 * 1024, sizes


async def test_query_and_database_give_same_status(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("same-1", review=AUTO))
    from_workflow = await handle.result()
    from_record = (await workflow_env.recorded("same-1")).status

    ignored = {"updated_at", "completed_at", "created_at"}
    assert from_record.model_dump(exclude=ignored) == from_workflow.model_dump(exclude=ignored)
    assert from_record.completed_at is not None


async def test_order_with_manual_review_waits_for_approval(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("manual-1"))
    await workflow_env.until("manual-1", lambda status: status.step is Step.MANUAL_REVIEW)
    assert (await workflow_env.recorded("manual-1")).status.step is Step.MANUAL_REVIEW
    assert not workflow_env.provider.charges

    await workflow_env.client.change("manual-1", Change.approve())
    status = await handle.result()

    assert status.step is Step.SHIPPED
    assert status.approved
    assert await workflow_env.kinds("manual-1") == [
        "received",
        "validated",
        "review_started",
        "approved",
        "charge_started",
        "charged",
        "package_prepared",
        "dispatched",
        "shipped",
    ]


async def test_order_approved_at_creation_is_not_reviewed(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("approved-1", approved=True))
    assert (await handle.result()).step is Step.SHIPPED
    assert "review_started" not in await workflow_env.kinds("approved-1")


async def test_approval_before_review_is_kept(workflow_env: WorkflowTestEnv) -> None:
    order = workflow_env.order("early-1")
    handle = await workflow_env.temporal.start_workflow(
        "OrderWorkflow",
        order,
        id="order-early-1",
        task_queue=workflow_env.settings.orders_task_queue,
        start_signal="approve",
    )
    await handle.result()
    assert (await workflow_env.recorded("early-1")).status.step is Step.SHIPPED


async def test_review_timeout_cancels(skipping_env: WorkflowTestEnv) -> None:
    handle = await skipping_env.start(skipping_env.order("late-1", review=Review(timeout=timedelta(hours=24))))
    status = await handle.result()

    assert status.step is Step.CANCELED
    assert status.cancel_reason == "review timed out"
    assert status.completed_at is not None
    assert status.completed_at - status.created_at >= timedelta(hours=24)
    assert not skipping_env.provider.charges
    assert (await skipping_env.recorded("late-1")).status.cancel_reason == "review timed out"


async def test_review_timeout_with_approve_action_ships(skipping_env: WorkflowTestEnv) -> None:
    review = Review(timeout=timedelta(seconds=3), on_timeout=ReviewTimeoutAction.APPROVE)
    handle = await skipping_env.start(skipping_env.order("delay-1", review=review))
    assert (await handle.result()).step is Step.SHIPPED


async def test_order_in_review_waits_for_months(
    skipping_env: WorkflowTestEnv, time_skipping_env: WorkflowEnvironment
) -> None:
    handle = await skipping_env.start(skipping_env.order("months-1", review=Review(timeout=timedelta(days=120))))
    await time_skipping_env.sleep(timedelta(days=100))
    await handle.signal("approve_order")
    assert (await handle.result()).step is Step.SHIPPED


async def test_start_with_plain_object_ships(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.temporal.start_workflow(
        "OrderWorkflow",
        {
            "order_id": "raw-1",
            "items": [{"sku": "ABC", "qty": 1}],
            "address": {"line1": "1 A St", "city": "B", "state": "C", "zip": "1", "country": "US"},
            "review": {"mode": "auto"},
            "policy": {"shipping_task_queue": workflow_env.settings.shipping_task_queue, "require_prices": False},
        },
        id="order-raw-1",
        task_queue=workflow_env.settings.orders_task_queue,
    )
    status = await handle.result()
    assert status["step"] == "shipped"
    assert status["payment"]["amount"] == "1.00"
