"""Requests of earlier systems: samples, workflow ids, and rejections.

`tests/demo/test_earlier_requests.py` sends what those systems print.
"""

from __future__ import annotations

import pytest

from integration.api.streams import watching
from support.factories import ADDRESS_JSON, ELSEWHERE_JSON

ELSEWHERE_LINE1 = {"line1": "2 Side St", **{name: value for name, value in ELSEWHERE_JSON.items() if name != "street"}}
ITEMS = [{"sku": "widget", "qty": 2}]
SAMPLES = {"environment": "local", "sample_orders": True}


async def test_start_with_a_payment_id_uses_samples_for_the_rest(api, workflow_env, order_id, until):
    async with api(**SAMPLES) as caller:
        body = {"payment_id": f"paid-{order_id}"}
        created = await caller.post(f"/orders/{order_id}/start", json=body)
        assert created.status_code == 201, created.text
        assert {"workflow_id", "run_id", "message"} <= created.json().keys()
        assert created.json()["workflow_id"] == f"order-{order_id}"
        again = await caller.post(f"/orders/{order_id}/start", json=body)
        assert again.json() == created.json()
        assert again.headers["idempotency-replayed"] == "true"
        other = await caller.post(f"/orders/{order_id}/start", json={**body, "currency": "EUR"})
        assert other.status_code == 409
        status = await until(caller, order_id, "manual_review")
    assert status["payment"]["id"] == f"paid-{order_id}"
    assert status["payment"]["amount"] == "1.00"
    assert status["address"]["street"] == "1 Sample Street"


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        (None, ["items", "address"]),
        ({"payment_id": "pay-1"}, ["items", "address"]),
        ({"payment_id": "pay-1", "address": ADDRESS_JSON}, ["items"]),
        ({"payment_id": "pay-1", "items": ITEMS}, ["address", "items[0].price"]),
    ],
)
async def test_start_without_samples_names_what_is_missing(api, order_id, body, missing):
    async with api() as caller:
        answer = await caller.post(f"/orders/{order_id}/start", json=body)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == missing


async def test_body_without_a_price_is_accepted_if_samples_are_on(api, order_id):
    flat = {"customer_name": "Ada", "customer_email": "ada@example.com", "shipping_address": ELSEWHERE_LINE1}
    async with api(**SAMPLES) as caller:
        complete = await caller.post("/orders", json={"order_id": order_id, "items": ITEMS, **flat})
        assert complete.status_code == 201, complete.text
        assert complete.json()["payment_id"] == f"pay-{order_id}"
        strict = {**SAMPLES, "require_prices": True}
    async with api(**strict) as caller:
        rejected = await caller.post("/orders", json={"items": ITEMS, **flat})
    assert [error["field"] for error in rejected.json()["errors"]] == ["items[0].price"]


async def test_order_is_changed_and_read_by_its_workflow_id(api, workflow_env, order_id, new_order, until):
    workflow_id = f"order-{order_id}"
    async with api() as caller:
        await new_order(caller, order_id)
        await until(caller, order_id, "manual_review")
        moved = await caller.post(
            "/signals/update-address", json={"workflow_id": workflow_id, "new_address": ELSEWHERE_LINE1}
        )
        assert (moved.status_code, moved.json()["result"]) == (200, "accepted"), moved.text
        approved = await caller.post("/signals/approve", json={"workflow_id": workflow_id})
        assert (approved.status_code, approved.json()["order_id"]) == (200, order_id), approved.text
        await until(caller, order_id, "shipped")
        status = (await caller.get(f"/status/{workflow_id}")).json()
        assert status == (await caller.get(f"/orders/{order_id}/status")).json()
    fields = {"order_id", "step", "approved", "canceled", "address", "dispatch_failed_reason", "last_error"}
    assert fields <= status.keys()
    assert status["address"] == ELSEWHERE_JSON


