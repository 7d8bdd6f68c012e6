"""Postgres away in the middle of every step: it is waited out, and no attempt is used up by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fleet import Fleet, fails, fleet
from temporalio.client import Client

from orderfleet.domain.errors import CarrierRefused, CarrierUnavailable, ProviderUnavailable, StoreUnavailable
from orderfleet.domain.order import Review, ReviewMode
from orderfleet.domain.status import Step
from orderfleet.store.writes import OrderWrites

AUTO = Review(mode=ReviewMode.AUTO)


class FlakyRecord(OrderWrites):
    """The record, away for the next calls of the methods named in `away`, before or after their work."""

    away: dict[str, int]
    lost: dict[str, int]

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name in {"away", "lost"}:
            return found

        async def call(*args: Any, **options: Any) -> Any:
            if self.away.get(name, 0):
                self.away[name] -= 1
                raise StoreUnavailable("Postgres is away")
            answer = await found(*args, **options)
            if self.lost.get(name, 0):
                self.lost[name] -= 1
                raise StoreUnavailable("Postgres went away before it answered")
            return answer

        return call


CALLS = ["receive", "record", "begin_payment", "finish_payment", "record_shipment"]


@pytest.fixture
async def flaky(temporal_client: Client, postgres_url: str, task_queues) -> AsyncIterator[tuple[Fleet, FlakyRecord]]:
    records: list[FlakyRecord] = []

    def make(database: Any) -> FlakyRecord:
        record = FlakyRecord(database)
        record.away, record.lost = {}, {}
        records.append(record)
        return record

    async with fleet(temporal_client, postgres_url, task_queues.orders, task_queues.shipping, record=make) as made:
        yield made, records[0]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("when", ["away", "lost"])
async def test_an_outage_is_waited_out(flaky: tuple[Fleet, FlakyRecord], call: str, when: str) -> None:
    running, record = flaky
    order_id = f"o-{when}-{call}"
    getattr(record, when)[call] = 6  # more than the attempts of any step
    status = await (await running.start(running.order(order_id, review=AUTO))).result()

    assert status.step is Step.SHIPPED
    assert status.retries == {}
    assert getattr(record, when)[call] < 6
    recorded = (await running.recorded(order_id)).status
    assert recorded.step is Step.SHIPPED
    assert running.provider.balance(f"pay-{order_id}") == 1
    kinds = await running.kinds(order_id)
    assert len(kinds) == len(set(kinds)) == 8


async def test_an_ended_order_keeps_its_last_word_while_its_end_is_recorded(flaky: tuple[Fleet, FlakyRecord]) -> None:
    """Its readers may have been told the end already: the answer alone was lost."""
    running, record = flaky
    handle = await running.start(running.order("o-last-word"))
    await running.until_recorded("o-last-word", lambda status: status.step is Step.MANUAL_REVIEW)
    record.lost["record"] = 2
    await handle.signal("cancel_order", "changed my mind")
    status = await handle.result()
    assert record.lost["record"] < 2
    assert (status.step, status.last_error) == (Step.CANCELED, None)
    assert (await running.recorded("o-last-word")).status.last_error is None


async def test_attempts_used_before_the_outage_stay_used(flaky: tuple[Fleet, FlakyRecord]) -> None:
    running, record = flaky

    async def unavailable_then_store_away() -> None:
        record.away["begin_payment"] = 2
        raise ProviderUnavailable("503")

    running.provider.charging.before += [unavailable_then_store_away, *[fails(ProviderUnavailable("503"))] * 9]
    handle = await running.start(running.order("o-used", review=AUTO))
    with pytest.raises(Exception, match="Workflow execution failed"):
        await handle.result()
    assert len(running.provider.charging.before) == 10 - 3


@pytest.mark.parametrize("when", ["away", "lost"])
@pytest.mark.parametrize("then", ["booked", "refused"])
async def test_attempts_before_an_outage_count_wherever_they_are_read(
    flaky: tuple[Fleet, FlakyRecord], when: str, then: str
) -> None:
    """The second attempt books, and the record is away or its answer is lost; the next one is the second again."""
    running, record = flaky
    order_id = f"o-counted-{when}-{then}"

    async def busy_then_an_outage() -> None:
        getattr(record, when)["record_shipment"] = 1
        raise CarrierUnavailable("no van")

    running.carrier.booking.before += [busy_then_an_outage]
    if then == "refused":
        running.carrier.booking.before += [_goes_on, fails(CarrierRefused("who are you?"))]
    status = await (await running.start(running.order(order_id, review=AUTO))).result()
    recorded = (await running.recorded(order_id)).status
    assert status.step is recorded.step is Step.SHIPPED
    assert [shipment.attempts for shipment in status.shipments] == [2]
    assert recorded.shipments == status.shipments
    told = [event.detail["attempt"] for event in await running.events(order_id) if event.kind == "attempt_failed"]
    assert told == [1]
    if then == "booked":
        assert status.retries == recorded.retries == {"dispatch_carrier": 1}


async def test_failures_after_an_outage_are_counted_on(flaky: tuple[Fleet, FlakyRecord]) -> None:
    running, record = flaky

    async def busy_then_an_outage() -> None:
        record.away["record_shipment"] = 1
        raise CarrierUnavailable("no van")

    busy = fails(CarrierUnavailable("still no van"))
    running.carrier.booking.before += [busy_then_an_outage, _goes_on, busy]
    status = await (await running.start(running.order("o-counted-on", review=AUTO))).result()
    assert [shipment.attempts for shipment in status.shipments] == [3]
    assert (await running.recorded("o-counted-on")).status.shipments == status.shipments
    told = [event.detail["attempt"] for event in await running.events("o-counted-on") if event.kind == "attempt_failed"]
    assert told == [1, 2]


async def _goes_on() -> None:
    """Let a call do its work."""
