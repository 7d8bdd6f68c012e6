"""Invalid orders: invalid fields, unreadable input, an id that was used before."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDReusePolicy

from orderfleet.domain.order import Item
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.services.errors import OrderIdConflict, StartOutcome
from orderfleet.services.workflow_client import Change
from support.factories import ADDRESS, AUTO
from support.workflow_env import WorkflowTestEnv


async def test_invalid_order_fails_with_name_of_field(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(
        workflow_env.order("w-1", review=AUTO, items=(Item(sku="a", qty=0, price="1.00"),))
    )
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert "items[0].qty: 0 is below 1" in str(failure.value.cause)
    status = (await workflow_env.recorded("w-1")).status
    assert status.step is Step.FAILED
    assert status.last_error is not None
    assert "items[0].qty" in status.last_error
    assert status.retries == {}
    assert "failed" in await workflow_env.kinds("w-1")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"order_id": "w 2"}, "order_id"),
        ({"order_id": "w-2", "items": [{"sku": "a", "qty": "many"}]}, "items[0].qty"),
        ({"order_id": "w-2", "review": {"timeout": "soon"}}, "review.timeout"),
        # Each of these would fail every workflow task that computes with it.
        ({"order_id": "w-2", "review": {"timeout": "80000000h"}}, "review.timeout"),
        ({"order_id": "w-2", "items": [{"sku": "a", "qty": 2, "price": "9e999999"}]}, "items[0].price"),
        ("w-2", "OrderInput"),
    ],
)
async def test_unreadable_input_fails_with_name_of_field(
    workflow_env: WorkflowTestEnv, given: object, field: str
) -> None:
    handle = await workflow_env.temporal.start_workflow(
        "OrderWorkflow", given, id=f"order-w-2-{uuid.uuid4().hex}", task_queue=workflow_env.settings.orders_task_queue
    )
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert field in str(failure.value.cause)


async def test_raw_start_with_misspelled_price_fails_uncharged(workflow_env: WorkflowTestEnv) -> None:
    given = workflow_env.order("w-5", review=AUTO).model_dump(mode="json")
    given["items"] = [{"sku": "tv", "qty": 1, "unit_price": "499.00"}]
    del given["policy"]
    handle = await workflow_env.temporal.start_workflow(
        "OrderWorkflow", given, id="order-w-5", task_queue=workflow_env.settings.orders_task_queue
    )
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert "items[0].price: is missing" in str(failure.value.cause)
    assert not workflow_env.provider.charges


async def test_order_id_used_before_is_rejected(workflow_env: WorkflowTestEnv) -> None:
    order = workflow_env.order("w-3", review=AUTO)
    await (await workflow_env.start(order)).result()
    again = await workflow_env.temporal.start_workflow(
        "OrderWorkflow",
        order,
        id="order-w-3",
        task_queue=workflow_env.settings.orders_task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,  # as after the retention period of the first
    )
    with pytest.raises(WorkflowFailureError) as failure:
        await again.result()
    assert "used only once" in str(failure.value.cause)
    assert workflow_env.provider.charges["pay-w-3"] == 1
    assert (await workflow_env.recorded("w-3")).status.step is Step.SHIPPED


async def test_start_with_same_content_only_is_idempotent(workflow_env: WorkflowTestEnv) -> None:
    order = workflow_env.order("w-4", owner="shop/w-4", owner_uid="u1", content_hash="h1")
    first = await workflow_env.client.start(order)
    again = await workflow_env.client.start(order)
    assert (first.outcome, again.outcome) == (StartOutcome.STARTED, StartOutcome.ADOPTED)
    assert first.run_id == again.run_id

    reapplied = await workflow_env.client.start(order.model_copy(update={"owner_uid": "u2"}))
    assert reapplied.outcome is StartOutcome.ADOPTED
    with pytest.raises(OrderIdConflict, match="another content"):
        await workflow_env.client.start(order.model_copy(update={"owner_uid": "u2", "content_hash": "h2"}))
    with pytest.raises(OrderIdConflict, match="belongs to Order shop/w-4"):
        await workflow_env.client.start(order.model_copy(update={"owner": "other/w-4"}))
    await workflow_env.client.change("w-4", Change.cancel("done"))
    await workflow_env.handle("w-4").result()


async def test_raw_order_with_long_text_fails_recorded_and_uncharged(workflow_env: WorkflowTestEnv) -> None:
    order = workflow_env.order("w-11", review=AUTO).model_dump(mode="json")
    email = "".join(f"{number:04x}" for number in range(700))
    handle = await workflow_env.temporal.start_workflow(
        "OrderWorkflow",
        {**order, "customer": {"email": email}},
        id="order-w-11",
        task_queue=workflow_env.settings.orders_task_queue,
    )
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert "customer.email: has more than 320 characters" in str(failure.value.cause)
    status = (await workflow_env.recorded("w-11")).status
    assert status.step is Step.FAILED
    assert status.last_error == "customer.email: has more than 320 characters; write less"
    assert await workflow_env.kinds("w-11") == ["received", "failed"]
    assert not workflow_env.provider.charges


async def test_long_address_is_rejected_by_signal_and_update(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("w-6"))
    await workflow_env.until_recorded("w-6", lambda status: status.step is Step.MANUAL_REVIEW)
    long = {**ADDRESS.model_dump(), "city": "x" * 257}
    with pytest.raises(WorkflowUpdateFailedError) as failure:
        await handle.execute_update("update_address", long)
    assert "city: has more than 256 characters" in str(failure.value.cause)
    await handle.signal("update_address", long)
    await handle.signal("apply_spec", {"generation": 2, "address": long})
    await handle.signal("cancel_order", "x" * 5000)
    status = await handle.result()
    assert status.address == ADDRESS
    assert status.cancel_reason == "x" * 999 + "…"
    rejected_events = [event.detail for event in await workflow_env.events("w-6") if event.kind == "change_rejected"]
    assert [each["change"] for each in rejected_events] == ["address", "apply_spec"]
    assert all("city: has more than 256 characters" in each["reason"] for each in rejected_events)


@pytest.fixture
async def rejecting_postgres(postgres_url: str) -> AsyncIterator[None]:
    """Check constraints, as an example of values that Postgres rejects."""
    connection = await asyncpg.connect(postgres_url)
    for table, column in (("orders", "customer_name"), ("orders", "cancel_reason"), ("events", "detail::text")):
        await connection.execute(f"alter table {table} add check ({column} not like '%poison%')")
    await connection.execute("alter table payments add check (reference is null or payment_id not like '%poison%')")
    yield
    await connection.close()


@pytest.mark.usefixtures("rejecting_postgres")
async def test_order_rejected_by_postgres_fails_recorded(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("w-7", review=AUTO, customer={"name": "poison"}))
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert "CheckViolationError" in str(failure.value.cause)
    status = (await workflow_env.recorded("w-7")).status
    assert status.step is Step.FAILED
    assert status.last_error is not None
    assert status.last_error.startswith("receive: Postgres rejects the values: ")
    assert status.completed_at is not None
    assert not workflow_env.provider.charges


@pytest.mark.usefixtures("rejecting_postgres")
async def test_order_with_cancel_reason_rejected_by_postgres_is_canceled(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("w-8"))
    await workflow_env.until_recorded("w-8", lambda status: status.step is Step.MANUAL_REVIEW)
    await handle.signal("cancel_order", "poison")
    assert (await handle.result()).cancel_reason == "poison"
    status = (await workflow_env.recorded("w-8")).status
    assert status.step is Step.CANCELED
    assert "CheckViolationError" in (status.cancel_reason or "")
    assert (await workflow_env.kinds("w-8"))[-2:] == ["cancel_requested", "canceled"]


@pytest.mark.usefixtures("rejecting_postgres")
async def test_order_with_charge_rejected_by_postgres_fails_refunded(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("w-9", review=AUTO, payment_id="pay:poison"))
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert "payments_check" in str(failure.value.cause)
    status = (await workflow_env.recorded("w-9")).status
    assert (status.step, status.payment.status) == (Step.FAILED, PaymentStatus.REFUNDED)
    assert workflow_env.provider.charges["pay:poison"] == workflow_env.provider.refunds["pay:poison"] == 1
