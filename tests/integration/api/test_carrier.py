"""Carrier status updates: repeated, out of order, late, and for unknown shipments."""

from __future__ import annotations

import asyncio

import pytest

from orderfleet.domain.errors import CarrierRefused
from support.scripted_providers import Gate, fails

CONFIRMED = {"review": {"mode": "auto"}, "delivery": {"confirm": True}}


async def send_update(caller, order_id, status, shipment_id="", **more):
    path = f"/orders/{order_id}/shipments/{shipment_id or f'shipping-{order_id}-1'}/updates"
    return await caller.post(path, json={"status": status, **more})


async def test_repeated_delivered_update_completes_the_order_once(api, workflow_env, order_id, new_order, until):
    async with api() as caller:
        await new_order(caller, order_id, **CONFIRMED)
        await until(caller, order_id, "shipped")
        for status in ("in_transit", "booked", "in_transit"):
            answer = await send_update(caller, order_id, status, detail="Leeds")
            assert (answer.status_code, answer.json()["result"]) == (200, "accepted"), answer.text
        assert (await until(caller, order_id, "shipped"))["completed_at"] is None
        answers = await asyncio.gather(*(send_update(caller, order_id, "delivered") for _ in range(4)))
        assert {answer.status_code for answer in answers} == {200}
        status = await until(caller, order_id, "delivered")
        assert status["shipments"][0]["status"] == "delivered"
        await workflow_env.until_recorded(order_id, lambda recorded: recorded.ended)
        for late in ("delivered", "in_transit", "booked"):
            answer = await send_update(caller, order_id, late)
            assert (answer.status_code, answer.json()["result"]) == (200, "ignored"), answer.text
        kinds = [event["kind"] for event in (await caller.get(f"/orders/{order_id}/events")).json()["events"]]
    assert [kind for kind in kinds if kind.startswith(("parcel", "deliver"))] == ["parcel_in_transit", "delivered"]


async def test_delivered_update_before_the_dispatch_is_recorded_is_applied_later(
    api, workflow_env, order_id, new_order, until
):
    booked = Gate()
    workflow_env.carrier.booking.after.append(booked)
    async with api() as caller:
        await new_order(caller, order_id, **CONFIRMED)
        await booked.reached.wait()
        answer = await send_update(caller, order_id, "delivered")
        assert (answer.status_code, answer.json()["result"]) == (200, "accepted"), answer.text
        booked.opened.set()
        await until(caller, order_id, "delivered")


async def test_update_of_a_shipment_that_was_never_dispatched_is_409(api, workflow_env, order_id, new_order, until):
    workflow_env.carrier.booking.before.append(fails(CarrierRefused("van is full")))
    async with api() as caller:
        await new_order(caller, order_id, **CONFIRMED)
        await until(caller, order_id, "shipped")
        answer = await send_update(caller, order_id, "delivered")
        assert answer.status_code == 409, answer.text
        assert (
            answer.json()["detail"] == f"shipment 'shipping-{order_id}-1' is failed: its package was never dispatched"
        )
        assert (await send_update(caller, order_id, "delivered", f"shipping-{order_id}-2")).status_code == 200
        await until(caller, order_id, "delivered")


async def test_update_of_an_ended_order_is_ignored(api, workflow_env, order_id, new_order, until):
    async with api() as caller:
        await new_order(caller, order_id, review={"mode": "auto"})
        await until(caller, order_id, "shipped")
        await workflow_env.until_recorded(order_id, lambda recorded: recorded.ended)
        answer = await send_update(caller, order_id, "delivered")
    assert (answer.status_code, answer.json()["result"]) == (200, "ignored")


async def test_update_of_an_unknown_order_or_shipment_is_404(api, workflow_env, order_id, new_order, until):
    async with api() as caller:
        unknown = await send_update(caller, order_id, "delivered")
        await new_order(caller, order_id)
        await until(caller, order_id, "manual_review")
        early = await send_update(caller, order_id, "delivered")
        other = await send_update(caller, order_id, "delivered", "shipping-another-1")
    assert [answer.status_code for answer in (unknown, early, other)] == [404, 404, 404]
    kinds = [answer.json()["type"].rpartition(":")[2] for answer in (unknown, early, other)]
    assert kinds == ["order-not-found", "shipment-not-found", "shipment-not-found"]
    assert "shipping-another-1" in other.json()["detail"]


@pytest.mark.parametrize("body", [{"status": "lost"}, {}, {"status": "booked", "where": "x"}])
async def test_malformed_update_is_422(api, order_id, body):
    async with api() as caller:
        answer = await caller.post(f"/orders/{order_id}/shipments/shipping-{order_id}-1/updates", json=body)
    assert answer.status_code == 422
