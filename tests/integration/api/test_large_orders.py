"""Orders of thousands of items: shipped, or rejected with the field before a workflow is started."""

from __future__ import annotations

import pytest

from support.factories import ADDRESS_JSON


def body(order_id: str, count: int) -> dict:
    items = [{"sku": "w", "qty": 1, "price": 1}] * count
    return {"order_id": order_id, "items": items, "address": ADDRESS_JSON, "review": {"mode": "auto"}}


async def test_order_of_thousands_of_items_ships(api, workflow_env, order_id, until):
    async with api() as caller:
        created = await caller.post("/orders", json=body(order_id, 5000))
        assert created.status_code == 201, created.text
        shipped = await until(caller, order_id, "shipped")
    assert shipped["payment"]["amount"] == "5000.00"
    [parcel] = workflow_env.carrier.parcels[f"ship-{order_id}"]
    assert len(parcel.items) == 5000


@pytest.mark.slow
@pytest.mark.parametrize(("count", "status"), [(33_000, 422), (60_000, 413)])
async def test_order_too_large_for_temporal_is_rejected(api, order_id, count, status):
    async with api() as caller:
        answer = await caller.post("/orders", json=body(order_id, count))
        assert answer.status_code == status, answer.text
        if status == 422:
            [error] = answer.json()["errors"]
            assert error["field"] == "items"
            assert "order less, or in several orders" in error["message"]
        assert (await caller.get(f"/orders/{order_id}")).status_code == 404
