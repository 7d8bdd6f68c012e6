"""Workflows that another client closes: an order that is not shipped is refunded, and its end is recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle, WorkflowHistory

from orderfleet.domain import names
from orderfleet.domain.errors import CarrierRefused
from orderfleet.domain.status import OrderStatus, PaymentStatus, Step
from orderfleet.orders.schedules import ensure_schedule, orphan_sweep
from orderfleet.services.workflow_client import Change, OrderClient
from support.factories import AUTO
from support.polling import eventually
from support.scripted_providers import Gate, fails
from support.workflow_env import WorkflowTestEnv


@pytest.fixture
async def sweeping_env(workflow_env: WorkflowTestEnv) -> AsyncIterator[WorkflowTestEnv]:
    """A fleet with an orphan sweep every second."""
    settings = workflow_env.settings.model_copy(update={"orphan_sweep_interval": timedelta(seconds=1)})
    await ensure_schedule(workflow_env.temporal, orphan_sweep(settings))
    yield workflow_env
    await workflow_env.temporal.get_schedule_handle(names.orphan_sweep_id(settings.orders_task_queue)).delete()


def ended(status: OrderStatus) -> bool:
    return status.completed_at is not None


async def test_order_terminated_in_review_is_failed_and_uncharged(sweeping_env: WorkflowTestEnv) -> None:
    handle = await sweeping_env.start(sweeping_env.order("e-1"))
    await sweeping_env.until_recorded("e-1", lambda status: status.step is Step.MANUAL_REVIEW)
    await handle.terminate()
    status = await sweeping_env.until_recorded("e-1", ended)
    assert status.step is Step.FAILED
    assert "terminated" in (status.last_error or "")
    assert not sweeping_env.provider.charges
    assert (await sweeping_env.kinds("e-1"))[-1] == "workflow_closed_externally"


async def test_order_terminated_during_charge_is_refunded(sweeping_env: WorkflowTestEnv) -> None:
    gate = Gate()
    sweeping_env.provider.charging.after.append(gate)
    handle = await sweeping_env.start(sweeping_env.order("e-2", review=AUTO))
    await gate.reached.wait()
    await handle.terminate()
    status = await sweeping_env.until_recorded("e-2", ended)
    assert status.step is Step.FAILED
    assert sweeping_env.provider.balance("pay-e-2") == 0

    gate.opened.set()  # the activity outlives its workflow; its write must not change the status
    status = await sweeping_env.until_recorded("e-2", ended)
    assert status.step is Step.FAILED
    assert status.payment.status in {PaymentStatus.VOIDED, PaymentStatus.REFUNDED}


async def test_order_terminated_during_dispatch_is_shipped(sweeping_env: WorkflowTestEnv) -> None:
    gate = Gate()
    sweeping_env.carrier.booking.after.append(gate)
    handle = await sweeping_env.start(sweeping_env.order("e-3", review=AUTO))
    await gate.reached.wait()
    await handle.terminate()
    gate.opened.set()
    status = await sweeping_env.until_recorded("e-3", ended)
    assert status.step is Step.SHIPPED
    assert status.shipments[0].tracking_number == "track-ship-e-3"
    assert sweeping_env.provider.balance("pay-e-3") == 1


async def test_shipment_of_terminated_order_refunds(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.carrier.booking.before += [gate]
    workflow_env.carrier.booking.always = None
    handle = await workflow_env.start(workflow_env.order("e-4", review=AUTO))
    await gate.reached.wait()
    await handle.terminate()
    workflow_env.carrier.booking.always = fails(CarrierRefused("no"))
    workflow_env.carrier.voided["ship-e-4"] = 1  # the booking in progress is refused too
    gate.opened.set()

    async def balance() -> int:
        return workflow_env.provider.balance("pay-e-4")

    await eventually(balance, lambda left: left == 0)
    assert not workflow_env.carrier.parcels


async def test_reset_order_is_not_compensated(sweeping_env: WorkflowTestEnv, temporal_client: Client) -> None:
    """A reset terminates one run and starts the next, so the order continues."""
    handle = await sweeping_env.start(sweeping_env.order("e-5"))
    await sweeping_env.until_recorded("e-5", lambda status: status.step is Step.MANUAL_REVIEW)
    await _reset(temporal_client, handle)
    await sweeping_env.client.change("e-5", Change.approve())
    status = await sweeping_env.until_recorded("e-5", ended)
    assert status.step is Step.SHIPPED
    assert sweeping_env.provider.balance("pay-e-5") == 1


async def test_payment_of_another_order_is_not_refunded(sweeping_env: WorkflowTestEnv) -> None:
    await (await sweeping_env.start(sweeping_env.order("e-6", review=AUTO, payment_id="shared-6"))).result()
    await sweeping_env.start(sweeping_env.order("e-7", payment_id="shared-6"))
    status = await sweeping_env.until_recorded("e-7", ended)
    assert status.step is Step.FAILED
    assert sweeping_env.provider.balance("shared-6") == 1


async def test_order_after_execution_timeout_is_compensated_by_the_sweep(sweeping_env: WorkflowTestEnv) -> None:
    """Temporal ends the workflow without compensation; the setting is for tests and demos."""
    settings = sweeping_env.settings.model_copy(update={"order_execution_timeout": timedelta(seconds=1)})
    await OrderClient.of(sweeping_env.temporal, settings).start(sweeping_env.order("e-8"))
    status = await sweeping_env.until_recorded("e-8", ended)
    assert status.step is Step.FAILED
    assert "timed out" in (status.last_error or "")
    assert not sweeping_env.provider.charges


async def _reset(client: Client, handle: WorkflowHandle) -> None:
    # Local activities write to the database before Temporal has their workflow task as completed.
    history = await eventually(handle.fetch_history, lambda history: bool(_completed_tasks(history)))
    first_task = _completed_tasks(history)[0]
    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id),
            workflow_task_finish_event_id=first_task,
            reason="test",
            request_id="reset-e-5",
        )
    )


def _completed_tasks(history: WorkflowHistory) -> list[int]:
    return [e.event_id for e in history.events if e.HasField("workflow_task_completed_event_attributes")]
