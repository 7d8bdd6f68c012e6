"""An order whose payment is authorized at the charge, and captured before its package is handed to the carrier."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from orderfleet.domain import names
from orderfleet.domain.errors import AuthorizationLapsed
from orderfleet.domain.order import CaptureMode, PaymentTerms
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step
from orderfleet.services.errors import ChangeResult
from orderfleet.services.workflow_client import Change
from orderfleet.store.pool import Database
from support.factories import AUTO, ELSEWHERE
from support.scripted_providers import Gate
from support.workflow_env import WorkflowTestEnv

ON_SHIPMENT = PaymentTerms(capture=CaptureMode.ON_SHIPMENT)


def books(env: WorkflowTestEnv, order_id: str) -> Counter[str]:
    """Numbers of entries in the provider's books by kind."""
    return Counter(entry.kind for entry in env.provider.ledger.entries(f"pay-{order_id}"))


async def test_order_captured_on_shipment_is_authorized_and_captured_before_its_dispatch(
    workflow_env: WorkflowTestEnv,
) -> None:
    handle = await workflow_env.start(workflow_env.order("cap-1", review=AUTO, payment=ON_SHIPMENT))
    status = await handle.result()

    assert (status.step, status.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)
    assert (await workflow_env.recorded("cap-1")).status.payment.status is PaymentStatus.CHARGED
    assert await workflow_env.kinds("cap-1") == [
        "received",
        "validated",
        "approved",
        "charge_started",
        "authorized",
        "package_prepared",
        "captured",
        "dispatched",
        "shipped",
    ]
    assert (workflow_env.provider.balance("pay-cap-1"), str(workflow_env.provider.money("pay-cap-1"))) == (1, "19.98")


async def test_status_of_an_order_captured_on_shipment_is_the_same_in_workflow_and_database(
    workflow_env: WorkflowTestEnv,
) -> None:
    from_workflow = await (
        await workflow_env.start(workflow_env.order("cap-2", review=AUTO, payment=ON_SHIPMENT))
    ).result()
    ignored = {"updated_at", "completed_at", "created_at"}
    recorded = (await workflow_env.recorded("cap-2")).status
    assert recorded.model_dump(exclude=ignored) == from_workflow.model_dump(exclude=ignored)