async def test_every_route_of_an_order_accepts_its_workflow_id(api, workflow_env, order_id, new_order, until):
    name = f"order-{order_id}"
    async with api(listening=True) as caller:
        await new_order(caller, order_id)
        await until(caller, order_id, "manual_review")
        for path in ("", "/status", "/events"):
            answer = await caller.get(f"/orders/{name}{path}")
            assert (answer.status_code, answer.json()["order_id"]) == (200, order_id), path
        async with watching(caller, name) as stream:
            assert (await stream.next())[1]["order_id"] == order_id
        shipment = await caller.post(
            f"/orders/{name}/shipments/shipping-{order_id}-1/updates", json={"status": "booked"}
        )
        assert shipment.json()["type"].endswith("shipment-not-found"), shipment.text
        for path in ("signals/update-address", "signals/address", "signals/approve"):
            body = {} if path.endswith("approve") else {"json": ELSEWHERE_JSON}
            answer = await caller.post(f"/orders/{name}/{path}", **body)
            assert (answer.status_code, answer.json()["order_id"]) == (200, order_id), answer.text
        await until(caller, order_id, "shipped")
        for path in ("cancel", "signals/cancel", "signals/cancel-payment"):
            answer = await caller.post(f"/orders/{name}/{path}")
            assert answer.status_code == 409, answer.text
            assert f"order '{order_id}'" in answer.json()["detail"]


async def test_order_id_that_looks_like_a_workflow_id_has_precedence(api, workflow_env, order_id, new_order, until):
    lookalike_id = f"order-{order_id}"
    async with api() as caller:
        await new_order(caller, order_id)
        created = await new_order(caller, lookalike_id)
        assert (created.json()["order_id"], created.json()["workflow_id"]) == (lookalike_id, f"order-{lookalike_id}")
        await until(caller, lookalike_id, "manual_review")
        canceled = await caller.post(f"/orders/{lookalike_id}/cancel")
        assert canceled.json()["order_id"] == lookalike_id
        assert (await until(caller, f"order-{lookalike_id}", "canceled"))["order_id"] == lookalike_id
        assert (await until(caller, order_id, "manual_review"))["order_id"] == order_id


@pytest.mark.parametrize(
    ("more", "reason"), [({}, "canceled on request"), ({"reason": None}, "canceled on request"), ({"reason": "r"}, "r")]
)
async def test_order_is_canceled_by_its_workflow_id(api, workflow_env, order_id, new_order, until, more, reason):
    async with api() as caller:
        await new_order(caller, order_id)
        answer = await caller.post("/signals/cancel", json={"workflow_id": f"order-{order_id}", **more})
        assert answer.status_code == 200, answer.text
        assert (await until(caller, order_id, "canceled"))["cancel_reason"] == reason


@pytest.mark.parametrize("workflow_id", ["ord-1", "shipping-ord-1-1", "order-", "order--x"])
async def test_invalid_workflow_id_is_422(api, workflow_id):
    async with api() as caller:
        answers = [
            await caller.get(f"/status/{workflow_id}"),
            await caller.post("/signals/approve", json={"workflow_id": workflow_id}),
            await caller.post("/signals/cancel", json={"workflow_id": workflow_id}),
            await caller.post("/signals/update-address", json={"workflow_id": workflow_id, "address": ADDRESS_JSON}),
        ]
    for answer in answers:
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "workflow_id"


@pytest.mark.parametrize(
    ("body", "reason"), [({}, "payment canceled on request"), ({"json": {"reason": "card stolen"}}, "card stolen")]
)
async def test_payment_is_canceled_and_the_order_with_it(api, workflow_env, order_id, new_order, until, body, reason):
    async with api() as caller:
        await new_order(caller, order_id)
        await until(caller, order_id, "manual_review")
        answer = await caller.post(f"/orders/{order_id}/signals/cancel-payment", **body)
        assert (answer.status_code, answer.json()["result"]) == (200, "accepted"), answer.text
        assert (await until(caller, order_id, "canceled"))["cancel_reason"] == reason
    assert not workflow_env.provider.charges
