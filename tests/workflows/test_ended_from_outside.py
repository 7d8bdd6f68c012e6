"""Workflows ended from outside: nobody pays for what was not sent, and the record says what happened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from fleet import Fleet, Gate, eventually, fails
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle, WorkflowHistory

from orderfleet.domain import names
from orderfleet.domain.errors import CarrierRefused
from orderfleet.domain.order import Review, ReviewMode
from orderfleet.domain.status import OrderStatus, PaymentStatus, Step
from orderfleet.orders.orphan_sweep_schedule import ensure_orphan_sweep
from orderfleet.services.changes import Change
from orderfleet.services.workflow_client import OrderClient

AUTO = Review(mode=ReviewMode.AUTO)


@pytest.fixture
async def swept(running: Fleet) -> AsyncIterator[Fleet]:
    """A fleet with an orphan sweep every second."""
    settings = running.settings.model_copy(update={"orphan_sweep_interval": timedelta(seconds=1)})
    await ensure_orphan_sweep(running.temporal, settings)
    yield running
    await running.temporal.get_schedule_handle(names.orphan_sweep_id(settings.orders_task_queue)).delete()


def ended(status: OrderStatus) -> bool:
    return status.completed_at is not None


async def test_terminated_in_review(swept: Fleet) -> None:
    handle = await swept.start(swept.order("e-1"))
    await swept.until_recorded("e-1", lambda status: status.step is Step.MANUAL_REVIEW)
    await handle.terminate()
    status = await swept.until_recorded("e-1", ended)
    assert status.step is Step.FAILED
    assert "terminated" in (status.last_error or "")
    assert not swept.provider.charges
    assert (await swept.kinds("e-1"))[-1] == "workflow_closed_externally"


async def test_terminated_during_the_charge_gives_it_back(swept: Fleet) -> None:
    gate = Gate()
    swept.provider.charging.after.append(gate)
    handle = await swept.start(swept.order("e-2", review=AUTO))
    await gate.reached.wait()
    await handle.terminate()
    status = await swept.until_recorded("e-2", ended)
    assert status.step is Step.FAILED
    assert swept.provider.balance("pay-e-2") == 0

    gate.opened.set()  # the activity outlived its workflow: what it records moves nothing any more
    status = await swept.until_recorded("e-2", ended)
    assert status.step is Step.FAILED
    assert status.payment.status in {PaymentStatus.VOIDED, PaymentStatus.REFUNDED}


async def test_terminated_while_the_parcel_leaves_is_shipped(swept: Fleet) -> None:
    gate = Gate()
    swept.carrier.booking.after.append(gate)
    handle = await swept.start(swept.order("e-3", review=AUTO))
    await gate.reached.wait()
    await handle.terminate()
    gate.opened.set()
    status = await swept.until_recorded("e-3", ended)
    assert status.step is Step.SHIPPED
    assert status.shipments[0].tracking_number == "track-ship-e-3"
    assert swept.provider.balance("pay-e-3") == 1


async def test_a_shipment_whose_order_is_gone_owes_the_refund_itself(running: Fleet) -> None:
    gate = Gate()
    running.carrier.booking.before += [gate]
    running.carrier.booking.always = None
    handle = await running.start(running.order("e-4", review=AUTO))
    await gate.reached.wait()
    await handle.terminate()
    running.carrier.booking.always = fails(CarrierRefused("no"))
    running.carrier.voided["ship-e-4"] = 1  # what was under way is refused too
    gate.opened.set()

    async def balance() -> int:
        return running.provider.balance("pay-e-4")

    await eventually(balance, lambda left: left == 0)
    assert not running.carrier.parcels


async def test_an_order_that_was_reset_is_left_alone(swept: Fleet, temporal_client: Client) -> None:
    """A reset terminates one run and starts the next: the order goes on."""
    handle = await swept.start(swept.order("e-5"))
    await swept.until_recorded("e-5", lambda status: status.step is Step.MANUAL_REVIEW)
    await _reset(temporal_client, handle)
    await swept.client.change("e-5", Change.approve())
    status = await swept.until_recorded("e-5", ended)
    assert status.step is Step.SHIPPED
    assert swept.provider.balance("pay-e-5") == 1


async def test_another_orders_payment_is_never_given_back(swept: Fleet) -> None:
    await (await swept.start(swept.order("e-6", review=AUTO, payment_id="shared-6"))).result()
    await swept.start(swept.order("e-7", payment_id="shared-6"))
    status = await swept.until_recorded("e-7", ended)
    assert status.step is Step.FAILED
    assert swept.provider.balance("shared-6") == 1


async def test_an_execution_timeout_is_settled_by_the_sweep(swept: Fleet) -> None:
    """It is for tests and demos: Temporal ends the workflow and undoes nothing."""
    hasty = swept.settings.model_copy(update={"order_execution_timeout": timedelta(seconds=1)})
    await OrderClient.of(swept.temporal, hasty).start(swept.order("e-8"))
    status = await swept.until_recorded("e-8", ended)
    assert status.step is Step.FAILED
    assert "timed out" in (status.last_error or "")
    assert not swept.provider.charges


async def _reset(client: Client, handle: WorkflowHandle) -> None:
    # The record may know of the first workflow task before Temporal does: its local activities tell it.
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
