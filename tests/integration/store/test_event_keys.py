"""An event under a key that a different event has: both are in the audit trail, and a log shows the conflict."""

from __future__ import annotations

import logging
from typing import Any

import asyncpg
import pytest

from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step
from orderfleet.store.erasure import erase
from orderfleet.store.migrate import grant_runtime_role as grant
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites, PostgresOrphanStore
from support.own_postgres import as_role
from support.polling import eventually
from support.sample_rows import AT, CHARGE, event, payment, progress, receive, shipment

REAL = event("charged", EventKind.CHARGED, Step.CHARGE, payment="pay-1", amount="31.30")
FORGED = "insert into events (order_id, key, kind, step, at, detail, received_month)"


@pytest.fixture(autouse=True)
async def received(writes: OrderWrites) -> None:
    await receive(writes)


async def forge(connection: asyncpg.Connection, key: str, kind: str, detail: str = "{}") -> None:
    await connection.execute(
        f"{FORGED} select order_id, $1, $2, 'charge', now(), $3, received_month from orders", key, kind, detail
    )


def of_kind(found: list[RecordedEvent], kind: EventKind) -> list[dict[str, Any]]:
    return [one.detail for one in found if one.kind is kind]


@pytest.mark.parametrize(
    ("kind", "detail"), [("approved", "{}"), ("charged", '{"payment": "pay-2", "amount": "0.01"}'), ("charged", "{}")]
)
async def test_event_whose_key_a_forged_event_has_is_recorded_too(
    writes: OrderWrites,
    reads: OrderReads,
    postgres_url: str,
    role: str,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    detail: str,
) -> None:
    await grant(postgres_url, role)
    runtime = await asyncpg.connect(as_role(postgres_url, role))
    await forge(runtime, "charged", kind, detail)
    await runtime.close()
    forged = (await reads.events("ord-1"))[-1]
    charged = progress(2, Step.SHIPPING).model_copy(update={"events": (REAL,)})
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            await writes.record("ord-1", charged)

        async def logged() -> bool:
            return bool(caplog.messages)

        await eventually(logged)
    assert len(await reads.events("ord-1")) == 3
    assert of_kind(await reads.events("ord-1"), EventKind.CHARGED)[-1] == {**REAL.detail, "conflicts_with": forged.id}
    (message,) = caplog.messages
    assert message == (
        f"Postgres: order ord-1: event key charged belongs to event {forged.id} of kind {kind};"
        " an event of kind charged was inserted beside it"
    )


async def test_every_write_records_its_event_in_addition_to_a_conflicting_one(
    database: Database, writes: OrderWrites, reads: OrderReads, sql: asyncpg.Connection
) -> None:
    calls = {
        "begin": lambda one: writes.begin_payment(payment(), with_event(2, one)),
        "finish": lambda one: writes.finish_payment(payment(), PaymentStatus.CHARGED, CHARGE, events=[one]),
        "shipment": lambda one: writes.record_shipment(shipment(ShipmentStatus.PREPARED), [one]),
        "attempt": lambda one: writes.attempt_failed("ord-1", "charge", 1, "x", one),
        "orphan": lambda one: PostgresOrphanStore(database).record_compensation(
            "ord-1", step=Step.FAILED, reason="closed", events=[one]
        ),
    }

    def with_event(seq: int, one: Any) -> Any:
        return progress(seq, Step.CHARGE).model_copy(update={"events": (one,)})

    for name, write in calls.items():
        await forge(sql, name, "approved")
        for _ in range(2):
            await write(event(name, EventKind.CHARGED, Step.CHARGE, write=name))
    found = of_kind(await reads.events("ord-1"), EventKind.CHARGED)
    assert [detail["write"] for detail in found] == list(calls)
    assert all("conflicts_with" in detail for detail in found)


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        (EventKind.APPROVED, {"by": "console", "waited_seconds": 0.5}, {"by": "console", "waited_seconds": 0.9}),
        (EventKind.ATTEMPT_FAILED, {"attempt": 1, "error": "refused"}, {"attempt": 1, "error": "no answer"}),
        (EventKind.ADDRESS_CHANGED, {"times": 2}, {"times": 3}),
    ],
)
async def test_event_that_a_repeated_task_records_again_is_recorded_once(
    writes: OrderWrites, reads: OrderReads, kind: EventKind, first: dict[str, Any], second: dict[str, Any]
) -> None:
    for number, detail in enumerate((first, second), start=2):
        again = event("k", kind, Step.CHARGE, **detail)
        await writes.record("ord-1", progress(number, Step.CHARGE).model_copy(update={"events": (again,)}))
    assert of_kind(await reads.events("ord-1"), kind) == [first]


async def test_late_event_of_an_erased_order_does_not_bring_personal_data_back(
    writes: OrderWrites, reads: OrderReads, postgres_url: str
) -> None:
    canceled = event("canceled", EventKind.CANCELED, Step.CANCELED, reason="Ann moved")
    end = progress(2, Step.CANCELED, completed_at=AT).model_copy(update={"events": (canceled,)})
    await writes.record("ord-1", end)
    assert (await erase(postgres_url, "ann@example.com")).erased == ("ord-1",)
    await writes.record("ord-1", end)
    assert of_kind(await reads.events("ord-1"), EventKind.CANCELED) == [{"reason": "erased"}]
