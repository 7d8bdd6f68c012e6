"""`/orders/{id}/signals/…`: accepted, rejected, too late, or queued until a worker runs."""

from __future__ import annotations

import asyncio

import pytest

from support.polling import eventually

ELSEWHERE = {"line1": "2 Side St", "city": "Shelbyville", "state": "IL", "zip": "62565", "country": "US"}
PLAIN = {"street": "2 Side St", **{name: value for name, value in ELSEWHERE.items() if name != "line1"}}


async def test_incomplete_address_is_422_and_changes_nothing(api, workflow_env, order_id, new_order, until):
    async with api() as caller:
        await new_order(caller, order_id)
        before = await until(caller, order_id, "manual_review")
        answer = await caller.post(
            f"/orders/{order_id}/signals/update-address", json={"address": {"street": "x", "country": "US"}}
        )
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["address.city", "address.state", "address.zip"]
        assert (await caller.get(f"/orders/{order_id}/status")).json()["address"] == before["address"]


async def until_recorded_as_ended(caller, order_id):
    ended = "urn:orderfleet:problem:ended"

    async def problem() -> str | None:
        return (await caller.post(f"/orders/{order_id}/signals/cancel")).json().get("type")

    await eventually(problem, lambda found: found == ended)


async def test_change_of_an_ended_order_is_409_with_its_end(api, workflow_env, order_id, new_order, until):
    async with api() as caller:
        await new_order(caller, order_id)
        await caller.post(f"/orders/{order_id}/signals/cancel", json={"reason": "ordered twice"})
        await until(caller, order_id, "canceled")
        # Until the end is recorded, the workflow itself rejects changes.
        await asyncio.wait_for(until_recorded_as_ended(caller, order_id), 60)
        for change, body in (("approve", None), ("cancel", None), ("update-address", PLAIN)):
            answer = await caller.post(f"/orders/{order_id}/signals/{change}", json=body)
            assert answer.status_code == 409, change
            assert answer.json()["type"] == "urn:orderfleet:problem:ended"
            assert "canceled (ordered twice)" in answer.json()["detail"]


async def test_change_of_an_unknown_order_is_404(api, order_id):
    async with api() as caller:
        for change, body in (("approve", None), ("cancel", {}), ("update-address", PLAIN)):
            answer = await caller.post(f"/orders/{order_id}/signals/{change}", json=body)
            assert answer.status_code == 404, change


@pytest.mark.slow
async def test_change_without_a_worker_is_queued_and_applied_when_one_runs(api, workers, order_id, new_order, until):
    async with api() as caller:
        await new_order(caller, order_id)
        answer = await caller.post(f"/orders/{order_id}/signals/approve")
        assert (answer.status_code, answer.json()["result"]) == (202, "queued")
        async with workers():
            assert (await until(caller, order_id, "shipped"))["approved"]


async def test_same_key_for_two_changes_applies_both(api, workflow_env, order_id, new_order, until):
    async with api() as caller:
        await new_order(caller, order_id)
        await until(caller, order_id, "manual_review")
        key = {"Idempotency-Key": "one for all"}
        for city in ("Shelbyville", "Springfield"):
            body = {**PLAIN, "city": city}
            await caller.post(f"/orders/{order_id}/signals/address", json=body, headers=key)
        assert (await until(caller, order_id, "manual_review"))["address"]["city"] == "Springfield"
        await caller.post(f"/orders/{order_id}/cancel", headers=key)
        await until(caller, order_id, "canceled")


async def test_same_change_sent_concurrently_is_applied_once(api, workflow_env, order_id, new_order, until):
    async with api() as caller:
        await new_order(caller, order_id)
        await until(caller, order_id, "manual_review")
        key = {"Idempotency-Key": f"approve-{order_id}"}
        answers = await asyncio.gather(
            *(caller.post(f"/orders/{order_id}/signals/approve", headers=key) for _ in range(4))
        )
        assert {answer.status_code for answer in answers} == {200}
        await until(caller, order_id, "shipped")
        events = (await caller.get(f"/orders/{order_id}/events")).json()["events"]
    assert [event["kind"] for event in events].count("approved") == 1
    assert workflow_env.provider.charges[f"pay-{order_id}"] == 1
