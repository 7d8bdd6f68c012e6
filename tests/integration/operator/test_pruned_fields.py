"""Without strict validation the API server prunes a misspelt field: the order fails uncharged."""

from __future__ import annotations

import json

from support.factories import order_manifest
from support.operator_env import ended, step


async def test_order_with_pruned_misspelt_price_fails_uncharged(operator_env, workers):
    name = operator_env.name()
    items = [{"sku": "tv", "qty": 1, "unit_price": "499.00"}]
    text = json.dumps(order_manifest(name, items=items, review={"mode": "auto"}))
    await operator_env.kubectl("create", "--validate=ignore", "-f", "-", input=text)
    assert "unit_price" not in (await operator_env.get(name))["spec"]["items"][0]
    async with operator_env.operator():
        order = await operator_env.until(name, ended)
    assert step(order) == "failed"
    assert "items[0].price: is missing" in order["status"]["lastError"]
    assert not workers.provider.charges
