"""An adapter whose errors have megabytes: the order ends as they say, and neither history nor record is filled."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fleet import Fleet, fails, fleet
from temporalio.client import Client, WorkflowFailureError

from orderfleet.contracts.errors import CarrierRefused, CarrierUnavailable, PaymentRefused, ProviderUnavailable
from orderfleet.contracts.order import Review, ReviewMode
from orderfleet.contracts.status import PaymentStatus, Step
from orderfleet.contracts.words import LONGEST
from orderfleet.runtime.converter import DATA_CONVERTER

AUTO = Review(mode=ReviewMode.AUTO)
ENDLESS = "the service says: " + "x" * 3_000_000
"""More than Temporal takes in one piece."""


@pytest.fixture
async def own(temporal_address: str, postgres_url: str, task_queues) -> AsyncIterator[Fleet]:
    """Workers with the product's own converter."""
    client = await Client.connect(temporal_address, data_converter=DATA_CONVERTER)
    async with fleet(client, postgres_url, task_queues.orders, task_queues.shipping) as made:
        yield made


async def length_of_history(running: Fleet, workflow_id: str) -> int:
    return len((await running.temporal.get_workflow_handle(workflow_id).fetch_history()).to_json())


async def test_a_refusal_without_end_is_a_refusal(own: Fleet) -> None:
    own.provider.charging.before.append(fails(PaymentRefused(ENDLESS)))
    handle = await own.start(own.order("o-endless", review=AUTO))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    status = (await own.recorded("o-endless")).status
    assert (status.step, status.payment.status) == (Step.FAILED, PaymentStatus.FAILED)
    assert status.last_error is not None
    assert status.last_error.startswith("charge: the service says: xxx")
    assert len(status.last_error) < LONGEST + 100
    events = await own.events("o-endless")
    assert "charge_refused" in {event.kind for event in events}
    assert max(len(str(event.detail)) for event in events) < LONGEST + 200
    assert await length_of_history(own, "order-o-endless") < 200_000


async def test_a_refusal_without_end_after_an_error_without_end_is_voided(own: Fleet) -> None:
    own.provider.charging.before += [fails(ProviderUnavailable(ENDLESS)), fails(PaymentRefused(ENDLESS))]
    handle = await own.start(own.order("o-endless-2", review=AUTO))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert (await own.recorded("o-endless-2")).status.payment.status is PaymentStatus.VOIDED
    events = await own.events("o-endless-2")
    assert {"attempt_failed", "charge_unknown", "payment_voided"} <= {event.kind for event in events}
    assert max(len(str(event.detail)) for event in events) < LONGEST + 200
    assert await length_of_history(own, "order-o-endless-2") < 200_000


async def test_a_carrier_without_end_fails_the_shipment(own: Fleet) -> None:
    own.carrier.booking.before += [fails(CarrierUnavailable(ENDLESS)), *[fails(CarrierRefused(ENDLESS))] * 2]
    handle = await own.start(own.order("o-long-carrier", review=AUTO))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    status = (await own.recorded("o-long-carrier")).status
    assert (status.step, status.payment.status) == (Step.FAILED, PaymentStatus.REFUNDED)
    assert [len(shipment.dispatch_failed_reason or "") for shipment in status.shipments] == [LONGEST] * 2
    for workflow_id in ("order-o-long-carrier", *(shipment.id for shipment in status.shipments)):
        assert await length_of_history(own, workflow_id) < 200_000
