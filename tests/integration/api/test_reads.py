"""Reads of orders: from the workflow, or from the order store if the workflow does not answer, and vice versa."""

from __future__ import annotations

import asyncio

import pytest

from orderfleet.api.dependencies import REQUEST_TIMEOUT


async def test_status_comes_from_the_order_store_while_no_worker_runs(api, workers, order_id, new_order, until):
    async with api() as caller:
        async with workers():
            await new_order(caller, order_id)
            await until(caller, order_id, "manual_review")
        answer = await caller.get(f"/orders/{order_id}/status")
    assert answer.status_code == 200
    assert answer.json()["source"] == "database"
    assert answer.json()["step"] == "manual_review"


async def test_recorded_and_live_status_agree(api, workflow_env, order_id, new_order, until):
    async with api() as caller:
        await new_order(caller, order_id)
        await caller.post(f"/orders/{order_id}/signals/approve")
        live = await until(caller, order_id, "shipped")
        recorded = (await caller.get(f"/orders/{order_id}")).json()
    assert (live.pop("source"), recorded.pop("source")) == ("workflow", "database")
    # The workflow and the database have different clocks.
    for timestamp in ("updated_at", "completed_at"):
        assert live.pop(timestamp)
        assert recorded.pop(timestamp)
    assert live == recorded


async def test_order_that_no_worker_has_received_yet_is_503_not_404(api, order_id, new_order):
    async with api(request_timeout=REQUEST_TIMEOUT) as caller:
        await new_order(caller, order_id)
        paths = ("", "/status", "/events")
        for answer in await asyncio.gather(*(caller.get(f"/orders/{order_id}{path}") for path in paths)):
            assert answer.status_code == 503, answer.url
            assert answer.headers["retry-after"]


@pytest.mark.parametrize("path", ["", "/status", "/events"])
async def test_unknown_order_is_404(api, path, order_id):
    async with api() as caller:
        answer = await caller.get(f"/orders/{order_id}{path}")
    assert answer.status_code == 404
    assert answer.json() == {
        "type": "urn:orderfleet:problem:order-not-found",
        "title": "Order not found",
        "status": 404,
        "detail": f"there is no order '{order_id}'",
        "instance": f"/orders/{order_id}{path}",
    }


async def test_events_are_paged_in_order(api, workflow_env, order_id, new_order, until):
    async with api() as caller:
        await new_order(caller, order_id, review={"mode": "auto"})
        await until(caller, order_id, "shipped")
        all_events = (await caller.get(f"/orders/{order_id}/events")).json()
        pages, after = [], 0
        while after is not None:
            page = (await caller.get(f"/orders/{order_id}/events", params={"after": after, "limit": 3})).json()
            pages += page["events"]
            after = page["next_after"]
    assert all_events["next_after"] is None
    assert pages == all_events["events"]
    kinds = [event["kind"] for event in pages]
    assert kinds[0] == "received"
    assert kinds[-1] == "shipped"
    assert kinds.index("charge_started") < kinds.index("charged") < kinds.index("dispatched")


async def test_unknown_path_is_a_problem_document(api):
    async with api() as caller:
        answers = [await caller.get("/nothing"), await caller.delete("/orders")]
    assert [answer.status_code for answer in answers] == [404, 405]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
