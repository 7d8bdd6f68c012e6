"""The live status of a running order shows refunds that are made beside its workflow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from orderfleet.domain import names
from orderfleet.domain.errors import PaymentRefused
from orderfleet.domain.events import EventKind
from orderfleet.domain.ledger import EntryKind, EntrySource, PaymentEntry, PaymentRecord
from orderfleet.domain.order import Delivery, PaymentTerms
from orderfleet.domain.shipment import CarrierUpdate
from orderfleet.domain.status import OrderStatus, PaymentStatus, ShipmentStatus, Step
from orderfleet.services.errors import OrderNotFound
from orderfleet.services.workflow_client import Change
from orderfleet.store.writes import OrderWrites
from support.factories import AUTO, quick_policy
from support.polling import eventually
from support.scripted_providers import Gate, fails
from support.workflow_env import WorkflowTestEnv

DELIVERED = Delivery(confirm=True)


def amounts(status: OrderStatus) -> tuple[str, str, str, str]:
    payment = status.payment
    return str(payment.status), str(payment.authorized), str(payment.captured), str(payment.refunded)


async def shipped(env: WorkflowTestEnv, order_id: str, **changes: Any) -> None:
    """Start an order that waits for its delivery."""
    await env.start(env.order(order_id, review=AUTO, delivery=DELIVERED, **changes))
    await env.until(order_id, lambda status: status.step is Step.SHIPPED)


async def until_shown(env: WorkflowTestEnv, order_id: str, expected: tuple[str, ...]) -> None:
    """Wait until the workflow and the order store show the amounts."""

    async def shown() -> tuple[str, ...]:
        try:
            return amounts(await env.client.status(order_id))
        except OrderNotFound:  # between two runs of the workflow
            return ()

    await env.until_recorded(order_id, lambda status: amounts(status) == expected)
    await eventually(shown, lambda found: found == expected, 10)


async def report(env: WorkflowTestEnv, order_id: str, kind: EntryKind, amount: int) -> PaymentRecord:
    entry = PaymentEntry(
        kind=kind, key="dp_1", amount=amount, currency="USD", source=EntrySource.WEBHOOK, at=datetime.now(UTC)
    )
    found = await OrderWrites(env.database).record_fact(f"pay-{order_id}", entry)
    assert found is not None
    return found


async def test_partial_refunds_show_while_they_are_pending_and_once_they_are_made(
    workflow_env: WorkflowTestEnv,
) -> None:
    order_id, gate = "live-1", Gate()
    await shipped(workflow_env, order_id)
    workflow_env.provider.refunding.before.append(gate)
    await workflow_env.refund(order_id, "4.50")
    await until_shown(workflow_env, order_id, ("REFUNDING", "19.98", "19.98", "0.00"))
    gate.opened.set()
    await until_shown(workflow_env, order_id, ("PARTIALLY_REFUNDED", "19.98", "19.98", "4.50"))
    await workflow_env.refund(order_id, "15.48", "r2")
    await until_shown(workflow_env, order_id, ("REFUNDED", "19.98", "19.98", "19.98"))


@pytest.mark.parametrize("capture", ["immediate", "onShipment"])
async def test_refund_that_the_provider_refuses_shows_the_charge_again(
    workflow_env: WorkflowTestEnv, capture: str
) -> None:
    order_id = f"live-2-{capture}"
    await shipped(workflow_env, order_id, payment=PaymentTerms(capture=capture))
    workflow_env.provider.refunding.always = fails(PaymentRefused("closed card"))
    await workflow_env.refund(order_id, "4.50")
    await eventually(lambda: workflow_env.kinds(order_id), lambda kinds: EventKind.REFUND_FAILED in kinds)
    await until_shown(workflow_env, order_id, ("CHARGED", "19.98", "19.98", "0.00"))
    workflow_env.provider.refunding.always = None
    await workflow_env.refund(order_id, "1.00", "r2")
    await until_shown(workflow_env, order_id, ("PARTIALLY_REFUNDED", "19.98", "19.98", "1.00"))


async def test_order_that_continues_as_new_keeps_its_refunds_and_ends_with_them(workflow_env: WorkflowTestEnv) -> None:
    order_id = "live-3"
    await shipped(workflow_env, order_id, policy=quick_policy(workflow_env.settings, changes_per_run=2))
    for number in range(3):
        await workflow_env.refund(order_id, "1.00", f"r{number}")
        await until_shown(workflow_env, order_id, ("PARTIALLY_REFUNDED", "19.98", "19.98", f"{number + 1}.00"))
    handle = workflow_env.handle(order_id)
    described = await handle.describe()
    assert described.run_id != described.raw_info.first_run_id
    update = CarrierUpdate(shipment_id=names.shipment_id(order_id, 1), status=ShipmentStatus.DELIVERED)
    await handle.signal(names.CARRIER_UPDATE, update)
    assert amounts(await handle.result()) == ("PARTIALLY_REFUNDED", "19.98", "19.98", "3.00")


async def test_rest_is_refunded_by_the_undo_of_the_order(workflow_env: WorkflowTestEnv) -> None:
    order_id, booking, refunding = "live-4", Gate(), Gate()
    workflow_env.carrier.booking.before.append(booking)
    workflow_env.carrier.held_back.add(f"ship-{order_id}")
    await workflow_env.start(workflow_env.order(order_id, review=AUTO))
    await booking.reached.wait()
    await workflow_env.refund(order_id, "4.50")
    await until_shown(workflow_env, order_id, ("PARTIALLY_REFUNDED", "19.98", "19.98", "4.50"))
    workflow_env.provider.refunding.before.append(refunding)
    await workflow_env.client.change(order_id, Change.cancel("no longer wanted"))
    booking.opened.set()
    await refunding.reached.wait()
    await until_shown(workflow_env, order_id, ("REFUNDING", "19.98", "19.98", "4.50"))
    refunding.opened.set()
    await workflow_env.until_recorded(order_id, lambda status: status.payment.status is PaymentStatus.REFUNDED)
    await until_shown(workflow_env, order_id, ("REFUNDED", "19.98", "19.98", "19.98"))


async def test_signals_out_of_order_and_of_another_payment_show_the_latest_payment(
    workflow_env: WorkflowTestEnv,
) -> None:
    order_id = "live-5"
    await shipped(workflow_env, order_id)
    handle = workflow_env.handle(order_id)
    charged_back = await report(workflow_env, order_id, EntryKind.CHARGED_BACK, 1998)
    returned = await report(workflow_env, order_id, EntryKind.CHARGE_BACK_REVERSED, 1998)
    assert returned.version > charged_back.version
    other = charged_back.model_copy(update={"payment_id": "pay-other", "version": returned.version + 1})
    for payment in (returned, charged_back, other, "nonsense"):
        await handle.signal(names.PAYMENT_RECORDED, payment)
    await until_shown(workflow_env, order_id, ("CHARGED", "19.98", "19.98", "0.00"))
    await handle.signal(names.PAYMENT_RECORDED, charged_back.model_copy(update={"version": returned.version + 1}))
    shown = await workflow_env.until(order_id, lambda status: status.payment.status is PaymentStatus.REFUNDED)
    assert amounts(shown) == ("REFUNDED", "19.98", "19.98", "0.00")


async def test_refund_after_the_end_sends_no_signal(workflow_env: WorkflowTestEnv) -> None:
    order_id = "live-6"
    await (await workflow_env.start(workflow_env.order(order_id, review=AUTO))).result()
    await workflow_env.refund(order_id, "4.50")
    refund = workflow_env.temporal.get_workflow_handle(names.refund_workflow_id(f"pay-{order_id}", refund_id="r1"))
    await refund.result()
    kinds = [EventType.Name(event.event_type) async for event in refund.fetch_history_events()]
    assert "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED" in kinds
    assert "EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED" not in kinds