async def test_capture_on_shipment_costs_one_activity_and_two_round_trips(
    workflow_env: WorkflowTestEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = 0
    fetch = Database.fetch

    async def counting(self: Database, *args: Any, **options: Any) -> Any:
        nonlocal statements
        statements += 1
        return await fetch(self, *args, **options)

    monkeypatch.setattr(Database, "fetch", counting)

    async def cost(order_id: str, payment: PaymentTerms) -> tuple[int, int]:
        """Activities of the order and its shipment, and statements of them."""
        before = statements
        await (await workflow_env.start(workflow_env.order(order_id, review=AUTO, payment=payment))).result()
        of_order, activities = statements - before, 0
        for workflow_id in (names.order_workflow_id(order_id), names.shipment_id(order_id, 1)):
            history = await workflow_env.temporal.get_workflow_handle(workflow_id).fetch_history()
            activities += sum(
                event.event_type in {EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, EventType.EVENT_TYPE_MARKER_RECORDED}
                for event in history.events
            )
        return activities, of_order

    await cost("cap-warm", PaymentTerms())
    immediate, on_shipment = await cost("cap-3", PaymentTerms()), await cost("cap-4", ON_SHIPMENT)
    assert (on_shipment[0] - immediate[0], on_shipment[1] - immediate[1]) == (1, 2)


async def test_order_without_terms_of_payment_has_no_byte_of_them_in_its_history(workflow_env: WorkflowTestEnv) -> None:
    await (await workflow_env.start(workflow_env.order("cap-5", review=AUTO))).result()
    for workflow_id in (names.order_workflow_id("cap-5"), names.shipment_id("cap-5", 1)):
        history = (await workflow_env.temporal.get_workflow_handle(workflow_id).fetch_history()).to_json()
        assert not {"capture_payment", "look_up_payment"} & set(history.split('"'))


async def test_authorization_that_lapsed_is_renewed_and_captured(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.provider.capturing.before.append(_fails_once(AuthorizationLapsed("the authorization lapsed")))
    status = await (await workflow_env.start(workflow_env.order("cap-6", review=AUTO, payment=ON_SHIPMENT))).result()
    assert (status.step, status.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)
    assert books(workflow_env, "cap-6")["authorize"] == 2
    assert workflow_env.provider.balance("pay-cap-6") == 1
    assert "held" not in await workflow_env.kinds("cap-6")


def _fails_once(error: Exception) -> Any:
    async def behave() -> None:
        raise error

    return behave


async def test_cancel_before_the_capture_voids_the_authorization(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.provider.authorizing.after.append(gate)
    handle = await workflow_env.start(workflow_env.order("cap-7", review=AUTO, payment=ON_SHIPMENT))
    await gate.reached.wait()
    assert await workflow_env.client.change("cap-7", Change.cancel("too dear")) is ChangeResult.ACCEPTED
    gate.opened.set()
    status = await handle.result()
    assert (status.step, status.payment.status) == (Step.CANCELED, PaymentStatus.VOIDED)
    assert (await workflow_env.recorded("cap-7")).status.payment.status is PaymentStatus.VOIDED
    assert not workflow_env.provider.charges
    assert "pay-cap-7" in workflow_env.provider.voided


@pytest.mark.parametrize("captured", [False, True], ids=["before the provider captured", "after it captured"])
async def test_cancel_during_the_capture_leaves_no_money(workflow_env: WorkflowTestEnv, captured: bool) -> None:
    order_id, gate = f"cap-8-{captured}".lower(), Gate()
    (workflow_env.provider.capturing.after if captured else workflow_env.provider.capturing.before).append(gate)
    handle = await workflow_env.start(workflow_env.order(order_id, review=AUTO, payment=ON_SHIPMENT))
    await gate.reached.wait()
    assert await workflow_env.client.change(order_id, Change.cancel("too dear")) is ChangeResult.ACCEPTED
    async with asyncio.timeout(60):  # it does not wait for the capture's answer
        status = await handle.result()
    gate.opened.set()
    assert (status.step, status.cancel_reason) == (Step.CANCELED, "too dear")
    assert status.shipments[0].status is ShipmentStatus.CANCELED
    assert status.payment.status is (PaymentStatus.REFUNDED if captured else PaymentStatus.VOIDED)
    assert not workflow_env.carrier.parcels
    assert workflow_env.provider.money(f"pay-{order_id}") == 0


async def test_cancel_after_the_capture_refunds(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.carrier.booking.before.append(gate)
    handle = await workflow_env.start(workflow_env.order("cap-9", review=AUTO, payment=ON_SHIPMENT))
    await gate.reached.wait()
    assert await workflow_env.client.change("cap-9", Change.cancel("just in time")) is ChangeResult.ACCEPTED
    gate.opened.set()
    status = await handle.result()
    assert (status.step, status.payment.status) == (Step.CANCELED, PaymentStatus.REFUNDED)
    assert workflow_env.provider.money("pay-cap-9") == 0
    assert books(workflow_env, "cap-9")["capture"] == 1


async def test_address_changed_during_the_capture_is_the_parcels(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.provider.capturing.before.append(gate)
    handle = await workflow_env.start(workflow_env.order("cap-10", review=AUTO, payment=ON_SHIPMENT))
    await gate.reached.wait()
    assert await workflow_env.client.change("cap-10", Change.update_address(ELSEWHERE)) is ChangeResult.ACCEPTED
    gate.opened.set()
    status = await handle.result()
    assert (status.step, status.address) == (Step.SHIPPED, ELSEWHERE)
    assert [parcel.address for parcel in workflow_env.carrier.parcels["ship-cap-10"]] == [ELSEWHERE]
    assert (await workflow_env.kinds("cap-10")).count("package_prepared") == 2


async def test_order_of_amount_zero_is_captured_without_the_provider(workflow_env: WorkflowTestEnv) -> None:
    items = [{"sku": "sample", "qty": 1, "price": "0.00"}]
    status = await (
        await workflow_env.start(workflow_env.order("cap-11", review=AUTO, payment=ON_SHIPMENT, items=items))
    ).result()
    assert (status.step, status.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)
    assert not workflow_env.provider.ledger.calls()
